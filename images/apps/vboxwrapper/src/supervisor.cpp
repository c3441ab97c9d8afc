#include "supervisor.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "process.h"
#include "setup.h"

namespace vbw {

namespace {

constexpr double kReportPeriod = 1, kTrickleCheckPeriod = 1, kSlotCheckPeriod = 5, kSavePeriod = 1;
constexpr double kCompletionPatience = 2;    // for a completion file that is still being written
constexpr int kDiskFullDelay = 600;
constexpr int kDiskFullTimes = 3;            // the last of them ends the task
constexpr double kNoRoomMb = 0.01;           // less than a line of a log needs
constexpr double kRoomMb = 64;               // of the host's disk, to try again after it was full
constexpr const char* kDiskFull = "This computer's disk is full: the virtual machine could not write to its disk";
constexpr double kSeenDeadPatience = 8;
constexpr double kWarmPatience = 600;        // for a guest to boot

}  // namespace

Supervisor::Supervisor(BoincApp& app, Arguments arguments, HostReport host)
    : app_(app), arguments_(std::move(arguments)), host_(std::move(host)), manage_([this] { app_.poll(); }) {}

void Supervisor::run() {
    try {
        continued_ = checkpoint_.read() && checkpoint_.machine_made;
        read_job();
        guest_log_ = std::make_unique<GuestLog>(job_.guest_log_limit_mb);
        require_virtualbox();
        require_host();
        const InitData& init = app_.init();
        if (job_.has_shared_folder()) {
            shared_ = std::make_unique<SharedFolderFiles>(current_directory() + (job_.share_slot_dir ? "" : "/shared"), project_directory(init));
        }
        prepare_slot(job_, arguments_, init);
        config_ = describe_machine(job_, arguments_, init, host_, checkpoint_);
        machine_ = std::make_unique<Machine>(manage_, config_.name, config_.base_folder);
        follower_ = std::make_unique<LogFollower>(machine_->log_file());
        if (continued_) guest_log_->resume(checkpoint_.guest_log);
        if (!job_.persistent_disk.name.empty()) {
            disk_ = std::make_unique<PersistentDisk>(job_.persistent_disk, project_directory(init), boot_image(job_, arguments_),
                                                     config_.name, current_directory());
        }
        if (job_.warm_start.enabled()) {
            const bool writable = std::any_of(config_.disks.begin(), config_.disks.end(), [](const Disk& d) { return d.kind == Disk::kHard; });
            if (writable) {
                say("warm_start is for guests that boot from a read-only image; this one has a disk of its own and boots each time");
            } else {
                warm_ = std::make_unique<WarmStart>(job_.warm_start, project_directory(init), config_, boot_image(job_, arguments_), virtualbox_,
                                                    std::to_string(static_cast<int>(host_.acceleration)));
                warm_->clean_up();
            }
        }
        if (!init.standalone) forget_lost_machines(manage_, virtualbox_home(), init.boinc_dir + "/slots");
        wait_for_room();
        make_or_continue();
        if (checkpoint_.webapi_port) {
            write_file("vbox_webapi.xml", "<webapi>\n  <host_port>" + std::to_string(checkpoint_.webapi_port) + "</host_port>\n</webapi>\n");
            if (!exists("graphics_app")) app_.set_web_graphics_url("http://localhost:" + std::to_string(checkpoint_.webapi_port));
        }
        if (checkpoint_.remote_desktop_port) {
            write_file("vbox_remote_desktop.xml", "<remote_desktop>\n  <host_port>" + std::to_string(checkpoint_.remote_desktop_port) + "</host_port>\n</remote_desktop>\n");
            app_.set_remote_desktop_addr("localhost:" + std::to_string(checkpoint_.remote_desktop_port));
        }
        next_period_trickle_ = elapsed_ + arguments_.trickle_period;
        loop();
    } catch (const TaskError& error) {
        fail(error);
    } catch (const Postponed& error) {
        postpone(error);
    } catch (const Stopped&) {
        if (app_.abort_requested()) abort();
        stop_for_later();
    } catch (const VBoxError& error) {
        try {
            host_failed(error);
        } catch (const TaskError& task) {
            fail(task);
        } catch (const Postponed& later) {
            postpone(later);
        }
    }
}

MachineConfig Supervisor::whole_config() const {
    MachineConfig config = config_;
    if (disk_) config.disks.push_back(disk_->existing());
    return config;
}

double Supervisor::cpu_time() const { return cpu_before_ + (pid_ ? process_cpu_time(pid_) : 0); }

void Supervisor::take_line(LogLine line) {
    switch (line.kind) {
    case LogLine::kGuest:
        if (joiner_.add(line)) guest_log_->add(line.time, line.text);
        break;
    case LogLine::kState:
        vm_state_ = line.text;
        break;
    case LogLine::kProcessId:
        pid_ = line.pid;
        host_gave_up_ = false;
        break;
    case LogLine::kRuntimeError:
        runtime_error_ = line.text;
        say("VirtualBox: " + line.text);
        break;
    case LogLine::kReset:
        say("The guest has reset its virtual machine");
        guest_log_->note("the guest resets the machine");
        break;
    case LogLine::kHostGaveUp:
        host_gave_up_ = true;
        break;
    case LogLine::kOther:
        break;
    }
}

void Supervisor::take_log() {
    follower_->poll([this](const std::string& line) { take_line(reader_.read(line)); });
    guest_log_->flush();
}

void Supervisor::rest_of_log() {
    follower_->finish([this](const std::string& line) { take_line(reader_.read(line)); });
    for (const auto& line : joiner_.rest()) guest_log_->add(line.time, line.text);
    guest_log_->flush();
}

void Supervisor::loop() {
    last_tick_ = now();
    for (;;) {
        app_.poll();
        take_log();
        watch_triggers();
        if (app_.abort_requested() || app_.leaving()) throw Stopped("by the client");
        watch_machine();
        follow_client();
        const double time = now();
        if (!paused_) elapsed_ += std::min(time - last_tick_, 5.0);   // a computer that slept has not computed
        last_tick_ = time;
        watch_heartbeat();
        if (time >= next_report_) {
            next_report_ = time + kReportPeriod;
            report();
        }
        if (time >= next_trickle_check_ && !paused_) {
            next_trickle_check_ = time + kTrickleCheckPeriod;
            trickles_and_uploads();
        }
        if (time >= next_slot_check_) {
            next_slot_check_ = time + kSlotCheckPeriod;
            watch_slot();
        }
        checkpoint_if_due();
        if (time >= next_save_) {
            next_save_ = time + kSavePeriod;
            if (checkpoint_.guest_log.lines != guest_log_->state().lines) save_checkpoint(true);
        }
        if (job_.job_duration > 0 && elapsed_ >= job_.job_duration) {
            if (job_.enable_cern_dataformat) write_file("output", "Work Unit completed!\n");
            say("The job has run for the " + number(job_.job_duration) + " seconds that it was given");
            complete({});
        }
        sleep_for(kPoll);
    }
}

void Supervisor::watch_triggers() {
    if (!shared_) return;
    if (!job_.completion_file.empty()) {
        const auto file = shared_->read(job_.completion_file);
        if (file.what == SharedFolderFiles::kRefused) throw TaskError(kChildFailed, "The completion file cannot be believed: " + file.text);
        if (file.what == SharedFolderFiles::kFile) {
            // A file that is still being written grows, or does not end with a newline yet.
            const double size = static_cast<double>(file.text.size());
            if (size != completion_size_) {
                const bool whole = ends_with(file.text, "\n");
                completion_since_ = completion_size_ < 0 ? now() : completion_since_;
                completion_size_ = size;
                if (!whole || now() - completion_since_ > kCompletionPatience) return;
            }
            if (size == 0 && now() - completion_since_ < kPoll * 4 && process_alive(pid_)) return;
            const auto completion = parse_completion(file.text);
            if (!completion && now() - completion_since_ < kCompletionPatience) return;
            if (!completion) {
                throw TaskError(kChildFailed, "The completion file cannot be believed: its first line is no exit code but '" +
                                                  file.text.substr(0, std::min<size_t>(60, file.text.find('\n'))) + "'");
            }
            complete(*completion);
        }
    }
    if (!job_.temporary_exit_file.empty()) {
        const auto file = shared_->read(job_.temporary_exit_file);
        if (file.what == SharedFolderFiles::kRefused) throw TaskError(kChildFailed, "The temporary exit file cannot be believed: " + file.text);
        const auto wish = file.what == SharedFolderFiles::kFile && !file.text.empty() ? parse_completion(file.text) : std::nullopt;
        if (wish) {
            shared_->remove(job_.temporary_exit_file);
            throw Postponed(std::clamp(wish->exit_code, 0, 86400), wish->message.empty() ? "the guest asked for it" : wish->message, wish->notice);
        }
    }
    if (warm_wanted_ && elapsed_ > kWarmPatience) {
        say("The guest does not say that it is ready ('" + job_.warm_start.ready_file + "'); its state is not kept for later tasks");
        warm_wanted_ = false;
    }
    if (warm_wanted_ && shared_->read(job_.warm_start.ready_file).what == SharedFolderFiles::kFile) make_warm_template();
    if (job_.image_layers.enabled()) hand_out_layers();
}

void Supervisor::watch_machine() {
    if (vm_state_ == "Stuck" || vm_state_ == "GuruMeditation") {   // VirtualBox 7; earlier ones
        machine_->screenshot("vbox_screenshot.png");
        throw TaskError(kChildFailed, "The virtual machine crashed (guru meditation); VBox.log says why");
    }
    // By the disk's own driver, or by the cache in front of it (which is there without the host's).
    if (contains(runtime_error_, "DrvVD_DISKFULL") || contains(runtime_error_, "VERR_DISK_FULL")) throw disk_full();
    if (contains(runtime_error_, "BLKCACHE_IOERR")) {
        throw TaskError(kChildFailed, "The virtual machine cannot use its disk and stands still: " + runtime_error_);
    }
    if (contains(runtime_error_, "VMBootFail")) {
        machine_->screenshot("vbox_screenshot.png");
        throw TaskError(kInitFailure, "The virtual machine does not boot: its firmware finds nothing to start on its images");
    }
    if (contains(runtime_error_, "fatal=true")) throw TaskError(kChildFailed, "The virtual machine met a fatal error: " + runtime_error_);
    if (process_alive(pid_)) {
        if (process_parent(pid_) == server_ || server_ <= 1) return;
        // The machine runs on, but nobody can pause, save or stop it any more, and the next call of VBoxManage would
        // crash it.
        say("VirtualBox's server (VBoxSVC, process " + std::to_string(server_) + ") is gone");
        machine_->kill_process(pid_);
    }
    rest_of_log();
    watch_triggers();   // it may have completed before it went off
    if (!shut_down_by_guest()) {
        machine_died();
        return;
    }
    if (completion_size_ >= 0) return;   // the file is there: give it its moment
    if (job_.completion_file.empty() && job_.job_duration == 0) complete({});
    throw TaskError(kChildFailed, job_.completion_file.empty()
                                      ? "The guest switched its virtual machine off after " + number(std::floor(elapsed_)) + " of " +
                                            number(job_.job_duration) + " seconds"
                                      : "The guest switched its virtual machine off without a completion file ('" + job_.completion_file + "')");
}

// VirtualBox's server needs a moment to see that the machine's process is gone. If the process died in the middle of a call
// between the two, the server may never see it and keep the machine locked: then it is ended, and the next call starts a new one.
void Supervisor::wait_until_seen_dead() {
    for (const bool last : {false, true}) {
        const Deadline patience(kSeenDeadPatience);
        while (!patience.passed()) {
            const std::string state = machine_->state().state;
            if (state.empty() || state == "poweroff" || state == "aborted" || state == "saved" || state == "aborted-saved") return;
            sleep_for(0.1);
            app_.poll();
        }
        if (last) break;
        for (const int server : processes_of("VBoxSVC")) {
            say("VirtualBox's server (VBoxSVC, process " + std::to_string(server) + ") does not see that the virtual machine is gone; it is ended");
            kill(server, SIGKILL);
        }
    }
}

void Supervisor::machine_died() {
    if (++checkpoint_.restarts > job_.max_restarts) {
        throw TaskError(kChildFailed, "The virtual machine's process died " + std::to_string(checkpoint_.restarts) +
                                          " times without a checkpoint in between; the last state in VBox.log is '" + vm_state_ + "'");
    }
    say("The virtual machine's process " + std::to_string(pid_) + " has died (VBox.log: '" + vm_state_ + "'); restart " +
        std::to_string(checkpoint_.restarts) + " of at most " + std::to_string(job_.max_restarts));
    cpu_before_ = checkpoint_.cpu_time;
    pid_ = 0;
    save_checkpoint(true);
    wait_until_seen_dead();
    checkpoint_.write();
    continued_ = true;
    make_or_continue();
}

// Somebody may make room. But some day the job must go to a host whose disk is not full.
Postponed Supervisor::disk_full() {
    unlink(kReserve);
    if (++checkpoint_.disk_full >= kDiskFullTimes) {
        throw TaskError(kDiskLimit, std::string(kDiskFull) + ". It still is after " +
                                        std::to_string((kDiskFullTimes - 1) * kDiskFullDelay / 60) + " minutes.", true);
    }
    return {kDiskFullDelay, std::string(kDiskFull) + ".", checkpoint_.disk_full == 1};
}

// Nothing is started on a disk that is as full as it was.
void Supervisor::wait_for_room() {
    if (checkpoint_.disk_full == 0 || free_mb(current_directory()) >= kRoomMb) return;
    follower_->resume(checkpoint_.log_inode, static_cast<off_t>(checkpoint_.log_offset));
    const Postponed later = disk_full();
    checkpoint_.write();
    app_.temporary_exit(later.delay, later.what(), later.notice);   // all else stays as it is
}

void Supervisor::watch_heartbeat() {
    if (job_.heartbeat_file.empty() || !shared_ || paused_) return;
    const auto file = shared_->read(job_.heartbeat_file);
    if (file.what == SharedFolderFiles::kRefused) throw TaskError(kChildFailed, "The heartbeat file cannot be believed: " + file.text);
    const double mtime = file.what == SharedFolderFiles::kFile ? file.mtime : -1;
    if (mtime != heartbeat_mtime_) {
        heartbeat_mtime_ = mtime;
        heartbeat_seen_ = elapsed_;
    }
    const double silent = elapsed_ - heartbeat_seen_;
    if (silent < job_.minimum_heartbeat_interval) return;
    machine_->screenshot("vbox_screenshot.png");
    throw TaskError(kChildFailed, mtime < 0 ? "The guest hangs: it has not made its heartbeat file '" + job_.heartbeat_file + "' within " + number(std::floor(silent)) + " seconds"
                                            : "The guest hangs: its heartbeat file '" + job_.heartbeat_file + "' has not changed for " + number(std::floor(silent)) + " seconds");
}

void Supervisor::watch_slot() {
    // VBox.log is on the same disk: the line that tells of the full disk may not have fitted there.
    if (!paused_ && free_mb(current_directory()) < kNoRoomMb && machine_->state().state == "paused") throw disk_full();
    const double most = job_.max_shared_files;
    if (shared_) {
        const Usage usage = measure(shared_->directory(), most);
        if (usage.files > most) {
            throw TaskError(kDiskLimit, "The guest has made more than " + number(most) + " files in the shared folder");
        }
    }
    const double bound = app_.init().disk_bound;
    if (bound <= 0) return;
    const Usage usage = measure(current_directory(), 1e6);
    if (usage.bytes > bound) {
        throw TaskError(kDiskLimit, "The task uses " + megabytes(usage.bytes) + " in its slot, more than the " + megabytes(bound) + " that it may have");
    }
}

void Supervisor::follow_client() {
    if (app_.take_reread()) {
        app_.reread_init_data();
        const double cap = app_.init().cpu_usage_limit;
        if (cap > 0 && process_alive(pid_)) machine_->set_cpu_cap(std::clamp(static_cast<int>(cap), 1, 100));
    }
    if (!process_alive(pid_)) return;
    if (app_.suspended() != paused_) {
        try {
            app_.suspended() ? machine_->pause() : machine_->resume();
        } catch (const VBoxError& error) {
            if (!process_alive(pid_)) return;   // seen in the next round
            throw Postponed(300, std::string("the virtual machine cannot be ") + (paused_ ? "resumed" : "paused") + ": " + error.what());
        }
        paused_ = !paused_;
        last_tick_ = now();
    }
    if (config_.network != MachineConfig::kNone && app_.network_suspended() != link_down_) {
        link_down_ = app_.network_suspended();
        try {
            machine_->set_link(!link_down_);
        } catch (const VBoxError& error) {
            say(error.what());
        }
    }
}

void Supervisor::report() {
    app_.status.cpu_time = cpu_time();
    app_.status.checkpoint_cpu_time = checkpoint_.cpu_time;
    if (job_.job_duration > 0) {
        app_.status.fraction_done = std::min(1.0, elapsed_ / job_.job_duration);
    } else if (shared_ && !job_.fraction_done_file.empty()) {
        const auto file = shared_->read(job_.fraction_done_file);
        const auto fraction = file.what == SharedFolderFiles::kFile ? parse_fraction(file.text) : std::nullopt;
        if (fraction) app_.status.fraction_done = *fraction;
    }
    if (job_.enable_graphics_support) {
        char text[1024];
        snprintf(text, sizeof text,
                 "<graphics_status>\n<updated_time>%f</updated_time>\n<cpu_time>%f</cpu_time>\n<elapsed_time>%f</elapsed_time>\n"
                 "<fraction_done>%f</fraction_done>\n<boinc_status>\n<no_heartbeat>0</no_heartbeat>\n<suspended>%d</suspended>\n"
                 "<quit_request>0</quit_request>\n<abort_request>0</abort_request>\n<network_suspended>%d</network_suspended>\n"
                 "</boinc_status>\n</graphics_status>\n",
                 wall_clock(), cpu_time(), elapsed_, std::max(0.0, app_.status.fraction_done), paused_, link_down_);
        write_file("graphics_status.xml", text);
    }
}

void Supervisor::trickles_and_uploads() {
    if (arguments_.trickle_period > 0 && elapsed_ >= next_period_trickle_) {
        next_period_trickle_ = elapsed_ + arguments_.trickle_period;
        char text[64];
        snprintf(text, sizeof text, "<cpu_time>%f</cpu_time>", elapsed_);
        app_.send_trickle_up("cpu_time", text);
    }
    for (const auto& name : job_.trickle_files) {
        const auto file = shared_->read(name);
        if (file.what == SharedFolderFiles::kRefused) say(file.text + "; no trickle is sent");
        if (file.what == SharedFolderFiles::kFile) app_.send_trickle_up(name, file.text);
        if (file.what != SharedFolderFiles::kNothing) shared_->remove(name);
    }
    for (const auto& name : job_.intermediate_upload_files) {
        const auto has = [&name](const std::vector<std::string>& list) { return std::find(list.begin(), list.end(), name) != list.end(); };
        if (!has(uploads_asked_)) {
            if (!exists_itself(shared_->path(name))) continue;
            say("Intermediate upload of '" + name + "'");
            if (!app_.request_upload(name)) say("the upload of '" + name + "' could not be asked for");
            uploads_asked_.push_back(name);
        } else if (!has(uploads_done_) && app_.upload_done(name)) {
            say("'" + name + "' has been uploaded");
            uploads_done_.push_back(name);
        }
    }
}

void Supervisor::save_checkpoint(bool to_disk_only) {
    if (!to_disk_only) {
        checkpoint_.elapsed_time = last_checkpoint_ = elapsed_;
        checkpoint_.cpu_time = cpu_time();
        checkpoint_.restarts = checkpoint_.disk_full = 0;
        checkpoint_.resumable = true;
    }
    checkpoint_.log_inode = follower_->inode();
    checkpoint_.log_offset = follower_->offset();
    guest_log_->flush();
    checkpoint_.guest_log = guest_log_->state();
    checkpoint_.write();
    if (!to_disk_only) {
        app_.status.checkpoint_cpu_time = checkpoint_.cpu_time;
        report();
        app_.poll();
    }
}

void Supervisor::checkpoint_if_due() {
    if (job_.disable_automatic_checkpoints || paused_ || warm_wanted_) return;
    const double interval = std::max(job_.minimum_checkpoint_interval, app_.init().checkpoint_period);
    if (elapsed_ - last_checkpoint_ < interval || !process_alive(pid_)) return;
    const std::string before = checkpoint_.snapshot;
    const std::string next = "boinc_" + std::to_string(checkpoint_.snapshots + 1);
    try {
        machine_->take_snapshot(next);
    } catch (const VBoxError& error) {
        if (!process_alive(pid_)) return;
        if (error.is("VBOX_E_INVALID_VM_STATE")) {   // the guest is just switching off: the next rounds will see it
            last_checkpoint_ += 5;
            return;
        }
        throw Postponed(300, std::string("no checkpoint could be made: ") + error.what());
    }
    checkpoint_.snapshots++;
    checkpoint_.snapshot = next;
    last_tick_ = now();
    save_checkpoint();
    if (!before.empty()) {
        try {
            machine_->delete_snapshot(before);
        } catch (const VBoxError& error) {
            say(error.what());
        }
        last_tick_ = now();
    }
}

}  // namespace vbw
