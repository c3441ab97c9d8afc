// sleeper [SECONDS [CHECKPOINT_EVERY]]: waits SECONDS (default 10) of the client's clock, without using the CPU.
//
// It checkpoints every CHECKPOINT_EVERY seconds (default 1), whatever the volunteer's preference says, so that a
// scenario can stop and start clients quickly; 0 means: when the client says so (preference "disk_interval").
// After a restart it goes on from its checkpoint and says in stderr from where. Time spent suspended does not count.
#include "app.h"

static const char* CHECKPOINT = "checkpoint";
static const double STEP = 0.1;  // seconds

static double read_checkpoint() {
    FILE* file = fopen(CHECKPOINT, "r");
    if (!file) return -1;
    double done;
    int found = fscanf(file, "%lf", &done);
    fclose(file);
    if (found != 1 || !(done >= 0)) {
        say("the checkpoint file is damaged: starting again");
        return -1;
    }
    return done;
}

// To a temporary file first: a client killed here leaves the old checkpoint or the new one, never half of one.
static void write_checkpoint(double done) {
    FILE* file = fopen("checkpoint.new", "w");
    if (!file || fprintf(file, "%.6f\n", done) < 0 || fclose(file) || rename("checkpoint.new", CHECKPOINT)) {
        fail(EXIT_NO_OUTPUT, "cannot write the checkpoint: %s", strerror(errno));
    }
}

int main(int argc, char** argv) {
    start("sleeper");
    double total = argc > 1 ? number(argv[1], "seconds") : 10;
    double every = argc > 2 ? number(argv[2], "checkpoint every") : 1;

    double done = read_checkpoint();
    if (done >= 0) {
        say("resuming at %.3f of %.3f seconds", done, total);
    } else {
        done = 0;
        say("starting, %.3f seconds", total);
    }

    double saved = done, last = now();
    while (done < total) {
        struct timespec nap = {0, (long)(STEP * 1e9)};
        nanosleep(&nap, NULL);
        double time = now(), step = time - last;
        last = time;
        // A suspended process wakes up much later than it asked to, and a virtual clock may be set back: neither is time it has slept.
        done += step >= 0 && step < 10 * STEP ? step : STEP;
        boinc_fraction_done(done < total ? done / total : 1);

        bool due = every > 0 && done - saved >= every;
        if (due) boinc_begin_critical_section();
        if (due || (every == 0 && boinc_time_to_checkpoint())) {
            write_checkpoint(done);
            boinc_checkpoint_completed();
            saved = done;
        }
    }
    FILE* out = open_output("out");
    char line[64];
    int length = snprintf(line, sizeof line, "slept %.3f seconds\n", total);
    write_output(out, line, length);
    close_output(out);
    boinc_finish(0);
}
