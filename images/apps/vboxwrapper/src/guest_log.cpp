#include "guest_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "util.h"

namespace vbw {

namespace {

void to_stderr(const std::string& text) {
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = write(2, text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        done += static_cast<size_t>(n);
    }
}

// stderr.txt travels inside of XML.
std::string printable(std::string text) {
    for (char& c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 32 && c != '\n' && c != '\t') || byte == 127) c = '?';
    }
    return text;
}

}  // namespace

void GuestLog::resume(const State& state) {
    state_ = state;
    if (truncate(kFile, static_cast<off_t>(state_.kept_bytes))) state_ = State{};
    const auto kept = read_file(kFile, static_cast<size_t>(limit_) + 65536, false);
    if (!kept) return;
    const size_t from = kept->size() > kTail ? kept->find('\n', kept->size() - kTail) : std::string::npos;
    for (const auto& line : split_lines(from == std::string::npos ? *kept : kept->substr(from + 1))) {
        tail_.push_back(line + "\n");
        tail_bytes_ += line.size() + 1;
    }
}

void GuestLog::add(double time, const std::string& text) {
    const std::string line = time_text_utc(time > 0 ? time : wall_clock()) + " " + text + "\n";
    state_.lines += 1;
    state_.bytes += static_cast<double>(line.size());
    keep(line);
    if (state_.head_bytes + static_cast<double>(line.size()) <= kHead && state_.head_lines == state_.lines - 1) {
        to_stderr(printable(line.substr(0, 28) + "Guest Log: " + line.substr(28)));
        state_.head_lines += 1;
        state_.head_bytes += static_cast<double>(line.size());
    }
    tail_.push_back(line);
    tail_bytes_ += line.size();
    while (tail_bytes_ > kTail && tail_.size() > 1) {
        tail_bytes_ -= tail_.front().size();
        tail_.pop_front();
    }
}

void GuestLog::note(const std::string& text) {
    keep("--- " + time_text_utc(wall_clock()) + " " + text + "\n");
}

void GuestLog::keep(const std::string& line) {
    if (state_.kept_bytes + static_cast<double>(line.size()) > limit_) {
        if (!said_full_) {
            said_full_ = true;
            const std::string full = "--- the limit of " + megabytes(limit_) + " is reached; what follows is not kept\n";
            unwritten_ += full;
            state_.kept_bytes += static_cast<double>(full.size());
            say("vm_guest.log has reached its limit of " + megabytes(limit_) + "; later lines of the guest are only counted");
            limit_ = state_.kept_bytes;
        }
        return;
    }
    unwritten_ += line;
    state_.kept_lines += 1;
    state_.kept_bytes += static_cast<double>(line.size());
    if (unwritten_.size() > (1 << 20)) flush();
}

void GuestLog::flush() {
    if (unwritten_.empty()) return;
    const int fd = open(kFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return;   // kept in memory for the next time
    size_t done = 0;
    while (done < unwritten_.size()) {
        const ssize_t n = write(fd, unwritten_.data() + done, unwritten_.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += static_cast<size_t>(n);
    }
    close(fd);
    unwritten_.erase(0, done);
}

void GuestLog::write_tail() {
    flush();
    const double unseen = state_.lines - state_.head_lines;
    if (unseen <= 0) return;
    const size_t shown = std::min(tail_.size(), static_cast<size_t>(unseen));
    double shown_bytes = 0;
    std::string text;
    for (size_t i = tail_.size() - shown; i < tail_.size(); i++) {
        const std::string& line = tail_[i];
        shown_bytes += static_cast<double>(line.size());
        text += line.size() > 28 ? line.substr(0, 28) + "Guest Log: " + line.substr(28) : line;
    }
    const double left_out = unseen - static_cast<double>(shown);
    if (left_out > 0) {
        to_stderr("--- " + number(left_out) + " lines (" + number(state_.bytes - state_.head_bytes - shown_bytes) +
                  " bytes) of the guest's log are left out here; vm_guest.log in the slot has " +
                  number(state_.kept_lines) + " of all " + number(state_.lines) + "\n");
    }
    to_stderr(printable(text));
    state_.head_lines = state_.lines;
}

}  // namespace vbw
