/* VirtualBox's settings directory, made ready for driverless VMs.
 *
 * Without /dev/vboxdrv VirtualBox starts a VM only in its interpreter, and only when two
 * settings ask for that.  They are honoured when global, so nobody who creates a VM needs
 * to know.  Written before VirtualBox first runs they cost nothing; `VBoxManage
 * setextradata` costs a process and a round trip each.
 */
#include "vbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FALLBACK_KEY "VBoxInternal/HM/FallbackToIEM"
#define INTERPRETER_KEY "VBoxInternal/EM/IemExecutesAll"
#define LOGO_KEY "VBoxInternal/Devices/vga/0/Config/"

/* VirtualBox.xml as VirtualBox itself writes it when it first runs, with our settings in it. */
static const char fresh_settings[] =
    "<?xml version=\"1.0\"?>\n"
    "<VirtualBox xmlns=\"http://www.virtualbox.org/\" version=\"1.12-linux\">\n"
    "  <Global>\n"
    "    <ExtraData>\n"
    "      <ExtraDataItem name=\"" FALLBACK_KEY "\" value=\"1\"/>\n"
    "      <ExtraDataItem name=\"" INTERPRETER_KEY "\" value=\"1\"/>\n"
    /* the logo and the boot menu take 2.5 s of interpreted time */
    "      <ExtraDataItem name=\"" LOGO_KEY "FadeIn\" value=\"0\"/>\n"
    "      <ExtraDataItem name=\"" LOGO_KEY "FadeOut\" value=\"0\"/>\n"
    "      <ExtraDataItem name=\"" LOGO_KEY "LogoTime\" value=\"0\"/>\n"
    "      <ExtraDataItem name=\"" LOGO_KEY "ShowBootMenu\" value=\"0\"/>\n"
    "      <ExtraDataItem name=\"GUI/UpdateDate\" value=\"never\"/>\n"
    "    </ExtraData>\n"
    "    <MachineRegistry/>\n"
    "  </Global>\n"
    "</VirtualBox>\n";

static bool is_directory(const char *path)
{
    struct stat status;

    return !stat(path, &status) && S_ISDIR(status.st_mode);
}

/* In VirtualBox's own order: VBOX_USER_HOME, an old ~/.VirtualBox, else the configuration directory. */
bool vbox_home(char *path, size_t size)
{
    const char *own = getenv("VBOX_USER_HOME"), *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");

    if (own && *own)
        return (size_t)snprintf(path, size, "%s", own) < size;
    if (!home || !*home)
        return false;
    if ((size_t)snprintf(path, size, "%s/.VirtualBox", home) < size && is_directory(path))
        return true;
    if (config && *config)
        return (size_t)snprintf(path, size, "%s/VirtualBox", config) < size;
    return (size_t)snprintf(path, size, "%s/.config/VirtualBox", home) < size;
}

/* Makes a directory and those above it, for this user alone where they are new. */
static bool make_directories(char *path)
{
    for (char *slash = path + 1; *slash; slash++)
        if (*slash == '/') {
            *slash = '\0';
            if (mkdir(path, 0755) && errno != EEXIST) {
                *slash = '/';
                return false;
            }
            *slash = '/';
        }
    return !mkdir(path, 0700) || errno == EEXIST;
}

void vbox_prepare_home(void)
{
    char home[3000], settings[3072], new_settings[3100];
    int fd;
    bool good;

    if (!vbox_home(home, sizeof home))
        return;                         /* VirtualBox says so itself, and better */
    snprintf(settings, sizeof settings, "%s/VirtualBox.xml", home);
    if (!access(settings, F_OK))
        return;
    if (!make_directories(home)) {
        fprintf(stderr, "VBoxManage (boinc-harness): cannot make %s: %s\n", home, strerror(errno));
        return;
    }
    snprintf(new_settings, sizeof new_settings, "%s.%ld", settings, (long)getpid());
    fd = open(new_settings, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "VBoxManage (boinc-harness): cannot write %s: %s\n", new_settings, strerror(errno));
        return;
    }
    good = write(fd, fresh_settings, strlen(fresh_settings)) == (ssize_t)strlen(fresh_settings);
    good = !close(fd) && good;
    /* link, not rename: of two that start at once, or of us and VirtualBox, the first wins. */
    if (!good || (link(new_settings, settings) && errno != EEXIST))
        fprintf(stderr, "VBoxManage (boinc-harness): cannot write %s: %s\n", settings, strerror(errno));
    unlink(new_settings);
}

bool vbox_home_is_prepared(void)
{
    static char text[1 << 20];
    char home[3000], settings[3072];
    ssize_t count, total = 0;
    int fd;

    if (!vbox_home(home, sizeof home))
        return false;
    snprintf(settings, sizeof settings, "%s/VirtualBox.xml", home);
    fd = open(settings, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (total < (ssize_t)sizeof text - 1 && (count = read(fd, text + total, sizeof text - 1 - (size_t)total)) > 0)
        total += count;
    close(fd);
    text[total] = '\0';
    return strstr(text, "name=\"" FALLBACK_KEY "\" value=\"1\"") && strstr(text, "name=\"" INTERPRETER_KEY "\" value=\"1\"");
}
