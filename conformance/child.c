/* SPDX-License-Identifier: MIT */
/* The processes that have plugins in them, what they write, and the signals that end them. */
#include "child.h"

#include "common/words.h"
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 400
#define LINES_MAX 40
#define PATIENCE 3 /* signals: the second may be a double click */

static int signal_pipe[2] = {-1, -1};
static volatile sig_atomic_t first_signal, signals;

static void on_signal(int number)
{
    int saved = errno;
    if (first_signal == 0)
        first_signal = number;
    if (++signals > PATIENCE) { /* it is not about a plugin: nobody takes what we say, say */
        signal(number, SIG_DFL);
        raise(number);
    }
    if (write(signal_pipe[1], "", 1) < 0) { /* nothing to do in a handler */
    }
    errno = saved;
}

gboolean child_catch_signals(GError **error)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot make a pipe for signals: %s", dsb_errno_text(errno));
        return FALSE;
    }
    sigemptyset(&action.sa_mask);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    return TRUE;
}

int child_signal(void) { return first_signal; }

int child_signal_fd(void) { return signal_pipe[0]; }

/* Ours are the parent's: here a signal does what it does in any program. */
static void forget_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

static int work_here(void *data)
{
    struct child *child = data;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    forget_signals();
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(child->to, STDOUT_FILENO) < 0 ||
        dup2(child->to, STDERR_FILENO) < 0)
        _exit(1);
    close(nothing);
    close(child->to);
    close(child->out);
    dsb_set_call_hook(watch_tell, child->watch.page);
    int status = child->work(child->data);
    dsb_set_call_hook(NULL, NULL);
    return status;
}

gboolean child_fork(struct child *child, struct watch_page *page, int (*work)(void *data), void *data, GError **error)
{
    int ends[2];
    *child = (struct child){.watch = {.page = page}, .work = work, .data = data, .out = -1, .to = -1};
    page->signal = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot make a pipe: %s", dsb_errno_text(errno));
        return FALSE;
    }
    child->out = ends[0];
    child->to = ends[1];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    gboolean started = watch_start(&child->watch, page, WATCH_GROUP, work_here, child);
    if (!started)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot start a process: %s", dsb_errno_text(errno));
    close(ends[1]);
    if (started)
        child->line = g_string_new(NULL);
    else
        close(ends[0]);
    return started;
}

static void show_line(struct child *child)
{
    g_autofree char *text = clean_line(child->line->str, LINE_MAX_BYTES);
    if (child->shown < LINES_MAX || opt.verbose)
        g_printerr("  | %s\n", text);
    else if (child->shown == LINES_MAX)
        g_printerr("  | (and more)\n");
    child->shown++;
    g_string_truncate(child->line, 0);
}

static void show(struct child *child, const char *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (bytes[i] == '\n')
            show_line(child);
        else if (child->line->len <= LINE_MAX_BYTES)
            g_string_append_c(child->line, bytes[i]);
    }
}

/* Some of it: who writes without an end is not to hold us up. */
static void read_output(struct child *child)
{
    char buffer[8192];
    for (int i = 0; i < 16; i++) {
        gssize n = read(child->out, buffer, sizeof buffer);
        if (n > 0) {
            show(child, buffer, (gsize) n);
        } else if (n == 0 || errno != EAGAIN) {
            close(child->out);
            child->out = -1;
            return;
        } else {
            return;
        }
    }
}

gboolean child_step(struct child *child, gint64 total_ms)
{
    child->watch.page->signal = first_signal;
    if (signals >= PATIENCE && !child->watch.killed)
        watch_kill(&child->watch);
    gboolean ended = watch_step(&child->watch, total_ms, child->out);
    if (child->out >= 0)
        read_output(child);
    if (!ended)
        return FALSE;
    if (child->line->len > 0)
        show_line(child);
    if (child->out >= 0)
        close(child->out);
    child->out = -1;
    g_string_free(g_steal_pointer(&child->line), TRUE);
    return TRUE;
}

void child_over(struct child *child, gint64 total_ms)
{
    while (!child_step(child, total_ms))
        continue;
}
