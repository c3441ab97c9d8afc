// hang [deaf]: never ends and never reports progress. It obeys the client's requests to suspend, quit and abort;
// with `deaf` it ignores them, so that the client has to kill it.
#include <unistd.h>

#include "app.h"

int main(int argc, char** argv) {
    app_name = "hang";
    BOINC_OPTIONS options;
    memset(&options, 0, sizeof options);
    options.main_program = 1;
    bool deaf = argc > 1 && !strcmp(argv[1], "deaf");
    if (!deaf) {
        options.check_heartbeat = 1;
        options.handle_process_control = 1;
        options.direct_process_action = 1;
    }
    int error = boinc_init_options(&options);
    if (error) {
        say("boinc_init_options() failed with %d", error);
        return EXIT_NO_API;
    }
    if (argc > 1 && !deaf) fail(EXIT_BAD_ARGUMENTS, "expected nothing or 'deaf', got '%s'", argv[1]);
    say("hanging%s", deaf ? ", deaf" : "");
    for (;;) pause();
}
