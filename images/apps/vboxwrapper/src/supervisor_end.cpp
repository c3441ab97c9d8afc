#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "results.h"
#include "setup.h"
#include "supervisor.h"

namespace vbw {

namespace {

constexpr double kOwnPowerOff = 0.7;        // seconds that a guest that is done gets to begin to switch off
constexpr double kPowerOffPatience = 10;    // and to be off

}  // namespace

void Supervisor::take_apart(bool keep_disk) {
    if (!machine_ || !checkpoint_.machine_made) return;
    machine_->power_off(pid_);
    // After power-off nobody writes to the log; with the machine it is deleted.
    rest_of_log();
    bool discard = false;
    if (disk_) {
        try {
            discard = shared_ && !job_.persistent_disk.discard_file.empty() && exists_itself(shared_->path(job_.persistent_disk.discard_file));
            if (keep_disk && !discard) disk_->keep_changes(machine_->folder() + "/Snapshots");
            else disk_->withdraw();
        } catch (const Postponed& error) {
            say(std::string("What this job wrote to the persistent disk is dropped: ") + error.what());
        }
    }
    machine_->destroy(0, whole_config());
    unlink("vm_warm.sav");
    if (disk_) {
        try {
            disk_->release(discard);
        } catch (const Postponed& error) {
            say(std::string("The persistent disk is left as it is: ") + error.what());
        }
    }
}

// A guest that is done mostly switches its machine off itself. To do so at the same moment can hang both.
void Supervisor::let_it_go_off() {
    double until = now() + kOwnPowerOff;
    bool stopping = false;
    while (process_alive(pid_) && now() < until) {
        take_log();
        if (!stopping && (vm_state_ == "Stopping" || vm_state_ == "PoweredOff")) {
            stopping = true;
            until = now() + kPowerOffPatience;
        }
        app_.poll();
        sleep_for(0.01);
    }
    if (stopping) machine_->kill_process(pid_);
}

// The folder may be none, or a link to one that is none of the job's business.
void Supervisor::pack_results() const {
    struct stat s {};
    const std::string& folder = job_.pack_results;
    if (folder.empty() || exists_itself(folder + ".tgz") || lstat(folder.c_str(), &s) || !S_ISDIR(s.st_mode)) return;
    pack(folder, folder + ".tgz");
}

void Supervisor::complete(const Completion& completion) {
    app_.status.cpu_time = cpu_time();
    say("The guest is done: exit code " + std::to_string(completion.exit_code) +
        (completion.message.empty() ? "" : ", '" + completion.message + "'"));
    let_it_go_off();
    take_apart(completion.exit_code == 0);
    guest_log_->write_tail();
    try {
        pack_results();
    } catch (const TaskError& error) {
        app_.finish(error.exit_code, error.what(), error.notice);
    }
    app_.finish(completion.exit_code, completion.notice ? completion.message : "", completion.notice);
}

void Supervisor::fail(const TaskError& error) {
    app_.status.cpu_time = cpu_time();
    say(error.what());
    if (machine_ && job_.enable_screenshots_on_error && process_alive(pid_) && !exists("vbox_screenshot.png")) {
        machine_->screenshot("vbox_screenshot.png");
    }
    if (machine_) take_apart(false);
    if (guest_log_) guest_log_->write_tail();
    app_.finish(error.exit_code, error.what(), error.notice);
}

void Supervisor::postpone(const Postponed& postponed) {
    if (machine_ && checkpoint_.machine_made) {
        if (checkpoint_.resumable) {
            machine_->power_off(pid_);
            rest_of_log();
            save_checkpoint(true);
            machine_->forget(whole_config());
        } else {
            take_apart(false);
            checkpoint_.machine_made = false;
            checkpoint_.log_inode = 0;
            checkpoint_.guest_log = guest_log_->state();
            checkpoint_.write();
        }
    }
    app_.temporary_exit(postponed.delay, postponed.what(), postponed.notice);
}

// The client quits, or is gone: the guest's state is saved, and VirtualBox is left without a trace of the machine, since
// nobody may ever come back to this slot.
void Supervisor::stop_for_later() {
    const bool save = job_.enable_vm_savestate_usage || !job_.disable_automatic_checkpoints;
    if (machine_ && checkpoint_.machine_made) {
        bool saved = false;
        if (save && process_alive(pid_)) {
            try {
                elapsed_ += paused_ ? 0 : now() - last_tick_;
                const double cpu = cpu_time();
                machine_->save_state();
                rest_of_log();
                cpu_before_ = cpu, pid_ = 0;
                saved = true;
                save_checkpoint();
                say("The virtual machine is saved");
            } catch (const VBoxError& error) {
                say(error.what());
            }
        }
        if (!saved) machine_->power_off(pid_);
        rest_of_log();
        if (saved || checkpoint_.resumable) {
            save_checkpoint(true);
            machine_->forget(whole_config());
        } else {
            take_apart(false);
            checkpoint_.machine_made = false;
            checkpoint_.log_inode = 0;
            checkpoint_.guest_log = guest_log_->state();
            checkpoint_.write();
            if (shared_) forget_old_triggers();
        }
    }
    app_.leave();
}

void Supervisor::abort() {
    say("The client aborts the task");
    if (machine_) take_apart(false);
    if (guest_log_) guest_log_->write_tail();
    app_.leave();
}

}  // namespace vbw
