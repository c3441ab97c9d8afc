// concat: `out` is in_0, in_1, ... one after another. in_0 must be there; the first missing number ends the list.
#include <unistd.h>

#include "app.h"

int main() {
    start("concat");
    FILE* out = open_output("out");
    for (int i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "in_%d", i);
        // The link in the slot directory decides: a link to a file that is gone is an error, not the end of the list.
        if (i > 0 && access(name, F_OK)) {
            say("concatenated %d files", i);
            break;
        }
        FILE* in = open_input(name);
        char block[65536];
        size_t length;
        while ((length = fread(block, 1, sizeof block, in)) > 0) write_output(out, block, length);
        if (ferror(in)) fail(EXIT_NO_INPUT, "cannot read input '%s': %s", name, strerror(errno));
        fclose(in);
    }
    close_output(out);
    boinc_fraction_done(1);
    boinc_finish(0);
}
