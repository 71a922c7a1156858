/* SPDX-License-Identifier: MIT */
/* What of a process is everybody's, and so no plugin's to change: descriptors 0 to 2, directory, umask, signals, locale. */
#include "contract.h"

#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2};

struct process_state {
    struct stat standard[3], directory;
    gboolean is_open[3];
    mode_t umask;
    sigset_t blocked;
    struct sigaction actions[G_N_ELEMENTS(signals)];
    char *locale;
};

/* There is no other way to read it; no thread of ours makes files meanwhile. */
static mode_t current_umask(void)
{
    mode_t now = umask(0);
    umask(now);
    return now;
}

static void take(struct process_state *state)
{
    for (int fd = 0; fd < 3; fd++)
        state->is_open[fd] = fstat(fd, &state->standard[fd]) == 0;
    if (stat(".", &state->directory) != 0)
        state->directory = (struct stat){0};
    state->umask = current_umask();
    pthread_sigmask(SIG_SETMASK, NULL, &state->blocked);
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        sigaction(signals[i], NULL, &state->actions[i]);
    state->locale = g_strdup(setlocale(LC_ALL, NULL));
}

struct process_state *process_state_new(void)
{
    struct process_state *state = g_new0(struct process_state, 1);
    take(state);
    return state;
}

void process_state_free(struct process_state *state)
{
    if (state == NULL)
        return;
    g_free(state->locale);
    g_free(state);
}

static gboolean is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static char *descriptor_change(const struct process_state *before, const struct process_state *now)
{
    for (int fd = 0; fd < 3; fd++) {
        if (before->is_open[fd] && !now->is_open[fd])
            return g_strdup_printf("closed descriptor %d", fd);
        if (before->is_open[fd] && !is_same(&before->standard[fd], &now->standard[fd]))
            return g_strdup_printf("made descriptor %d another file", fd);
    }
    return NULL;
}

static char *signal_change(const struct process_state *before, const struct process_state *now)
{
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&before->blocked, number) != sigismember(&now->blocked, number))
            return g_strdup_printf("changed the signal mask: %s", strsignal(number));
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        if (before->actions[i].sa_handler != now->actions[i].sa_handler)
            return g_strdup_printf("changed what the process does on a signal: %s", strsignal(signals[i]));
    return NULL;
}

char *process_state_change(const struct process_state *before)
{
    struct process_state now = {0};
    take(&now);
    g_autofree char *locale = now.locale;
    char *change = descriptor_change(before, &now);
    if (change == NULL && !is_same(&before->directory, &now.directory))
        change = g_strdup("changed the working directory");
    if (change == NULL && before->umask != now.umask)
        change = g_strdup_printf("changed the umask from %04o to %04o", (unsigned) before->umask, (unsigned) now.umask);
    if (change == NULL)
        change = signal_change(before, &now);
    if (change == NULL && g_strcmp0(before->locale, locale) != 0)
        change = g_strdup("changed the locale");
    return change;
}
