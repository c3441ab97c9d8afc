// What becomes of the guest's lines: all of them in vm_guest.log (up to a limit), the first and the last
// of them in stderr.txt, which the client cuts to its last 63 KiB and sends to the project.
#pragma once

#include <deque>
#include <string>

namespace vbw {

class GuestLog {
public:
    static constexpr const char* kFile = "vm_guest.log";
    static constexpr size_t kHead = 12 << 10;   // bytes of guest lines that stderr.txt gets at once
    static constexpr size_t kTail = 20 << 10;   // and at the end of the task

    explicit GuestLog(double limit_mb) : limit_(limit_mb * 1048576.0) {}

    // What has to survive a restart of the wrapper.
    struct State {
        double lines = 0, bytes = 0;           // of the guest so far
        double kept_lines = 0, kept_bytes = 0; // in vm_guest.log
        double head_lines = 0, head_bytes = 0; // in stderr.txt
    };
    const State& state() const { return state_; }
    void resume(const State& state);   // forgets what a killed wrapper wrote after it had last saved this

    // `time` in unix seconds. `text` without newline.
    void add(double time, const std::string& text);
    void note(const std::string& text);   // a line of the wrapper's own among the guest's
    void flush();                         // to the file
    // The end of the log into stderr.txt, and how much is between it and the beginning.
    void write_tail();

private:
    void keep(const std::string& line);

    double limit_;
    State state_;
    std::string unwritten_;
    std::deque<std::string> tail_;
    size_t tail_bytes_ = 0;
    bool said_full_ = false;
};

}  // namespace vbw
