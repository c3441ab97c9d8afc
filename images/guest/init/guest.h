/* The guest's init: what its parts share.
 *
 * The interface to the host (job.conf, files in the shared folder, the log's
 * continuation mark) is described in ../README.md.
 */
#ifndef BOINC_GUEST_H
#define BOINC_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SHARED "/root/shared"
#define PERSISTENT "/persistent"
#define TOOLS "/tools"

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_AUTO };

/* What the job asks for: defaults, then the kernel's command line, then job.conf. */
struct job {
    char command[4096];         /* empty: boinc_app, else the file cmdline */
    char disk[64];              /* "auto", "none" or a device such as /dev/sdb */
    char completion_file[128];
    char heartbeat_file[128];
    char folders[256];          /* more shared folders, each mounted at /root/NAME */
    enum answer network;
    bool disk_format;           /* format a disk that holds something unknown */
    bool console;               /* a shell on the serial port, when there is one */
    bool ssh;
    bool container;             /* the job is a container job: ../container runs it */
    bool tools;                 /* mount the boot medium's programs before the job starts */
    bool results;               /* pack results/ into results.tgz */
    bool power_off;
    int heartbeat_seconds;      /* 0: none */
    int log_limit_mb;           /* output after that is counted, not sent */
};

/* config.c */
void job_defaults(struct job *job);
/* Both report what they do not understand to the log, by name, and return false for it. */
bool job_read_kernel_command_line(struct job *job);
bool job_read_file(struct job *job, const char *path);

/* log.c: lines to the host's VBox.log and to the serial console */
void log_open(void);
void log_limit(int megabytes);
/* Output of the job, any bytes, cut anywhere. */
void log_output(const char *bytes, size_t count);
/* Ends an unfinished line of the job's output. */
void log_output_end(void);
/* One line of init's own, with its prefix. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* screen.c: the log's last lines on the text screen */
void screen_open(void);
void screen_add(const char *bytes, size_t count);
void screen_draw(void);
/* Milliseconds until there is something to draw, as for poll(2): -1 if there is nothing. */
int screen_wait_ms(void);

/* system.c */
void mount_kernel_file_systems(void);
void leave_rootfs(void);
bool mount_shared_folder(const char *name, const char *directory);
void console_shell(void);
bool write_file(const char *directory, const char *name, const char *text);
int run(const char *const arguments[]);
double uptime(void);
void power_off(void) __attribute__((noreturn));

/* disk.c */
bool mount_tools(void);
/* Mounts the persistent disk at PERSISTENT; false with the reason logged. */
bool mount_persistent(const struct job *job);
void unmount_disks(void);

/* network.c */
void loopback_up(void);
/* True when an address was obtained; waits at most *seconds*. */
bool network_up(int seconds, bool quiet);
void start_ssh(void);

/* button.c: the ACPI power button, or -1 */
int button_open(void);
bool button_pressed(int fd);

#endif
