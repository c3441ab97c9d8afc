// uppercase: `out` is `in` with ASCII letters in upper case; all other bytes stay as they are.
#include "app.h"

int main() {
    start("uppercase");
    FILE* in = open_input("in");
    FILE* out = open_output("out");
    char block[65536];
    size_t length;
    while ((length = fread(block, 1, sizeof block, in)) > 0) {
        for (size_t i = 0; i < length; i++) {
            if (block[i] >= 'a' && block[i] <= 'z') block[i] -= 'a' - 'A';
        }
        write_output(out, block, length);
    }
    if (ferror(in)) fail(EXIT_NO_INPUT, "cannot read input 'in': %s", strerror(errno));
    close_output(out);
    boinc_fraction_done(1);
    boinc_finish(0);
}
