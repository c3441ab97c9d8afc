/* container_vm.json is what crun reads, but for lines that hold an @WORD@ alone: those are filled in here. */
#include "container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Root's own, as container engines leave them to it. */
#define ROOT_MAY                                                                                             \
    "\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"," \
    "\"CAP_SETFCAP\",\"CAP_SETGID\",\"CAP_SETPCAP\",\"CAP_SETUID\",\"CAP_SYS_CHROOT\""

static void write_user(FILE *file, const struct user *user)
{
    fprintf(file, "\"user\":{\"uid\":%u,\"gid\":%u,\"additionalGids\":[", user->uid, user->gid);
    for (size_t i = 0; i < user->group_count; i++)
        fprintf(file, "%s%u", i ? "," : "", user->groups[i]);
    fprintf(file, "]},\n");
}

void fill_in_config(const char *from, const char *to, const struct user *user)
{
    FILE *source = fopen(from, "re"), *target = fopen(to, "we");
    const char *capabilities = user->uid ? "" : ROOT_MAY;
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    bool good;

    if (!source)
        refuse("%s cannot be read: %s", from, strerror(errno));
    while (target && (length = getline(&line, &size, source)) > 0) {
        if (!strcmp(line, "@USER@\n"))
            write_user(target, user);
        else if (!strcmp(line, "@HOME@\n"))
            fprintf(target, "\"HOME=%s\",\n", user->home);
        else if (!strcmp(line, "@CAPS@\n"))
            fprintf(target, "\"permitted\":[%s],\"effective\":[%s],\n", capabilities, capabilities);
        else
            fwrite(line, 1, (size_t)length, target);
    }
    good = target && !ferror(source) && !ferror(target);
    if (!target || fclose(target) || !good)
        refuse("%s cannot be filled in: %s", from, strerror(errno));
    free(line);
    fclose(source);
}
