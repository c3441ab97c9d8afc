/* vbox-mode: say how VMs run in this container.
 *
 *     vbox-mode            MODE: REASON, MODE being hardware or driverless
 */
#include "vbox.h"

#include <stdio.h>

int main(void)
{
    char reason[512];
    enum vbox_mode mode = vbox_mode(reason, sizeof reason);

    printf("%s: %s\n", mode == VBOX_HARDWARE ? "hardware" : "driverless", reason);
    return 0;
}
