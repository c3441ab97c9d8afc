/* The network, when the job or the host asks for it. */
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool interface_up(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good;

    if (fd < 0)
        return false;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    good = !ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    return good;
}

void loopback_up(void)
{
    if (!interface_up("lo"))
        say("the loopback interface does not come up");
}

static bool has_carrier(const char *name)
{
    char path[300], value = '0';
    int fd;

    snprintf(path, sizeof path, "/sys/class/net/%s/carrier", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (read(fd, &value, 1) != 1)
        value = '0';
    close(fd);
    return value == '1';
}

bool network_up(int seconds, bool quiet)
{
    const char *name = "eth0";
    double end = uptime() + seconds;
    char tries[16];

    if (access("/sys/class/net/eth0", F_OK)) {
        if (!quiet)
            say("network: this VM has no network card that the guest knows");
        return false;
    }
    if (!interface_up(name)) {
        say("network: %s does not come up", name);
        return false;
    }
    while (!has_carrier(name)) {
        if (uptime() > end) {
            if (!quiet)
                say("network: the cable of %s is not plugged in", name);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    }
    snprintf(tries, sizeof tries, "%d", seconds);
    if (run((const char *const[]){"/bin/busybox", "udhcpc", "-q", "-n", "-f", "-T", "1", "-t", tries, "-i", name, "-s",
                                  "/etc/udhcpc.script", NULL})) {
        say("network: no answer from DHCP on %s in %d s", name, seconds);
        return false;
    }
    say("network: up after %.1f s", uptime());
    return true;
}

void start_ssh(void)
{
    static const char source[] = SHARED "/authorized_keys";
    const char *const copy[] = {"/bin/busybox", "install", "-D", "-m", "0600", source, "/root/.ssh/authorized_keys", NULL};

    if (access(source, R_OK)) {
        say("ssh: asked for, but there is no authorized_keys in the shared folder");
        return;
    }
    if (!mount_tools())
        return;
    if (run(copy)) {
        say("ssh: cannot copy authorized_keys");
        return;
    }
    chmod("/root", 0700);
    mkdir("/etc/dropbear", 0700);
    if (run((const char *const[]){"/tools/bin/dropbear", "-R", "-s", "-p", "22", NULL}))
        say("ssh: the server did not start");
    else
        say("ssh: listening on port 22");
}
