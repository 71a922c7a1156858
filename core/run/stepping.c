/* SPDX-License-Identifier: MIT */
/* An execution from its beginning to its result: in one call that waits, or in the steps of a caller's event loop. */
#include "run/stepping.h"

#include "plugin/choice.h"
#include "run/error_rule.h"
#include "run/standard_fds.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The execution's, the caller's cancel_fd, the helper's. */
#define MAX_WATCHED (DSB_EXEC_FDS + 2)
/* How often to look at what the kernel will not watch for us, being short of memory. */
#define UNWATCHED_MS 10

/* What an execution has for an event loop besides. */
struct dsb_loop_side {
    int poll_fd;   /* an epoll of all that it waits for */
    int cancel_fd; /* an eventfd: dsb_execution_cancel, and what comes of the caller's */
    int callers_cancel_fd;
    struct dsb_run_options caller; /* whose callbacks */
    gboolean given_up;             /* then they are not called any more */
    struct pollfd watched[MAX_WATCHED];
    gsize n_watched;
    int unwatched_ms; /* for what cannot be watched; -1: there is none */
    /* a part that would block, in a thread of ours */
    GThread *helper;
    int helped_fd; /* an eventfd: it has come to its end */
    void (*part)(struct dsb_execution *execution);
    GPtrArray *lines; /* what it said; log is called in steps alone */
};

static void begin(struct dsb_execution *execution)
{
    execution->started =
        DSB_KEEPS_RULE(execution->kind->begin(execution, &execution->error), &execution->error);
}

static void end(struct dsb_execution *execution) { execution->kind->end(execution); }

static gpointer help(gpointer data)
{
    struct dsb_execution *execution = data;
    dsb_standard_fds_hold();
    execution->side->part(execution);
    dsb_standard_fds_release();
    eventfd_write(execution->side->helped_fd, 1);
    return NULL;
}

static void tell_lines(struct dsb_loop_side *side)
{
    if (side->helper != NULL) /* which may be adding some */
        return;
    for (guint i = 0; i < side->lines->len; i++)
        if (!side->given_up)
            side->caller.log(side->caller.data, side->lines->pdata[i]);
    g_ptr_array_set_size(side->lines, 0);
}

/* TRUE: the part was done. One that would block is begun by a thread, and asked for again. */
static gboolean do_part(struct dsb_execution *execution, void (*part)(struct dsb_execution *), gboolean blocks)
{
    struct dsb_loop_side *side = execution->side;
    if (side == NULL || !blocks) {
        part(execution);
        return TRUE;
    }
    if (side->helper == NULL) {
        side->part = part;
        side->helper = g_thread_try_new("dsandbox", help, execution, NULL);
        if (side->helper != NULL)
            return FALSE;
        part(execution); /* there can be no more threads: it is done all the same, and this call waits */
        return TRUE;
    }
    eventfd_t value = 0;
    if (eventfd_read(side->helped_fd, &value) < 0)
        return FALSE;
    g_thread_join(side->helper);
    side->helper = NULL;
    return TRUE;
}

/* --- what it waits for --- */

static gsize add_wanted(struct pollfd *wanted, gsize n, const struct pollfd *fd)
{
    if (fd->fd < 0)
        return n;
    for (gsize i = 0; i < n; i++)
        if (wanted[i].fd == fd->fd) {
            wanted[i].events |= fd->events;
            return n;
        }
    wanted[n] = *fd;
    return n + 1;
}

static gsize all_wanted(const struct dsb_execution *execution, struct pollfd wanted[MAX_WATCHED])
{
    const struct dsb_loop_side *side = execution->side;
    struct pollfd fds[MAX_WATCHED] = {{-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}};
    gsize n = 0;
    if (execution->phase == DSB_EXECUTION_RUNS)
        dsb_exec_waits(&execution->exec, fds);
    fds[DSB_EXEC_FDS] = (struct pollfd){side->callers_cancel_fd, POLLIN, 0};
    fds[DSB_EXEC_FDS + 1] = (struct pollfd){side->helper != NULL ? side->helped_fd : -1, POLLIN, 0};
    for (gsize i = 0; i < MAX_WATCHED; i++)
        n = add_wanted(wanted, n, &fds[i]);
    return n;
}

static short watched_for(const struct pollfd *list, gsize n, int fd)
{
    for (gsize i = 0; i < n; i++)
        if (list[i].fd == fd)
            return list[i].events;
    return 0;
}

/* A regular file cannot be watched, and is always ready. */
static int watch(int poll_fd, int how, const struct pollfd *fd)
{
    struct epoll_event event = {.events = (fd->events & POLLIN ? EPOLLIN : 0u) | (fd->events & POLLOUT ? EPOLLOUT : 0u),
                                .data.fd = fd->fd};
    if (epoll_ctl(poll_fd, how, fd->fd, &event) == 0)
        return -1;
    return errno == EPERM ? 0 : UNWATCHED_MS;
}

