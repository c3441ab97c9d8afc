/* Process 1 of the guest: prepares what the job asks for, runs it, reports, powers off.
 *
 * The order at the end matters: output to the log, disk unmounted, exit code into the
 * completion file, and only then power off - the host may pull the plug as soon as it
 * sees that file.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_GUEST_SETUP 70     /* EX_SOFTWARE: the guest could not do what the job asks */
#define DRAIN_MS 2000           /* output of processes that outlive the job's own */
#define GATHER_MS 20
#define TERMINATE_SECONDS 10    /* from the power button to SIGKILL */

struct state {
    const struct job *job;
    pid_t child;
    int output, signals, beats, button;
    int exit_code;
    double kill_at;             /* 0: nobody asked the job to end */
    unsigned long beat;
};

static void exec_job(const struct job *job, int output, const sigset_t *old_signals)
{
    sigprocmask(SIG_SETMASK, old_signals, NULL);
    setsid();
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(output, 1);
    dup2(output, 2);
    setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/tools/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("SHARED", SHARED, 1);
    setenv("PERSISTENT", PERSISTENT, 1);
    if (chdir(SHARED))
        chdir("/");
    if (job->container)
        execl("/bin/container-job", "container-job", NULL);
    else if (job->command[0])
        execl("/bin/sh", "sh", "-c", job->command, NULL);
    else if (!access(SHARED "/boinc_app", F_OK))
        /* Its arguments are in the file cmdline, quoted as for a shell. */
        execl("/bin/sh", "sh", "-c", "a=$(cat cmdline 2>/dev/null); eval \"set -- $a\"; exec ./boinc_app \"$@\"", NULL);
    else if (!access(SHARED "/cmdline", F_OK))
        execl("/bin/sh", "sh", "./cmdline", NULL);
    dprintf(2, "boinc-guest: nothing to run: no command in job.conf, no boinc_app, no cmdline in the shared folder\n");
    _exit(127);
}

static bool start(struct state *state)
{
    int ends[2];
    sigset_t signals, old;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &old);
    state->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (state->signals < 0 || pipe2(ends, O_CLOEXEC))
        return false;
    state->output = ends[0];
    fcntl(state->output, F_SETFL, O_NONBLOCK);
    state->child = fork();
    if (!state->child)
        exec_job(state->job, ends[1], &old);
    close(ends[1]);
    return state->child > 0;
}

static void arm_heartbeat(struct state *state)
{
    int period = state->job->heartbeat_seconds;
    struct itimerspec when = {.it_interval.tv_sec = period, .it_value.tv_nsec = 1};

    state->beats = period ? timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK) : -1;
    if (state->beats >= 0)
        timerfd_settime(state->beats, 0, &when, NULL);
}

static void heartbeat(struct state *state)
{
    unsigned long long ticks;
    char text[64];

    if (read(state->beats, &ticks, sizeof ticks) != (ssize_t)sizeof ticks)
        return;
    /* The host looks whether it changes (its modification time). */
    snprintf(text, sizeof text, "%lu %.2f\n", ++state->beat, uptime());
    write_file(SHARED, state->job->heartbeat_file, text);
}

/* Reaps all that ended; true when the job's own process is among them. */
static bool reap(struct state *state)
{
    struct signalfd_siginfo discard[8];
    bool ended = false;
    int status;
    pid_t pid;

    while (read(state->signals, discard, sizeof discard) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == state->child) {
            ended = true;
            state->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            if (WIFSIGNALED(status))
                say("the job was ended by signal %d", WTERMSIG(status));
        }
    return ended;
}

/* Passes on what there is; false at the end of the output. */
static bool pass_output(struct state *state)
{
    static char buffer[65536];
    ssize_t count;

    while ((count = read(state->output, buffer, sizeof buffer)) > 0)
        log_output(buffer, (size_t)count);
    return count < 0 && (errno == EAGAIN || errno == EINTR);
}

static void asked_to_end(struct state *state)
{
    say("the power button was pressed: ending the job");
    kill(-state->child, SIGTERM);
    state->kill_at = uptime() + TERMINATE_SECONDS;
}

/* Until the job's process has ended and its output is complete. */
static void supervise(struct state *state)
{
    bool ended = false, open_output = true;
    double drain_until = 0;

    while (!ended || open_output) {
        struct pollfd fds[] = {{open_output ? state->output : -1, POLLIN, 0},
                               {state->signals, POLLIN, 0},
                               {state->beats, POLLIN, 0},
                               {state->button, POLLIN, 0}};
        int wait = -1, draw;

        if (!screen_wait_ms())
            screen_draw();
        if (ended)
            wait = (int)((drain_until - uptime()) * 1000) + 1;
        else if (state->kill_at)
            wait = (int)((state->kill_at - uptime()) * 1000) + 1;
        if (ended && wait <= 0)
            break;
        if (!ended && state->kill_at && wait <= 0) {
            kill(-state->child, SIGKILL);
            state->kill_at = uptime() + TERMINATE_SECONDS;
            continue;
        }
        draw = screen_wait_ms();
        if (draw >= 0 && (wait < 0 || draw < wait))
            wait = draw;
        if (poll(fds, sizeof fds / sizeof *fds, wait) < 0 && errno != EINTR)
            break;
        if (fds[0].revents) {
            open_output = pass_output(state);
            /* Gather a moment's output: switching to us for every line costs more than the line. */
            if (open_output && !ended)
                nanosleep(&(struct timespec){.tv_nsec = GATHER_MS * 1000000L}, NULL);
        }
        if (fds[2].revents)
            heartbeat(state);
        if (fds[3].revents && button_pressed(state->button) && !state->kill_at)
            asked_to_end(state);
        if (fds[1].revents && reap(state)) {
            ended = true;
            drain_until = uptime() + DRAIN_MS / 1000.0;
        }
    }
    log_output_end();
}

