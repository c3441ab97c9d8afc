/* Runs a container job in the guest: layers from the wrapper, once, to the persistent disk; overlayfs; crun.
 *
 * One program, since each that starts takes a million instructions, and a driverless VirtualBox
 * interprets 7 to 9 million a second.
 */
#include "container.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_folder(const char *path)
{
    if (mkdir(path, 0755) && errno != EEXIST)
        refuse("the folder %s cannot be made: %s", path, strerror(errno));
}

static void make_folders(void)
{
    if (access(PERSISTENT "/lost+found", F_OK))
        refuse("there is no disk for the image's layers");
    if (!remove_tree(JOB))
        refuse("what an earlier job left on the disk cannot be removed: %s", strerror(errno));
    make_folder(KEPT);
    make_folder(JOB);
    make_folder(JOB "/upper");
    make_folder(JOB "/work");
    make_folder(WORK);
    make_folder(ROOTFS);
    make_folder(WORK "/slot");
    make_folder(WORK "/layers");
    make_folder("shared");
}

/* The folder that container and volunteer share: the same files again, as that user's own. */
static void mount_slot(const struct user *user)
{
    char options[64];

    snprintf(options, sizeof options, "uid=%u,gid=%u", user->uid, user->gid);
    if (mount("shared", WORK "/slot", "vboxsf", 0, options) || chmod(WORK "/slot/shared", 0777))
        refuse("the shared folder cannot be mounted: %s", strerror(errno));
}

static int missing_outputs(const struct wishes *wishes)
{
    int code = 0;

    for (size_t i = 0; i < wishes->output_count; i++) {
        char path[300];

        snprintf(path, sizeof path, "shared/%s", wishes->outputs[i]);
        if (access(path, F_OK)) {
            say("the command wrote no %s", wishes->outputs[i]);
            code = EXIT_MISSING_OUTPUT;
        }
    }
    return code;
}

int main(void)
{
    static struct wishes wishes;
    static struct user user;
    int code;

    if (chdir(SLOT))
        refuse("there is no slot");
    make_folders();
    read_wishes(&wishes, "container_vm.conf");
    fetch_layers(&wishes, KEPT);
    mount_layers(&wishes);
    find_user(&user, ROOTFS, wishes.user);
    mount_slot(&user);
    fill_in_config("container_vm.json", WORK "/config.json", &user);
    if (!write_text(WORK "/hosts", "127.0.0.1 localhost container\n") || !write_text(WORK "/hostname", "container\n"))
        refuse("the container's /etc/hosts cannot be written: %s", strerror(errno));
    link_mtab(ROOTFS);
    code = run_container(&wishes);
    if (!code)
        code = missing_outputs(&wishes);
    umount2(WORK "/slot", 0);
    unmount_layers(&wishes);
    remove_tree(JOB);
    return code;
}
