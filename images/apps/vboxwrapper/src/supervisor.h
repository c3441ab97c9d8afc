// The task from its start to its end.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "arguments.h"
#include "boinc_app.h"
#include "checkpoint.h"
#include "errors.h"
#include "guest_log.h"
#include "host_check.h"
#include "job_file.h"
#include "machine.h"
#include "machine_log.h"
#include "persistent_disk.h"
#include "slot_files.h"
#include "vbox_manage.h"
#include "warm_start.h"

namespace vbw {

class Supervisor {
public:
    Supervisor(BoincApp& app, Arguments arguments, HostReport host);
    [[noreturn]] void run();

private:
    // supervisor_start.cpp: until the guest runs
    void read_job();
    void require_host();
    void host_works();
    [[noreturn]] void host_unusable();
    void require_virtualbox();
    void make_or_continue();
    void make(bool allow_warm);
    bool continue_existing();
    void start_machine();
    void find_process();
    void make_warm_template();
    void forget_old_triggers();
    [[noreturn]] void host_failed(const VBoxError& error);

    // supervisor.cpp: while it runs
    [[noreturn]] void loop();
    void take_log();
    void rest_of_log();
    void take_line(LogLine line);
    void watch_machine();
    void watch_triggers();
    void hand_out_layers();            // supervisor_layers.cpp
    void watch_heartbeat();
    void watch_slot();
    void follow_client();
    void report();
    void trickles_and_uploads();
    void save_checkpoint(bool to_disk_only = false);
    void checkpoint_if_due();
    void machine_died();
    Postponed disk_full();             // or throws, the last time
    void wait_for_room();
    void wait_until_seen_dead();

    // supervisor_end.cpp: how it ends
    [[noreturn]] void complete(const Completion& completion);
    [[noreturn]] void fail(const TaskError& error);
    [[noreturn]] void postpone(const Postponed& postponed);
    [[noreturn]] void stop_for_later();
    [[noreturn]] void abort();
    void let_it_go_off();
    void take_apart(bool keep_disk);
    void pack_results() const;

    double cpu_time() const;
    MachineConfig whole_config() const;   // with the persistent disk
    bool shut_down_by_guest() const { return vm_state_ == "PoweredOff" && !host_gave_up_; }

    BoincApp& app_;
    Arguments arguments_;
    HostReport host_;
    JobFile job_;
    VBoxManage manage_;
    Checkpoint checkpoint_;
    MachineConfig config_;
    std::string virtualbox_;
    std::unique_ptr<Machine> machine_;
    std::unique_ptr<SharedFolderFiles> shared_;
    std::unique_ptr<PersistentDisk> disk_;
    std::unique_ptr<WarmStart> warm_;
    std::unique_ptr<LogFollower> follower_;
    std::unique_ptr<GuestLog> guest_log_;
    LogReader reader_;
    LineJoiner joiner_;

    int pid_ = 0;                      // of the virtual machine
    int server_ = 0;                   // VBoxSVC, which has started it
    std::string vm_state_;             // the last one that VBox.log told
    std::string runtime_error_;        // the last one that VBox.log told
    bool host_gave_up_ = false;        // VirtualBox ended the machine, not the guest
    bool continued_ = false;           // of an earlier run of this task
    bool warm_started_ = false, warm_wanted_ = false;
    bool paused_ = false, link_down_ = false;
    double elapsed_ = 0;               // seconds that the guest has run, all runs of this task together
    double cpu_before_ = 0;            // CPU time of processes that are gone
    double last_tick_ = 0, next_report_ = 0, next_trickle_check_ = 0, next_slot_check_ = 0, next_save_ = 0;
    double next_period_trickle_ = 0;
    double last_checkpoint_ = 0;       // of elapsed_
    double heartbeat_mtime_ = -1, heartbeat_seen_ = 0;   // and elapsed_ when it last changed
    double completion_size_ = -1, completion_since_ = 0;
    std::vector<std::string> uploads_asked_, uploads_done_;
};

// On a disk without a byte left VirtualBox empties its own settings when it next writes them, and works for nobody any more;
// and neither the client nor we could write how the task has ended. So there is a file to be deleted then.
constexpr const char* kReserve = "vbox_reserve";
constexpr size_t kReserveBytes = 4 << 20;

constexpr double kPoll = 0.05;         // seconds; all of it looks at a few files only

}  // namespace vbw