static void pack_results(const struct job *job)
{
    int code;

    if (!job->results || access(SHARED "/results", F_OK) || !access(SHARED "/results.tgz", F_OK))
        return;
    code = run((const char *const[]){"/bin/busybox", "tar", "-C", SHARED "/results", "-czf", SHARED "/results.tgz", ".",
                                     NULL});
    if (code)
        say("packing results/ into results.tgz failed with code %d", code);
}

static void finish(const struct job *job, int exit_code, const char *reason)
{
    char text[512];

    pack_results(job);
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    unmount_disks();
    say("job ended with exit code %d after %.1f s", exit_code, uptime());
    /* Exit code, whether to show the rest to the user, the rest (vboxwrapper's format). */
    snprintf(text, sizeof text, "%d\n0\n%s\n", exit_code, reason);
    if (!write_file(SHARED, job->completion_file, text))
        say("cannot write %s to the shared folder: %s", job->completion_file, strerror(errno));
    if (job->power_off)
        power_off();
    screen_draw();
    for (;;)
        pause();
}

static bool mount_folders(char *names)
{
    bool good = true;

    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        char directory[300];

        snprintf(directory, sizeof directory, "/root/%s", name);
        if (!mount_shared_folder(name, directory)) {
            say("no shared folder named '%s': %s", name, strerror(errno));
            good = false;
        }
    }
    return good;
}

/* A VM without a serial port has no console: the kernel opened nothing for us. */
static void open_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd < 3)
        fd = dup(fd);
    close(fd);
}

/* A host that keeps the state of booted guests for later jobs (the wrapper's <warm_start>) asks for a guest that waits here, with
 * nothing of the job read yet. What comes after may be in another VM, later: the time is the host's again. */
static void wait_for_a_job(void)
{
    const struct timespec pause_for = {.tv_nsec = 50 * 1000 * 1000};
    struct timespec now = {0};
    char text[64] = "";
    double seconds;
    int fd;

    if (access(SHARED "/warm.wanted", F_OK))
        return;
    say("booted, waiting for a job");
    write_file(SHARED, "warm.ready", "1\n");
    while ((fd = open(SHARED "/warm.go", O_RDONLY | O_CLOEXEC)) < 0)
        nanosleep(&pause_for, NULL);
    if (read(fd, text, sizeof text - 1) > 0 && (seconds = strtod(text, NULL)) > 1e9) {
        now.tv_sec = (time_t)seconds;
        clock_settime(CLOCK_REALTIME, &now);
    }
    close(fd);
}

static void prepare(struct job *job)
{
    bool good;

    leave_rootfs();
    mount_kernel_file_systems();
    open_standard_streams();
    log_open();
    say("init after %.2f s", uptime());
    if (!mount_shared_folder("shared", SHARED))
        say("no shared folder named 'shared': %s", strerror(errno));
    wait_for_a_job();
    job_defaults(job);
    good = job_read_kernel_command_line(job);
    good &= job_read_file(job, SHARED "/job.conf");
    log_limit(job->log_limit_mb);
    if (job->console)
        console_shell();
    if (!good)
        finish(job, EXIT_GUEST_SETUP, "the guest does not understand job.conf; its log names the line");
    if (!mount_folders(job->folders))
        finish(job, EXIT_GUEST_SETUP, "a shared folder that job.conf names is not there; the guest's log names it");
    loopback_up();
    if ((job->tools || job->container) && !mount_tools())
        finish(job, EXIT_GUEST_SETUP, "the boot medium's programs cannot be mounted; the guest's log says why");
    if (!mount_persistent(job))
        finish(job, EXIT_GUEST_SETUP, "the persistent disk cannot be used; the guest's log says why");
    if (job->network == ANSWER_YES && !network_up(20, false))
        finish(job, EXIT_GUEST_SETUP, "the job asks for a network and there is none; the guest's log says why");
    if (job->network == ANSWER_AUTO && !fork()) {
        network_up(5, true);
        _exit(0);
    }
    if (job->ssh)
        start_ssh();
}

int main(void)
{
    static struct job job;
    struct state state = {.job = &job, .exit_code = EXIT_GUEST_SETUP};

    if (getpid() != 1) {
        fprintf(stderr, "boinc-guest init: runs as process 1 of the guest only\n");
        return 1;
    }
    prepare(&job);
    state.button = button_open();
    arm_heartbeat(&state);
    if (start(&state))
        supervise(&state);
    else
        say("cannot start the job: %s", strerror(errno));
    finish(&job, state.exit_code, "");
}
