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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A VM with a saved state refuses, and keeps the port that it was saved with. */
static void add_console(int count, char **arguments)
{
    const char *folder = getenv("BOINC_VBOX_CONSOLE"), *name;
    char path[512];
    int index = 1;
    pid_t pid;

    while (index < count && arguments[index][0] == '-')
        index++;
    if (!folder || !*folder || index + 1 >= count || strcmp(arguments[index], "startvm"))
        return;
    name = arguments[index + 1];
    snprintf(path, sizeof path, "%s/%s.console", folder, name);
    pid = fork();
    if (!pid) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        dup2(null, 2);
        execl(VBOX_MANAGE, "VBoxManage", "modifyvm", name, "--uart1", "0x3f8", "4", "--uart-mode1", "server", path, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
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
