/* crun, what it is limited to, and what comes of it. */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRUN "/tools/bin/crun"
#define CRUN_LOG WORK "/log"
#define ALL_CGROUPS "/sys/fs/cgroup"
#define CGROUP ALL_CGROUPS "/boinc"
#define CONTROLLERS "+memory +cpu +pids"

/* One of the container's output streams: to the file that is uploaded, and to the log. */
struct stream {
    const char *name;
    int from, file, log;
};

static void limit_memory(const struct wishes *wishes)
{
    if (!write_text(ALL_CGROUPS "/cgroup.subtree_control", CONTROLLERS) || (mkdir(CGROUP, 0755) && errno != EEXIST) ||
        !write_text(CGROUP "/cgroup.subtree_control", CONTROLLERS) ||
        (wishes->memory && !write_text(CGROUP "/memory.max", wishes->memory)))
        refuse("the container cannot be limited: %s", strerror(errno));
}

static int open_stream(struct stream *stream, const char *name, int log)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        refuse("the container gets no output: %s", strerror(errno));
    *stream = (struct stream){name, ends[0], open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), log};
    if (stream->file < 0)
        refuse("the file %s cannot be made: %s", name, strerror(errno));
    return ends[1];
}

static bool write_all(int fd, const char *bytes, size_t count)
{
    while (count) {
        ssize_t part = write(fd, bytes, count);

        if (part < 0)
            return false;
        bytes += part;
        count -= (size_t)part;
    }
    return true;
}

static void pass_on(struct stream *stream)
{
    static char buffer[65536];
    ssize_t count = read(stream->from, buffer, sizeof buffer);

    if (count <= 0) {
        close(stream->from);
        stream->from = -1;
        return;
    }
    if (stream->file >= 0 && !write_all(stream->file, buffer, (size_t)count)) {
        say("the file %s cannot be written: %s", stream->name, strerror(errno));
        close(stream->file);
        stream->file = -1;
    }
    write_all(stream->log, buffer, (size_t)count);
}

static pid_t start_crun(int output, int errors)
{
    /* crun would copy itself before it starts the container, which could otherwise write to it; what lies on a
     * read-only file system it leaves as it is when this variable says that somebody has thought of it. */
    static char *const environment[] = {"_LIBCONTAINER_CLONED_BINARY=1", "PATH=/tools/bin:/bin", NULL};
    pid_t pid = vfork();

    if (!pid) {
        dup2(output, STDOUT_FILENO);
        dup2(errors, STDERR_FILENO);
        execle(CRUN, "crun", "--root", "/run/crun", "--log", CRUN_LOG, "run", "--bundle", WORK, "container", NULL, environment);
        _exit(EXIT_REFUSED);
    }
    return pid;
}

/* The first line of a file, without its end; empty if there is none. */
static void first_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");

    if (!file || !fgets(line, (int)size, file))
        *line = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (file)
        fclose(file);
}

int outcome(int code, const char *problem)
{
    if (!*problem)
        return code;
    say("%s", problem);
    if (strstr(problem, "not found") || strstr(problem, "No such file"))
        return 127;
    if (strstr(problem, "ermission denied"))
        return 126;
    return EXIT_REFUSED;
}

static bool out_of_memory(void)
{
    FILE *file = fopen(CGROUP "/memory.events", "re");
    char key[64];
    long number;
    bool killed = false;

    while (file && fscanf(file, "%63s %ld", key, &number) == 2)
        killed |= !strcmp(key, "oom_kill") && number;
    if (file)
        fclose(file);
    return killed;
}

int run_container(const struct wishes *wishes)
{
    struct stream streams[2];
    char problem[1024];
    int output, errors, status;
    pid_t pid;

    limit_memory(wishes);
    output = open_stream(&streams[0], "stdout", STDOUT_FILENO);
    errors = open_stream(&streams[1], "stderr", STDERR_FILENO);
    pid = start_crun(output, errors);
    close(output);
    close(errors);
    if (pid < 0)
        refuse("crun cannot be started: %s", strerror(errno));
    while (streams[0].from >= 0 || streams[1].from >= 0) {
        struct pollfd fds[] = {{streams[0].from, POLLIN, 0}, {streams[1].from, POLLIN, 0}};

        if (poll(fds, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents)
                pass_on(&streams[i]);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            refuse("what became of the container is not known: %s", strerror(errno));
    first_line(CRUN_LOG, problem, sizeof problem);
    if (out_of_memory()) {
        outcome(0, problem);
        say("the container used more memory than the job may");
        return EXIT_MEMORY;
    }
    return outcome(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), problem);
}
