#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "util.h"

namespace vbw {

namespace {

constexpr size_t kMostOutput = 1 << 20;
constexpr int kStartFailed = 127;

void drain(int fd, std::string& output) {
    char buffer[16384];
    for (;;) {
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        const size_t room = kMostOutput - std::min(kMostOutput, output.size());
        output.append(buffer, std::min(room, static_cast<size_t>(n)));
    }
}

[[noreturn]] void become(const std::vector<std::string>& argv, int out, int error_fd) {
    setpgid(0, 0);   // a signal for the wrapper's group is not for VirtualBox
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    for (int fd = 3; fd < 256; fd++) {
        if (fd != error_fd) close(fd);
    }
    for (const char* name : {"LD_PRELOAD", "LD_LIBRARY_PATH", "FAKETIME", "FAKETIME_SHARED",
                             "FAKETIME_TIMESTAMP_FILE"}) {
        unsetenv(name);
    }
    std::vector<char*> args;
    for (const auto& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
    args.push_back(nullptr);
    execvp(args[0], args.data());
    const int error = errno;
    (void)!write(error_fd, &error, sizeof error);
    _exit(kStartFailed);
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, double timeout,
                          const std::function<void()>& while_waiting) {
    ProcessResult result;
    const double start = now();
    int out[2], errors[2];
    if (pipe2(out, O_CLOEXEC)) {
        result.start_error = strerror(errno);
        return result;
    }
    if (pipe2(errors, O_CLOEXEC)) {
        result.start_error = strerror(errno);
        close(out[0]), close(out[1]);
        return result;
    }
    const pid_t pid = fork();
    if (pid == 0) become(argv, out[1], errors[1]);
    close(out[1]), close(errors[1]);
    if (pid < 0) {
        result.start_error = strerror(errno);
        close(out[0]), close(errors[0]);
        return result;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    const Deadline deadline(timeout);
    double pause = 0.002;
    for (;;) {
        drain(out[0], result.output);
        int status = 0;
        const pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid) {
            result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            break;
        }
        if (deadline.passed()) {
            result.timed_out = true;
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        // The end of the child is what counts, not the end of the pipe: a server process that it
        // started may hold the pipe open for ever.
        sleep_for(pause);
        if (pause < 0.02) pause *= 1.5;
        if (while_waiting) while_waiting();
    }
    drain(out[0], result.output);
    int error = 0;
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    if (read(errors[0], &error, sizeof error) == sizeof error) {
        result.exit_status = -1;
        result.start_error = strerror(error);
    }
    close(out[0]), close(errors[0]);
    result.seconds = now() - start;
    return result;
}

namespace {

// The fields of /proc/PID/stat after the name, the state being number 0.
std::vector<std::string> stat_fields(int pid) {
    std::vector<std::string> fields;
    const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!text) return fields;
    const size_t name_end = text->rfind(')');
    if (name_end == std::string::npos) return fields;
    size_t at = name_end + 1;
    while (at < text->size()) {
        const size_t a = text->find_first_not_of(" \n", at);
        if (a == std::string::npos) break;
        const size_t b = text->find_first_of(" \n", a);
        fields.push_back(text->substr(a, b - a));
        at = b;
    }
    return fields;
}

}  // namespace

bool process_alive(int pid) {
    if (pid <= 0) return false;
    const auto fields = stat_fields(pid);
    return !fields.empty() && fields[0] != "Z" && fields[0] != "X";
}

unsigned long long process_start_time(int pid) {
    const auto fields = stat_fields(pid);
    return fields.size() > 19 ? strtoull(fields[19].c_str(), nullptr, 10) : 0;
}

double process_cpu_time(int pid) {
    const auto fields = stat_fields(pid);
    if (fields.size() < 13) return 0;
    return (strtod(fields[11].c_str(), nullptr) + strtod(fields[12].c_str(), nullptr)) /
           static_cast<double>(sysconf(_SC_CLK_TCK));
}

double process_memory(int pid) {
    const auto fields = stat_fields(pid);
    if (fields.size() < 22) return 0;
    return strtod(fields[21].c_str(), nullptr) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

int process_parent(int pid) {
    const auto fields = stat_fields(pid);
    return fields.size() < 2 ? 0 : atoi(fields[1].c_str());
}

std::vector<int> processes_of(const std::string& program) {
    std::vector<int> found;
    DIR* directory = opendir("/proc");
    if (!directory) return found;
    while (const dirent* entry = readdir(directory)) {
        const int pid = atoi(entry->d_name);
        struct stat s {};
        if (pid <= 0 || stat((std::string("/proc/") + entry->d_name).c_str(), &s) || s.st_uid != getuid()) continue;
        const std::string command = read_file("/proc/" + std::to_string(pid) + "/cmdline", 4096).value_or("");
        const std::string path = command.substr(0, command.find('\0'));
        if (path.substr(path.rfind('/') + 1) == program && process_alive(pid)) found.push_back(pid);
    }
    closedir(directory);
    return found;
}

bool process_runs(int pid, const std::string& part_of_name) {
    const auto command = read_file("/proc/" + std::to_string(pid) + "/cmdline", 4096);
    return process_alive(pid) && command && contains(*command, part_of_name);
}

}  // namespace vbw
