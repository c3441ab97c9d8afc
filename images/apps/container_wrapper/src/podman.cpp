#include "podman.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "errors.h"
#include "util.h"

namespace container {

using vbw::Postponed;
using vbw::TaskError;

namespace {

constexpr double kQuick = 60;
constexpr double kLoad = 1800;
constexpr int kNoEngineDelay = 3600;

}  // namespace

vbw::ProcessResult Podman::podman(const std::vector<std::string>& arguments, double timeout) {
    std::vector<std::string> argv = {"podman", "--log-level=error"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return vbw::run_process(argv, timeout, while_waiting_);
}

std::string Podman::check(const vbw::ProcessResult& result, const std::string& what) {
    if (result.exit_status == 0) return vbw::trim(result.output);
    const std::string why = result.timed_out ? "it took too long" : !result.start_error.empty() ? result.start_error : vbw::trim(result.output);
    throw Postponed(60, "podman could not " + what + ": " + why.substr(0, 1000), false);
}

void Podman::find() {
    const auto found = podman({"info", "--format", "{{.Version.Version}}|{{.Host.CgroupsVersion}}|{{.Host.CgroupControllers}}|{{.Store.GraphDriverName}}"}, kQuick);
    if (found.exit_status != 0) {
        const std::string why = !found.start_error.empty() ? "it is not installed" : found.timed_out ? "it does not answer" : vbw::trim(found.output).substr(0, 500);
        throw Postponed(kNoEngineDelay, "this task runs a container and needs Podman on this computer: " + why +
                                            ". Install podman for the user that BOINC runs as; the task waits for it", true);
    }
    // warnings come first
    const auto lines = vbw::split_lines(vbw::trim(found.output));
    const std::string line = lines.empty() ? "" : lines.back();
    vbw::say("podman " + line);
    const bool works = vbw::contains(line, "|v2|") || getuid() == 0;
    memory_ = works && vbw::contains(line, "memory");
    cpus_ = works && vbw::contains(line, "cpu ");
}

void Podman::remove_leftovers() {
    const auto found = podman({"ps", "--all", "--quiet", "--no-trunc", "--filter", "label=org.boinc.slot=" + owner_.slot}, kQuick);
    for (const auto& line : vbw::split_lines(found.output)) {
        const std::string id = vbw::trim(line);
        if (id.size() != 64 || id.find_first_not_of("0123456789abcdef") != std::string::npos) continue;
        vbw::say("Removing container " + id.substr(0, 12) + ", left over in this slot");
        podman({"rm", "--force", "--time", "0", id}, kQuick);
    }
}

bool Podman::has_image(const std::string& id) { return podman({"image", "exists", id}, kQuick).exit_status == 0; }

void Podman::load(const Image& image, const std::string& layout) {
    check(podman({"pull", "--quiet", "oci:" + layout}, kLoad), "take in the image");
    if (!has_image(image.id)) throw TaskError(vbw::kInitFailure, "podman took the image in under another id than " + image.id);
    check(podman({"tag", image.id, owner_.repository + ":" + image.id.substr(0, 32)}, kQuick), "name the image");
}

void Podman::forget_images(const std::function<bool(const std::string&)>& wanted) {
    const auto found = podman({"images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}", "--filter", "reference=" + owner_.repository}, kQuick);
    if (found.exit_status != 0) return;
    for (const auto& line : vbw::split_lines(found.output)) {
        const size_t blank = line.find(' ');
        if (blank == std::string::npos) continue;
        std::string id = line.substr(0, blank);
        if (vbw::starts_with(id, "sha256:")) id.erase(0, 7);
        const std::string name = vbw::trim(line.substr(blank + 1));
        if (id.size() != 64 || !vbw::starts_with(name, owner_.repository + ":") || wanted(id)) continue;
        vbw::say("Removing image " + id.substr(0, 12) + ": the client has deleted its files");
        podman({"rmi", name}, kQuick);   // by name: another project's use of the same image stays
    }
}

std::vector<std::string> Podman::run_command(const Job& job, const Image& image, const std::string& shared, const std::string& pid_file) const {
    std::vector<std::string> argv = {"podman", "--log-level=error", "run", "--rm", "--pull", "never", "--name", owner_.container,
                                     "--label", "org.boinc.slot=" + owner_.slot, "--label", "org.boinc.project=" + owner_.project,
                                     "--label", "org.boinc.result=" + owner_.result, "--log-driver", "none", "--pidfile", pid_file,
                                     "--security-opt", "no-new-privileges", "--volume", shared + ":/root/shared", "--volume", shared + ":/shared",
                                     "--env", "SHARED=/shared"};
    if (!job.network) argv.insert(argv.end(), {"--network", "none"});
    if (job.memory_bytes > 0 && memory_) argv.insert(argv.end(), {"--memory", vbw::number(job.memory_bytes)});
    if (job.cpus > 0 && cpus_) argv.insert(argv.end(), {"--cpus", vbw::number(job.cpus)});
    for (const auto& [name, value] : job.environment) argv.insert(argv.end(), {"--env", name + "=" + value});
    if (!job.workdir.empty()) argv.insert(argv.end(), {"--workdir", job.workdir});
    if (!job.user.empty()) argv.insert(argv.end(), {"--user", job.user});
    // podman takes one word as entrypoint; the others go before the command
    if (job.entrypoint) argv.insert(argv.end(), {"--entrypoint", job.entrypoint->empty() ? "" : job.entrypoint->front()});
    argv.push_back(image.id);
    if (job.entrypoint) argv.insert(argv.end(), job.entrypoint->begin() + (job.entrypoint->empty() ? 0 : 1), job.entrypoint->end());
    argv.insert(argv.end(), job.command.begin(), job.command.end());
    return argv;
}

void Podman::stop(double seconds) {
    podman({"stop", "--ignore", "--time", vbw::number(static_cast<double>(static_cast<int>(seconds))), owner_.container}, seconds + kQuick);
}

void Podman::remove() { podman({"rm", "--force", "--ignore", "--time", "0", owner_.container}, kQuick); }

void Podman::take_over(const std::string& folder) {
    if (getuid() != 0) podman({"unshare", "chown", "-R", "-h", "0:0", folder}, kQuick);
}

Child::Child(const std::vector<std::string>& argv) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) throw TaskError(vbw::kInitFailure, std::string("pipe: ") + strerror(errno));
    pid_ = fork();
    if (pid_ < 0) throw TaskError(vbw::kInitFailure, std::string("fork: ") + strerror(errno));
    if (pid_ == 0) {
        setpgid(0, 0);
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        for (int fd = 3; fd < 256; fd++) close(fd);
        for (const char* name : {"LD_PRELOAD", "LD_LIBRARY_PATH", "FAKETIME", "FAKETIME_SHARED", "FAKETIME_TIMESTAMP_FILE"}) unsetenv(name);
        std::vector<char*> args;
        for (const auto& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
        args.push_back(nullptr);
        execvp(args[0], args.data());
        dprintf(2, "%s: %s\n", args[0], strerror(errno));
        _exit(127);
    }
    close(out[1]), close(err[1]);
    pipes_[0] = out[0], pipes_[1] = err[0];
    for (const int fd : pipes_) fcntl(fd, F_SETFL, O_NONBLOCK);
}

Child::~Child() {
    if (!ended_) kill_it();
    for (const int fd : pipes_) {
        if (fd >= 0) close(fd);
    }
}

void Child::kill_it() {
    if (ended_ || pid_ <= 0) return;
    kill(-pid_, SIGKILL);   // a rootless podman is two processes
    int status = 0;
    waitpid(pid_, &status, 0);
    exit_code_ = 128 + SIGKILL;
    ended_ = true;
}

void Child::read_all() {
    char buffer[65536];
    for (size_t i = 0; i < 2; i++) {
        // at most 1 MiB in one go, so that a container that writes all the time does not keep the client waiting
        for (int round = 0; round < 16 && pipes_[i] >= 0; round++) {
            const ssize_t n = read(pipes_[i], buffer, sizeof buffer);
            if (n > 0) {
                pieces_[i].append(buffer, static_cast<size_t>(n));
                continue;
            }
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
            close(pipes_[i]);
            pipes_[i] = -1;
        }
    }
}

void Child::wait(double seconds) {
    struct pollfd wanted[2] = {{pipes_[0], POLLIN, 0}, {pipes_[1], POLLIN, 0}};
    poll(wanted, 2, pipes_[0] < 0 && pipes_[1] < 0 ? 10 : static_cast<int>(seconds * 1000));
    read_all();
    if (ended_) return;
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
        ended_ = true;
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        // all that it wrote is in the pipes by now
        const vbw::Deadline patience(2);
        while ((pipes_[0] >= 0 || pipes_[1] >= 0) && !patience.passed()) {
            const size_t before = pieces_[0].size() + pieces_[1].size();
            read_all();
            if (pieces_[0].size() + pieces_[1].size() == before) vbw::sleep_for(0.005);
        }
    }
}

std::string Child::take(int stream) {
    std::string piece;
    piece.swap(pieces_[stream - 1]);
    return piece;
}

}  // namespace container
