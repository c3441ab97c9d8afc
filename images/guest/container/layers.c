/* The image's layers: SquashFS files that the wrapper makes, kept on the persistent disk, mounted on top of each other. */
#include "container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SPARE (8ull << 20)      /* what the job's own first changes need */

static bool is_of(const struct wishes *wishes, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(wishes->layers[i], name))
            return true;
    return false;
}

bool drop_oldest(const struct wishes *wishes, const char *kept)
{
    DIR *folder = opendir(kept);
    struct timespec oldest = {0};
    char chosen[256] = "", path[600];

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat found;

        if (*entry->d_name == '.' || is_of(wishes, wishes->layer_count, entry->d_name) ||
            fstatat(dirfd(folder), entry->d_name, &found, AT_SYMLINK_NOFOLLOW))
            continue;
        if (!*chosen || found.st_mtim.tv_sec < oldest.tv_sec ||
            (found.st_mtim.tv_sec == oldest.tv_sec && found.st_mtim.tv_nsec < oldest.tv_nsec)) {
            snprintf(chosen, sizeof chosen, "%s", entry->d_name);
            oldest = found.st_mtim;
        }
    }
    if (folder)
        closedir(folder);
    if (!*chosen)
        return false;
    say("the disk is full: dropping the layer %s", chosen);
    snprintf(path, sizeof path, "%s/%s", kept, chosen);
    return !unlink(path);
}

static void make_room(const struct wishes *wishes, const char *kept, off_t size)
{
    struct statvfs space;

    while (!statvfs(kept, &space) && (unsigned long long)space.f_bavail * space.f_frsize < (unsigned long long)size + SPARE)
        if (!drop_oldest(wishes, kept))
            refuse("the disk is too small for the image's layers");
}

static bool copy(int from, int to)
{
    static char buffer[1 << 18];
    ssize_t count;

    while ((count = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, part; done < count; done += part)
            if ((part = write(to, buffer + done, (size_t)(count - done))) < 0)
                return false;
    /* A machine that loses its power right after the rename must not find a name without bytes. */
    return !count && !fsync(to);
}

static void keep_layer(const struct wishes *wishes, const char *kept, const char *name)
{
    char source[300], part[600], path[600];
    struct stat found;
    int from, to;

    snprintf(source, sizeof source, "layers/%s", name);
    snprintf(part, sizeof part, "%s/.part", kept);
    snprintf(path, sizeof path, "%s/%s", kept, name);
    unlink(part);       /* of a machine that lost its power */
    from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0 || fstat(from, &found))
        refuse("the layer %s is not there, though the wrapper says so: %s", name, strerror(errno));
    make_room(wishes, kept, found.st_size);
    to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0 || !copy(from, to) || close(to) || rename(part, path))
        refuse("the layer %s cannot be copied to the disk: %s", name, strerror(errno));
    close(from);
    unlink(source);
}

static void ask_for(const struct wishes *wishes, const bool *missing)
{
    FILE *file = fopen("layers.wanted.new", "we");

    for (size_t i = 0; file && i < wishes->layer_count; i++)
        if (missing[i])
            fprintf(file, "%s\n", wishes->layers[i]);
    if (!file || fclose(file) || rename("layers.wanted.new", "layers.wanted"))
        refuse("the layers cannot be asked for: %s", strerror(errno));
    while (access("layers.ready", F_OK))
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    unlink("layers.ready");
}

void fetch_layers(const struct wishes *wishes, const char *kept)
{
    bool missing[MOST_LAYERS], any = false;

    unlink("layers.ready");     /* of a machine that did not get far */
    for (size_t i = 0; i < wishes->layer_count; i++) {
        char path[600];

        snprintf(path, sizeof path, "%s/%s", kept, wishes->layers[i]);
        missing[i] = access(path, F_OK) && !is_of(wishes, i, wishes->layers[i]);
        any |= missing[i];
    }
    if (!any) {
        say("all layers are on the disk from earlier jobs");
        return;
    }
    ask_for(wishes, missing);
    for (size_t i = 0; i < wishes->layer_count; i++)
        if (missing[i])
            keep_layer(wishes, kept, wishes->layers[i]);
}

/* A loop device on the file that goes when it is unmounted: its name, or false. */
static bool loop_on(const char *path, char *device, size_t size)
{
    struct loop_config config = {.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd, number;

    config.fd = (unsigned)open(path, O_RDONLY | O_CLOEXEC);
    number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    close(control);
    snprintf(device, size, "/dev/loop%d", number);
    fd = open(device, O_RDONLY | O_CLOEXEC);
    /* The device stays open until it is mounted: closed before that, it would be free again. */
    return fd >= 0 && !ioctl(fd, LOOP_CONFIGURE, &config);
}

static bool mount_layer(const char *name, const char *at)
{
    char path[600], device[32];

    snprintf(path, sizeof path, KEPT "/%s", name);
    if (mkdir(at, 0755) || !loop_on(path, device, sizeof device) || mount(device, at, "squashfs", MS_RDONLY | MS_NODEV, NULL))
        return false;
    utimensat(AT_FDCWD, path, NULL, 0);     /* its time says when it was used */
    return true;
}

void mount_layers(const struct wishes *wishes)
{
    char options[1024] = "lowerdir=", at[64];
    size_t length = strlen(options);

    /* Their folders have short names, that 127 of them fit into the options: 0 is the one on top. */
    if (chdir(WORK "/layers"))
        refuse("there is no folder for the layers");
    for (size_t number = 0; number < wishes->layer_count; number++) {
        const char *name = wishes->layers[wishes->layer_count - 1 - number];

        snprintf(at, sizeof at, "%zu", number);
        if (!mount_layer(name, at))
            refuse("the layer %s cannot be mounted: %s", name, strerror(errno));
        length += (size_t)snprintf(options + length, sizeof options - length, "%s%zu", number ? ":" : "", number);
    }
    snprintf(options + length, sizeof options - length, ",upperdir=" JOB "/upper,workdir=" JOB "/work");
    if (mount("container", ROOTFS, "overlay", MS_NODEV, options))
        refuse("the layers cannot be put on top of each other: %s", strerror(errno));
    if (chdir(SLOT))
        refuse("there is no slot");
}

void unmount_layers(const struct wishes *wishes)
{
    umount2(ROOTFS, 0);
    for (size_t number = 0; number < wishes->layer_count; number++) {
        char at[64];

        snprintf(at, sizeof at, WORK "/layers/%zu", number);
        umount2(at, 0);
    }
}
