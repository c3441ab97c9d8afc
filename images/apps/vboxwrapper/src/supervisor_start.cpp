#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "process.h"
#include "setup.h"
#include "supervisor.h"

namespace vbw {

namespace {

constexpr int kLeastVirtualBox = 7;           // major version; earlier ones name their options otherwise
constexpr int kSoon = 60, kLater = 600;       // seconds until a host that cannot run machines is looked at again
constexpr int kSoonTimes = 10, kMostTimes = 90;   // the client gives up after 100 such exits
constexpr int kHostFailuresMost = 20;
constexpr double kProcessPatience = 20, kLogPatience = 5;
constexpr int kNiceness = 10;

}  // namespace

void Supervisor::read_job() {
    const Resolved file = resolve("vbox_job.xml");
    const auto text = read_file(file.path, 1 << 20);
    if (!text) throw TaskError(kInitFailure, "there is no vbox_job.xml (" + file.path + ")");
    job_ = parse_job_file(*text);
    for (const auto& remark : job_.remarks) say(remark);
}

void Supervisor::host_unusable() {
    checkpoint_.postponed++;
    const bool again = checkpoint_.notice == host_.text;
    checkpoint_.notice = host_.text;
    checkpoint_.write();
    if (!again) {
        app_.send_trickle_up("vm_host", "<vm_host>\n<usable>0</usable>\n<reason>" + host_.text + "</reason>\n</vm_host>\n");
    }
    if (job_.fail_without_acceleration || checkpoint_.postponed > kMostTimes) {
        // BOINC's client and server look for this word; it must be there only if it is true.
        if (host_.extensions_disabled()) say("Error Code: ERR_CPU_VM_EXTENSIONS_DISABLED");
        throw TaskError(kExecFailure, host_.text, true);
    }
    throw Postponed(checkpoint_.postponed <= kSoonTimes ? kSoon : kLater, host_.text, !again);
}

void Supervisor::require_host() {
    if (!host_.usable()) host_unusable();
}

void Supervisor::host_works() {
    if (checkpoint_.notice.empty()) return;
    say("This host can run the task's virtual machine now");
    app_.send_trickle_up("vm_host", "<vm_host>\n<usable>1</usable>\n</vm_host>\n");
    checkpoint_.notice.clear();
    checkpoint_.postponed = 0;
}

void Supervisor::require_virtualbox() {
    const auto missing = [this](const std::string& what) {
        checkpoint_.postponed++;
        const bool again = checkpoint_.notice == what;
        checkpoint_.notice = what;
        checkpoint_.write();
        if (checkpoint_.postponed > kMostTimes) throw TaskError(kExecFailure, what, true);
        throw Postponed(checkpoint_.postponed <= kSoonTimes ? kSoon : kLater, what, !again);
    };
    if (access(manage_.program().c_str(), X_OK)) {
        missing("VirtualBox is not installed on this computer (there is no VBoxManage); install VirtualBox " +
                std::to_string(kLeastVirtualBox) + ".0 or later.");
    }
    virtualbox_ = app_.init().virtualbox_version;
    if (virtualbox_.empty()) {
        try {
            virtualbox_ = manage_.version();
        } catch (const VBoxError& error) {
            missing(std::string("VirtualBox on this computer does not work: ") + error.what());
        }
    }
    const int major = atoi(virtualbox_.c_str());
    if (major < kLeastVirtualBox) {
        missing("VirtualBox on this computer is of version '" + virtualbox_ + "'; the task needs " +
                std::to_string(kLeastVirtualBox) + ".0 or later.");
    }
}

void Supervisor::forget_old_triggers() {
    for (const auto& name : {job_.heartbeat_file, job_.fraction_done_file, job_.temporary_exit_file, job_.completion_file,
                             job_.warm_start.wanted_file, job_.warm_start.ready_file, job_.warm_start.go_file, job_.persistent_disk.discard_file}) {
        if (!name.empty() && shared_) shared_->remove(name);
    }
}

void Supervisor::host_failed(const VBoxError& error) {
    // What the machine itself had to say about its end is in its log.
    const std::string log = machine_ ? read_file(machine_->log_file(), 1 << 20).value_or("") : "";
    bool found = false;
    const HostReport report = read_start_failure(error.output + "\n" + log, host_, found);
    if (found) {
        host_ = report;
        say(host_.text);
        host_unusable();
    }
    for (const char* code : {"VERR_NO_MEMORY", "VERR_NO_PAGE_MEMORY", "E_OUTOFMEMORY", "NS_ERROR_OUT_OF_MEMORY"}) {
        if (error.is(code) || contains(log, code)) {
            throw Postponed(300, std::string("VirtualBox did not get the memory for the virtual machine (") + code + ")");
        }
    }
    const bool of_the_job = starts_with(error.code, "VBOX_E_") || error.code == "E_INVALIDARG" || error.code == "E_FAIL" ||
                            error.code == "NS_ERROR_INVALID_ARG" || error.code == "NS_ERROR_FAILURE" ||
                            contains(error.output, "Unknown option") || contains(error.output, "Invalid") ||
                            contains(error.output, "Syntax error");
    if (of_the_job) {
        say("All that VBoxManage said: " + trim(error.output).substr(0, 2000));
        throw TaskError(kInitFailure, error.what());
    }
    // The call hung, crashed, or could not reach VirtualBox's server: a matter of this host, and it may pass.
    checkpoint_.postponed++;
    const bool again = checkpoint_.notice == error.what();
    checkpoint_.notice = error.what();
    checkpoint_.write();
    const std::string text = std::string("VirtualBox on this computer does not work: ") + error.what();
    if (checkpoint_.postponed > kHostFailuresMost) throw TaskError(kExecFailure, text, true);
    throw Postponed(kSoon, text, !again);
}

void Supervisor::find_process() {
    const Deadline patience(kProcessPatience), log_is_late(kLogPatience);
    // A dead one is of the machine's last run.
    while (!process_alive(pid_) && !patience.passed()) {
        take_log();
        if (process_alive(pid_) || vm_state_ == "PoweredOff") break;
        // A log that does not come: the process has the machine's name in its command line.
        for (const int process : log_is_late.passed() ? processes_of("VBoxHeadless") : std::vector<int>()) {
            if (process_runs(process, machine_->name())) pid_ = process;
        }
        if (process_alive(pid_)) break;
        app_.poll();
        sleep_for(0.01);
    }
    if (pid_ == 0) throw VBoxError("VBox.log names no process of the virtual machine", "", "");
    app_.status.other_pid = pid_;
    server_ = process_parent(pid_);
    if (!app_.init().no_priority_change) {
        setpriority(PRIO_PROCESS, static_cast<id_t>(pid_), std::max(kNiceness, getpriority(PRIO_PROCESS, 0)));
    }
}

void Supervisor::start_machine() {
    cpu_before_ = cpu_time();
    pid_ = 0;
    vm_state_.clear();
    runtime_error_.clear();
    if (!exists_itself(kReserve) && !allocate_file(kReserve, kReserveBytes)) unlink(kReserve);
    machine_->start(app_.init().vbox_window);
    find_process();
    host_works();
    paused_ = false;
    last_tick_ = now();
    heartbeat_mtime_ = -1, heartbeat_seen_ = elapsed_;
    const double cap = app_.init().cpu_usage_limit;
    if (cap > 0 && cap < 100) machine_->set_cpu_cap(std::max(1, static_cast<int>(cap)));
}

void Supervisor::make(bool allow_warm) {
    checkpoint_.machine_made = true;
    checkpoint_.resumable = false;
    checkpoint_.snapshot.clear();
    checkpoint_.write();
    if (exists_itself(machine_->folder())) machine_->destroy(0, whole_config());   // of an attempt that did not get far
    elapsed_ = 0, last_checkpoint_ = 0;
    if (disk_) {
        disk_->acquire(manage_, [this] {
            app_.poll();
            if (app_.leaving()) throw Stopped("while waiting for the persistent disk");
        });
    }
    const MachineConfig config = whole_config();
    std::string state;
    if (allow_warm && warm_ && warm_->available()) state = warm_->take(current_directory());
    try {
        machine_->create(config);
    } catch (const VBoxError& error) {
        // A machine of that name that is not ours any more, left by a wrapper that was killed.
        if (!contains(error.output, "already exists") && !error.is("VBOX_E_FILE_ERROR")) throw;
        say(error.what());
        machine_->destroy(0, config);
        machine_->create(config);
    }
    if (arguments_.register_only) {
        say("The virtual machine " + machine_->name() + " is registered; that is all that was asked for");
        app_.leave();
    }
    if (!state.empty()) {
        try {
            machine_->adopt_state(state);
            start_machine();
            warm_started_ = true;
        } catch (const VBoxError& error) {
            warm_->drop(error.what());
            take_log();
            machine_->destroy(pid_, config);
            make(false);
            return;
        }
        say("The guest goes on from the saved state of a booted one");
        shared_->write(job_.warm_start.go_file, number(wall_clock()) + "\n");
    } else {
        warm_wanted_ = warm_ != nullptr;
        if (warm_wanted_ && !job_.warm_start.wanted_file.empty()) shared_->write(job_.warm_start.wanted_file, "1\n");
        start_machine();
    }
}

// The guest has booted and waits. Its state is kept for others, then it goes on as this task's.
void Supervisor::make_warm_template() {
    warm_wanted_ = false;
    try {
        machine_->save_state();
        // it still has the log, and may rename it as it ends
        const Deadline gone(kProcessPatience);
        while (process_alive(pid_) && !gone.passed()) {
            app_.poll();
            sleep_for(0.01);
        }
        const std::string file = machine_->saved_state_file();
        rest_of_log();
        if (!file.empty()) warm_->keep(file);
        start_machine();
        say("The state of the booted guest is kept for later tasks");
    } catch (const VBoxError& error) {
        say(std::string("The state of the booted guest could not be kept: ") + error.what());
        if (!process_alive(pid_)) start_machine();
    }
    shared_->write(job_.warm_start.go_file, number(wall_clock()) + "\n");
}

bool Supervisor::continue_existing() {
    MachineState state = machine_->state();
    if (!state.registered && exists(machine_->settings_file())) {
        // It was taken off VirtualBox's list when the task was last stopped.
        manage_.run({"registervm", machine_->settings_file()});
        state = machine_->state();
    }
    if (!state.registered) return false;
    follower_->resume(checkpoint_.log_inode, static_cast<off_t>(checkpoint_.log_offset));
    elapsed_ = last_checkpoint_ = checkpoint_.elapsed_time;
    cpu_before_ = checkpoint_.cpu_time;
    if (state.running()) {
        const int generation_pid = pid_;
        take_log();
        if (pid_ == generation_pid || !process_alive(pid_)) {
            // The line with the process id was read by an earlier run of the wrapper.
            const std::string log = read_file(machine_->log_file(), 65536).value_or("");
            for (const auto& line : split_lines(log)) {
                const LogLine parsed = LogReader().read(line);
                if (parsed.kind == LogLine::kProcessId) pid_ = parsed.pid;
            }
        }
        if (process_alive(pid_)) {
            cpu_before_ -= std::min(cpu_before_, process_cpu_time(pid_));
            say("The virtual machine is still running; the task goes on with it");
            app_.status.other_pid = pid_;
            server_ = process_parent(pid_);
            paused_ = state.state == "paused";
            vm_state_ = paused_ ? "Paused" : "Running";
            last_tick_ = now(), heartbeat_seen_ = elapsed_;
            return true;
        }
        wait_until_seen_dead();
        state = machine_->state();
    }
    rest_of_log();
    if (shared_ && !job_.completion_file.empty() && exists_itself(shared_->path(job_.completion_file))) return true;   // it ended while nobody looked
    if (state.saved()) {
        guest_log_->note("the guest goes on from its saved state");
        try {
            start_machine();
            say("The virtual machine goes on from its saved state");
            return true;
        } catch (const VBoxError& error) {
            say(std::string("The saved state cannot be used: ") + error.what());
            manage_.try_run({"discardstate", machine_->name()});
        }
    }
    if (!checkpoint_.snapshot.empty()) {
        machine_->restore_snapshot();
        guest_log_->note("the guest goes on from checkpoint " + checkpoint_.snapshot + "; what it wrote after that comes again");
        start_machine();
        say("The virtual machine goes on from checkpoint " + checkpoint_.snapshot);
        return true;
    }
    return false;
}

void Supervisor::make_or_continue() {
    if (continued_) {
        try {
            if (continue_existing()) return;
        } catch (const VBoxError& error) {
            say(std::string("The virtual machine of the task's last run cannot be used: ") + error.what());
        }
        say("There is nothing to go on from; the task starts from the beginning");
        machine_->destroy(pid_, whole_config());
        pid_ = 0;
        guest_log_->note("the guest starts from the beginning");
        forget_old_triggers();
    } else if (shared_ && !job_.completion_file.empty() && exists_itself(shared_->path(job_.completion_file))) {
        throw TaskError(kInitFailure, "the completion file '" + job_.completion_file +
                                          "' is there before the virtual machine was made: it cannot be the guest's");
    }
    make(true);
}

}  // namespace vbw
