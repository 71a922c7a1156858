/* SPDX-License-Identifier: MIT */
/* Starts the program, reads what it says within bounds, and ends it. */
#include "engine/program.h"

#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX (16 * 1024 * 1024)
#define ERRORS_MAX (64 * 1024)
#define LINE_MAX_BYTES 4096
#define LOOK_MS 20

gboolean dsbe_spawn(char *const *argv, char *const *env, int in, int out, int err, int link, struct dsbe_child *child,
                    GError **error)
{
    const struct child plan = {.program = argv[0],
                               .argv = argv,
                               .environment = env,
                               .in = in,
                               .out = out,
                               .err = err,
                               .link = link,
                               .usual_umask = TRUE};
    pid_t pid = -1;
    int code = child_start(&plan, &pid);
    if (code != 0) {
        g_set_error(error, DSB_ERROR, code == EACCES ? DSB_ERROR_DENIED : DSB_ERROR_FAILED, "cannot run %s: %s",
                    argv[0], dsb_errno_text(code));
        return FALSE;
    }
    struct dsbe_child made = {.pid = pid, .pidfd = (int) syscall(SYS_pidfd_open, pid, 0)};
    if (made.pidfd < 0 && errno != ENOSYS) { /* a kernel before 5.3, valgrind: it is looked at again and again */
        code = errno;
        dsbe_child_end(&made);
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pidfd_open: %s", dsb_errno_text(code));
        return FALSE;
    }
    const char *slash = strrchr(argv[0], '/');
    g_strlcpy(made.name, slash != NULL ? slash + 1 : argv[0], sizeof made.name);
    *child = made;
    return TRUE;
}

static gboolean reap(struct dsbe_child *child, int *status, GError **error)
{
    g_autofree char *who = g_strdup_printf("the %s program (docker-api starts none)", child->name);
    gboolean known = dsbe_reap(child->pid, who, status, error);
    dsb_fd_clear(&child->pidfd);
    child->pid = -1;
    return known;
}

static int poll_again(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int ready;
    do
        ready = poll(fds, n, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready;
}

void dsbe_child_end(struct dsbe_child *child)
{
    if (child->pid <= 0)
        return;
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL);
    reap(child, NULL, NULL);
}

void dsbe_output_clear(struct dsbe_output *output)
{
    if (output->text != NULL)
        g_string_free(output->text, TRUE);
    if (output->errors != NULL)
        g_string_free(output->errors, TRUE);
    output->text = output->errors = NULL;
}

/** One of the two pipes, and what came through it. */
struct source {
    dsb_fd fd;
    GString *all;
    gsize limit;
    GString *line;
};

static void emit_lines(struct source *source, struct dsbe_output *output, const char *data, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (data[i] != '\n' && data[i] != '\r' && source->line->len < LINE_MAX_BYTES) {
            g_string_append_c(source->line, data[i]);
            continue;
        }
        if (source->line->len > 0)
            output->line(output->line_data, source->line->str);
        g_string_truncate(source->line, 0);
    }
}

/** Keeps the newest `limit` bytes for stderr; FALSE when stdout has more than fits. */
static gboolean keep(struct source *source, gboolean is_text, const char *data, gsize size)
{
    g_string_append_len(source->all, data, (gssize) size);
    if (source->all->len <= source->limit)
        return TRUE;
    if (is_text)
        return FALSE;
    g_string_erase(source->all, 0, (gssize) (source->all->len - source->limit));
    return TRUE;
}

