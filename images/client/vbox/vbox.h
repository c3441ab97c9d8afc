/* What the programs around VirtualBox share: how VMs run here, and where VirtualBox keeps its settings. */
#ifndef BOINC_VBOX_H
#define BOINC_VBOX_H

#include <stdbool.h>
#include <stddef.h>

#define VBOX_DIRECTORY "/usr/lib/virtualbox"
#define VBOX_MANAGE VBOX_DIRECTORY "/VBoxManage"
#define VBOX_HEADLESS_HARDENED VBOX_DIRECTORY "/VBoxHeadless-hardened"
#define VBOX_EXIT "/usr/local/lib/boinc-vbox/exit.so"

/* VBOX_VERSION is given by the image's build: the version all of this was verified with. */
#ifndef VBOX_VERSION
#error "compile with -DVBOX_VERSION='\"a.b.c\"'"
#endif

/* mode.c: whether the host's driver can be used; *reason* gets one line that says why or why not. */
enum vbox_mode { VBOX_DRIVERLESS, VBOX_HARDWARE };
enum vbox_mode vbox_mode(char *reason, size_t size);

/* home.c: VirtualBox's settings directory of this user; false if there is none to be found. */
bool vbox_home(char *path, size_t size);
/* Sees to the global settings that driverless VMs need, before VirtualBox writes its own; errors are said on stderr. */
void vbox_prepare_home(void);
/* Whether an existing VirtualBox.xml has them. */
bool vbox_home_is_prepared(void);

/* environment.c: VirtualBox lives in real time, whatever clock its caller lives by. */
void vbox_real_time(void);

/* faults.c: does what the faults file asks for this call; returns when nothing is asked, or after a delay. */
void vbox_faults(int count, char **arguments);

#endif
