/* The boot medium's tools, and the disk that outlives the job. */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define VOLUME "BOINC_GUEST"            /* the boot image's ISO 9660 volume */
#define VOLUME_OFFSET (0x8000 + 40)
#define SUPERBLOCK 1024                 /* ext4: fs/ext4/ext4.h, struct ext4_super_block */
#define EXT_MAGIC_OFFSET (SUPERBLOCK + 0x38)
#define EXT_STATE_OFFSET (SUPERBLOCK + 0x3a)
#define EXT_CLEAN 1
#define EXT_ERRORS 2

enum content { UNREADABLE, BOOT_IMAGE, EXT, BLANK, OTHER };

static bool tools_mounted, persistent_mounted;

/* What a device holds, from its first 64 KiB; *state* gets ext4's own word on itself. */
static enum content look(const char *device, unsigned *state)
{
    static unsigned char head[65536];
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    if (fd < 0)
        return UNREADABLE;
    count = pread(fd, head, sizeof head, 0);
    close(fd);
    if (count < 4096)
        return UNREADABLE;
    if (count == (ssize_t)sizeof head && !memcmp(head + VOLUME_OFFSET, VOLUME, strlen(VOLUME)))
        return BOOT_IMAGE;
    if (head[EXT_MAGIC_OFFSET] == 0x53 && head[EXT_MAGIC_OFFSET + 1] == 0xef) {
        *state = head[EXT_STATE_OFFSET] | (unsigned)head[EXT_STATE_OFFSET + 1] << 8;
        return EXT;
    }
    for (ssize_t i = 0; i < count; i++)
        if (head[i])
            return OTHER;
    return BLANK;
}

/* Calls *wanted* with each disk or CD, in name order, until it returns true. */
static bool find_device(const char *prefix, bool (*wanted)(const char *device))
{
    struct dirent **entries;
    int count = scandir("/sys/block", &entries, NULL, alphasort);
    bool found = false;

    for (int i = 0; i < count; i++) {
        char device[300];

        snprintf(device, sizeof device, "/dev/%s", entries[i]->d_name);
        if (!found && !strncmp(entries[i]->d_name, prefix, strlen(prefix)))
            found = wanted(device);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return found;
}

static bool mount_if_boot_image(const char *device)
{
    unsigned state;

    return look(device, &state) == BOOT_IMAGE && !mount(device, TOOLS, "iso9660", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

bool mount_tools(void)
{
    if (!tools_mounted)
        tools_mounted = find_device("sr", mount_if_boot_image) || find_device("sd", mount_if_boot_image);
    if (!tools_mounted)
        say("the boot medium is gone, and with it the programs in " TOOLS);
    return tools_mounted;
}

static char chosen[64];

static bool choose_data_disk(const char *device)
{
    unsigned state;
    enum content content = look(device, &state);

    if (content == BOOT_IMAGE || content == UNREADABLE)
        return false;
    snprintf(chosen, sizeof chosen, "%s", device);
    return true;
}

static bool format(const char *device)
{
    int code = 127;

    /* No blocks set aside for root, and the tables are initialised by the kernel as it
     * goes: an interpreted processor takes seconds to write them. */
    if (mount_tools())
        code = run((const char *const[]){"/tools/bin/mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", "persistent",
                                         "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-O",
                                         "^metadata_csum,^resize_inode,^uninit_bg,^huge_file", device, NULL});
    if (code)
        say("persistent disk: formatting %s failed with code %d", device, code);
    return !code;
}

static bool try_mount(const char *device)
{
    return !mount(device, PERSISTENT, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, "noinit_itable");
}

bool mount_persistent(const struct job *job)
{
    unsigned state = EXT_CLEAN;
    enum content content;
    struct statvfs space;
    bool formatted = false;

    if (!strcmp(job->disk, "none"))
        return true;
    if (!strcmp(job->disk, "auto")) {
        if (!find_device("sd", choose_data_disk))
            return true;                /* this VM has none */
    } else
        snprintf(chosen, sizeof chosen, "%s", job->disk);
    content = look(chosen, &state);
    if (content == UNREADABLE) {
        say("persistent disk: cannot read %s: %s", chosen, strerror(errno));
        return false;
    }
    if (content == OTHER && !job->disk_format) {
        say("persistent disk: %s holds something that is no ext4; disk_format=yes would replace it", chosen);
        return false;
    }
    if (content != EXT) {
        if (!format(chosen))
            return false;
        formatted = true;
    } else if (state & EXT_ERRORS) {
        int code = mount_tools() ? run((const char *const[]){"/tools/bin/e2fsck", "-p", chosen, NULL}) : 127;

        say("persistent disk: %s was marked as damaged, e2fsck -p ended with %d", chosen, code);
    }
    if (!try_mount(chosen)) {
        int why = errno, code = mount_tools() ? run((const char *const[]){"/tools/bin/e2fsck", "-y", chosen, NULL}) : 127;

        say("persistent disk: mounting %s failed (%s), e2fsck -y ended with %d", chosen, strerror(why), code);
        /* What is on it can be made again: that is what the disk is for. */
        if (!try_mount(chosen)) {
            say("persistent disk: %s is beyond repair, formatting it anew", chosen);
            if (!format(chosen) || !try_mount(chosen))
                return false;
            formatted = true;
        }
    }
    persistent_mounted = true;
    if (!statvfs(PERSISTENT, &space))
        say("persistent disk: %s%s, %llu of %llu MB free", chosen, formatted ? " formatted" : "",
            (unsigned long long)space.f_bavail * space.f_frsize >> 20,
            (unsigned long long)space.f_blocks * space.f_frsize >> 20);
    return true;
}

void unmount_disks(void)
{
    if (!persistent_mounted)
        return;
    if (umount2(PERSISTENT, 0)) {
        /* Something still uses it: what matters is that it is all written and consistent. */
        sync();
        if (mount(NULL, PERSISTENT, NULL, MS_REMOUNT | MS_RDONLY, NULL))
            say("persistent disk: still in use at the end (%s), left to its journal", strerror(errno));
        umount2(PERSISTENT, MNT_DETACH);
    }
    persistent_mounted = false;
}
