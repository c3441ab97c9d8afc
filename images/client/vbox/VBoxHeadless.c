/* Stands in for VirtualBox's VBoxHeadless where the host has no (fitting) kernel module.
 *
 * The stock program is a small one: it loads VBoxRT.so, VirtualBox's runtime, initialises it and calls TrustedMain in
 * VBoxHeadless.so, the actual front end.  Stock initialisation insists on the driver.  This one asks the runtime for its
 * driverless mode (include/iprt/initterm.h, include/VBox/sup.h) and runs the same front end.  With a fitting driver it
 * puts the stock program back in its place, for that one runs under its own name only, and hands over to it.
 *
 * The numbers below are those of VBOX_VERSION: the runtime is asked for its version first, and the image's build boots a
 * VM with them.
 */
#include "vbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RTR3INIT_FLAGS_TRY_SUPLIB 0x20000u
#define RTR3INIT_FLAGS_SUPLIB_SHIFT 18
#define SUPR3INIT_F_DRIVERLESS 4u
#define SUPR3INIT_F_DRIVERLESS_IEM_ALLOWED 8u
#define DRIVERLESS_FLAGS                                                                                                         \
    (RTR3INIT_FLAGS_TRY_SUPLIB | SUPR3INIT_F_DRIVERLESS << RTR3INIT_FLAGS_SUPLIB_SHIFT |                                         \
     SUPR3INIT_F_DRIVERLESS_IEM_ALLOWED << RTR3INIT_FLAGS_SUPLIB_SHIFT)

typedef const char *version_function(void);
typedef int initialise_function(int count, char ***arguments, uint32_t flags);
typedef int main_function(int count, char **arguments, char **environment);

static void __attribute__((noreturn)) fail(const char *what, const char *why)
{
    /* VBoxSVC shows standard error's last line to whoever asked for the VM. */
    fprintf(stderr, "VBoxHeadless (boinc-harness, driverless): %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void *library(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);

    if (!handle)
        fail(path, dlerror());
    return handle;
}

static void *symbol(void *handle, const char *path, const char *name)
{
    void *address = dlsym(handle, name);

    if (!address) {
        char what[256];

        snprintf(what, sizeof what, "%s has no %s", path, name);
        fail(what, "is this VirtualBox " VBOX_VERSION "?");
    }
    return address;
}

static void set_globally(const char *key)
{
    int status = -1;
    pid_t pid = fork();

    if (!pid) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        execl(VBOX_MANAGE, "VBoxManage", "setextradata", "global", key, "1", (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status)
        fail(key, "VBoxManage cannot set it globally; without it no VM runs driverless");
}

static void become_the_stock_program(char **arguments)
{
    static const char own[] = VBOX_DIRECTORY "/VBoxHeadless", new[] = VBOX_DIRECTORY "/VBoxHeadless.new";

    if ((link(VBOX_HEADLESS_HARDENED, new) && errno != EEXIST) || rename(new, own))
        fail(own, strerror(errno));
    execv(own, arguments);
    fail(own, strerror(errno));
}

int main(int count, char **arguments, char **environment)
{
    static const char runtime_path[] = VBOX_DIRECTORY "/VBoxRT.so", front_end_path[] = VBOX_DIRECTORY "/VBoxHeadless.so";
    char reason[512], message[600];
    void *runtime, *front_end;
    const char *version;
    int code;

    if (vbox_mode(reason, sizeof reason) == VBOX_HARDWARE)
        become_the_stock_program(arguments);
    runtime = library(runtime_path);
    version = ((version_function *)symbol(runtime, runtime_path, "RTBldCfgVersion"))();
    if (strncmp(version, VBOX_VERSION, strlen(VBOX_VERSION)) || (version[strlen(VBOX_VERSION)] >= '0' && version[strlen(VBOX_VERSION)] <= '9')) {
        snprintf(message, sizeof message, "VirtualBox is %s", version);
        fail(message, "the driverless mode was verified with " VBOX_VERSION " only");
    }
    /* Settings that were there before us, or another user's. */
    if (!vbox_home_is_prepared()) {
        set_globally("VBoxInternal/HM/FallbackToIEM");
        set_globally("VBoxInternal/EM/IemExecutesAll");
    }
    code = ((initialise_function *)symbol(runtime, runtime_path, "RTR3InitExe"))(count, &arguments, DRIVERLESS_FLAGS);
    if (code < 0) {
        snprintf(message, sizeof message, "RTR3InitExe returned %d", code);
        fail("the runtime does not start driverless", message);
    }
    front_end = library(front_end_path);
    return ((main_function *)symbol(front_end, front_end_path, "TrustedMain"))(count, arguments, environment);
}
