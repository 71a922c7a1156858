/* SPDX-License-Identifier: MIT */
/*
 * A program as a stream: its stdin and stdout carry pid 1's bytes, its stderr is diagnostics.
 * The descriptor to poll is an epoll one over both outputs, since a full stderr would stop stdout, too.
 */
#include "engine/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DIAGNOSTIC_MAX 4096
#define LAST_WORDS_MS 500

struct dsbe_pipes {
    struct dsbe_child child;
    dsb_fd in;    /* to the program */
    dsb_fd out;   /* from it */
    dsb_fd err;   /* its complaints; -1 after their end */
    dsb_fd watch; /* epoll over out and err */
    GString *diagnostic;
    char *printable;
};

void dsbe_pipes_free(struct dsbe_pipes *pipes)
{
    if (pipes == NULL)
        return;
    dsb_fd_clear(&pipes->in);
    dsb_fd_clear(&pipes->watch);
    dsb_fd_clear(&pipes->out);
    dsb_fd_clear(&pipes->err);
    /* Ending an attached program detaches: the engine closes the container's stdin, and pid 1 ends by itself. */
    dsbe_child_end(&pipes->child);
    g_string_free(pipes->diagnostic, TRUE);
    g_free(pipes->printable);
    g_free(pipes);
}

static void close_stream(void *state) { dsbe_pipes_free(state); }

/** Takes what is on stderr. */
static void drain_errors(struct dsbe_pipes *pipes)
{
    char buffer[4096];
    while (pipes->err >= 0) {
        gssize n = read(pipes->err, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            epoll_ctl(pipes->watch, EPOLL_CTL_DEL, pipes->err, NULL);
            dsb_fd_clear(&pipes->err);
            return;
        }
        g_string_append_len(pipes->diagnostic, buffer, n);
        if (pipes->diagnostic->len > DIAGNOSTIC_MAX)
            g_string_erase(pipes->diagnostic, 0, (gssize) (pipes->diagnostic->len - DIAGNOSTIC_MAX));
    }
}

/** After the end of stdout: what the program still says before it ends. */
static void drain_last_words(struct dsbe_pipes *pipes)
{
    gint64 deadline = g_get_monotonic_time() + LAST_WORDS_MS * 1000;
    while (pipes->err >= 0) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd fd = {.fd = pipes->err, .events = POLLIN};
        if (left <= 0 || poll(&fd, 1, (int) left) <= 0)
            return;
        drain_errors(pipes);
    }
}

static gssize fail_io(const char *what, GError **error)
{
    if (errno == EAGAIN) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "nothing now");
        return -1;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_LOST, "%s: %s", what, g_strerror(errno));
    return -1;
}

static gssize read_stream(void *state, void *buffer, gsize size, GError **error)
{
    struct dsbe_pipes *pipes = state;
    drain_errors(pipes);
    gssize n;
    do
        n = read(pipes->out, buffer, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io("read from the attached program", error);
    if (n == 0 && size > 0)
        drain_last_words(pipes);
    return n;
}

static gssize write_stream(void *state, const void *buffer, gsize size, GError **error)
{
    struct dsbe_pipes *pipes = state;
    struct dsbe_sigpipe guard; /* the program may be gone, and ours need not ignore the signal */
    gssize n;
    dsbe_sigpipe_block(&guard);
    do
        n = write(pipes->in, buffer, size);
    while (n < 0 && errno == EINTR);
    dsbe_sigpipe_restore(&guard);
    return n < 0 ? fail_io("write to the attached program", error) : n;
}

const char *dsbe_pipes_diagnostic(struct dsbe_pipes *pipes)
{
    drain_errors(pipes);
    g_free(pipes->printable);
    pipes->printable = g_utf8_make_valid(pipes->diagnostic->str, (gssize) pipes->diagnostic->len);
    g_strstrip(pipes->printable);
    for (char *c = pipes->printable; *c != '\0'; c++) {
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    }
    return pipes->printable;
}

static const char *diagnostic(void *state) { return dsbe_pipes_diagnostic(state); }

static gboolean watch(struct dsbe_pipes *pipes, GError **error)
{
    pipes->watch = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (pipes->watch >= 0 && epoll_ctl(pipes->watch, EPOLL_CTL_ADD, pipes->out, &event) == 0 &&
        epoll_ctl(pipes->watch, EPOLL_CTL_ADD, pipes->err, &event) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "epoll: %s", dsb_errno_text(errno));
    return FALSE;
}

struct dsbe_pipes *dsbe_pipes_new(dsb_fd theirs[3], GError **error)
{
    int fds[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    for (int i = 0; i < 3; i++) {
        if (pipe2(fds[i], O_CLOEXEC) == 0)
            continue;
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pipe: %s", dsb_errno_text(errno));
        for (int k = 0; k < i; k++) {
            close(fds[k][0]);
            close(fds[k][1]);
        }
        return NULL;
    }
    struct dsbe_pipes *pipes = g_new0(struct dsbe_pipes, 1);
    pipes->child.pid = -1;
    pipes->child.pidfd = -1;
    pipes->watch = -1;
    pipes->in = fds[0][1];
    pipes->out = fds[1][0];
    pipes->err = fds[2][0];
    pipes->diagnostic = g_string_new(NULL);
    fcntl(pipes->in, F_SETFL, O_NONBLOCK);
    fcntl(pipes->out, F_SETFL, O_NONBLOCK);
    fcntl(pipes->err, F_SETFL, O_NONBLOCK);
    theirs[0] = fds[0][0];
    theirs[1] = fds[1][1];
    theirs[2] = fds[2][1];
    if (watch(pipes, error))
        return pipes;
    for (int i = 0; i < 3; i++)
        dsb_fd_clear(&theirs[i]);
    dsbe_pipes_free(pipes);
    return NULL;
}

void dsbe_pipes_take(struct dsbe_pipes *pipes, const struct dsbe_child *child) { pipes->child = *child; }

void dsbe_pipes_give(struct dsbe_pipes *pipes, struct dsb_byte_stream *stream)
{
    *stream = (struct dsb_byte_stream){
        .state = pipes,
        .read_fd = pipes->watch,
        .write_fd = pipes->in,
        .read = read_stream,
        .write = write_stream,
        .diagnostic = diagnostic,
        .close = close_stream,
    };
}
