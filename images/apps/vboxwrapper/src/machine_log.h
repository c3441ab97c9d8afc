// Follows VBox.log: by inode and byte offset, so that no line is read twice or lost when a line is half
// written, when VirtualBox rotates the file, or when the wrapper starts anew in the middle.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace vbw {

class LogFollower {
public:
    explicit LogFollower(std::string path) : path_(std::move(path)) {}
    LogFollower(const LogFollower&) = delete;
    LogFollower& operator=(const LogFollower&) = delete;
    ~LogFollower();

    using Sink = std::function<void(const std::string& line)>;

    // Hands every complete line that has been added to `sink`, without its newline.
    void poll(const Sink& sink);
    // For when nobody writes any more: what is left is a line even without a newline.
    void finish(const Sink& sink);

    // Where the next unread complete line begins. Continue there after a restart.
    unsigned long long inode() const { return inode_; }
    off_t offset() const { return offset_ - static_cast<off_t>(partial_.size()); }
    void resume(unsigned long long inode, off_t offset);

private:
    void read_rest(const Sink& sink);
    bool open_generation(int number, off_t offset);
    int generation_of(unsigned long long inode) const;   // 0 = VBox.log, 1 = VBox.log.1, ...; -1 = none
    int oldest_generation() const;
    void close_file();

    std::string path_;
    std::string partial_;
    int fd_ = -1;
    unsigned long long inode_ = 0;
    off_t offset_ = 0;
};

// What a line of VBox.log says, as far as a wrapper cares.
struct LogLine {
    enum Kind { kOther, kGuest, kState, kProcessId, kRuntimeError, kReset, kHostGaveUp } kind = kOther;
    std::string text;     // the guest's text, the state, the message
    int pid = 0;
    double time = 0;      // unix seconds; 0 if unknown
};

class LogReader {
public:
    LogLine read(const std::string& line);

private:
    double started_ = 0;  // unix seconds of 00:00:00.000000
    bool after_guest_ = false;
    double last_time_ = 0;
};

// Puts together what the guest had to send in pieces: VirtualBox takes at most 511 bytes at once, so a guest
// ends a piece whose line goes on in the next one with byte 0x1e (images/guest/README.md). Lines of the guest's
// init ("boinc-guest: ...") may come between the pieces of a line of the job.
class LineJoiner {
public:
    // True if `line` (text and time) is whole now.
    bool add(LogLine& line);
    // Unfinished lines, at the end of the log.
    std::vector<LogLine> rest();

private:
    LogLine job_, init_;
    bool job_open_ = false, init_open_ = false;
};

}  // namespace vbw
