/* /usr/bin/VBoxManage: VirtualBox's own, without the warnings of Debian's shell wrapper around it.
 *
 * Debian's prints a warning about /dev/vboxdrv on standard output, which breaks everybody who reads the version from there.
 */
#include "vbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    vbox_real_time();
    vbox_faults(count, arguments);
    vbox_prepare_home();
    arguments[0] = (char[]){VBOX_MANAGE};
    execv(VBOX_MANAGE, arguments);
    fprintf(stderr, "VBoxManage (boinc-harness): cannot run %s: %s\n", VBOX_MANAGE, strerror(errno));
    return 127;
}
