#include "boinc_app.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "errors.h"
#include "process.h"
#include "xml.h"

namespace vbw {

namespace {

// lib/app_ipc.h: the channels, in this order, of 1024 bytes each; byte 0 says "full".
enum Channel { kControl, kControlReply, kGraphicsRequest, kGraphicsReply, kHeartbeat, kAppStatus, kTrickleUp, kTrickleDown };
constexpr size_t kChannelSize = 1024;
constexpr int kChannels = 8;
constexpr double kLockPatience = 35;      // as long as BOINC's own library waits
constexpr int kLockDelay = 600;
constexpr double kStatusPeriod = 1.0;
constexpr double kWatchPeriod = 1.0;

double number_tag(const std::string& text, const char* tag, double otherwise) {
    const auto value = find_tag(text, tag);
    if (!value) return otherwise;
    return to_number(*value).value_or(otherwise);
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return trim(text);
}

}  // namespace

InitData parse_init_data(const std::string& whole) {
    // The project's preferences are text of other people: what is in there must not be taken for ours.
    std::string text = whole;
    const size_t a = text.find("<project_preferences>"), b = text.find("</project_preferences>");
    if (a != std::string::npos && b != std::string::npos && b > a) text.erase(a, b - a);
    InitData d;
    d.standalone = false;
    const auto integer = [&](const char* tag) { return static_cast<int>(number_tag(text, tag, 0)); };
    d.client_version = number(number_tag(text, "major_version", 0)) + "." +
                       number(number_tag(text, "minor_version", 0)) + "." + number(number_tag(text, "release", 0));
    d.result_name = find_tag(text, "result_name").value_or("");
    d.wu_name = find_tag(text, "wu_name").value_or("");
    d.app_name = find_tag(text, "app_name").value_or("");
    d.project_dir = find_tag(text, "project_dir").value_or("");
    d.boinc_dir = find_tag(text, "boinc_dir").value_or("");
    d.user_name = find_tag(text, "user_name").value_or("");
    d.authenticator = find_tag(text, "authenticator").value_or("");
    d.virtualbox_version = find_tag(text, "virtualbox_version").value_or("");
    d.userid = integer("userid"), d.hostid = integer("hostid");
    d.slot = integer("slot"), d.client_pid = integer("client_pid");
    d.user_total_credit = number_tag(text, "user_total_credit", 0);
    d.host_total_credit = number_tag(text, "host_total_credit", 0);
    d.ncpus = number_tag(text, "ncpus", 1);
    d.checkpoint_period = number_tag(text, "checkpoint_period", 60);
    d.disk_bound = number_tag(text, "rsc_disk_bound", 0);
    d.starting_elapsed_time = number_tag(text, "starting_elapsed_time", 0);
    const size_t prefs = text.find("<global_preferences>");
    const std::string global = prefs == std::string::npos ? "" : text.substr(prefs);
    d.cpu_usage_limit = number_tag(global, "cpu_usage_limit", 100);
    d.max_bytes_up = number_tag(global, "max_bytes_sec_up", 0);
    d.max_bytes_down = number_tag(global, "max_bytes_sec_down", 0);
    d.no_priority_change = number_tag(text, "no_priority_change", 0) != 0;
    d.vbox_window = number_tag(text, "vbox_window", 0) != 0;
    return d;
}

BoincApp::~BoincApp() {
    if (memory_) munmap(memory_, memory_size_);
    if (lock_fd_ >= 0) close(lock_fd_);
}

void BoincApp::attach() {
    // The lock of BOINC's library: fcntl, on the whole file.
    lock_fd_ = open("boinc_lockfile", O_WRONLY | O_CREAT | O_CLOEXEC, 0664);
    const Deadline patience(kLockPatience);
    for (;;) {
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        if (lock_fd_ >= 0 && fcntl(lock_fd_, F_SETLK, &lock) == 0) break;
        if (patience.passed()) throw Postponed(kLockDelay, "another process still works in this slot");
        sleep_for(0.1);
    }
    reread_init_data();
    if (init_.standalone) return;
    const int fd = open("boinc_mmap_file", O_RDWR | O_CLOEXEC);
    struct stat s {};
    if (fd < 0 || fstat(fd, &s) || static_cast<size_t>(s.st_size) < kChannels * kChannelSize) {
        if (fd >= 0) close(fd);
        throw TaskError(kInitFailure, "there is init_data.xml but no boinc_mmap_file to talk to the client through; "
                                      "the app version needs an api_version of 6 or later");
    }
    memory_size_ = static_cast<size_t>(s.st_size);
    void* memory = mmap(nullptr, memory_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) throw TaskError(kInitFailure, "boinc_mmap_file cannot be mapped");
    memory_ = static_cast<char*>(memory);
    client_start_ = process_start_time(init_.client_pid);
}

void BoincApp::reread_init_data() {
    const auto text = read_file("init_data.xml", 8 << 20);
    if (!text) return;
    init_ = parse_init_data(*text);
}

bool BoincApp::receive(int channel, std::string& message) {
    if (!memory_) return false;
    volatile char* slot = memory_ + static_cast<size_t>(channel) * kChannelSize;
    if (!slot[0]) return false;
    message.clear();
    for (size_t i = 1; i < kChannelSize && slot[i]; i++) message += slot[i];
    __sync_synchronize();
    slot[0] = 0;
    return true;
}

bool BoincApp::send(int channel, const std::string& message) {
    if (!memory_) return true;
    volatile char* slot = memory_ + static_cast<size_t>(channel) * kChannelSize;
    if (slot[0]) return false;
    const size_t size = std::min(message.size(), kChannelSize - 2);
    for (size_t i = 0; i < size; i++) slot[1 + i] = message[i];
    slot[1 + size] = 0;
    __sync_synchronize();
    slot[0] = 1;
    return true;
}

void BoincApp::send_status() {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "<current_cpu_time>%e</current_cpu_time>\n<checkpoint_cpu_time>%e</checkpoint_cpu_time>\n"
                     "<want_network>0</want_network>\n",
                     status.cpu_time, status.checkpoint_cpu_time);
    if (status.fraction_done >= 0) {
        n += snprintf(text + n, sizeof text - static_cast<size_t>(n), "<fraction_done>%e</fraction_done>\n", status.fraction_done);
    }
    if (status.other_pid) snprintf(text + n, sizeof text - static_cast<size_t>(n), "<other_pid>%d</other_pid>\n", status.other_pid);
    if (send(kAppStatus, text)) sent_checkpoint_ = status.checkpoint_cpu_time;
}

