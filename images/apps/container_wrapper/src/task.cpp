#include "task.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "errors.h"
#include "processes.h"
#include "results.h"
#include "sha256.h"
#include "slot_files.h"
#include "util.h"

namespace container {

using vbw::Postponed;
using vbw::say;
using vbw::Stopped;
using vbw::TaskError;

namespace {

constexpr double kLook = 0.05;           // seconds between two looks at the client's wishes
constexpr double kMeasure = 0.5;
constexpr double kMostOutput = 64e6;     // bytes of stdout or stderr that are uploaded
constexpr double kMostShown = 512e3;     // bytes of them in stderr.txt, which the client cuts anyway
constexpr double kLockPatience = 1800;
constexpr int kRuntimeFailed = 125;      // podman-run(1): podman itself failed, and not the command
constexpr const char* kLayout = "oci_image";
constexpr const char* kPidFile = "container.pid";

std::string short_hash(const std::string& text) {
    vbw::Sha256 hash;
    hash.add(text.data(), text.size());
    return hash.hex().substr(0, 16);
}

std::string host_name() {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return name;
}

// Two clients may use one engine, even from two containers with the same paths and slots.
Owner owner_of(const vbw::InitData& init) {
    const std::string client = host_name() + "\n" + init.boinc_dir + "\n" + init.project_dir;
    Owner owner;
    owner.slot = short_hash(client + "\n" + vbw::current_directory());
    owner.container = "boinc-" + short_hash(client + "\n" + init.result_name);
    owner.repository = "localhost/boinc/" + short_hash(client);
    owner.project = init.project_dir.substr(init.project_dir.rfind('/') + 1);
    owner.result = init.result_name;
    return owner;
}

}  // namespace

Task::Task(vbw::BoincApp& app) : app_(app), podman_(owner_of(app.init()), [this] { check_requests(); }) {}

void Task::check_requests() {
    app_.poll();
    if (app_.leaving()) throw Stopped("the client wants the task to stop");
}

void Task::run() {
    try {
        prepare();
        start();
        supervise();
    } catch (const Stopped&) {
        make_room();
    }
    finish();
}

void Task::prepare() {
    const auto text = vbw::read_file(vbw::resolve("container_job.json").path, 16 << 20);
    if (!text) throw TaskError(vbw::kInitFailure, "there is no container_job.json");
    job_ = parse_job(*text);
    podman_.find();
    podman_.remove_leftovers();
    image_ = read_image(job_);
    const std::string project = app_.init().project_dir;
    const vbw::Deadline patience(kLockPatience);
    while (!store_lock_.try_lock(project + "/container_images.lock")) {   // another task takes an image in: perhaps this one
        if (patience.passed()) throw Postponed(60, "another task has been taking in an image for too long");
        vbw::sleep_for(kLook);
        check_requests();
    }
    podman_.forget_images([&](const std::string& id) { return vbw::exists(project + "/oci_sha256_" + id); });
    if (podman_.has_image(image_.id)) {
        say("Image " + image_.id.substr(0, 12) + " is there from an earlier task");
    } else {
        const double begin = vbw::now();
        make_layout(image_, job_, kLayout, [this] { check_requests(); });
        podman_.load(image_, vbw::current_directory() + "/" + kLayout);
        say("Image " + image_.id.substr(0, 12) + " of " + std::to_string(image_.manifest.layers.size()) + " layers taken in, in " +
            vbw::number(static_cast<int>((vbw::now() - begin) * 10) / 10.0) + " s");
    }
    store_lock_.release();
}

void Task::start() {
    shared_ = vbw::current_directory() + "/shared";
    vbw::make_directory(shared_);
    chmod(shared_.c_str(), 0777);   // the container's user may be any
    if (job_.memory_bytes > 0 && !podman_.limits_memory()) say("No memory cgroup here: the container's memory is watched instead");
    if (job_.cpus > 0 && !podman_.limits_cpus()) say("No CPU cgroup here: the container may use more than it asked for");
    for (const int stream : {1, 2}) {
        files_[stream] = open(stream == 1 ? "stdout" : "stderr", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (files_[stream] < 0) throw TaskError(vbw::kInitFailure, std::string("the output cannot be written: ") + strerror(errno));
    }
    unlink(kPidFile);
    while (app_.suspended()) {
        vbw::sleep_for(kLook);
        check_requests();
    }
    child_ = std::make_unique<Child>(podman_.run_command(job_, image_, shared_, vbw::current_directory() + "/" + kPidFile));
}

int Task::init_pid() {
    if (pid_ == 0) pid_ = static_cast<int>(vbw::to_integer(vbw::trim(vbw::read_file(kPidFile, 64).value_or(""))).value_or(0));
    return pid_;
}

void Task::forward() {
    for (const int stream : {1, 2}) {
        const std::string piece = child_->take(stream);
        if (piece.empty()) continue;
        if (stream == 2) last_error_ = (last_error_ + piece).substr(last_error_.size() + piece.size() > 2000 ? last_error_.size() + piece.size() - 2000 : 0);
        const double size = static_cast<double>(piece.size());
        const bool fits = written_[stream] + size <= kMostOutput;
        if (fits && write(files_[stream], piece.data(), piece.size()) != static_cast<ssize_t>(piece.size())) {
            throw TaskError(vbw::kDiskLimit, std::string("the output cannot be written: ") + strerror(errno));
        }
        if (!fits && written_[stream] <= kMostOutput) say("More output than " + vbw::megabytes(kMostOutput) + ": the rest is left out");
        written_[stream] += size;
        if (shown_ + size <= kMostShown) (void)!write(2, piece.data(), piece.size());
        else if (shown_ <= kMostShown) say("More output than fits here; the whole is in the files stdout and stderr");
        shown_ += size;
    }
}

void Task::measure() {
    if (vbw::now() < next_measure_) return;
    next_measure_ = vbw::now() + kMeasure;
    const int pid = init_pid();
    if (pid > 1) {
        const Usage usage = usage_of(pid);
        cpu_time_ = std::max(cpu_time_, usage.cpu_time);
        app_.status.cpu_time = cpu_time_;
        if (job_.memory_bytes > 0 && usage.memory > job_.memory_bytes && !podman_.limits_memory()) {
            too_much_memory_ = true;
            say("The container uses " + vbw::megabytes(usage.memory) + ", more than the " + vbw::megabytes(job_.memory_bytes) + " it may");
            signal_tree(pid, SIGKILL);
        }
    }
    if (const auto text = vbw::read_file(shared_ + "/fraction_done", 64, false)) {
        const double fraction = vbw::to_number(vbw::trim(*text)).value_or(-1);
        if (fraction >= 0 && fraction <= 1) app_.status.fraction_done = fraction;
    }
    // what the job keeps in its folder `checkpoint` is there again when it is started anew
    const double mtime = vbw::file_mtime(shared_ + "/checkpoint");
    if (mtime > 0 && mtime != checkpoint_mtime_) {
        checkpoint_mtime_ = mtime;
        app_.status.checkpoint_cpu_time = std::max(cpu_time_, app_.status.checkpoint_cpu_time + 0.001);
    }
}

void Task::freeze(bool frozen) {
    if (frozen_ == frozen || init_pid() <= 1) return;
    signal_tree(init_pid(), frozen ? SIGSTOP : SIGCONT);
    frozen_ = frozen;
    say(frozen ? "Container paused" : "Container goes on");
}

void Task::supervise() {
    while (!child_->ended()) {
        child_->wait(kLook);
        forward();
        measure();
        app_.poll();
        if (app_.leaving()) throw Stopped("the client wants the task to stop");
        freeze(app_.suspended());
    }
    forward();
}

void Task::make_room() {
    // not while_waiting_, which would throw again
    podman_ = Podman(owner_of(app_.init()), [this] { app_.poll(); });
    if (child_ && !child_->ended()) {
        const bool at_once = app_.abort_requested() || app_.client_lost();
        if (at_once && init_pid() > 1) {
            signal_tree(init_pid(), SIGKILL);
        } else if (init_pid() > 1) {
            // podman's own stop takes a moment to begin; the client may not wait long
            kill(init_pid(), SIGTERM);
            freeze(false);
            const vbw::Deadline patience(job_.stop_seconds);
            while (!child_->ended() && !patience.passed()) {
                child_->wait(kLook);
                forward();
                app_.poll();
                if (app_.abort_requested()) break;
            }
            if (!child_->ended()) {
                say("The container did not end within " + vbw::number(job_.stop_seconds) + " s of SIGTERM: killed");
                signal_tree(init_pid(), SIGKILL);
            }
        }
        const vbw::Deadline patience(2);
        while (!child_->ended() && !patience.passed()) child_->wait(kLook);
        forward();
        // podman is still about to make the container: it would do so after the removal
        child_->kill_it();
    }
    podman_.remove();
    podman_.take_over(shared_.empty() ? "shared" : shared_);
    say(app_.abort_requested() ? "The task was aborted; its container is removed" : "The task makes room; its container is removed");
    app_.leave();
}

void Task::finish() {
    podman_ = Podman(owner_of(app_.init()), [this] { app_.poll(); });
    const int code = child_->exit_code();
    podman_.take_over(shared_);
    // `results` may be no folder, or a link to one that is none of the job's business
    const std::string results = shared_ + "/results";
    struct stat s {};
    if (!vbw::exists_itself(shared_ + "/results.tgz") && lstat(results.c_str(), &s) == 0 && S_ISDIR(s.st_mode)) vbw::pack(results, shared_ + "/results.tgz");
    if (too_much_memory_) app_.finish(vbw::kMemoryLimit, "the container used more memory than the job may");
    if (code == kRuntimeFailed && vbw::contains(last_error_, "Error: ")) {
        const std::string why = vbw::trim(last_error_.substr(last_error_.rfind("Error: ")));
        app_.finish(vbw::kInitFailure, "podman could not start the container: " + why);
    }
    if (code != 0) app_.finish(code, "the command ended with exit code " + std::to_string(code));
    for (const auto& name : job_.outputs) {
        if (!vbw::exists_itself(shared_ + "/" + name)) app_.finish(vbw::kChildFailed, "the command wrote no " + name);
    }
    app_.finish(0);
}

}  // namespace container
