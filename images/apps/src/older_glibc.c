/* The BOINC library in Debian sid wants seven functions that glibc has only since 2.38. Defined here, they keep the
 * applications able to start on bookworm (glibc 2.36). The C23 scanning functions differ from the older ones only in
 * accepting binary literals (0b101), which BOINC's files do not contain. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls by these names must not be turned into the newer functions again by this compiler's own headers. */
extern long old_strtol(const char *, char **, int) __asm__("strtol");
extern unsigned long old_strtoul(const char *, char **, int) __asm__("strtoul");
extern unsigned long long old_strtoull(const char *, char **, int) __asm__("strtoull");
extern int old_vsscanf(const char *, const char *, va_list) __asm__("vsscanf");
extern int old_vfscanf(FILE *, const char *, va_list) __asm__("vfscanf");

long __isoc23_strtol(const char *text, char **end, int base) { return old_strtol(text, end, base); }

unsigned long __isoc23_strtoul(const char *text, char **end, int base) { return old_strtoul(text, end, base); }

unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return old_strtoull(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int found = old_vsscanf(text, format, args);
    va_end(args);
    return found;
}

int __isoc23_fscanf(FILE *file, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int found = old_vfscanf(file, format, args);
    va_end(args);
    return found;
}

size_t strlcpy(char *to, const char *from, size_t size) {
    size_t length = strlen(from);
    if (size > 0) {
        size_t copied = length < size ? length : size - 1;
        memcpy(to, from, copied);
        to[copied] = '\0';
    }
    return length;
}

size_t strlcat(char *to, const char *from, size_t size) {
    size_t length = strnlen(to, size);
    if (length == size) return size + strlen(from);
    return length + strlcpy(to + length, from, size - length);
}
