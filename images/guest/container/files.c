/* Files and folders. */
#include "container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        good = !close(fd) && good;
    return good;
}

static DIR *open_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? NULL : fdopendir(fd);
}

static struct dirent *next_of(DIR *folder)
{
    struct dirent *entry;

    do
        entry = readdir(folder);
    while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
    return entry;
}

/* A file or an empty folder. */
static bool remove_one(int at, const char *name)
{
    return !unlinkat(at, name, 0) || (errno == EISDIR && !unlinkat(at, name, AT_REMOVEDIR));
}

/* Moves a folder to the top, under a number that is free there. */
static bool lift(int at, const char *name, int top, unsigned long *number)
{
    char place[32];
    struct stat found;

    do
        snprintf(place, sizeof place, "%lu", ++*number);
    while (!fstatat(top, place, &found, AT_SYMLINK_NOFOLLOW));
    return !renameat(at, name, top, place);
}

/* A job may have made folders deeper than any path is long and than there are file descriptors: instead of going
 * down, what a folder holds is removed or lifted to the top, until nothing is there. */
static bool empty_folder(int top, const char *name, unsigned long *number)
{
    DIR *folder = open_folder(top, name);
    bool good = true;

    if (!folder)
        return false;
    for (struct dirent *entry; good && (entry = next_of(folder));)
        good = remove_one(dirfd(folder), entry->d_name) ||
               (errno == ENOTEMPTY && lift(dirfd(folder), entry->d_name, top, number));
    closedir(folder);
    return good && (!unlinkat(top, name, AT_REMOVEDIR) || errno == ENOTEMPTY);
}

bool remove_tree(const char *path)
{
    unsigned long number = 0;
    bool good = true, any = true;

    if (remove_one(AT_FDCWD, path) || errno == ENOENT)
        return true;
    while (good && any) {
        DIR *top = open_folder(AT_FDCWD, path);

        if (!top)
            return false;
        any = false;
        for (struct dirent *entry; good && (entry = next_of(top));) {
            any = true;
            good = remove_one(dirfd(top), entry->d_name) ||
                   (errno == ENOTEMPTY && empty_folder(dirfd(top), entry->d_name, &number));
        }
        closedir(top);
    }
    return good && !rmdir(path);
}
