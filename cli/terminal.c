/* SPDX-License-Identifier: MIT */
/* Our terminal as that of a command, and back. */
#include "terminal.h"

#include "common/watch.h"
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Where it does not tell its size. */
#define USUAL_ROWS 24
#define USUAL_COLUMNS 80

enum mode { OURS, WAITS, THEIRS };

static struct termios before;
static volatile sig_atomic_t nobodys = OURS, keys; /* keys: they are the command's */
static volatile sig_atomic_t *mode = &nobodys;     /* one for us and for a process that works for us */
static int tty = STDOUT_FILENO;
static int window_pipe[2] = {-1, -1};

static void look(guint16 size[2])
{
    struct winsize window = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    size[0] = window.ws_row > 0 ? window.ws_row : USUAL_ROWS;
    size[1] = window.ws_col > 0 ? window.ws_col : USUAL_COLUMNS;
}

/* In the background it is somebody else's. One that is not our session's has no background. */
static gboolean is_behind(void)
{
    pid_t front = tcgetpgrp(tty);
    return front >= 0 && front != getpgrp();
}

/* Nothing here waits for a terminal to take what it is to show: it may have stopped for good. */
static void give_back(void)
{
    if (is_behind())
        return;
    tcsetattr(tty, TCSANOW, &before);
    if (keys)
        tcflush(tty, TCIFLUSH); /* what was typed and not read is not left to the shell */
}

/* Before the command shows itself Ctrl-C stops us, and our own messages have whole lines. */
static gboolean apply(void)
{
    struct termios how = before;
    if (keys)
        cfmakeraw(&how);
    if (keys && *mode == WAITS) {
        how.c_lflag |= ISIG;
        how.c_cc[VSUSP] = how.c_cc[VQUIT] = _POSIX_VDISABLE;
    }
    if (*mode == WAITS)
        how.c_oflag = before.c_oflag;
    else
        how.c_oflag &= ~(tcflag_t) OPOST;
    /* With the keys we are stopped in the background (SIGTTOU), as an editor is, until we are in front. */
    return (!keys && is_behind()) || tcsetattr(tty, TCSANOW, &how) == 0;
}

/* --- signals -------------------------------------------------------------------- */

static void on_window(int number)
{
    int saved = errno;
    guint16 size[2];
    (void) number;
    look(size);
    if (write(window_pipe[1], size, sizeof size) < 0) { /* full: there are enough */
    }
    errno = saved;
}

static void on_stop(int number)
{
    int saved = errno;
    (void) number;
    if (*mode != OURS)
        give_back();
    raise(SIGSTOP);
    errno = saved;
}

static void on_continue(int number)
{
    int saved = errno;
    (void) number;
    if (*mode != OURS)
        apply();
    errno = saved;
}

static void on_end(int number)
{
    terminal_end();
    signal(number, SIG_DFL);
    raise(number);
}

/* What whoever started us has made of no effect stays so. */
static void catch_signal(int number, void (*handler)(int))
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_IGN)
        return;
    action = (struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* Those that ask for the end are caught elsewhere (signals.c). */
static void catch_signals(void)
{
    static const int ends[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGTRAP,
                               SIGSYS,  SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGPROF, SIGVTALRM};
    catch_signal(SIGWINCH, on_window);
    catch_signal(SIGTSTP, on_stop);
    catch_signal(SIGCONT, on_continue);
    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++)
        catch_signal(ends[i], on_end);
}

/* --- for a command ---------------------------------------------------------------- */

gboolean terminal_check(const struct cli *cli, GError **error)
{
    const char *why = NULL;
    if (!cli->tty)
        return TRUE;
    if (cli->json)
        why = "-t shows a terminal, and --json is for programs: leave out one of them";
    else if (!isatty(STDOUT_FILENO))
        why = "-t: standard output is no terminal; leave out -t";
    else if (cli->interactive && !isatty(STDIN_FILENO))
        why = "-t: standard input is no terminal; leave out -t, and -i gives it to the command as it is";
    if (why != NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, why);
    return why == NULL;
}

gboolean terminal_begin(const struct cli *cli, GError **error)
{
    if (!cli->tty)
        return TRUE;
    if (mode == &nobodys && (mode = watch_share(sizeof *mode)) == NULL)
        mode = &nobodys;
    keys = cli_reads_our_input(cli) && isatty(STDIN_FILENO);
    tty = keys ? STDIN_FILENO : STDOUT_FILENO;
    gboolean ok = mode != &nobodys && tcgetattr(tty, &before) == 0 &&
                  (window_pipe[0] >= 0 || pipe2(window_pipe, O_CLOEXEC | O_NONBLOCK) == 0);
    if (ok) {
        catch_signals();
        *mode = WAITS;
        ok = apply();
    }
    if (!ok) {
        *mode = OURS;
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the terminal: %s", dsb_errno_text(errno));
    }
    return ok;
}

void terminal_shows(void)
{
    if (*mode != WAITS)
        return;
    *mode = THEIRS;
    apply();
}

void terminal_end(void)
{
    int saved = errno;
    if (*mode != OURS)
        give_back();
    *mode = OURS;
    errno = saved;
}

guint16 terminal_rows(void)
{
    guint16 size[2];
    look(size);
    return *mode != OURS ? size[0] : 0;
}

guint16 terminal_columns(void)
{
    guint16 size[2];
    look(size);
    return *mode != OURS ? size[1] : 0;
}

int terminal_window_fd(void) { return *mode != OURS ? window_pipe[0] : DSB_FD_NONE; }
