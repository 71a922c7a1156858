/* SPDX-License-Identifier: MIT */
/*
 * The attached program as a stream: its stdin and stdout carry pid 1's bytes, its stderr is diagnostics.
 * The descriptor to poll is an epoll one over both outputs, since a full stderr would stop stdout, too.
 */
#include "docker-cli/docker_cli.h"

#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DIAGNOSTIC_MAX 4096
#define LAST_WORDS_MS 500

struct stream {
    struct dsbc_child child;
    dsb_fd in;    /* to the program */
    dsb_fd out;   /* from it */
    dsb_fd err;   /* its complaints; -1 after their end */
    dsb_fd watch; /* epoll over out and err */
    GString *diagnostic;
    char *printable;
};

static void close_stream(void *state)
{
    struct stream *stream = state;
    dsb_fd_clear(&stream->in);
    dsb_fd_clear(&stream->watch);
    dsb_fd_clear(&stream->out);
    dsb_fd_clear(&stream->err);
    /* Ending the program detaches: the engine closes the container's stdin, and pid 1 ends by itself. */
    dsbc_child_end(&stream->child);
    g_string_free(stream->diagnostic, TRUE);
    g_free(stream->printable);
    g_free(stream);
}

/** Takes what is on stderr. */
static void drain_errors(struct stream *stream)
{
    char buffer[4096];
    while (stream->err >= 0) {
        gssize n = read(stream->err, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            epoll_ctl(stream->watch, EPOLL_CTL_DEL, stream->err, NULL);
            dsb_fd_clear(&stream->err);
            return;
        }
        g_string_append_len(stream->diagnostic, buffer, n);
        if (stream->diagnostic->len > DIAGNOSTIC_MAX)
            g_string_erase(stream->diagnostic, 0, (gssize) (stream->diagnostic->len - DIAGNOSTIC_MAX));
    }
}

/** After the end of stdout: what the program still says before it ends. */
static void drain_last_words(struct stream *stream)
{
    gint64 deadline = g_get_monotonic_time() + LAST_WORDS_MS * 1000;
    while (stream->err >= 0) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd fd = {.fd = stream->err, .events = POLLIN};
        if (left <= 0 || poll(&fd, 1, (int) left) <= 0)
            return;
        drain_errors(stream);
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
    struct stream *stream = state;
    drain_errors(stream);
    gssize n;
    do
        n = read(stream->out, buffer, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io("read from the attached program", error);
    if (n == 0 && size > 0)
        drain_last_words(stream);
    return n;
}

static gssize write_stream(void *state, const void *buffer, gsize size, GError **error)
{
    struct stream *stream = state;
    struct dsbe_sigpipe guard; /* the program may be gone, and ours need not ignore the signal */
    gssize n;
    dsbe_sigpipe_block(&guard);
    do
        n = write(stream->in, buffer, size);
    while (n < 0 && errno == EINTR);
    dsbe_sigpipe_restore(&guard);
    return n < 0 ? fail_io("write to the attached program", error) : n;
}

static const char *diagnostic(void *state)
{
    struct stream *stream = state;
    drain_errors(stream);
    g_free(stream->printable);
    stream->printable = g_utf8_make_valid(stream->diagnostic->str, (gssize) stream->diagnostic->len);
    g_strstrip(stream->printable);
    for (char *c = stream->printable; *c != '\0'; c++) {
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    }
    return stream->printable;
}

static gboolean watch(struct stream *stream, GError **error)
{
    stream->watch = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (stream->watch >= 0 && epoll_ctl(stream->watch, EPOLL_CTL_ADD, stream->out, &event) == 0 &&
        epoll_ctl(stream->watch, EPOLL_CTL_ADD, stream->err, &event) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "epoll: %s", dsb_errno_text(errno));
    return FALSE;
}

gboolean dsbc_stream_open(const struct dsbc_cli *cli, GPtrArray *argv_taken, struct dsb_byte_stream *out,
                          GError **error)
{
    g_autoptr(GPtrArray) argv = argv_taken;
    g_ptr_array_add(argv, NULL);
    int fds[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    for (int i = 0; i < 3; i++) {
        if (pipe2(fds[i], O_CLOEXEC) == 0)
            continue;
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pipe: %s", dsb_errno_text(errno));
        for (int k = 0; k < i; k++) {
            close(fds[k][0]);
            close(fds[k][1]);
        }
        return FALSE;
    }
    struct stream *stream = g_new0(struct stream, 1);
    stream->child.pid = -1;
    stream->child.pidfd = -1;
    stream->watch = -1;
    stream->in = fds[0][1];
    stream->out = fds[1][0];
    stream->err = fds[2][0];
    stream->diagnostic = g_string_new(NULL);
    fcntl(stream->in, F_SETFL, O_NONBLOCK);
    fcntl(stream->out, F_SETFL, O_NONBLOCK);
    fcntl(stream->err, F_SETFL, O_NONBLOCK);
    gboolean ok = watch(stream, error) && dsbc_spawn((char *const *) argv->pdata, cli->env, fds[0][0], fds[1][1],
                                                     fds[2][1], &stream->child, error);
    close(fds[0][0]);
    close(fds[1][1]);
    close(fds[2][1]);
    if (!ok) {
        close_stream(stream);
        return FALSE;
    }
    *out = (struct dsb_byte_stream){
        .state = stream,
        .read_fd = stream->watch,
        .write_fd = stream->in,
        .read = read_stream,
        .write = write_stream,
        .diagnostic = diagnostic,
        .close = close_stream,
    };
    return TRUE;
}
