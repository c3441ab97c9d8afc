#include "task.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "errors.h"
#include "results.h"
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
constexpr int kRuntimeFailed = 125;      // podman-run(1), docker-run(1): the engine itself failed, and not the command

// The digests of the files of images that the client has.
std::vector<std::string> blobs_of(const std::string& project) {
    const std::string prefix = "oci_sha256_";
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(project, error)) {
        const std::string name = entry.path().filename();
        if (vbw::starts_with(name, prefix)) found.push_back(name.substr(prefix.size()));
    }
    return found;
}

}  // namespace

Task::Task(vbw::BoincApp& app) : app_(app) {}

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
    engine_ = find_engine(app_.init(), [this] { check_requests(); });
    engine_->remove_leftovers();
    image_ = read_image(job_);
    const std::string project = app_.init().project_dir;
    const vbw::Deadline patience(kLockPatience);
    while (!store_lock_.try_lock(project + "/container_images.lock")) {   // another task takes an image in: perhaps this one
        if (patience.passed()) throw Postponed(60, "another task has been taking in an image for too long");
        vbw::sleep_for(kLook);
        check_requests();
    }
    const auto blobs = blobs_of(project);
    if (!blobs.empty()) engine_->forget_images([&](const std::string& id) {
        return std::any_of(blobs.begin(), blobs.end(), [&](const std::string& name) { return vbw::starts_with(name, id); });
    });
    if (engine_->has_image(image_)) {
        say("Image " + image_.id.substr(0, 12) + " is there from an earlier task");
    } else {
        const double begin = vbw::now();
        engine_->load(image_, job_);
        say("Image " + image_.id.substr(0, 12) + " of " + std::to_string(image_.manifest.layers.size()) + " layers taken in, in " +
            vbw::number(static_cast<int>((vbw::now() - begin) * 10) / 10.0) + " s");
    }
    store_lock_.release();
}

void Task::start() {
    shared_ = vbw::current_directory() + "/shared";
    vbw::make_directory(shared_);
    chmod(shared_.c_str(), 0777);   // the container's user may be any
    if (job_.memory_bytes > 0 && !engine_->limits_memory()) say("No memory cgroup here: the container's memory is watched instead");
    if (job_.cpus > 0 && !engine_->limits_cpus()) say("No CPU cgroup here: the container may use more than it asked for");
    for (const int stream : {1, 2}) {
        files_[stream] = open(stream == 1 ? "stdout" : "stderr", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (files_[stream] < 0) throw TaskError(vbw::kInitFailure, std::string("the output cannot be written: ") + strerror(errno));
    }
    while (app_.suspended()) {
        vbw::sleep_for(kLook);
        check_requests();
    }
    child_ = std::make_unique<Child>(engine_->run_command(job_, image_, shared_));
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
    Usage usage;
    if (engine_->measure(usage)) {
        cpu_time_ = std::max(cpu_time_, usage.cpu_time);
        app_.status.cpu_time = cpu_time_;
        if (job_.memory_bytes > 0 && usage.memory > job_.memory_bytes && !engine_->limits_memory()) {
            too_much_memory_ = true;
            say("The container uses " + vbw::megabytes(usage.memory) + ", more than the " + vbw::megabytes(job_.memory_bytes) + " it may");
            engine_->kill();
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
    if (frozen_ == frozen || vbw::now() < next_pause_) return;
    if (!engine_->pause(frozen)) {
        next_pause_ = vbw::now() + kMeasure;   // it is about to begin, or has just ended
        return;
    }
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
    if (!engine_) app_.leave();
    engine_->wait_with([this] { app_.poll(); });
    if (child_ && !child_->ended()) {
        const bool at_once = app_.abort_requested() || app_.client_lost();
        if (at_once) {
            engine_->kill();
        } else if (engine_->started()) {
            engine_->terminate();
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
                engine_->kill();
            }
        }
        const vbw::Deadline patience(2);
        while (!child_->ended() && !patience.passed()) child_->wait(kLook);
        forward();
        // the engine is still about to make the container: it would do so after the removal
        child_->kill_it();
    }
    engine_->remove();
    engine_->take_over(shared_.empty() ? "shared" : shared_, image_);
    say(app_.abort_requested() ? "The task was aborted; its container is removed" : "The task makes room; its container is removed");
    app_.leave();
}

void Task::finish() {
    engine_->wait_with([this] { app_.poll(); });
    const int code = child_->exit_code();
    const bool out_of_memory = engine_->put_away() && code != 0;
    engine_->take_over(shared_, image_);
    // `results` may be no folder, or a link to one that is none of the job's business
    const std::string results = shared_ + "/results";
    struct stat s {};
    if (!vbw::exists_itself(shared_ + "/results.tgz") && lstat(results.c_str(), &s) == 0 && S_ISDIR(s.st_mode)) vbw::pack(results, shared_ + "/results.tgz");
    if (too_much_memory_ || out_of_memory) app_.finish(vbw::kMemoryLimit, "the container used more memory than the job may");
    if (code == kRuntimeFailed && vbw::contains(last_error_, engine_->complaint())) {
        const std::string why = vbw::trim(last_error_.substr(last_error_.rfind(engine_->complaint())));
        app_.finish(vbw::kInitFailure, engine_->program() + " could not start the container: " + why);
    }
    if (code != 0) app_.finish(code, "the command ended with exit code " + std::to_string(code));
    for (const auto& name : job_.outputs) {
        if (!vbw::exists_itself(shared_ + "/" + name)) app_.finish(vbw::kChildFailed, "the command wrote no " + name);
    }
    app_.finish(0);
}

}  // namespace container
