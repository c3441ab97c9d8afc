#include "vbox.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

void vbox_real_time(void)
{
    char **entry = environ;

    while (*entry) {
        if (!strncmp(*entry, "FAKETIME", strlen("FAKETIME")) || !strncmp(*entry, "LD_PRELOAD=", strlen("LD_PRELOAD="))) {
            char name[128];
            size_t length = strcspn(*entry, "=");

            if (length >= sizeof name) {
                entry++;
                continue;
            }
            memcpy(name, *entry, length);
            name[length] = '\0';
            unsetenv(name);
            entry = environ;            /* unsetenv moved the entries */
        } else
            entry++;
    }
}
