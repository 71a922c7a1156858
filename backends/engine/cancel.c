/* SPDX-License-Identifier: MIT */
/* Waiting that a caller can end, writing that cannot end the caller, and how a child of ours ended. */
#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#define LOCK_POLL_US 5000

gboolean dsbe_cancel_pending(int *fd)
{
    struct pollfd entry = {.fd = *fd, .events = POLLIN};
    if (*fd < 0 || poll(&entry, 1, 0) <= 0)
        return FALSE;
    if (entry.revents & POLLIN)
        return TRUE;
    *fd = -1; /* nobody can cancel any more, and polling it would never wait */
    return FALSE;
}

gboolean dsbe_cancel_due(int *fd, guint settle_ms, gint64 *end)
{
    if (*end == 0 && dsbe_cancel_pending(fd)) {
        *end = g_get_monotonic_time() + (gint64) settle_ms * 1000;
        *fd = -1; /* it stays readable */
    }
    return *end != 0 && g_get_monotonic_time() >= *end;
}

gboolean dsbe_set_cancelled(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled by the caller");
    return FALSE;
}

int dsbe_cancel_of(const struct dsb_open_params *params)
{
    gsize end = G_STRUCT_OFFSET(struct dsb_open_params, cancel_fd) + sizeof params->cancel_fd;
    return params->struct_size >= end ? params->cancel_fd : -1;
}

enum dsbe_wait dsbe_wait(int fd, short events, gint64 deadline, int cancel_fd)
{
    for (;;) {
        if (dsbe_cancel_pending(&cancel_fd))
            return DSBE_WAIT_CANCELLED;
        gint64 left = (deadline - g_get_monotonic_time() + 999) / 1000;
        if (left <= 0)
            return DSBE_WAIT_TIMEOUT;
        struct pollfd entries[] = {{.fd = fd, .events = events}, {.fd = cancel_fd, .events = POLLIN}};
        int ready = poll(entries, G_N_ELEMENTS(entries), (int) MIN(left, G_MAXINT));
        if (ready > 0 && entries[0].revents)
            return DSBE_WAIT_READY;
    }
}

gboolean dsbe_take_lock(int lock, gint64 deadline, int cancel_fd, const char *whose, GError **error)
{
    while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        gint64 now = g_get_monotonic_time();
        if (errno != EWOULDBLOCK && errno != EINTR) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "flock: %s", g_strerror(errno));
            return FALSE;
        }
        if (now >= deadline) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "%s takes too long (engine_timeout_ms gives it more)",
                        whose);
            return FALSE;
        }
        if (dsbe_wait(-1, 0, MIN(deadline, now + LOCK_POLL_US), cancel_fd) == DSBE_WAIT_CANCELLED)
            return dsbe_set_cancelled(error);
    }
    return TRUE;
}

gboolean dsbe_reap(pid_t pid, const char *what, int *status, GError **error)
{
    int raw = 0;
    pid_t got;
    do
        got = waitpid(pid, &raw, 0);
    while (got < 0 && errno == EINTR);
    if (status != NULL)
        *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    if (got == pid)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED,
                "how %s ended is not known: this program ignores SIGCHLD, or waits for children that it did not start; "
                "let it have that signal's default and wait for its own by pid",
                what);
    return FALSE;
}

void dsbe_sigpipe_block(struct dsbe_sigpipe *guard)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    guard->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &guard->before);
}

void dsbe_sigpipe_restore(const struct dsbe_sigpipe *guard)
{
    int saved = errno;
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (!guard->was_pending) {
        const struct timespec now = {0};
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = saved;
}