static void watch_all(struct dsb_loop_side *side, const struct pollfd *wanted, gsize n)
{
    for (gsize i = 0; i < side->n_watched; i++)
        if (watched_for(wanted, n, side->watched[i].fd) == 0)
            epoll_ctl(side->poll_fd, EPOLL_CTL_DEL, side->watched[i].fd, NULL);
    side->unwatched_ms = -1;
    gsize kept = 0;
    struct pollfd now[MAX_WATCHED];
    for (gsize i = 0; i < n; i++) {
        short before = watched_for(side->watched, side->n_watched, wanted[i].fd);
        int later = before == wanted[i].events
                        ? -1
                        : watch(side->poll_fd, before != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, &wanted[i]);
        if (later < 0)
            now[kept++] = wanted[i];
        else
            side->unwatched_ms = side->unwatched_ms < 0 ? later : MIN(side->unwatched_ms, later);
    }
    memcpy(side->watched, now, kept * sizeof *now);
    side->n_watched = kept;
}

static void watch_what_is_wanted(struct dsb_execution *execution)
{
    struct pollfd wanted[MAX_WATCHED];
    if (execution->side != NULL)
        watch_all(execution->side, wanted, all_wanted(execution, wanted));
}

/* --- steps --- */

/* The caller's descriptor says it to all: to what the helper calls, and to the execution. */
static void look_for_cancel(struct dsb_execution *execution)
{
    struct dsb_loop_side *side = execution->side;
    struct pollfd fd = {side->callers_cancel_fd, POLLIN, 0};
    if (fd.fd < 0 || poll(&fd, 1, 0) <= 0)
        return;
    if (fd.revents & POLLIN)
        eventfd_write(side->cancel_fd, 1);
    side->callers_cancel_fd = -1; /* or nobody can cancel any more */
}

/* Then all but its phase and its side is the helper's. */
static gboolean is_helped(const struct dsb_execution *execution)
{
    return execution->side != NULL && execution->side->helper != NULL;
}

static gboolean has_begun(struct dsb_execution *execution)
{
    if (!do_part(execution, begin, execution->kind->opens))
        return FALSE;
    execution->phase = execution->started ? DSB_EXECUTION_RUNS : DSB_EXECUTION_ENDS;
    return TRUE;
}

/* As far as it goes. `wait`: in the execution itself it may wait. */
static gboolean go_on(struct dsb_execution *execution, gboolean wait)
{
    const struct dsb_execution_kind *kind = execution->kind;
    if (execution->phase == DSB_EXECUTION_BEGINS && !has_begun(execution))
        return FALSE;
    if (execution->phase == DSB_EXECUTION_RUNS) {
        gboolean ok = dsb_exec_turn(&execution->exec, wait, &execution->error);
        if (!DSB_KEEPS_RULE(ok, &execution->error) || execution->exec.over)
            execution->phase = DSB_EXECUTION_ENDS;
        if (execution->phase == DSB_EXECUTION_ENDS) /* which closes what is watched */
            watch_what_is_wanted(execution);
    }
    if (execution->phase == DSB_EXECUTION_ENDS &&
        do_part(execution, end, is_helped(execution) || kind->ends_slowly(execution)))
        execution->phase = DSB_EXECUTION_OVER;
    return execution->phase == DSB_EXECUTION_OVER;
}

static struct dsb_result *take_result(struct dsb_execution *execution)
{
    return execution->phase == DSB_EXECUTION_OVER ? g_steal_pointer(&execution->result) : NULL;
}

static void close_all(const struct dsb_loop_side *side)
{
    const int fds[] = {side->poll_fd, side->cancel_fd, side->helped_fd};
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void free_side(struct dsb_loop_side *side)
{
    close_all(side);
    g_ptr_array_unref(side->lines);
    g_free(side);
}

static void free_all(struct dsb_execution *execution)
{
    if (execution->kind != NULL)
        execution->kind->free(execution);
    g_clear_pointer(&execution->side, free_side);
    dsb_result_free(execution->result);
    g_clear_error(&execution->error);
    g_free(execution);
}

struct dsb_execution *dsb_execution_new(const struct dsb_execution_kind *kind, gsize size, struct dsb_result *result)
{
    struct dsb_execution *execution = g_malloc0(size);
    execution->kind = kind;
    execution->opener = getpid();
    execution->result = result;
    return execution;
}

struct dsb_execution *dsb_execution_failed(struct dsb_result *result, GError *why)
{
    struct dsb_execution *execution = dsb_execution_new(NULL, sizeof *execution, result);
    execution->phase = DSB_EXECUTION_OVER;
    dsb_result_fail(result, why);
    return execution;
}

struct dsb_result *dsb_execution_wait(struct dsb_execution *execution)
{
    while (!go_on(execution, TRUE))
        ;
    struct dsb_result *result = take_result(execution);
    free_all(execution);
    return result;
}

/* --- for an event loop --- */

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    const struct dsb_loop_side *side = ((struct dsb_execution *) data)->side;
    if (side->caller.output != NULL && !side->given_up)
        side->caller.output(side->caller.data, stream, bytes, size);
}

