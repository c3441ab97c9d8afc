/* Mounts, the completion file, the console and the end of the VM. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHUTDOWN_PORT 0x40f     /* VirtualBox's BIOS: "Shutdown" written here powers off */
#define OLD_SHUTDOWN_PORT 0x8900

static void mount_one(const char *type, const char *directory, unsigned long flags, const char *options)
{
    mkdir(directory, 0755);
    if (mount(type, directory, type, flags, options) && errno != EBUSY)
        say("cannot mount %s at %s: %s", type, directory, strerror(errno));
}

void mount_kernel_file_systems(void)
{
    mount_one("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_one("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_one("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
    mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666");
    mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, NULL);
    mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_one("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
    mount_one("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

void leave_rootfs(void)
{
    /* pivot_root, which container runtimes use, refuses a root that is no mount on
     * another: mount the initramfs over itself and move there. */
    if (mount("/", "/newroot", NULL, MS_BIND, NULL) || chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/"))
        say("the root is still the initramfs itself (%s): containers need --no-pivot", strerror(errno));
}

bool mount_shared_folder(const char *name, const char *directory)
{
    mkdir(directory, 0755);
    return !mount(name, directory, "vboxsf", 0, "uid=0,gid=0,dmode=0755,fmode=0755");
}

double uptime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Whoever reads the file sees all of it or none: written beside it, then renamed. */
bool write_file(const char *directory, const char *name, const char *text)
{
    char path[300], new_path[308];
    size_t count = strlen(text);
    int fd;
    bool good;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    good = write(fd, text, count) == (ssize_t)count;
    good = !close(fd) && good;
    if (good && !rename(new_path, path))
        return true;
    unlink(new_path);
    return false;
}

/* Runs a program to its end: its exit code, 128 + signal, or 127 when it did not start. */
int run(const char *const arguments[])
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    if (pid < 0)
        return 127;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A shell on the serial port for whoever presses Enter there; costs nothing until then. */
void console_shell(void)
{
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    char byte;

    if (fd < 0 || !isatty(fd)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    fcntl(fd, F_SETFL, 0);
    if (fork()) {
        close(fd);
        return;
    }
    for (;;) {
        int status;
        pid_t shell;

        dprintf(fd, "\r\nboinc-guest: press Enter for a shell\r\n");
        do
            if (read(fd, &byte, 1) != 1)
                _exit(0);
        while (byte != '\r' && byte != '\n');
        shell = fork();
        if (!shell) {
            setsid();
            ioctl(fd, TIOCSCTTY, 1);
            dup2(fd, 0);
            dup2(fd, 1);
            dup2(fd, 2);
            chdir("/root");
            execle("/bin/sh", "-sh", NULL,
                   (char *const[]){"PATH=/bin:/sbin:/usr/bin:/tools/bin", "HOME=/root", "TERM=dumb", "PS1=guest# ", NULL});
            _exit(127);
        }
        while (waitpid(shell, &status, 0) < 0 && errno == EINTR)
            ;
    }
}

void power_off(void)
{
    static const char word[] = "Shutdown";

    screen_draw();
    sync();
    if (!access("/sys/firmware/acpi/tables", F_OK))
        reboot(RB_POWER_OFF);   /* returns only if the platform could not */
    if (!iopl(3))
        for (int attempt = 0; attempt < 2; attempt++)
            for (const char *byte = word; *byte; byte++)
                outb((unsigned char)*byte, attempt ? OLD_SHUTDOWN_PORT : SHUTDOWN_PORT);
    reboot(RB_HALT_SYSTEM);
    for (;;)
        pause();
}
