// What every sample application needs: files by their BOINC names, messages in stderr, one way to fail.
#ifndef BOINC_HARNESS_APP_H
#define BOINC_HARNESS_APP_H

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "boinc_api.h"

// Exit statuses of the sample applications. Scenarios see them as the result's exit_status.
enum { EXIT_BAD_ARGUMENTS = 2, EXIT_NO_INPUT = 3, EXIT_NO_OUTPUT = 4, EXIT_NO_API = 5 };

static const char* app_name = "?";

// One line in stderr.txt, which the volunteer and the project's admin read as <stderr_txt>.
__attribute__((format(printf, 1, 2))) static inline void say(const char* format, ...) {
    va_list args;
    fprintf(stderr, "%s: ", app_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

__attribute__((format(printf, 2, 3), noreturn)) static inline void fail(int status, const char* format, ...) {
    va_list args;
    fprintf(stderr, "%s: ", app_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    boinc_finish(status);
    abort();  // boinc_finish() does not return
}

static inline void start(const char* name) {
    app_name = name;
    int error = boinc_init();
    if (error) {
        fprintf(stderr, "%s: boinc_init() failed with %d\n", name, error);
        exit(EXIT_NO_API);
    }
}

// Opens the file that the job knows as `logical_name`: in the slot directory a link to the project directory.
// Returns NULL with errno set.
static inline FILE* open_logical(const char* logical_name, const char* mode) {
    char path[4096];
    int error = boinc_resolve_filename(logical_name, path, sizeof path);
    if (error) {
        say("cannot resolve file name '%s': error %d", logical_name, error);
        errno = EINVAL;
        return NULL;
    }
    return fopen(path, mode);
}

static inline FILE* open_input(const char* logical_name) {
    FILE* file = open_logical(logical_name, "rb");
    if (!file) fail(EXIT_NO_INPUT, "cannot open input '%s': %s", logical_name, strerror(errno));
    return file;
}

static inline FILE* open_output(const char* logical_name) {
    FILE* file = open_logical(logical_name, "wb");
    if (!file) fail(EXIT_NO_OUTPUT, "cannot open output '%s': %s", logical_name, strerror(errno));
    return file;
}

static inline void write_output(FILE* file, const char* data, size_t length) {
    if (fwrite(data, 1, length, file) != length) fail(EXIT_NO_OUTPUT, "cannot write output: %s", strerror(errno));
}

// A full disk shows only here, when buffered data is flushed.
static inline void close_output(FILE* file) {
    if (fclose(file)) fail(EXIT_NO_OUTPUT, "cannot finish output: %s", strerror(errno));
}

// The client's clock (seconds; libfaketime makes it run as fast as the client's).
static inline double now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

// Parses all of `text` as a number >= 0, or ends the job.
static inline double number(const char* text, const char* what) {
    char* end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end || errno || !(value >= 0) || value > 1e9) {
        fail(EXIT_BAD_ARGUMENTS, "%s: expected a number >= 0, got '%s'", what, text);
    }
    return value;
}

#endif
