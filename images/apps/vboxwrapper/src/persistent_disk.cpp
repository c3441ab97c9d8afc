#include "persistent_disk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "errors.h"
#include "vdi.h"
#include "xml.h"

namespace fs = std::filesystem;

namespace vbw {

namespace {

constexpr double kLockPatience = 60;        // the lock is held for moments, or for one merge
constexpr double kLeastFreeMb = 64;         // of the host's disk
constexpr int kBusyDelay = 120, kFullDelay = 600;

std::vector<std::string> entries(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

bool is_merge_file(const std::string& name) { return starts_with(name, "merge-") && ends_with(name, ".vdi"); }

}  // namespace

PersistentDisk::PersistentDisk(PersistentDiskOptions options, const std::string& project_dir, const std::string& image,
                               std::string machine_name, std::string slot_dir)
    : options_(std::move(options)), all_(project_dir + "/vm_disks"),
      directory_(all_ + "/" + options_.name + "-" + md5_hex(image).substr(0, 12)),
      machine_(std::move(machine_name)), slot_(std::move(slot_dir)) {}

void PersistentDisk::lock() {
    const Deadline patience(kLockPatience);
    while (!lock_.try_lock(all_ + "/lock")) {
        if (patience.passed()) throw Postponed(kBusyDelay, "the project's persistent disks are locked by another task");
        sleep_for(0.02);
    }
}

int PersistentDisk::other_users() {
    int users = 0;
    for (const auto& name : entries(directory_ + "/children")) {
        if (!ends_with(name, ".slot")) continue;
        const std::string machine = name.substr(0, name.size() - 5), path = directory_ + "/children/" + machine;
        if (machine == machine_) continue;
        const auto slot = read_file(path + ".slot", 4096);
        // A task that has ended has no machine in its slot any more, whatever became of its wrapper. One that is just
        // starting has not yet got one: it has a minute.
        const bool young = wall_clock() - file_mtime(path + ".slot") < 60;
        if (slot && (is_directory(trim(*slot) + "/" + machine) || young)) {
            users++;
            continue;
        }
        ::unlink((path + ".vdi").c_str());
        ::unlink((path + ".slot").c_str());
    }
    return users;
}

void PersistentDisk::remove_disk(const std::string& directory, const std::string& why) {
    say("The persistent disk " + fs::path(directory).filename().string() + " is removed: " + why);
    std::error_code error;
    for (const auto& name : entries(directory)) {
        if (name == "base.vdi" || name == "info" || is_merge_file(name)) fs::remove(directory + "/" + name, error);
    }
    fs::remove(directory + "/children", error);   // if empty
    fs::remove(directory, error);
}

void PersistentDisk::finish_merge() {
    bool any = false;
    for (const auto& name : entries(directory_)) {
        if (!is_merge_file(name)) continue;
        any = true;
        try {
            merge_vdi(directory_ + "/" + name, base());
        } catch (const std::runtime_error& error) {
            remove_disk(directory_, std::string("a job's changes could not be added to it (") + error.what() + ")");
            return;
        }
    }
    for (const auto& name : entries(directory_)) {
        if (is_merge_file(name)) ::unlink((directory_ + "/" + name).c_str());
    }
    if (any) write_info();
}

void PersistentDisk::write_info() {
    write_file(directory_ + "/info",
               "<persistent_disk>\n<last_used>" + number(std::floor(wall_clock())) + "</last_used>\n<unused_days>" +
                   number(options_.unused_days) + "</unused_days>\n<base_bytes>" + number(file_size(base())) +
                   "</base_bytes>\n</persistent_disk>\n");
}

void PersistentDisk::clean_up() {
    for (const auto& name : entries(directory_ + "/children")) {
        // A child that nobody claims: of a wrapper that was killed between giving it up and deleting it.
        const std::string path = directory_ + "/children/" + name;
        if (!ends_with(name, ".vdi") || exists(path.substr(0, path.size() - 4) + ".slot")) continue;
        if (wall_clock() - file_mtime(path) > 60) ::unlink(path.c_str());
    }
    struct Old {
        std::string directory;
        double used, bytes;
    };
    std::vector<Old> unused;
    double total = 0;
    for (const auto& name : entries(all_)) {
        const std::string directory = all_ + "/" + name;
        if (!is_directory(directory)) continue;
        const double bytes = std::max(0.0, file_size(directory + "/base.vdi"));
        total += bytes;
        if (directory == directory_ || !entries(directory + "/children").empty()) continue;
        const std::string info = read_file(directory + "/info", 4096).value_or("");
        const double used = to_number(find_tag(info, "last_used").value_or("")).value_or(0);
        const double days = to_number(find_tag(info, "unused_days").value_or("")).value_or(0);
        if (days > 0 && wall_clock() - used > days * 86400) {
            remove_disk(directory, "no job has used it for " + number(days) + " days");
            total -= bytes;
        } else {
            unused.push_back({directory, used, bytes});
        }
    }
    if (options_.max_total_mb <= 0) return;
    std::sort(unused.begin(), unused.end(), [](const Old& a, const Old& b) { return a.used < b.used; });
    const double own = std::max(0.0, file_size(base()));
    for (const auto& old : unused) {
        if ((total - own) / 1048576 + options_.size_mb <= options_.max_total_mb) break;
        remove_disk(old.directory, "the project's persistent disks may have " + number(options_.max_total_mb) + " MB in all");
        total -= old.bytes;
    }
}

void PersistentDisk::create_base(VBoxManage& manage) {
    if (free_mb(all_) < kLeastFreeMb) {
        throw Postponed(kFullDelay, "the host's disk has only " + number(std::floor(free_mb(all_))) +
                                        " MB left, too little for the job's persistent disk", true);
    }
    say("The persistent disk '" + options_.name + "' is made, " + number(options_.size_mb) + " MB");
    manage.run({"createmedium", "disk", "--filename", base(), "--size", number(std::ceil(options_.size_mb)), "--format", "VDI"});
    manage.run({"closemedium", "disk", base()});
}

Disk PersistentDisk::acquire(VBoxManage& manage, const std::function<void()>& wait) {
    for (const auto& directory : {all_, directory_, directory_ + "/children"}) {
        if (!make_directory(directory)) throw Postponed(kFullDelay, "cannot make the directory " + directory, true);
    }
    const Deadline patience(options_.wait_timeout);
    bool said = false;
    for (;;) {
        lock();
        const int users = other_users();
        if (users == 0 || !options_.wait_when_busy) {
            for (const auto& directory : {directory_, directory_ + "/children"}) make_directory(directory);
            if (users == 0) finish_merge();
            clean_up();
            for (const auto& directory : {directory_, directory_ + "/children"}) make_directory(directory);
            break;
        }
        unlock();
        if (patience.passed()) throw Postponed(kBusyDelay, "another task has been using the persistent disk '" + options_.name + "' for too long");
        if (!said) say("Waiting for the persistent disk '" + options_.name + "', which another task is using");
        said = true;
        sleep_for(0.05);
        wait();
    }
    try {
        if (exists(base())) {
            std::string damage;
            try {
                const VdiHeader header = check_vdi(base());
                const double mb = static_cast<double>(header.disk_size) / 1048576;
                const std::string info = read_file(directory_ + "/info", 4096).value_or("");
                const double bytes = to_number(find_tag(info, "base_bytes").value_or("")).value_or(-1);
                if (std::ceil(options_.size_mb) != mb) damage = "its size is " + number(mb) + " MB, the job wants " + number(options_.size_mb);
                else if (bytes != file_size(base())) damage = "its file is not as the last job left it";
            } catch (const std::runtime_error& error) {
                damage = error.what();
            }
            if (!damage.empty() && other_users() == 0) {
                remove_disk(directory_, damage);
                for (const auto& directory : {directory_, directory_ + "/children"}) make_directory(directory);
            } else if (!damage.empty()) {
                throw Postponed(kBusyDelay, "the persistent disk '" + options_.name + "' must be replaced (" + damage +
                                                ") but another task is using it");
            }
        }
        if (!exists(base())) create_base(manage);
        ::unlink(child().c_str());   // of an earlier attempt of this task
        write_file(directory_ + "/children/" + machine_ + ".slot", slot_ + "\n");
        write_info();
    } catch (...) {
        unlock();
        throw;
    }
    unlock();
    return existing();
}

void PersistentDisk::withdraw() { ::unlink((directory_ + "/children/" + machine_ + ".slot").c_str()); }

void PersistentDisk::keep_changes(const std::string& snapshots) {
    lock();
    const int others = other_users();
    if (others) {
        say("What this job wrote to the persistent disk '" + options_.name + "' is dropped: " + std::to_string(others) +
            " other task(s) use it at this time");
        withdraw();
    } else {
        std::vector<std::string> candidates{child()};
        for (const auto& name : entries(snapshots)) {
            if (ends_with(name, ".vdi")) candidates.push_back(snapshots + "/" + name);
        }
        try {
            int next = 0;
            for (const auto& file : vdi_chain(base(), candidates)) {
                // A second name, so that VirtualBox may delete the first; a copy if it is on another file system.
                const std::string kept = directory_ + "/new-" + std::to_string(next++) + ".vdi";
                ::unlink(kept.c_str());
                if (link(file.c_str(), kept.c_str()) && !copy_file(file, kept)) {
                    throw std::runtime_error("cannot keep " + file);
                }
            }
            kept_ = next > 0;
        } catch (const std::runtime_error& error) {
            say(std::string("What this job wrote to the persistent disk is dropped: ") + error.what());
            kept_ = false;
        }
    }
    unlock();
}

void PersistentDisk::release(bool discard) {
    lock();
    std::vector<std::string> kept;
    for (const auto& name : entries(directory_)) {
        if (starts_with(name, "new-")) kept.push_back(name);
    }
    const bool merge = kept_ && !discard && other_users() == 0;
    for (const auto& name : kept) {
        const std::string path = directory_ + "/" + name;
        if (merge) rename(path.c_str(), (directory_ + "/merge-" + name.substr(4)).c_str());
        else ::unlink(path.c_str());
    }
    ::unlink(child().c_str());
    ::unlink((directory_ + "/children/" + machine_ + ".slot").c_str());
    if (merge) finish_merge();
    if (other_users() == 0 && exists(base())) {
        const double mb = file_size(base()) / 1048576;
        if (discard) remove_disk(directory_, "the job asked for it");
        else if (mb > options_.max_file_mb) {
            remove_disk(directory_, "its file has " + number(mb) + " MB, more than the " + number(options_.max_file_mb) + " that it may have");
        }
    }
    unlock();
}

}  // namespace vbw
