/* The ACPI power button, as an input event (include/uapi/linux/input.h). */
#include "guest.h"

#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int button_open(void)
{
    for (int number = 0; number < 8; number++) {
        char path[32], name[64] = "";
        int fd;

        snprintf(path, sizeof path, "/dev/input/event%d", number);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (ioctl(fd, EVIOCGNAME(sizeof name - 1), name) > 0 && !strcmp(name, "Power Button"))
            return fd;
        close(fd);
    }
    return -1;
}

bool button_pressed(int fd)
{
    struct input_event event;
    bool pressed = false;

    while (read(fd, &event, sizeof event) == (ssize_t)sizeof event)
        pressed |= event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
    return pressed;
}
