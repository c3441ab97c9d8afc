// vbox_job.xml: what the project wants of the virtual machine. Every option of the stock wrapper is
// honoured or refused by name; docs/vboxwrapper.md has the table.
#pragma once

#include <string>
#include <vector>

namespace vbw {

struct PortForward {
    int host_port = 0;    // 0: the wrapper finds a free one
    int guest_port = 0;
    bool is_remote = false;   // reachable from outside of this host
};

// A disk that outlives the job.
struct PersistentDiskOptions {
    std::string name;             // "" = none
    double size_mb = 0;           // what the guest sees
    double max_file_mb = 0;       // a disk whose file is bigger is replaced; 0 = 1.1 * size_mb
    double max_total_mb = 0;      // of all such disks of the project; 0 = no limit
    double unused_days = 60;      // a disk that no job used for so long is deleted; 0 = never
    bool wait_when_busy = false;  // else a job gets a child of its own while another is writing
    double wait_timeout = 300;    // seconds
    std::string discard_file;     // the guest creates it in the shared folder to throw the disk away
};

// A saved state of the booted guest that later jobs resume.
struct WarmStartOptions {
    std::string wanted_file;  // "" or a file that the wrapper creates there before the guest boots, to ask it to wait
    std::string ready_file;   // the guest creates it in the shared folder when it has booted
    std::string go_file;      // the wrapper creates it there when the guest may read the job's files
    double max_age_days = 30;
    bool enabled() const { return !ready_file.empty(); }
};

// Layers of a container image, handed to the guest as file systems when it asks for them.
struct ImageLayersOptions {
    std::string folder;       // of the slot: files, or links to them, named sha256-HEX
    std::string wanted_file;  // the guest creates it in the shared folder: such names, one a line
    std::string ready_file;   // the wrapper creates it there when it is done with them: a line for each that is no layer
    std::string target;       // the folder in the shared folder where they are then, under the same names
    bool enabled() const { return !folder.empty(); }
};

struct JobFile {
    std::string os_name;
    double memory_size_mb = 0;    // 0 = 512
    std::string disk_controller_type = "sata";
    std::string disk_controller_model = "IntelAHCI";
    double vram_size_mb = 16;
    std::string graphics_controller = "VBoxVGA";
    double job_duration = 0;
    double minimum_checkpoint_interval = 600;
    double minimum_heartbeat_interval = 600;
    std::string fraction_done_file, heartbeat_file, completion_file, temporary_exit_file;
    std::vector<std::string> trickle_files, intermediate_upload_files, copy_to_shared;
    bool copy_cmdline_to_shared = false;
    std::string multiattach_vdi_file;
    bool enable_cern_dataformat = false;
    bool enable_network = false, network_bridged_mode = false, enable_nat_dns_host_resolver = false;
    std::string network_driver;
    int pf_guest_port = 0, pf_host_port = 0;
    std::vector<PortForward> port_forwards;
    bool enable_shared_directory = false, share_slot_dir = false;
    bool enable_scratch_directory = false, share_project_dir = false;
    bool enable_floppyio = false;
    bool enable_isocontextualization = false, enable_cache_disk = false, boot_iso = false;
    bool enable_remotedesktop = false, enable_screenshots_on_error = false, enable_graphics_support = false;
    bool enable_vm_savestate_usage = false, disable_automatic_checkpoints = false;

    // Of this wrapper.
    PersistentDiskOptions persistent_disk;
    WarmStartOptions warm_start;
    ImageLayersOptions image_layers;
    std::string pack_results;              // a folder of the slot that becomes FOLDER.tgz at the end
    bool share_authenticator = false;      // hand the volunteer's authenticator to the guest
    bool fail_without_acceleration = false;   // else wait until the host can run the guest
    double guest_log_limit_mb = 64;
    double max_shared_files = 100000;
    bool nat_localhost_reachable = false;
    int max_restarts = 3;                 // of a virtual machine that died, without a checkpoint in between

    // Things worth saying that are no errors.
    std::vector<std::string> remarks;
    bool needs_64_bit() const;
    bool has_shared_folder() const { return enable_shared_directory || share_slot_dir; }
};

// Throws TaskError (kInitFailure) with the file's name, the line and the option.
JobFile parse_job_file(const std::string& text, const std::string& file_name = "vbox_job.xml");

}  // namespace vbw
