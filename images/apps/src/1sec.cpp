// 1sec: keeps a CPU busy for one second of the client's clock, then writes the same line on every host.
#include "app.h"

int main() {
    start("1sec");
    double begin = now(), elapsed;
    volatile unsigned work = 0;
    while ((elapsed = now() - begin) < 1) {
        for (int i = 0; i < 10000; i++) work = work + i;
        boinc_fraction_done(elapsed);
    }
    static const char line[] = "1 second of work done\n";
    FILE* out = open_output("out");
    write_output(out, line, sizeof line - 1);
    close_output(out);
    boinc_fraction_done(1);
    boinc_finish(0);
}
