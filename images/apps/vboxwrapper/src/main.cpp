// The VirtualBox wrapper: runs a BOINC task as a virtual machine. See docs/vboxwrapper.md.
#include <signal.h>

#include <exception>

#include "errors.h"
#include "supervisor.h"

namespace {

// A project's tools find the version of the application interface in the program (sched/update_versions).
[[gnu::used]] const char kApiVersion[] = "API_VERSION_8.2.15";
// What it can beyond the stock wrapper, for those who have to choose a job file (harness/vbox_app.py).
[[gnu::used]] const char kFeatures[] =
    "VBOXWRAPPER_FEATURES persistent_disk warm_start without_acceleration max_shared_files guest_log_limit_mb max_restarts;";

vbw::BoincApp* the_app = nullptr;

void on_terminate(int) {
    if (the_app) the_app->signal_quit();
}

}  // namespace

int main(int argc, char** argv) {
    using namespace vbw;
    const HostReport host = check_host();
    say(host.text);   // the first line: what every VM task depends on
    BoincApp app;
    the_app = &app;
    struct sigaction action {};
    action.sa_handler = on_terminate;
    action.sa_flags = SA_RESTART;
    for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaction(number, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
    try {
        app.attach();
        Supervisor(app, parse_arguments(argc, argv), host).run();
    } catch (const TaskError& error) {
        app.finish(error.exit_code, error.what(), error.notice);
    } catch (const Postponed& error) {
        app.temporary_exit(error.delay, error.what(), error.notice);
    } catch (const std::exception& error) {
        app.finish(kChildFailed, std::string("internal error: ") + error.what());
    }
}
