/* SPDX-License-Identifier: MIT */
/* Signals that cancel, as a descriptor that others can wait for. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define PATIENCE 3 /* signals: the first asks, the second may be a double click */

static int cancel_pipe[2] = {-1, -1};
static volatile sig_atomic_t our_signal, cancel_count, watched;
static volatile sig_atomic_t *cancel_signal = &our_signal;

void cli_cancel(int number)
{
    int saved = errno;
    if (*cancel_signal == 0)
        *cancel_signal = number;
    /* Each of them: a second one tells who waits for the end that it is not wanted any more. */
    if (write(cancel_pipe[1], "", 1) < 0) { /* nothing to do in a handler */
    }
    errno = saved;
}

static void on_signal(int number)
{
    cancel_count++;
    cli_cancel(number);
    if (cancel_count < PATIENCE || watched)
        return;
    terminal_end();
    signal(number, SIG_DFL);
    raise(number);
}

gboolean cli_catch_signals(GError **error)
{
    struct sigaction action = {.sa_handler = on_signal};
    if (pipe2(cancel_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot make a pipe for signals: %s", dsb_errno_text(errno));
        return FALSE;
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    return TRUE;
}

int cli_cancel_fd(void) { return cancel_pipe[0]; }

int cli_cancel_signal(void) { return *cancel_signal; }

void cli_cancel_clear(void)
{
    char bytes[64];
    *cancel_signal = cancel_count = 0;
    while (read(cancel_pipe[0], bytes, sizeof bytes) > 0)
        continue;
}

int cli_cancel_status(void) { return DSB_EXIT_SIGNAL + (*cancel_signal != 0 ? *cancel_signal : SIGINT); }

void cli_cancel_share(volatile sig_atomic_t *where)
{
    cancel_signal = where;
    if (our_signal != 0)
        *where = our_signal;
}

void cli_cancel_watched(void) { watched = 1; }
