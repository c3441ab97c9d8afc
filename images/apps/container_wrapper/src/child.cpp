#include "child.h"

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

using vbw::TaskError;

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
