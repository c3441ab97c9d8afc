/* How VMs can run here: with the host's kernel module, or driverless.
 *
 * The module and the programs refuse each other unless their versions are the same, so
 * the version is compared before anything is tried.  Two environment variables put other
 * files in the place of the host's, for tests.
 */
#include "vbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_of(const char *variable, const char *usual)
{
    const char *other = getenv(variable);

    return other && *other ? other : usual;
}

/* The module's version as in "7.2.22_Debian r170000 (0x00330004)": its first word up to '_'. */
static bool module_version(const char *path, char *version, size_t size)
{
    FILE *file = fopen(path, "r");
    bool good;

    if (!file)
        return false;
    good = fgets(version, (int)size, file) != NULL;
    fclose(file);
    if (good)
        version[strcspn(version, "_ \n")] = '\0';
    return good && *version;
}

enum vbox_mode vbox_mode(char *reason, size_t size)
{
    const char *device = path_of("BOINC_VBOX_DEVICE", "/dev/vboxdrv");
    const char *version_file = path_of("BOINC_VBOX_MODULE_VERSION", "/sys/module/vboxdrv/version");
    char version[64];
    struct stat status;
    int fd;

    if (stat(device, &status)) {
        snprintf(reason, size, "%s is not in this container", device);
        return VBOX_DRIVERLESS;
    }
    if (!S_ISCHR(status.st_mode)) {
        snprintf(reason, size, "%s is no device", device);
        return VBOX_DRIVERLESS;
    }
    if (!module_version(version_file, version, sizeof version)) {
        snprintf(reason, size, "the host's driver tells no version in %s", version_file);
        return VBOX_DRIVERLESS;
    }
    if (strcmp(version, VBOX_VERSION)) {
        snprintf(reason, size, "version mismatch: the host's driver is %s, VirtualBox here is %s; they must be the same", version,
                 VBOX_VERSION);
        return VBOX_DRIVERLESS;
    }
    fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(reason, size, "%s (%s) cannot be opened by uid %d: %s", device, version, (int)getuid(), strerror(errno));
        return VBOX_DRIVERLESS;
    }
    close(fd);
    if (geteuid()) {
        /* The hardened VBoxHeadless insists, and nothing in this image is setuid. */
        snprintf(reason, size, "the host's driver %s fits, but only root may start VMs with it; this is uid %d", version, (int)getuid());
        return VBOX_DRIVERLESS;
    }
    snprintf(reason, size, "the host's driver is %s, as VirtualBox here", version);
    return VBOX_HARDWARE;
}
