/* The text screen: the last lines of the log, for whoever takes a screenshot.
 *
 * The kernel has no virtual terminals (they take 2 M instructions to register); the BIOS
 * has left the VGA in text mode 3: 25 rows of 80 cells at 0xb8000, a character and its
 * colours each.
 */
#include "guest.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VGA_TEXT 0xb8000
#define COLUMNS 80
#define ROWS 25
#define LIGHT_GREY 0x0700
#define REDRAW_SECONDS 0.5      /* drawing is 2000 writes to a device */

static volatile uint16_t *screen;
static char rows[ROWS][COLUMNS];
static unsigned next_row;       /* counts on; modulo ROWS */
static bool dirty;
static double drawn;

void screen_open(void)
{
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, VGA_TEXT);
    close(fd);
    if (map != MAP_FAILED)
        screen = map;
}

void screen_add(const char *bytes, size_t count)
{
    if (!screen)
        return;
    do {
        char *row = rows[next_row++ % ROWS];
        size_t part = count < COLUMNS ? count : COLUMNS;

        for (size_t i = 0; i < COLUMNS; i++) {
            char byte = i < part ? bytes[i] : ' ';

            row[i] = byte < ' ' || byte > '~' ? ' ' : byte;
        }
        bytes += part;
        count -= part;
    } while (count);
    dirty = true;
}

void screen_draw(void)
{
    unsigned first = next_row < ROWS ? 0 : next_row;

    if (!dirty)
        return;
    for (unsigned row = 0; row < ROWS; row++)
        for (unsigned column = 0; column < COLUMNS; column++) {
            char byte = rows[(first + row) % ROWS][column];

            screen[row * COLUMNS + column] = (uint16_t)(LIGHT_GREY | (unsigned char)(byte ? byte : ' '));
        }
    dirty = false;
    drawn = uptime();
}

int screen_wait_ms(void)
{
    double wait;

    if (!dirty)
        return -1;
    wait = drawn + REDRAW_SECONDS - uptime();
    return wait > 0 ? (int)(wait * 1000) + 1 : 0;
}
