#include "vbox_manage.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "process.h"
#include "util.h"

namespace vbw {

namespace {

constexpr double kRetryFor = 10;           // seconds in all, for errors that pass
constexpr double kTraceLimit = 1 << 20;    // bytes of vbox_trace.txt

// Errors that VirtualBox gives while a session is being closed or VBoxSVC is starting or has just
// died, with the same call working a moment later.
const char* const kTransient[] = {
    "VBOX_E_INVALID_OBJECT_STATE",    // 0x80bb0007, the machine is still locked by a session
    "VBOX_E_INVALID_SESSION_STATE",   // 0x80bb000a
    "CO_E_SERVER_EXEC_FAILURE",       // 0x80080005, VBoxSVC did not come up in time
    "NS_ERROR_CALL_FAILED",           // 0x800706be, VBoxSVC died during the call
    "NS_ERROR_FACTORY_NOT_REGISTERED", // 0x80040154, a new VBoxSVC while the old one's clients are still dying
    "NS_ERROR_SOCKET_FAIL",
    "The object is not ready",        // E_ACCESSDENIED from a VBoxSVC that is shutting down
    "Failed to create the VirtualBox object",
    "Failed to get a console object from the direct session",   // of a machine whose process has died, until VBoxSVC sees it
    "No drive attached to device slot", // seen once on a busy host, of a drive that the same storageattach had just made
};

// A machine in the wrong state stays so; only the lock passes.
bool transient(const VBoxError& error) {
    if (error.code == "timeout" || error.code == "missing") return false;
    if (contains(error.output, "kernel module is not loaded")) return false;
    for (const char* name : kTransient) {
        if (error.is(name)) return true;
    }
    return false;
}

}  // namespace

bool VBoxError::is(const std::string& name) const { return code == name || contains(output, name); }

std::string error_code_of(const std::string& output) {
    // "... Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component ..." or "(0x80bb0001)" or "VERR_..."
    size_t at = output.find("code ");
    while (at != std::string::npos) {
        const size_t end = output.find_first_of(" ,\n", at + 5);
        const std::string word = output.substr(at + 5, end - at - 5);
        if (starts_with(word, "VBOX_E_") || starts_with(word, "NS_") || starts_with(word, "E_") ||
            starts_with(word, "CO_E_")) {
            return word;
        }
        at = output.find("code ", at + 5);
    }
    for (const char* prefix : {"VERR_", "(0x8"}) {
        const size_t a = output.find(prefix);
        if (a == std::string::npos) continue;
        const size_t start = output[a] == '(' ? a + 1 : a;
        const size_t end = output.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789abcdefx", start);
        return output.substr(start, end - start);
    }
    return "";
}

std::string error_line_of(const std::string& output) {
    std::string first;
    for (const auto& line : split_lines(output)) {
        const size_t at = line.find("error: ");
        if (at != std::string::npos) return trim(line.substr(at + 7)).substr(0, 400);
        if (first.empty()) first = trim(line);
    }
    return first.substr(0, 400);
}

VBoxManage::VBoxManage(std::function<void()> while_waiting)
    : while_waiting_(std::move(while_waiting)), program_("VBoxManage") {
    // The client looks in these two places; a service may have a PATH without them.
    const char* path = getenv("PATH");
    std::string directories = path ? path : "";
    directories += ":/usr/bin:/usr/local/bin";
    size_t at = 0;
    while (at < directories.size()) {
        const size_t end = std::min(directories.find(':', at), directories.size());
        const std::string candidate = directories.substr(at, end - at) + "/VBoxManage";
        if (end > at && access(candidate.c_str(), X_OK) == 0) {
            program_ = candidate;
            break;
        }
        at = end + 1;
    }
}

void VBoxManage::trace(const std::string& text) {
    if (file_size("vbox_trace.txt") > kTraceLimit) return;
    const int fd = open("vbox_trace.txt", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return;
    (void)!write(fd, text.data(), text.size());
    close(fd);
}

std::string VBoxManage::run_once(const std::vector<std::string>& arguments, double timeout) {
    std::vector<std::string> argv{program_, "-q"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    calls_++;
    const ProcessResult result = run_process(argv, timeout, while_waiting_);
    const std::string command = "VBoxManage " + join(arguments, " ");
    trace(time_text_utc(wall_clock()) + " " + command + "\n  exit status " +
          std::to_string(result.exit_status) + (result.timed_out ? " (killed: too slow)" : "") +
          " after " + number(result.seconds) + " s\n" +
          (result.output.empty() ? "" : result.output.substr(0, 8192) + "\n"));
    const std::string what = "VBoxManage " + (arguments.empty() ? "" : arguments[0]) +
        (arguments.size() > 2 && (arguments[0] == "controlvm" || arguments[0] == "snapshot") ? " " + arguments[2] : "");
    if (!result.start_error.empty()) {
        throw VBoxError(what + " could not be started: " + result.start_error, "missing", "");
    }
    if (result.timed_out) {
        throw VBoxError(what + " gave no answer within " + number(timeout) + " seconds and was killed",
                        "timeout", result.output);
    }
    if (result.exit_status != 0) {
        const std::string code = error_code_of(result.output);
        std::string text = what + " failed";
        if (!code.empty()) text += " with " + code;
        else text += " with exit status " + std::to_string(result.exit_status);
        const std::string line = error_line_of(result.output);
        if (!line.empty()) text += ": " + line;
        throw VBoxError(text, code, result.output);
    }
    return result.output;
}

std::string VBoxManage::run(const std::vector<std::string>& arguments, double timeout) {
    double give_up = 0;   // of the time after the first failure; the failing call itself may have taken long
    double pause = 0.05;
    for (;;) {
        try {
            return run_once(arguments, timeout);
        } catch (const VBoxError& error) {
            if (give_up == 0) give_up = now() + kRetryFor;
            if (!transient(error) || now() + pause > give_up) throw;
        }
        const Deadline wait(pause);
        while (!wait.passed()) {
            sleep_for(0.02);
            if (while_waiting_) while_waiting_();
        }
        pause = std::min(pause * 2, 2.0);
    }
}

bool VBoxManage::try_run(const std::vector<std::string>& arguments, double timeout) {
    try {
        run(arguments, timeout);
        return true;
    } catch (const VBoxError& error) {
        say(error.what());
        return false;
    }
}

std::string VBoxManage::version() {
    // A warning about a missing kernel module may come first.
    for (const auto& line : split_lines(run({"--version"}, 30))) {
        if (!line.empty() && isdigit(static_cast<unsigned char>(line[0]))) return trim(line);
    }
    return "";
}

}  // namespace vbw
