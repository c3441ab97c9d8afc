// The container wrapper: runs a BOINC task as a container, from an image that came as BOINC files. See README.md.
#include <signal.h>

#include <exception>

#include "errors.h"
#include "task.h"
#include "util.h"

namespace {

// A project's tools find the version of the application interface in the program (sched/update_versions).
[[gnu::used]] const char kApiVersion[] = "API_VERSION_8.2.15";

vbw::BoincApp* the_app = nullptr;

void on_terminate(int) {
    if (the_app) the_app->signal_quit();
}

}  // namespace

int main() {
    vbw::BoincApp app;
    the_app = &app;
    struct sigaction action {};
    action.sa_handler = on_terminate;
    action.sa_flags = SA_RESTART;
    for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaction(number, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
    try {
        app.attach();
        container::Task(app).run();
    } catch (const vbw::TaskError& error) {
        app.finish(error.exit_code, error.what(), error.notice);
    } catch (const vbw::Postponed& error) {
        app.temporary_exit(error.delay, error.what(), error.notice);
    } catch (const std::exception& error) {
        app.finish(vbw::kChildFailed, std::string("internal error: ") + error.what());
    }
}
