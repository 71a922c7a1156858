/* SPDX-License-Identifier: MIT */
/* A terminal for a program: the sandbox's own, made by us. What is typed and printed goes as frames, as with pipes. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static bool open_theirs(int ours)
{
    char path[32];
    int number = 0, unlocked = 0;

    if (ioctl(ours, TIOCSPTLCK, &unlocked) < 0 || ioctl(ours, TIOCGPTN, &number) < 0)
        return false;
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    /* Kept open here: without anybody at that end ours would have nothing but errors. */
    g.child.tty = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (g.child.tty >= 0)
        g.child.tty = fd_high(g.child.tty);
    return g.child.tty >= 0;
}

bool terminal_open(void)
{
    int ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (ours < 0)
        return false;
    ours = fd_high(ours);
    g.stdin_fd = fcntl(ours, F_DUPFD_CLOEXEC, 10);
    if (g.stdin_fd < 0 || !open_theirs(ours)) {
        int why = errno;
        close(ours);
        fd_close(&g.stdin_fd);
        errno = why;
        return false;
    }
    g.stdout_.fd = ours;
    terminal_resize(g.child.window);
    return true;
}

void terminal_take(void) { ioctl(g.child.tty, TIOCSCTTY, 0); }

void terminal_resize(uint32_t window)
{
    struct winsize size = {.ws_row = (unsigned short) (window >> 16), .ws_col = (unsigned short) window};

    g.child.window = window;
    if (g.child.tty >= 0)
        ioctl(g.child.tty, TIOCSWINSZ, &size);
}

bool terminal_types_end(void)
{
    struct termios how;

    if (g.child.typed_end || g.stdin_fd < 0 || tcgetattr(g.child.tty, &how) < 0 || how.c_cc[VEOF] == _POSIX_VDISABLE)
        return false;
    g.child.typed_end = true;
    /* Within a line the first one only gives what there is of it. */
    bool twice = (how.c_lflag & ICANON) && g.child.typed != '\n' && g.child.typed != '\r' && g.child.typed != '\0';
    for (int i = 0; i <= twice; i++)
        buf_add(&g.in_data, &how.c_cc[VEOF], 1);
    return true;
}

void terminal_close(void) { fd_close(&g.child.tty); }