/** Reads what is there. FALSE when a limit was passed. At the end of the stream the fd is closed. */
static gboolean drain(struct source *source, gboolean is_text, struct dsbe_output *output)
{
    char buffer[16384];
    for (;;) {
        gssize n = read(source->fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return TRUE;
        if (n <= 0) {
            dsb_fd_clear(&source->fd);
            return TRUE;
        }
        if (output->line != NULL)
            emit_lines(source, output, buffer, (gsize) n);
        if ((output->line == NULL || !is_text) && !keep(source, is_text, buffer, (gsize) n))
            return FALSE;
    }
}

/* Not waited for: its number is its own until then. One that is not ours any more ends here, too. */
static gboolean has_ended(const struct dsbe_child *child)
{
    siginfo_t info = {0};
    int done = waitid(P_PID, (id_t) child->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return done == 0 ? info.si_pid != 0 : errno != EINTR;
}

static int milliseconds_left(gint64 deadline)
{
    if (deadline < 0)
        return -1;
    gint64 left = (deadline - g_get_monotonic_time() + 999) / 1000;
    return left < 0 ? 0 : (int) MIN(left, G_MAXINT);
}

static gboolean set_timeout(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "no answer in time (engine_timeout_ms gives it more)");
    return FALSE;
}

/** Pumps both pipes until the child ended. FALSE with *error on a limit, the deadline, or a cancel. */
static gboolean pump(struct dsbe_child *child, struct source sources[2], gint64 deadline, int cancel_fd,
                     struct dsbe_output *output, GError **error)
{
    gint64 end = 0;
    for (;;) {
        if (dsbe_cancel_due(&cancel_fd, output->settle_ms, &end))
            return dsbe_set_cancelled(error);
        struct pollfd fds[] = {
            {.fd = sources[0].fd, .events = POLLIN},
            {.fd = sources[1].fd, .events = POLLIN},
            {.fd = child->pidfd, .events = POLLIN},
            {.fd = cancel_fd, .events = POLLIN},
        };
        gint64 until = end != 0 && (deadline < 0 || end < deadline) ? end : deadline;
        int wait_ms = milliseconds_left(until);
        gboolean looks = child->pidfd < 0 && (wait_ms < 0 || wait_ms > LOOK_MS);
        int ready = poll_again(fds, G_N_ELEMENTS(fds), looks ? LOOK_MS : wait_ms);
        gboolean ended = child->pidfd < 0 ? has_ended(child) : fds[2].revents != 0;
        if (ready == 0 && !ended) {
            if (looks || until != deadline)
                continue;
            return set_timeout(error);
        }
        for (int i = 0; i < 2; i++) {
            if (sources[i].fd >= 0 && fds[i].revents != 0 && !drain(&sources[i], i == 0, output)) {
                g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LIMIT, "the answer is too large");
                return FALSE;
            }
        }
        if (!ended)
            continue;
        /* It ended. Who holds the pipes now (a background process) does not matter. */
        for (int i = 0; i < 2; i++) {
            if (sources[i].fd >= 0 && !drain(&sources[i], i == 0, output)) {
                g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LIMIT, "the answer is too large");
                return FALSE;
            }
            if (output->line != NULL && sources[i].line->len > 0)
                output->line(output->line_data, sources[i].line->str);
        }
        return reap(child, &output->status, error);
    }
}

gboolean dsbe_child_wait(struct dsbe_child *child, gint64 deadline, int cancel_fd, guint settle_ms, int *status,
                         GError **error)
{
    gint64 end = 0;
    while (!has_ended(child)) {
        if (dsbe_cancel_due(&cancel_fd, settle_ms, &end))
            return dsbe_set_cancelled(error);
        if (g_get_monotonic_time() >= deadline)
            return set_timeout(error);
        struct pollfd fds[] = {{.fd = child->pidfd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
        gint64 until = end != 0 && end < deadline ? end : deadline;
        int wait_ms = milliseconds_left(until);
        poll_again(fds, end != 0 ? 1 : G_N_ELEMENTS(fds), child->pidfd < 0 ? MIN(wait_ms, LOOK_MS) : wait_ms);
    }
    return reap(child, status, error);
}

gboolean dsbe_capture(char *const *argv, char *const *env, guint timeout_ms, int cancel_fd, struct dsbe_output *output,
                      GError **error)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pipe: %s", dsb_errno_text(errno));
        return FALSE;
    }
    g_auto(dsb_fd) out_read = out[0], out_write = out[1];
    if (pipe2(err, O_CLOEXEC) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pipe: %s", dsb_errno_text(errno));
        return FALSE;
    }
    g_auto(dsb_fd) err_read = err[0], err_write = err[1];
    fcntl(out_read, F_SETFL, O_NONBLOCK);
    fcntl(err_read, F_SETFL, O_NONBLOCK);

    struct dsbe_child child;
    if (!dsbe_spawn(argv, env, -1, out_write, err_write, -1, &child, error))
        return FALSE;
    dsb_fd_clear(&out_write);
    dsb_fd_clear(&err_write);
    dsbe_output_clear(output);
    output->text = g_string_new(NULL);
    output->errors = g_string_new(NULL);
    g_autoptr(GString) line0 = g_string_new(NULL);
    g_autoptr(GString) line1 = g_string_new(NULL);
    struct source sources[2] = {
        {.fd = out_read, .all = output->text, .limit = TEXT_MAX, .line = line0},
        {.fd = err_read, .all = output->errors, .limit = ERRORS_MAX, .line = line1},
    };
    out_read = err_read = -1;
    gint64 deadline = timeout_ms > 0 ? g_get_monotonic_time() + (gint64) timeout_ms * 1000 : -1;
    gboolean ok = pump(&child, sources, deadline, cancel_fd, output, error);
    dsbe_child_end(&child);
    dsb_fd_clear(&sources[0].fd);
    dsb_fd_clear(&sources[1].fd);
    return ok;
}
