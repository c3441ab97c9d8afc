#include "machine_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "util.h"

namespace vbw {

namespace {

constexpr int kGenerations = 16;             // VirtualBox keeps fewer
constexpr size_t kLongestLine = 1 << 20;     // a "line" without an end is cut here

unsigned long long inode_of(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? static_cast<unsigned long long>(s.st_ino) : 0;
}

}  // namespace

LogFollower::~LogFollower() { close_file(); }

void LogFollower::close_file() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
}

int LogFollower::generation_of(unsigned long long inode) const {
    for (int i = 0; inode && i < kGenerations; i++) {
        if (inode_of(i ? path_ + "." + std::to_string(i) : path_) == inode) return i;
    }
    return -1;
}

int LogFollower::oldest_generation() const {
    int oldest = 0;
    for (int i = 1; i < kGenerations; i++) {
        if (inode_of(path_ + "." + std::to_string(i))) oldest = i;
    }
    return oldest;
}

bool LogFollower::open_generation(int number, off_t offset) {
    const std::string path = number ? path_ + "." + std::to_string(number) : path_;
    const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    // Without the next file the present one is kept: to forget it would mean to read all of them again.
    if (opened < 0) return false;
    close_file();
    fd_ = opened;
    struct stat s {};
    fstat(fd_, &s);
    inode_ = static_cast<unsigned long long>(s.st_ino);
    offset_ = std::min(offset, s.st_size);
    partial_.clear();
    return true;
}

void LogFollower::resume(unsigned long long inode, off_t offset) {
    const int generation = generation_of(inode);
    if (generation >= 0) open_generation(generation, offset);
}

void LogFollower::read_rest(const Sink& sink) {
    struct stat s {};
    if (fstat(fd_, &s) == 0 && s.st_size < offset_) {   // emptied in place
        offset_ = 0;
        partial_.clear();
    }
    char buffer[65536];
    for (;;) {
        const ssize_t n = pread(fd_, buffer, sizeof buffer, offset_);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        offset_ += n;
        partial_.append(buffer, static_cast<size_t>(n));
        size_t start = 0;
        for (size_t end; (end = partial_.find('\n', start)) != std::string::npos; start = end + 1) {
            sink(partial_.substr(start, end - start));
        }
        partial_.erase(0, start);
        if (partial_.size() > kLongestLine) {
            sink(partial_);
            partial_.clear();
        }
    }
}

void LogFollower::poll(const Sink& sink) {
    // A machine that writes fast may have rotated its log before the first look.
    if (fd_ < 0 && !open_generation(oldest_generation(), 0)) return;
    for (int guard = 0; guard <= kGenerations; guard++) {
        // The name first, then the rest: whatever was written before the rename is in the old file.
        const bool moved = inode_of(path_) != inode_;
        read_rest(sink);
        if (!moved) return;
        const int generation = generation_of(inode_);
        if (generation == 0) continue;
        if (generation <= 1 && inode_of(path_) == 0) return;   // between rename and creation
        // If it is not there any more, which of the others have been read is not known: the present one has not.
        // Numbers may be left out: a machine whose state is saved renames its log, and it is renamed once more as the machine goes on.
        int next = generation < 0 ? 0 : generation - 1;
        while (next > 0 && !inode_of(path_ + "." + std::to_string(next))) next--;
        const std::string unfinished = partial_;
        if (!open_generation(next, 0)) return;
        if (!unfinished.empty()) sink(unfinished);
    }
}

void LogFollower::finish(const Sink& sink) {
    poll(sink);
    if (!partial_.empty()) sink(partial_);
    partial_.clear();
}

namespace {

// "HH:MM:SS.mmmuuu " at the start; the length of it, or 0.
size_t stamp(const std::string& line, double& seconds) {
    int hours = 0, minutes = 0, whole = 0, micro = 0, used = 0;
    if (sscanf(line.c_str(), "%d:%2d:%2d.%6d %n", &hours, &minutes, &whole, &micro, &used) != 4 || used == 0) return 0;
    seconds = hours * 3600.0 + minutes * 60.0 + whole + micro * 1e-6;
    return static_cast<size_t>(used);
}

double utc(const std::string& text) {
    tm parts{};
    double fraction = 0;
    int used = 0;
    if (sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
               &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6) {
        return 0;
    }
    sscanf(text.c_str() + used, "%lf", &fraction);
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    return static_cast<double>(timegm(&parts)) + fraction;
}

}  // namespace

LogLine LogReader::read(const std::string& raw) {
    LogLine out;
    double relative = 0;
    const size_t used = stamp(raw, relative);
    if (!used) {
        // An entry of several lines: only the first one has a stamp.
        if (after_guest_) {
            out.kind = LogLine::kGuest;
            out.text = raw;
            out.time = last_time_;
        }
        return out;
    }
    const std::string line = raw.substr(used);
    for (const char* opened : {"Log opened ", "Log continuation - Log started "}) {
        if (starts_with(line, opened)) {
            const double at = utc(line.substr(std::string(opened).size()));
            if (at > 0 && opened[4] == 'o') started_ = at - relative;
            else if (at > 0 && started_ == 0) started_ = at;
        }
    }
    out.time = started_ > 0 ? started_ + relative : 0;
    const auto after = [&](const char* prefix) { return line.substr(std::string(prefix).size()); };
    after_guest_ = false;
    if (starts_with(line, "VMMDev: Guest Log: ")) {
        out.kind = LogLine::kGuest;
        out.text = after("VMMDev: Guest Log: ");
        after_guest_ = true;
        last_time_ = out.time;
    } else if (starts_with(line, "Console: Machine state changed to '")) {
        out.kind = LogLine::kState;
        out.text = after("Console: Machine state changed to '");
        out.text = out.text.substr(0, out.text.find('\''));
    } else if (starts_with(line, "Process ID: ")) {
        out.kind = LogLine::kProcessId;
        out.pid = static_cast<int>(to_integer(trim(after("Process ID: "))).value_or(0));
    } else if (starts_with(line, "Console: VM runtime error: ")) {
        out.kind = LogLine::kRuntimeError;
        out.text = after("Console: VM runtime error: ");
    } else if (starts_with(line, "Changing the VM state from 'RUNNING' to 'RESETTING'") ||
               starts_with(line, "Changing the VM state from 'RUNNING' to 'SOFT_RESETTING'")) {
        out.kind = LogLine::kReset;
    } else if (contains(line, "VBoxSVC became unavailable") || starts_with(line, "VBoxHeadless: Catching")) {
        out.kind = LogLine::kHostGaveUp;
    }
    return out;
}

namespace {
constexpr char kContinued = '\x1e';
constexpr size_t kLongestJoined = 1 << 20;
}  // namespace

bool LineJoiner::add(LogLine& line) {
    const bool of_init = (init_open_ && !job_open_) || starts_with(line.text, "boinc-guest: ");
    LogLine& held = of_init ? init_ : job_;
    bool& open = of_init ? init_open_ : job_open_;
    const bool continued = ends_with(line.text, std::string(1, kContinued));
    if (continued) line.text.pop_back();
    if (open) {
        held.text += line.text;
        line = held;
    }
    held = line;
    open = continued && held.text.size() < kLongestJoined;
    return !open;
}

std::vector<LogLine> LineJoiner::rest() {
    std::vector<LogLine> lines;
    if (job_open_) lines.push_back(job_);
    if (init_open_) lines.push_back(init_);
    job_open_ = init_open_ = false;
    return lines;
}

}  // namespace vbw
