/* SPDX-License-Identifier: MIT */
/* Session mode: the standard streams of an execution, whose other ends the interpreter has. */
#include "init/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int *standard_stream(int number)
{
    return number == 0 ? &g.stdin_fd : number == 1 ? &g.stdout_.fd : &g.stderr_.fd;
}

static void close_streams(void)
{
    for (int i = 0; i < 3; i++)
        fd_close(standard_stream(i));
}

/* The other end of a pipe that S has made; -1 when we may not, or it is something else. */
static int open_by_name(int number)
{
    char path[64];
    struct stat found;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int) g.kernel.pid, number);
    int fd = open(path, (number == 0 ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    if (fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode))
        return fd_high(fd);
    close(fd);
    return -1;
}

static void streams_are_there(void)
{
    struct message go = {.type = 'G', .number = g.id, .nonce = g.session.nonce};

    g.session.opened = true;
    g.session.connected = -1;
    kernel_send(g.kernel.control, &go, LIVE_SEND_WAIT_MS); /* not taken: it is stopped, and ends at its time limit */
    relay_stdin();
}

/* S has made the pipes: we open them by name. Where a security module forbids it S connects three sockets instead. */
void streams_open(void)
{
    struct message no = {.type = 'N', .number = g.id, .nonce = g.session.nonce};
    bool all = true;

    for (int i = 0; i < 3; i++)
        all = (*standard_stream(i) = open_by_name(i)) >= 0 && all;
    if (all || g.session.streams < 0) {
        streams_are_there();
        return;
    }
    close_streams();
    g.session.connected = 0;
    kernel_send(g.kernel.control, &no, LIVE_SEND_WAIT_MS);
}

pid_t streams_peer(int fd)
{
    struct ucred who = {0};
    socklen_t size = sizeof who;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 ? who.pid : 0;
}

void session_accept_stream(void)
{
    int fd = accept4(g.session.streams, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (g.phase != RUNNING || g.session.connected < 0 || streams_peer(fd) != g.kernel.pid) {
        close(fd);
        return;
    }
    *standard_stream(g.session.connected++) = fd_high(fd);
    if (g.session.connected == 3)
        streams_are_there();
}

/* What is in the pipe now, and no more: a process in the background may go on for ever. */
void streams_drain(struct stream *s)
{
    int n = 0;

    if (g.child.is && g.child.terminal) /* which tells of the part alone that it has made lines of */
        n = TERMINAL_HOLDS;
    else if (s->fd >= 0 && ioctl(s->fd, FIONREAD, &n) < 0)
        n = 0;
    do { /* once at least: there may be something that was printed into memory */
        int64_t before = s->piped;
        if (!relay_stream(s))
            return;
        n -= (int) (s->piped - before);
    } while (n > 0);
}
