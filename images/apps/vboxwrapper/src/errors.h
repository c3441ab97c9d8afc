// How a task can end, and the one exception that ends it.
#pragma once

#include <stdexcept>
#include <string>

namespace vbw {

// Exit codes, by BOINC's names and numbers (lib/error_numbers.h).
enum ExitCode : int {
    kSuccess = 0,
    kExecFailure = 108,       // ERR_EXEC as the 8 bits that a parent sees
    kChildFailed = 195,       // EXIT_CHILD_FAILED: the virtual machine ended in a way it must not
    kDiskLimit = 196,         // EXIT_DISK_LIMIT_EXCEEDED
    kMemoryLimit = 198,       // EXIT_MEM_LIMIT_EXCEEDED
    kOutOfMemory = 205,       // EXIT_OUT_OF_MEMORY
    kInitFailure = 206,       // EXIT_INIT_FAILURE: the job file or the job's files are wrong
};

// The task is over, and has failed.
class TaskError : public std::runtime_error {
public:
    TaskError(int exit_code, const std::string& what, bool notice = false)
        : std::runtime_error(what), exit_code(exit_code), notice(notice) {}
    int exit_code;
    bool notice;   // show it to the volunteer as a client notice
};

// The task cannot go on now; the client starts it again after `delay` seconds.
class Postponed : public std::runtime_error {
public:
    Postponed(int delay, const std::string& what, bool notice = false)
        : std::runtime_error(what), delay(delay), notice(notice) {}
    int delay;
    bool notice;
};

// The volunteer or the client wants the task to stop (now or for good).
class Stopped : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

}  // namespace vbw