static void on_call(void *data, dsb_call *call)
{
    const struct dsb_loop_side *side = ((struct dsb_execution *) data)->side;
    if (side->given_up)
        dsb_call_raise(call, NULL, "nobody waits for the execution any more");
    else
        side->caller.call(side->caller.data, call);
}

static void on_log(void *data, const char *line)
{
    struct dsb_loop_side *side = ((struct dsb_execution *) data)->side;
    if (side->caller.log != NULL)
        g_ptr_array_add(side->lines, g_strdup(line));
}

static gboolean make_side(struct dsb_execution *execution, GError **error)
{
    struct dsb_loop_side *side = execution->side = g_new0(struct dsb_loop_side, 1);
    side->caller = execution->options;
    side->callers_cancel_fd = execution->options.cancel_fd;
    side->lines = g_ptr_array_new_with_free_func(g_free);
    side->unwatched_ms = -1;
    side->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    side->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    side->helped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    execution->options.log = on_log;
    execution->options.output = on_output;
    execution->options.call = side->caller.call != NULL ? on_call : NULL;
    execution->options.data = execution;
    execution->options.cancel_fd = side->cancel_fd;
    if (side->poll_fd >= 0 && side->cancel_fd >= 0 && side->helped_fd >= 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "nothing can be waited for: %s", dsb_errno_text(errno));
    return FALSE;
}

static void step(struct dsb_execution *execution)
{
    dsb_standard_fds_hold();
    look_for_cancel(execution);
    go_on(execution, FALSE);
    watch_what_is_wanted(execution);
    tell_lines(execution->side);
    dsb_standard_fds_release();
}

void dsb_execution_begin(struct dsb_execution *execution)
{
    if (make_side(execution, &execution->error)) {
        has_begun(execution);
        watch_what_is_wanted(execution);
        return;
    }
    end(execution);
    execution->phase = DSB_EXECUTION_OVER;
}

/* For one at a time: who comes from a callback of its own, or from another thread, is sent away. */
static gboolean enter(struct dsb_execution *execution)
{
    return g_atomic_int_compare_and_exchange(&execution->busy, FALSE, TRUE);
}

static void leave(struct dsb_execution *execution) { g_atomic_int_set(&execution->busy, FALSE); }

static gboolean is_ours(const struct dsb_execution *execution) { return execution->opener == getpid(); }

gboolean dsb_execution_step(struct dsb_execution *execution)
{
    if (execution == NULL || !is_ours(execution))
        return TRUE;
    if (!enter(execution))
        return FALSE;
    if (execution->phase != DSB_EXECUTION_OVER)
        step(execution);
    gboolean over = execution->phase == DSB_EXECUTION_OVER;
    leave(execution);
    return over;
}

int dsb_execution_fd(const struct dsb_execution *execution)
{
    return execution == NULL || execution->phase == DSB_EXECUTION_OVER ? -1 : execution->side->poll_fd;
}

int dsb_execution_timeout_ms(const struct dsb_execution *execution)
{
    struct pollfd fds[DSB_EXEC_FDS];
    if (execution == NULL || execution->phase == DSB_EXECUTION_OVER)
        return 0;
    if (execution->phase != DSB_EXECUTION_RUNS)
        return is_helped(execution) ? execution->side->unwatched_ms : 0;
    int wait_ms = dsb_exec_waits(&execution->exec, fds);
    return execution->side->unwatched_ms < 0 ? wait_ms : MIN(wait_ms, execution->side->unwatched_ms);
}

void dsb_execution_cancel(struct dsb_execution *execution)
{
    if (execution != NULL && execution->side != NULL && is_ours(execution))
        eventfd_write(execution->side->cancel_fd, 1);
}

struct dsb_result *dsb_execution_result(struct dsb_execution *execution)
{
    if (execution == NULL)
        return NULL;
    if (is_ours(execution))
        return take_result(execution);
    g_autoptr(GError) error = g_error_new(DSB_ERROR, DSB_ERROR_INVALID,
                                          "the execution belongs to process %d, which started it; a child that was "
                                          "forked cannot use it",
                                          (int) execution->opener);
    return dsb_result_from_error(error);
}

/* The rest is left as it is: another thread of the parent's may have been at work in it. */
static void forget(struct dsb_execution *execution)
{
    struct dsb_loop_side *side = execution->side;
    if (side == NULL)
        return;
    if (!is_helped(execution) && execution->phase != DSB_EXECUTION_OVER)
        execution->kind->forget(execution);
    close_all(side);
}

void dsb_execution_free(struct dsb_execution *execution)
{
    if (execution == NULL)
        return;
    if (!is_ours(execution)) {
        forget(execution);
        return;
    }
    if (!enter(execution))
        return;
    if (execution->phase != DSB_EXECUTION_OVER) {
        execution->side->given_up = TRUE;
        dsb_execution_cancel(execution);
    }
    while (execution->phase != DSB_EXECUTION_OVER) {
        struct pollfd fd = {dsb_execution_fd(execution), POLLIN, 0};
        poll(&fd, 1, dsb_execution_timeout_ms(execution));
        step(execution);
    }
    free_all(execution);
}
