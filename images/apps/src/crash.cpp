// crash [HOW [N]]: ends badly, in a chosen way. HOW is one of
//   exit N       exit status N at once, without boinc_finish() (default: exit 1). With N = 0 the client restarts it.
//   finish N     status N through boinc_finish()
//   signal N     killed by signal N, whatever handler the BOINC library has installed
//   abort        abort(): the BOINC library's handler writes a stack trace and exits with 193
#include <csignal>
#include <unistd.h>

#include "app.h"

int main(int argc, char** argv) {
    start("crash");
    const char* how = argc > 1 ? argv[1] : "exit";
    bool numbered = !strcmp(how, "exit") || !strcmp(how, "finish") || !strcmp(how, "signal");
    if (!numbered && strcmp(how, "abort")) {
        fail(EXIT_BAD_ARGUMENTS, "expected exit N, finish N, signal N or abort, got '%s'", how);
    }
    int n = numbered ? (int)number(argc > 2 ? argv[2] : "1", how) : 0;
    if (numbered) {
        say("about to crash: %s %d", how, n);
    } else {
        say("about to crash: %s", how);
    }
    fflush(stderr);
    if (!strcmp(how, "exit")) _exit(n);
    if (!strcmp(how, "finish")) boinc_finish(n);
    if (!strcmp(how, "abort")) abort();
    signal(n, SIG_DFL);
    kill(getpid(), n);
    sleep(1);
    fail(EXIT_BAD_ARGUMENTS, "signal %d did not end the process", n);
}
