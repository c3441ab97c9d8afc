// VBoxManage, one call at a time: no shell, a time limit, and a retry only for errors that are
// known to pass.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace vbw {

class VBoxError : public std::runtime_error {
public:
    VBoxError(const std::string& what, std::string code, std::string output)
        : std::runtime_error(what), code(std::move(code)), output(std::move(output)) {}
    std::string code;     // VBOX_E_OBJECT_NOT_FOUND, VERR_..., 0x80bb0007, "timeout", "missing", or ""
    std::string output;
    bool is(const std::string& name) const;   // the code, or the name anywhere in the output
};

// Reads VirtualBox's own code out of what VBoxManage printed.
std::string error_code_of(const std::string& output);
// The first line that says what went wrong.
std::string error_line_of(const std::string& output);

class VBoxManage {
public:
    explicit VBoxManage(std::function<void()> while_waiting);

    // The output. Throws VBoxError if the call fails, is not there, or takes longer than `timeout`
    // seconds of real time (it is then killed).
    std::string run(const std::vector<std::string>& arguments, double timeout = 60);
    // The same, for clean-up: says what failed and goes on.
    bool try_run(const std::vector<std::string>& arguments, double timeout = 60);

    int calls() const { return calls_; }
    const std::string& program() const { return program_; }
    std::string version();   // "7.2.22_Debianr175245"

private:
    std::string run_once(const std::vector<std::string>& arguments, double timeout);
    void trace(const std::string& text);

    std::function<void()> while_waiting_;
    std::string program_;
    int calls_ = 0;
};

}  // namespace vbw
