#include "setup.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "slot_files.h"
#include "util.h"
#include "vdi.h"

namespace vbw {

namespace {

constexpr double kDefaultMemory = 512;       // MB
constexpr int kMostCpus = 32;                // as the stock wrapper
constexpr double kMemoryBesides = 64;        // MB that the host needs beyond the guest's
constexpr int kMemoryDelay = 300;
constexpr const char* kGuestAdditions = "/usr/share/virtualbox/VBoxGuestAdditions.iso";
constexpr const char* kIso = "vm_isocontext.iso";
constexpr const char* kCacheDisk = "vm_cache.vdi";

std::string disk_image(const Arguments& arguments) {
    return arguments.vmimage ? "vm_image_" + std::to_string(arguments.vmimage) + ".vdi" : "vm_image.vdi";
}

double memory_mb(const JobFile& job, const Arguments& arguments) {
    const double wanted = arguments.memory_size_mb > 0 ? arguments.memory_size_mb : job.memory_size_mb;
    return wanted > 0 ? wanted : kDefaultMemory;
}

void need_iso(const std::string& name) {
    const Resolved file = resolve(name);
    const double size = file_size(file.path);
    if (size < 0) throw TaskError(kInitFailure, "the job boots '" + name + "' but has no such file (" + file.path + ")");
    const auto head = read_file(file.path, 0x8006);
    if (!head || head->size() < 0x8006 || head->compare(0x8001, 5, "CD001") != 0) {
        throw TaskError(kInitFailure, "'" + name + "' is no ISO 9660 image (" + file.path + ")");
    }
}

void need_vdi(const std::string& name, const std::string& path) {
    if (file_size(path) < 0) throw TaskError(kInitFailure, "the job needs '" + name + "' but has no such file (" + path + ")");
    try {
        check_vdi(path);
    } catch (const std::runtime_error& error) {
        throw TaskError(kInitFailure, std::string("the image '") + name + "' cannot be used: " + error.what());
    }
}

}  // namespace

std::string machine_name(const InitData& init) {
    return init.standalone ? "boinc_standalone" : "boinc_" + md5_hex(init.result_name).substr(0, 16);
}

std::string project_directory(const InitData& init) {
    if (!init.standalone && !init.project_dir.empty()) return init.project_dir;
    return current_directory() + "/project";
}

std::string boot_image(const JobFile& job, const Arguments& arguments) {
    if (job.enable_isocontextualization) return image_identity(kIso);
    if (!job.multiattach_vdi_file.empty()) return job.multiattach_vdi_file;
    return image_identity(disk_image(arguments));
}

void prepare_slot(const JobFile& job, const Arguments& arguments, const InitData& init) {
    const std::string project = project_directory(init);
    if (init.standalone) make_directory(project);
    if (job.enable_shared_directory) {
        if (!exists_itself("shared") && !make_directory("shared")) throw TaskError(kInitFailure, "cannot make the shared folder");
        SharedFolderFiles("shared", project).check();
    }
    if (job.enable_scratch_directory && !make_directory(project + "/scratch")) {
        throw TaskError(kInitFailure, project + "/scratch is no directory and cannot be made");
    }
    for (const auto& name : job.copy_to_shared) {
        if (exists_itself("shared/" + name)) continue;
        const Resolved source = resolve(name);
        if (!copy_file(source.path, "shared/" + name)) {
            throw TaskError(kInitFailure, "<copy_to_shared>: cannot copy '" + name + "' (" + source.path + ") to the shared folder");
        }
    }
    if (job.copy_cmdline_to_shared) {
        write_file(std::string(job.share_slot_dir ? "." : "shared") + "/cmdline", join(arguments.all, " ") + " ");
    }
    if (job.enable_isocontextualization) {
        need_iso(kIso);
        if (job.enable_cache_disk) need_vdi(kCacheDisk, resolve(kCacheDisk).path);
    } else if (!job.multiattach_vdi_file.empty()) {
        need_vdi(job.multiattach_vdi_file, project + "/" + job.multiattach_vdi_file);
    } else {
        need_vdi(disk_image(arguments), resolve(disk_image(arguments)).path);
    }
    const std::string root;
    const double wanted = memory_mb(job, arguments), has = host_memory_mb(root), available = free_memory_mb(root);
    if (has > 0 && wanted + kMemoryBesides > has) {
        throw TaskError(kMemoryLimit, "the job's virtual machine needs " + number(wanted) + " MB of memory; this host has " +
                                          number(std::floor(has)) + " MB in all");
    }
    if (available > 0 && wanted > available) {
        throw Postponed(kMemoryDelay, "the job's virtual machine needs " + number(wanted) + " MB of memory; only " +
                                          number(std::floor(available)) + " MB are free now");
    }
}

MachineConfig describe_machine(const JobFile& job, const Arguments& arguments, const InitData& init, const HostReport& host,
                               Checkpoint& checkpoint) {
    const std::string slot = current_directory(), project = project_directory(init);
    MachineConfig c;
    c.name = machine_name(init);
    c.description = init.standalone ? "standalone" : init.result_name;
    c.base_folder = slot;
    c.os_name = job.os_name;
    c.controller_type = job.disk_controller_type;
    c.controller_model = job.disk_controller_model;
    if (job.enable_isocontextualization && c.controller_model == "PIIX4") {
        c.controller_type = "sata", c.controller_model = "IntelAHCI";   // as the stock wrapper: PIIX4 has too few ports
    }
    c.graphics = job.graphics_controller;
    c.network_driver = job.network_driver;
    c.memory_mb = memory_mb(job, arguments);
    c.vram_mb = job.vram_size_mb;
    c.cpus = std::clamp(static_cast<int>(std::ceil(arguments.nthreads > 0 ? arguments.nthreads : init.ncpus)), 1, kMostCpus);
    c.boot_dvd_first = job.boot_iso || job.enable_isocontextualization;
    c.accelerated = host.acceleration == Acceleration::kHardware || host.acceleration == Acceleration::kDriverless;
    if (job.enable_network) {
        c.network = job.network_bridged_mode ? MachineConfig::kBridged : MachineConfig::kNat;
        c.dns_host_resolver = job.enable_nat_dns_host_resolver;
        c.localhost_reachable = job.nat_localhost_reachable;
        c.forwards = job.port_forwards;
        if (job.pf_guest_port) {
            if (!checkpoint.webapi_port) checkpoint.webapi_port = job.pf_host_port ? job.pf_host_port : free_port();
            c.forwards.push_back({checkpoint.webapi_port, job.pf_guest_port, false});
        }
        const double up = init.max_bytes_up, down = init.max_bytes_down;
        c.bandwidth_kb = (up > 0 && down > 0 ? std::min(up, down) : std::max(up, down)) / 1024;
    }
    if (job.enable_remotedesktop) {
        if (!checkpoint.remote_desktop_port) checkpoint.remote_desktop_port = free_port();
        c.remote_desktop_port = checkpoint.remote_desktop_port;
    }
    if (job.enable_isocontextualization) {
        c.disks.push_back({Disk::kDvd, resolve(kIso).path, "", false});
        if (job.enable_cache_disk) {
            const Resolved cache = resolve(kCacheDisk);
            if (cache.linked) c.disks.push_back({Disk::kHard, slot + "/vm_cache_child.vdi", cache.path, false});
            else c.disks.push_back({Disk::kHard, cache.path, "", true});
        }
    } else {
        const std::string name = disk_image(arguments);
        const Resolved image = resolve(name);
        const bool shared_image = !job.multiattach_vdi_file.empty();
        // An image that is not the slot's own is never written to: the machine gets a child of it.
        if (shared_image || image.linked) {
            c.disks.push_back({Disk::kHard, slot + "/vm_image_child.vdi", shared_image ? project + "/" + job.multiattach_vdi_file : image.path, false});
        } else {
            c.disks.push_back({Disk::kHard, image.path, "", true});
        }
        const Resolved iso = resolve(kIso);
        if (job.boot_iso && file_size(iso.path) > 0) c.disks.push_back({Disk::kDvd, iso.path, "", false});
    }
    if (file_size(kGuestAdditions) > 0) c.disks.push_back({Disk::kDvd, kGuestAdditions, "", false});
    if (job.enable_floppyio) {
        const std::string file = init.standalone ? "vm_floppy.img" : "vm_floppy_" + std::to_string(init.slot) + ".img";
        const std::string text = floppy_text(init, read_file("init_data.xml", 1 << 20).value_or(""), job.enable_cern_dataformat, job.share_authenticator);
        if (!write_file(file, floppy_image(text))) throw TaskError(kInitFailure, "cannot write the floppy image " + file);
        c.disks.push_back({Disk::kFloppy, slot + "/" + file, "", false});
    }
    if (job.enable_shared_directory) c.folders.push_back({"shared", slot + "/shared"});
    if (job.share_slot_dir) c.folders.push_back({"shared", slot});
    if (job.enable_scratch_directory) c.folders.push_back({"scratch", project + "/scratch"});
    if (job.share_project_dir) c.folders.push_back({"project", project});
    return c;
}

}  // namespace vbw
