// A disk that outlives jobs. It lives in the project's directory, outside of every slot:
//
//     vm_disks/NAME-IMAGE/base.vdi          what jobs have in common; no running machine ever writes to it
//     vm_disks/NAME-IMAGE/children/VM.vdi   a differencing child for each job's machine
//     vm_disks/NAME-IMAGE/children/VM.slot  which slot that machine is in
//     vm_disks/NAME-IMAGE/merge-N.vdi       a successful job's changes on their way into the base
//     vm_disks/NAME-IMAGE/info              when it was last used, and its limits
//
// A job that fails or is aborted leaves the base as it was. A job that succeeds has its changes merged into the base if no
// other job has a child of it then; else they are dropped, and the last of the jobs is the one that counts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "job_file.h"
#include "machine.h"
#include "util.h"
#include "vbox_manage.h"

namespace vbw {

class PersistentDisk {
public:
    // `image` names what the job boots: another image gets another disk.
    PersistentDisk(PersistentDiskOptions options, const std::string& project_dir, const std::string& image,
                   std::string machine_name, std::string slot_dir);

    // Makes ready what the machine needs: a base, and no other user if the job wants to be alone. `wait` is called
    // while another job has the disk, and may throw. Throws Postponed if that takes too long or the host's disk is full.
    Disk acquire(VBoxManage& manage, const std::function<void()>& wait);
    // For a machine that exists already.
    Disk existing() const { return {Disk::kHard, child(), base(), false}; }

    // The machine is off and its changes do not count: others need not wait for its end.
    void withdraw();
    // Before the machine is destroyed: takes hold of its changes. `snapshots` is the machine's snapshot folder.
    void keep_changes(const std::string& snapshots);
    // Afterwards: merges them if they were kept, drops the disk if `discard` or it has grown too big.
    void release(bool discard);

    std::string directory() const { return directory_; }
    std::string base() const { return directory_ + "/base.vdi"; }
    std::string child() const { return directory_ + "/children/" + machine_ + ".vdi"; }

private:
    void lock();
    void unlock() { lock_.release(); }
    int other_users();             // jobs other than this one that have a child; sweeps what dead ones left
    void finish_merge();
    void remove_disk(const std::string& directory, const std::string& why);
    void clean_up();               // of disks that nobody uses any more
    void write_info();
    void create_base(VBoxManage& manage);

    PersistentDiskOptions options_;
    std::string all_, directory_, machine_, slot_;
    bool kept_ = false;
    FileLock lock_;
};

}  // namespace vbw
