// The application's side of BOINC's application interface: what the client tells a task, what a task
// tells the client, and how a task ends. The protocol is that of lib/app_ipc and api/boinc_api
// (messages in the eight channels of boinc_mmap_file, and a few files in the slot).
//
// It is our own rather than libboinc_api because a wrapper that watches a virtual machine wants no
// timer signal in the middle of fork(), no thread, and not the two seconds that boinc_finish() sleeps.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "util.h"

namespace vbw {

// init_data.xml, as far as a wrapper needs it.
struct InitData {
    bool standalone = true;
    std::string client_version;      // 8.2.15
    std::string result_name = "standalone", wu_name, app_name;
    std::string project_dir;         // absolute
    std::string boinc_dir;
    std::string user_name, authenticator;
    std::string virtualbox_version;  // as the client found it
    int userid = 0, hostid = 0, slot = 0, client_pid = 0;
    double user_total_credit = 0, host_total_credit = 0;
    double ncpus = 1;
    double checkpoint_period = 60;
    double disk_bound = 0;           // bytes
    double starting_elapsed_time = 0;
    double cpu_usage_limit = 100;    // percent
    double max_bytes_up = 0, max_bytes_down = 0;   // per second, 0 = no limit
    bool vbox_window = false;
    bool no_priority_change = false;   // the volunteer wants tasks to run at normal priority
};

InitData parse_init_data(const std::string& text);

class BoincApp {
public:
    BoincApp() = default;
    BoincApp(const BoincApp&) = delete;
    BoincApp& operator=(const BoincApp&) = delete;
    ~BoincApp();

    // Reads init_data.xml (none: standalone), takes the slot's lock, maps the channels.
    // Throws Postponed if another process still has the slot.
    void attach();
    void reread_init_data();

    // Takes in what the client has sent, and sends what is due. Cheap; call it often.
    void poll();

    const InitData& init() const { return init_; }

    bool suspended() const { return suspended_ && !leaving(); }
    bool network_suspended() const { return network_suspended_; }
    bool quit_requested() const { return quit_; }
    bool abort_requested() const { return abort_; }
    bool client_lost() const { return client_lost_; }
    bool leaving() const { return quit_ || abort_ || client_lost_; }
    bool take_reread();          // true once after the client has rewritten init_data.xml

    struct Status {
        double cpu_time = 0, checkpoint_cpu_time = 0, fraction_done = -1;
        int other_pid = 0;
    };
    Status status;               // sent once a second, and when the checkpoint changes

    void send_trickle_up(const std::string& variety, const std::string& text);
    bool request_upload(const std::string& name);
    bool upload_done(const std::string& name) const;
    void set_web_graphics_url(const std::string& url) { graphics_.push_back("<web_graphics_url>" + url + "</web_graphics_url>\n"); }
    void set_remote_desktop_addr(const std::string& a) { graphics_.push_back("<remote_desktop_addr>" + a + "</remote_desktop_addr>\n"); }

    // The last words. None of them returns.
    [[noreturn]] void finish(int exit_code, const std::string& message = "", bool notice = false);
    [[noreturn]] void temporary_exit(int delay, const std::string& reason, bool notice = false);
    [[noreturn]] void leave();

    void signal_quit() { quit_ = true; }

private:
    bool receive(int channel, std::string& message);
    bool send(int channel, const std::string& message);
    void send_status();
    void watch_client();

    InitData init_;
    int lock_fd_ = -1;
    char* memory_ = nullptr;
    size_t memory_size_ = 0;
    bool suspended_ = false, network_suspended_ = false, quit_ = false, abort_ = false;
    bool client_lost_ = false, reread_ = false;
    double next_status_ = 0, next_watch_ = 0;
    double sent_checkpoint_ = -1;
    unsigned long long client_start_ = 0;
    bool trickle_waiting_ = false, upload_waiting_ = false;
    std::deque<std::pair<std::string, std::string>> trickles_;
    std::deque<std::string> graphics_;
    std::map<std::string, int> uploads_;
};

}  // namespace vbw
