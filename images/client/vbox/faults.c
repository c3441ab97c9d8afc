/* Faults of VBoxManage on demand: nothing happens unless a test writes the file.
 *
 * Each line of /tmp/boinc-vbox-faults is five fields separated by tabs:
 *
 *     ID  TIMES  ACTION  ARGUMENT  WORDS
 *
 * ID names the fault (letters and digits); TIMES is how many calls it meets, or * for all; WORDS are patterns (fnmatch(3))
 * separated by spaces for the call's first words, options before the command left out. Actions:
 *
 *     fail    print ARGUMENT ("\n" for a new line) on standard error, end with code 1
 *     say     print ARGUMENT on standard output, end with code 0
 *     hang    never return, until killed
 *     slow    wait ARGUMENT seconds, then go on with the next line, or VirtualBox
 *
 * The nth call that a fault met leaves a file /tmp/boinc-vbox-faults.ID.N that holds its words.
 */
#include "vbox.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_FILE "/tmp/boinc-vbox-faults"

static bool matches(char *patterns, int count, char **arguments)
{
    char *save = NULL;
    int index = 1;

    while (index < count && arguments[index][0] == '-' && strcmp(arguments[index], "--version"))
        index++;
    for (char *pattern = strtok_r(patterns, " ", &save); pattern; pattern = strtok_r(NULL, " ", &save), index++)
        if (index >= count || fnmatch(pattern, arguments[index], 0))
            return false;
    return true;
}

/* Takes one of the fault's times, leaving its mark; false when there is none left. */
static bool take(const char *id, const char *times, int count, char **arguments)
{
    long most = strcmp(times, "*") ? strtol(times, NULL, 10) : 1000000;

    for (long number = 1; number <= most; number++) {
        char mark[256];
        int fd;

        snprintf(mark, sizeof mark, FAULTS_FILE ".%s.%ld", id, number);
        fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0) {
            if (errno == EEXIST)
                continue;
            fprintf(stderr, "VBoxManage (boinc-harness): cannot mark a fault in %s: %s\n", mark, strerror(errno));
            return false;
        }
        for (int index = 1; index < count; index++)
            dprintf(fd, "%s%s", index > 1 ? " " : "", arguments[index]);
        close(fd);
        return true;
    }
    return false;
}

static void print(FILE *stream, const char *text)
{
    for (; *text; text++)
        if (text[0] == '\\' && text[1] == 'n') {
            putc('\n', stream);
            text++;
        } else
            putc(*text, stream);
    putc('\n', stream);
    fflush(stream);
}

static void act(const char *action, const char *argument)
{
    if (!strcmp(action, "fail")) {
        print(stderr, argument);
        exit(EXIT_FAILURE);
    }
    if (!strcmp(action, "say")) {
        print(stdout, argument);
        exit(EXIT_SUCCESS);
    }
    if (!strcmp(action, "hang"))
        for (;;)
            pause();
    if (!strcmp(action, "slow")) {
        double seconds = strtod(argument, NULL);

        nanosleep(&(struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)}, NULL);
        return;
    }
    fprintf(stderr, "VBoxManage (boinc-harness): %s: unknown action '%s'\n", FAULTS_FILE, action);
    exit(EXIT_FAILURE);
}

void vbox_faults(int count, char **arguments)
{
    static char line[8192];
    FILE *file = fopen(FAULTS_FILE, "re");

    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char *field[5], *rest = line;
        int number = 0;

        line[strcspn(line, "\n")] = '\0';
        while (number < 5 && (field[number] = strsep(&rest, "\t")))
            number++;
        if (number == 0 || !*field[0])
            continue;
        if (number < 5) {
            fprintf(stderr, "VBoxManage (boinc-harness): %s: a line has %d fields, expected 5\n", FAULTS_FILE, number);
            exit(EXIT_FAILURE);
        }
        if (matches(field[4], count, arguments) && take(field[0], field[1], count, arguments))
            act(field[2], field[3]);
    }
    fclose(file);
}