void BoincApp::watch_client() {
    const int pid = init_.client_pid;
    if (pid <= 0 || client_lost_) return;
    // The start time tells a new process of the same number from the client.
    const auto start = process_start_time(pid);
    if (start == 0 || (client_start_ && start != client_start_) || !process_alive(pid)) {
        client_lost_ = true;
        say("The BOINC client (process " + std::to_string(pid) + ") is gone");
    }
}

void BoincApp::poll() {
    if (!memory_) return;
    std::string message;
    if (receive(kControl, message)) {
        if (contains(message, "<suspend/>")) suspended_ = true;
        if (contains(message, "<resume/>")) suspended_ = false;
        if (contains(message, "<quit/>")) quit_ = true;
        if (contains(message, "<abort/>")) abort_ = true;
        if (contains(message, "<reread_app_info/>")) reread_ = true;
    }
    if (receive(kHeartbeat, message)) network_suspended_ = contains(message, "<network_suspended/>") || contains(message, "<network_suspended>1");
    if (receive(kTrickleDown, message) && contains(message, "<upload_file_status/>")) {
        for (auto& [name, state] : uploads_) {
            const auto text = read_file("boinc_ufs_" + name, 4096);
            if (text && contains(*text, "<status>")) state = 1;
        }
    }
    const double time = now();
    if (time >= next_watch_) {
        next_watch_ = time + kWatchPeriod;
        watch_client();
    }
    if (time >= next_status_ || status.checkpoint_cpu_time != sent_checkpoint_) {
        next_status_ = time + kStatusPeriod;
        send_status();
    }
    // One trickle at a time: the client moves trickle_up.xml away when it takes the message.
    if (!trickles_.empty() && !exists_itself("trickle_up.xml")) {
        if (write_file("trickle_up.xml", "<variety>" + trickles_.front().first + "</variety>\n" + trickles_.front().second)) {
            trickle_waiting_ = true;
            trickles_.pop_front();
        }
    }
    if (trickle_waiting_ || upload_waiting_) {
        const std::string text = std::string(trickle_waiting_ ? "<have_new_trickle_up/>\n" : "") +
                                 (upload_waiting_ ? "<have_new_upload_file/>\n" : "");
        if (send(kTrickleUp, text)) trickle_waiting_ = upload_waiting_ = false;
    }
    if (!graphics_.empty() && send(kGraphicsReply, graphics_.front())) graphics_.pop_front();
}

bool BoincApp::take_reread() {
    const bool was = reread_;
    reread_ = false;
    return was;
}

void BoincApp::send_trickle_up(const std::string& variety, const std::string& text) {
    if (memory_) trickles_.emplace_back(variety, text);
}

bool BoincApp::request_upload(const std::string& name) {
    if (!write_file("boinc_ufr_" + name, "")) return false;
    uploads_[name] = 0;
    upload_waiting_ = true;
    return true;
}

bool BoincApp::upload_done(const std::string& name) const {
    const auto entry = uploads_.find(name);
    return entry != uploads_.end() && entry->second;
}

void BoincApp::finish(int exit_code, const std::string& message, bool notice) {
    say("The task ends with exit code " + std::to_string(exit_code) + (message.empty() ? "" : ": " + message));
    if (exit_code == 0) status.fraction_done = 1;
    // The client looks into the channels once more when the process has gone, so there is nothing to wait for.
    poll();
    send_status();
    std::string text = std::to_string(exit_code) + "\n";
    if (!message.empty()) text += one_line(message) + "\n" + (notice ? "notice" : "") + "\n";
    write_file("boinc_finish_called", text);
    fflush(nullptr);
    _exit(exit_code & 255);
}

void BoincApp::temporary_exit(int delay, const std::string& reason, bool notice) {
    say("The task stops for " + std::to_string(delay) + " seconds: " + reason);
    poll();
    send_status();
    // The client takes the file for a temporary exit only if it has a second line.
    write_file("boinc_temporary_exit", std::to_string(delay) + "\n" + one_line(reason) + "\n" + (notice ? "notice\n" : ""));
    fflush(nullptr);
    _exit(0);
}

void BoincApp::leave() {
    poll();
    send_status();
    fflush(nullptr);
    _exit(0);
}

}  // namespace vbw
