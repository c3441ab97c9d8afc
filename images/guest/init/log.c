/* The log: each line once, whole or in marked pieces, to VBox.log and the serial console.
 *
 * VirtualBox's VMMDev takes characters on port 0x504 and writes a "Guest Log:" line at
 * each newline or after 511 characters (VMMDev.cpp, vmmdevBackdoorLog).  One string
 * instruction sends a line.  Where the kernel allows no port access, the mainline
 * driver's VBG_IOCTL_LOG is used: it cuts a message at 127 bytes with its newline, and a
 * message cut so merges with the next (drivers/virt/vboxguest, vbg_info).
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GUEST_LOG_PORT 0x504
#define PORT_PIECE 500          /* bytes of a line that VMMDev takes in one piece */
#define IOCTL_PIECE 126
/* The serial port: each byte costs some hundred instructions, so a job that talks much is
 * shown there in part. */
#define SERIAL_BURST 8192.0
#define SERIAL_RATE 1024.0      /* bytes a second */
#define CONTINUED '\x1e'        /* last byte of a piece whose line goes on in the next */
#define VBG_IOCTL_LOG (('V' << 8) | 9)

struct vbg_header {             /* include/uapi/linux/vboxguest.h */
    uint32_t size_in, version, type;
    int32_t rc;
    uint32_t size_out, reserved;
};

static enum { NOWHERE, BY_PORT, BY_IOCTL } way;
static int vboxguest = -1, serial = -1;
static size_t piece_bytes = PORT_PIECE;
static char line[PORT_PIECE + 4];
static size_t line_bytes;
static bool line_continued;     /* pieces of this line have been sent already */
static unsigned long long budget = ~0ULL, dropped_lines, serial_dropped;

static void send_port(const char *bytes, size_t count)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"((unsigned short)GUEST_LOG_PORT) : "memory");
}

static void send_ioctl(const char *bytes, size_t count)
{
    struct {
        struct vbg_header header;
        char text[IOCTL_PIECE + 2];
    } request = {.header = {.version = 0x10001, .size_out = sizeof request.header}};

    request.header.size_in = (uint32_t)(sizeof request.header + count);
    memcpy(request.text, bytes, count);
    if (ioctl(vboxguest, VBG_IOCTL_LOG, &request) < 0)
        way = NOWHERE;
}

static bool serial_has_room(size_t count)
{
    static double tokens = SERIAL_BURST, last;
    double now = uptime();

    tokens += (now - last) * SERIAL_RATE;
    if (tokens > SERIAL_BURST)
        tokens = SERIAL_BURST;
    last = now;
    if (tokens < (double)count)
        return false;
    tokens -= (double)count;
    return true;
}

static void send_serial(const char *bytes, size_t count)
{
    char note[64];
    int length;

    if (!serial_has_room(count + (serial_dropped ? sizeof note : 0))) {
        serial_dropped++;
        return;
    }
    if (serial_dropped) {
        length = snprintf(note, sizeof note, "[%llu lines not shown here]\n", serial_dropped);
        if (write(serial, note, (size_t)length) == length)
            serial_dropped = 0;
    }
    if (write(serial, bytes, count) != (ssize_t)count)
        serial_dropped++;
}

/* Sends a piece that ends with its newline. */
static void send_piece(const char *bytes, size_t count)
{
    if (way == BY_PORT)
        send_port(bytes, count);
    else if (way == BY_IOCTL)
        send_ioctl(bytes, count);
    if (serial >= 0)
        send_serial(bytes, count);
    screen_add(bytes, count - 1);
}

void log_open(void)
{
    serial = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (serial >= 0 && !isatty(serial)) {       /* no such port in this VM */
        close(serial);
        serial = -1;
    }
    screen_open();
    vboxguest = open("/dev/vboxguest", O_RDWR | O_CLOEXEC);
    if (vboxguest < 0)                          /* not in VirtualBox */
        return;
    if (iopl(3) == 0)
        way = BY_PORT;
    else {
        way = BY_IOCTL;
        piece_bytes = IOCTL_PIECE;
    }
}

void log_limit(int megabytes)
{
    budget = (unsigned long long)megabytes << 20;
}

/* Sends the first *count* bytes of the line; *mark* if the line goes on. */
static void flush_line(size_t count, bool mark)
{
    char saved[4];
    size_t rest = line_bytes - count, end = count;

    if (rest > sizeof saved)
        rest = sizeof saved;
    memcpy(saved, line + count, rest);
    if (!count && !mark && !line_continued)
        line[end++] = ' ';      /* VMMDev writes no line for an empty one */
    if (mark)
        line[end++] = CONTINUED;
    line[end++] = '\n';
    if (end > budget) {
        budget = 0;
        dropped_lines += !mark;
    } else {
        budget -= end;
        send_piece(line, end);
    }
    memcpy(line, saved, rest);
    line_bytes = rest;
    line_continued = mark;
}

/* How much of a full line to send, so that no UTF-8 sequence is cut. */
static size_t whole_characters(void)
{
    size_t end = line_bytes;

    for (size_t back = 1; back <= 3 && back < end; back++) {
        unsigned char byte = (unsigned char)line[end - back];

        if (byte < 0x80)
            break;
        if (byte >= 0xc0) {
            size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;

            return length > back ? end - back : end;
        }
    }
    return end;
}

static bool is_plain(char byte)
{
    return byte != '\n' && byte != '\r' && byte != '\0' && byte != CONTINUED;
}

void log_output(const char *bytes, size_t count)
{
    const char *end = bytes + count;

    while (bytes < end) {
        size_t room, plain = 0;

        if (*bytes == '\n') {
            flush_line(line_bytes, false);
            bytes++;
            continue;
        }
        if (line_bytes == piece_bytes - 1)
            flush_line(whole_characters(), true);
        room = piece_bytes - 1 - line_bytes;
        if (room > (size_t)(end - bytes))
            room = (size_t)(end - bytes);
        while (plain < room && is_plain(bytes[plain]))
            plain++;
        if (plain) {
            memcpy(line + line_bytes, bytes, plain);
            line_bytes += plain;
            bytes += plain;
            continue;
        }
        /* A carriage return would end the line in VMMDev; the mark and NUL have a meaning. */
        if (*bytes == '\r') {
            if (bytes + 1 == end || bytes[1] != '\n')
                line[line_bytes++] = ' ';
        } else
            line[line_bytes++] = '?';
        bytes++;
    }
}

void log_output_end(void)
{
    if (line_bytes || line_continued)
        flush_line(line_bytes, false);
    if (dropped_lines) {
        unsigned long long count = dropped_lines;

        dropped_lines = 0;
        budget = 4096;
        say("the job's output passed its limit: %llu lines were not sent", count);
    }
}

void say(const char *format, ...)
{
    char text[PORT_PIECE];
    va_list arguments;
    int length;
    size_t start = 0;

    va_start(arguments, format);
    length = snprintf(text, sizeof text, "boinc-guest: ");
    length += vsnprintf(text + length, sizeof text - (size_t)length - 2, format, arguments);
    va_end(arguments);
    if ((size_t)length > sizeof text - 3)
        length = sizeof text - 3;
    /* Between lines of the job's output, or after the unfinished piece so far. */
    while ((size_t)length - start > piece_bytes - 2) {
        char piece[PORT_PIECE];

        memcpy(piece, text + start, piece_bytes - 2);
        piece[piece_bytes - 2] = CONTINUED;
        piece[piece_bytes - 1] = '\n';
        send_piece(piece, piece_bytes);
        start += piece_bytes - 2;
    }
    text[length] = '\n';
    send_piece(text + start, (size_t)length + 1 - start);
}
