/* /usr/bin/VBoxManage: VirtualBox's own, without the warnings of Debian's shell wrapper around it.
 *
 * Debian's prints a warning about /dev/vboxdrv on standard output, which breaks everybody who reads the version from there.
 * It ends at once when it is done (exit.c).
 *
 * With BOINC_VBOX_CONSOLE=FOLDER in the environment every VM that is started gets a serial port on the socket
 * FOLDER/NAME.console, whatever its creator asked for, so that a test can talk to it.
 */
#include "vbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One try; what it printed is in `said`. VBoxManage's exit code. */
static int modify(const char *name, const char *path, char *said, size_t size)
{
    size_t used = 0;
    ssize_t got;
    int ends[2], status = -1;
    pid_t pid;

    said[0] = 0;
    if (pipe(ends))
        return -1;
    pid = fork();
    if (!pid) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execl(VBOX_MANAGE, "VBoxManage", "modifyvm", name, "--uart1", "0x3f8", "4", "--uart-mode1", "server", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (pid > 0 && used + 1 < size && ((got = read(ends[0], said + used, size - 1 - used)) > 0 || (got < 0 && errno == EINTR)))
        used += got > 0 ? (size_t)got : 0;
    said[used] = 0;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* VirtualBox's server may be ending, or still be busy with the caller's last change: it is asked again. A VM with a saved state
 * refuses, and keeps the port that it was saved with. */
static void add_console(int count, char **arguments)
{
    const char *folder = getenv("BOINC_VBOX_CONSOLE"), *name;
    const struct timespec moment = {.tv_nsec = 200000000};
    char path[512], said[4096];
    int index = 1, tries;

    while (index < count && arguments[index][0] == '-')
        index++;
    if (!folder || !*folder || index + 1 >= count || strcmp(arguments[index], "startvm"))
        return;
    name = arguments[index + 1];
    snprintf(path, sizeof path, "%s/%s.console", folder, name);
    for (tries = 0; tries < 25; tries++) {
        if (!modify(name, path, said, sizeof said) || strstr(said, "VBOX_E_INVALID_VM_STATE"))
            return;
        nanosleep(&moment, NULL);
    }
    fprintf(stderr, "VBoxManage (boinc-harness): %s gets no serial console: %s\n", name, said);
}

int main(int count, char **arguments)
{
    vbox_real_time();
    vbox_faults(count, arguments);
    vbox_prepare_home();
    add_console(count, arguments);
    setenv("LD_PRELOAD", VBOX_EXIT, 1);
    arguments[0] = (char[]){VBOX_MANAGE};
    execv(VBOX_MANAGE, arguments);
    fprintf(stderr, "VBoxManage (boinc-harness): cannot run %s: %s\n", VBOX_MANAGE, strerror(errno));
    return 127;
}
