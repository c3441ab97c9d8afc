/* The container's user, as /etc/passwd and /etc/group of the image know it.
 *
 * An image's files may be links to anywhere, pipes, or without an end: they are opened as if the
 * image's root were the root of everything, and read a line at a time.
 */
#include "container.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_in(const char *root, const char *path, unsigned long long flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

    if (at < 0)
        return -1;
    fd = (int)syscall(SYS_openat2, at, path, &how, sizeof how);
    close(at);
    return fd;
}

static FILE *open_file(const char *root, const char *path)
{
    int fd = open_in(root, path, O_RDONLY | O_NONBLOCK);
    struct stat found;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &found) || !S_ISREG(found.st_mode)) {
        close(fd);
        return NULL;
    }
    return fdopen(fd, "r");
}

/* The first fields of the next line of *count* or more; a line too long for any real file is passed over. */
static bool next_entry(FILE *file, char **fields, size_t count)
{
    static char line[65536];

    while (fgets(line, sizeof line, file)) {
        char *rest = line, *end = strchr(line, '\n');
        size_t found = 0;

        if (!end && strlen(line) == sizeof line - 1) {
            for (int byte = 0; byte != '\n' && byte != EOF;)
                byte = fgetc(file);
            continue;
        }
        if (end)
            *end = '\0';
        while (found < count && (fields[found] = strsep(&rest, ":")))
            found++;
        if (found == count)
            return true;
    }
    return false;
}

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

static unsigned number_of(const char *text, const char *wanted)
{
    unsigned long long number = 0;

    for (const char *digit = text; is_number(text) && *digit && number < 1ull << 32; digit++)
        number = number * 10 + (unsigned)(*digit - '0');
    if (!is_number(text) || number >= (1ull << 32) - 1)     /* the last one means "none" to the kernel */
        refuse("the image's user '%s' has no usable number", wanted);
    return (unsigned)number;
}

static bool is_member(char *members, const char *name)
{
    for (char *member; (member = strsep(&members, ","));)
        if (!strcmp(member, name))
            return true;
    return false;
}

/* *name* becomes the entry's name, if there is one. */
static bool look_up_passwd(struct user *user, const char *root, const char *wanted, char *name, size_t size)
{
    FILE *file = open_file(root, "etc/passwd");
    char *fields[6];
    bool found = false;

    while (file && !found && next_entry(file, fields, 6)) {
        if (strcmp(fields[0], name) && strcmp(fields[2], name))
            continue;
        found = true;
        user->uid = number_of(fields[2], wanted);
        user->gid = *fields[3] ? number_of(fields[3], wanted) : 0;
        snprintf(user->home, sizeof user->home, "%s", fields[5]);
        snprintf(name, size, "%s", fields[0]);
    }
    if (file)
        fclose(file);
    return found;
}

static void look_up_groups(struct user *user, const char *root, const char *wanted, const char *name, const char *group)
{
    FILE *file = open_file(root, "etc/group");
    char *fields[4];
    bool found = false;

    user->group_count = 1;
    while (file && !found && next_entry(file, fields, 4)) {
        if (group) {
            if ((found = !strcmp(fields[0], group)))
                user->gid = number_of(fields[2], wanted);
        } else if (is_member(fields[3], name)) {
            if (user->group_count == MOST_GROUPS)
                refuse("the image's user '%s' is in more than %d groups", wanted, MOST_GROUPS);
            user->groups[user->group_count++] = number_of(fields[2], wanted);
        }
    }
    if (file)
        fclose(file);
    if (group && !found) {
        if (!is_number(group))
            refuse("the image has no group '%s'", group);
        user->gid = number_of(group, wanted);
    }
    user->groups[0] = user->gid;
}

void find_user(struct user *user, const char *root, const char *wanted)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    const char *colon = strchr(wanted, ':'), *group = colon && colon[1] ? colon + 1 : NULL;
    char name[256];

    *user = (struct user){0};
    snprintf(name, sizeof name, "%.*s", (int)(colon ? (size_t)(colon - wanted) : strlen(wanted)), wanted);
    if (!*name)
        snprintf(name, sizeof name, "0");
    if (!look_up_passwd(user, root, wanted, name, sizeof name)) {
        if (!is_number(name))
            refuse("the image has no user '%s'", name);
        user->uid = number_of(name, wanted);
    }
    look_up_groups(user, root, wanted, name, group);
    /* It goes into a file of JSON as it is. */
    if (!*user->home || user->home[strspn(user->home, plain)])
        snprintf(user->home, sizeof user->home, "/");
}

/* Container engines make this link, and programs that list mounts look for it. */
void link_mtab(const char *root)
{
    int etc = open_in(root, "etc", O_PATH | O_DIRECTORY);

    if (etc < 0)
        return;
    if (symlinkat("/proc/mounts", etc, "mtab")) {
        /* the image has one of its own, or wants none */
    }
    close(etc);
}
