/* exit.so, loaded into VBoxManage: it ends when it has done its work.
 *
 * VirtualBox 7.2's VBoxManage takes its XPCOM apart before it ends, and waits for the threads that answer calls from
 * VBoxSVC. One that is just becoming idle misses the word that it is over; then it is waited for in vain, for ten seconds
 * (RTReqPoolRelease). On a busy machine that is one call in fifty, after the output is written and everything is done.
 * Nothing of that work is needed: to VBoxSVC a client that ends is a client that ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

unsigned VBoxNsxpNS_ShutdownXPCOM(void *manager);

/* VBoxSVC, which VBoxManage may start, is left alone. */
static void __attribute__((constructor)) only_here(void)
{
    unsetenv("LD_PRELOAD");
}

static void leave(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

/* In the place of libxpcom's. The handlers of exit() run in reverse order: this one is the first, and the last. */
unsigned VBoxNsxpNS_ShutdownXPCOM(void *manager)
{
    (void)manager;
    on_exit(leave, NULL);
    return 0;
}
