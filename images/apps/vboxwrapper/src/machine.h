// One virtual machine of VirtualBox: made, started, paused, saved, taken apart.
#pragma once

#include <string>
#include <vector>

#include "job_file.h"
#include "vbox_manage.h"

namespace vbw {

struct Disk {
    enum Kind { kHard, kDvd, kFloppy } kind = kHard;
    std::string medium;          // absolute path
    std::string parent;          // "" = attach the medium; else make it, as a differencing child of this image
    bool new_uuid = false;       // for a copy of an image that may be registered elsewhere
};

struct SharedFolder {
    std::string name, path;
};

struct MachineConfig {
    std::string name, description, base_folder;
    std::string os_name, controller_type, controller_model, graphics, network_driver;
    double memory_mb = 512, vram_mb = 16;
    int cpus = 1;
    bool boot_dvd_first = false;
    enum Network { kNone, kNat, kBridged } network = kNone;
    std::string bridge;
    bool dns_host_resolver = false, localhost_reachable = false, network_suspended = false;
    bool accelerated = true;
    double bandwidth_kb = 0;     // 0 = no limit
    std::vector<PortForward> forwards;
    int remote_desktop_port = 0;
    std::vector<Disk> disks;     // port 0, 1, ... of the controller; floppies apart
    std::vector<SharedFolder> folders;
};

// VirtualBox's own names, as "showvminfo --machinereadable" says them.
struct MachineState {
    bool registered = false;
    std::string state;           // running, paused, saved, poweroff, aborted, aborted-saved, ...
    std::string snapshot;        // the current one
    bool running() const { return state == "running" || state == "paused" || state == "starting" || state == "restoring"; }
    bool saved() const { return state == "saved" || state == "aborted-saved"; }
};

class Machine {
public:
    Machine(VBoxManage& manage, std::string name, std::string base_folder);

    const std::string& name() const { return name_; }
    std::string folder() const { return base_folder_ + "/" + name_; }
    std::string log_file() const { return folder() + "/Logs/VBox.log"; }
    std::string settings_file() const { return folder() + "/" + name_ + ".vbox"; }

    MachineState state();                    // throws VBoxError, but for "no such machine"
    void create(const MachineConfig& config);
    // Without a window unless `window`. Returns when VirtualBox has started the process.
    void start(bool window);
    void pause();
    void resume();
    void save_state();                       // the process ends
    void adopt_state(const std::string& file);
    void discard_state();
    void take_snapshot(const std::string& snapshot);
    void delete_snapshot(const std::string& snapshot);
    void restore_snapshot();
    void set_link(bool up);
    void set_cpu_cap(int percent);
    void screenshot(const std::string& file);
    void kill_process(int pid);
    void power_off(int pid);                 // for good, if need be by killing process `pid`
    // Off VirtualBox's lists, with its media; its files stay, for registervm. Never throws.
    bool forget(const MachineConfig& config);
    // The same, and its files are gone. Never throws.
    void destroy(int pid, const MachineConfig& config);

    std::string saved_state_file() const;    // "" if there is none

private:
    void modify(const MachineConfig& config);
    void attach(const MachineConfig& config);

    VBoxManage& manage_;
    std::string name_, base_folder_;
};

// Machines whose files are gone from below `slots` but that VirtualBox still lists as inaccessible: a task that was
// killed together with its wrapper leaves one. Looks into VirtualBox.xml, and calls VBoxManage only if there is one.
void forget_lost_machines(VBoxManage& manage, const std::string& virtualbox_home, const std::string& slots);

}  // namespace vbw
