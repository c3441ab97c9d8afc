#include "warm_start.h"

#include <unistd.h>

#include <filesystem>

#include "util.h"

namespace fs = std::filesystem;

namespace vbw {

namespace {

constexpr const char* kGeneration = "1";   // of how machines are made; another one needs other saved states

std::string description_of(const MachineConfig& c) {
    std::string text;
    const auto add = [&text](const std::string& part) { text += part + "\n"; };
    for (const auto& part : {c.os_name, c.controller_type, c.controller_model, c.graphics, c.network_driver, c.bridge}) add(part);
    for (double part : {c.memory_mb, c.vram_mb, static_cast<double>(c.cpus), static_cast<double>(c.boot_dvd_first),
                        static_cast<double>(c.network), static_cast<double>(c.dns_host_resolver),
                        static_cast<double>(c.localhost_reachable), static_cast<double>(c.accelerated),
                        c.bandwidth_kb > 0 ? 1.0 : 0.0, c.remote_desktop_port ? 1.0 : 0.0}) {
        add(number(part));
    }
    for (const auto& disk : c.disks) add(std::to_string(disk.kind) + " " + (disk.parent.empty() ? disk.medium : disk.parent));
    for (const auto& folder : c.folders) add(folder.name + " " + folder.path);
    return text;
}

}  // namespace

WarmStart::WarmStart(const WarmStartOptions& options, const std::string& project_dir, const MachineConfig& config,
                     const std::string& image, const std::string& virtualbox, const std::string& mode)
    : options_(options), directory_(project_dir + "/vm_warm"),
      key_(md5_hex(std::string(kGeneration) + "\n" + description_of(config) + image + "\n" + virtualbox + "\n" + mode).substr(0, 24)),
      file_(directory_ + "/" + key_ + ".sav") {}

bool WarmStart::available() const {
    const double made = file_mtime(file_);
    return made > 0 && file_size(file_) > 0 && wall_clock() - made < options_.max_age_days * 86400;
}

std::string WarmStart::take(const std::string& slot_dir) const {
    const std::string own = slot_dir + "/vm_warm.sav";
    unlink(own.c_str());
    if (link(file_.c_str(), own.c_str()) == 0 || copy_file(file_, own)) return own;
    return "";
}

void WarmStart::keep(const std::string& saved_state) const {
    if (!make_directory(directory_)) return;
    // A copy, not a second name: VirtualBox goes on with the file itself.
    if (!copy_file(saved_state, file_)) say("the saved state of the booted guest could not be kept in " + directory_);
    else write_file(directory_ + "/" + key_ + ".info", time_text_utc(wall_clock()) + " " + megabytes(file_size(file_)) + "\n");
}

void WarmStart::drop(const std::string& why) const {
    say("The saved state of the booted guest is dropped: " + why);
    unlink(file_.c_str());
    unlink((directory_ + "/" + key_ + ".info").c_str());
}

void WarmStart::clean_up() const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory_, error)) {
        const std::string path = entry.path().string();
        if (wall_clock() - file_mtime(path) > options_.max_age_days * 86400) unlink(path.c_str());
    }
}

}  // namespace vbw
