/* What the job asks for: job.conf and boinc.KEY=VALUE on the kernel's command line. */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void job_defaults(struct job *job)
{
    *job = (struct job){
        .disk = "auto",
        .completion_file = "completion_trigger_file",
        .heartbeat_file = "heartbeat",
        .network = ANSWER_AUTO,
        .console = true,
        .results = true,
        .power_off = true,
        .heartbeat_seconds = 10,
        .log_limit_mb = 64,
    };
}

static bool parse_answer(const char *value, enum answer *answer)
{
    static const struct {
        const char *word;
        enum answer answer;
    } words[] = {{"yes", ANSWER_YES}, {"1", ANSWER_YES},   {"true", ANSWER_YES}, {"no", ANSWER_NO},
                 {"0", ANSWER_NO},    {"false", ANSWER_NO}, {"auto", ANSWER_AUTO}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(value, words[i].word)) {
            *answer = words[i].answer;
            return true;
        }
    return false;
}

static bool parse_bool(const char *value, bool *result)
{
    enum answer answer;

    if (!parse_answer(value, &answer) || answer == ANSWER_AUTO)
        return false;
    *result = answer == ANSWER_YES;
    return true;
}

static bool parse_number(const char *value, int least, int most, int *result)
{
    char *end;
    long number = strtol(value, &end, 10);

    if (end == value || *end || number < least || number > most)
        return false;
    *result = (int)number;
    return true;
}

static bool parse_text(const char *value, char *buffer, size_t size)
{
    return (size_t)snprintf(buffer, size, "%s", value) < size;
}

/* A file name in the shared folder, not a path out of it. */
static bool parse_name(const char *value, char *buffer, size_t size)
{
    return *value && !strchr(value, '/') && strcmp(value, ".") && strcmp(value, "..") &&
           parse_text(value, buffer, size);
}

static bool set(struct job *job, const char *key, const char *value, const char *source)
{
    const char *expected;
    bool good;

    if (!strcmp(key, "command"))
        good = parse_text(value, job->command, sizeof job->command), expected = "a shell command";
    else if (!strcmp(key, "disk"))
        good = parse_text(value, job->disk, sizeof job->disk), expected = "auto, none or a device";
    else if (!strcmp(key, "completion_file"))
        good = parse_name(value, job->completion_file, sizeof job->completion_file), expected = "a file name";
    else if (!strcmp(key, "heartbeat_file"))
        good = parse_name(value, job->heartbeat_file, sizeof job->heartbeat_file), expected = "a file name";
    else if (!strcmp(key, "folders"))
        good = !strchr(value, '/') && parse_text(value, job->folders, sizeof job->folders), expected = "names of shared folders";
    else if (!strcmp(key, "network"))
        good = parse_answer(value, &job->network), expected = "yes, no or auto";
    else if (!strcmp(key, "disk_format"))
        good = parse_bool(value, &job->disk_format), expected = "yes or no";
    else if (!strcmp(key, "console"))
        good = parse_bool(value, &job->console), expected = "yes or no";
    else if (!strcmp(key, "ssh"))
        good = parse_bool(value, &job->ssh), expected = "yes or no";
    else if (!strcmp(key, "container"))
        good = parse_bool(value, &job->container), expected = "yes or no";
    else if (!strcmp(key, "tools"))
        good = parse_bool(value, &job->tools), expected = "yes or no";
    else if (!strcmp(key, "results"))
        good = parse_bool(value, &job->results), expected = "yes or no";
    else if (!strcmp(key, "power_off"))
        good = parse_bool(value, &job->power_off), expected = "yes or no";
    else if (!strcmp(key, "heartbeat_seconds"))
        good = parse_number(value, 0, 86400, &job->heartbeat_seconds), expected = "0 to 86400";
    else if (!strcmp(key, "log_limit_mb"))
        good = parse_number(value, 1, 65536, &job->log_limit_mb), expected = "1 to 65536";
    else {
        say("%s: unknown option '%s'", source, key);
        return false;
    }
    if (!good)
        say("%s: '%s' is '%.200s', expected %s", source, key, value, expected);
    return good;
}

static char *trimmed(char *text)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && strchr(" \t\r\n", end[-1]))
        *--end = '\0';
    return text;
}

bool job_read_file(struct job *job, const char *path)
{
    static char text[5000];
    FILE *file = fopen(path, "r");
    bool good = true;

    if (!file)
        return errno == ENOENT;
    for (int number = 1; fgets(text, sizeof text, file); number++) {
        char *key = trimmed(text), *equals, source[32];

        if (!*key || *key == '#')
            continue;
        snprintf(source, sizeof source, "job.conf line %d", number);
        equals = strchr(key, '=');
        if (!equals) {
            say("%s: '%.100s' is no KEY=VALUE", source, key);
            good = false;
            continue;
        }
        *equals = '\0';
        good &= set(job, trimmed(key), trimmed(equals + 1), source);
    }
    fclose(file);
    return good;
}

bool job_read_kernel_command_line(struct job *job)
{
    char text[2048];
    FILE *file = fopen("/proc/cmdline", "r");
    bool good = true;

    if (!file || !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        char *equals = strchr(word, '=');

        if (strncmp(word, "boinc.", 6) || !equals)
            continue;
        *equals = '\0';
        good &= set(job, word + 6, equals + 1, "kernel command line");
    }
    return good;
}
