// The container wrapper: runs a BOINC task as a container, from an image that came as BOINC files. See README.md.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

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

// container_wrapper --give USER GROUP FOLDER: what the wrapper does in a container of Docker's, whose root may change owners.
int give(char** arguments) {
    const auto user = vbw::to_integer(arguments[0]), group = vbw::to_integer(arguments[1]);
    if (!user || !group) return 2;
    const auto change = [&](const std::string& path) { return lchown(path.c_str(), static_cast<uid_t>(*user), static_cast<gid_t>(*group)); };
    namespace fs = std::filesystem;
    std::error_code error;
    int failed = change(arguments[2]);
    for (fs::recursive_directory_iterator it(arguments[2], error), end; !error && it != end; it.increment(error)) failed |= change(it->path());
    if (failed || error) fprintf(stderr, "not all of %s could be given away\n", arguments[2]);
    return failed || error ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 5 && std::string(argv[1]) == "--give") return give(argv + 2);
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
