/* SPDX-License-Identifier: MIT */
/* Work in a child process that may crash, end or hang, and how it is watched and named. */
#include "common/watch.h"

#include "common/names.h"
#include "common/words.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 500
/* Of one operation after a signal: those that must not be cut short, such as a removal, have some seconds. */
#define CANCELLED_MS 10000
/* What the libraries' own ends may take. */
#define LEAVING_MS 10000

void *watch_share(gsize size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? shared : NULL;
}

/* --- the process that works ------------------------------------------------------ */

void watch_tell(void *page, const char *plugin, const char *operation, guint64 at_most_ms)
{
    struct watch_page *to = page;
    unsigned calls = atomic_load(&to->calls);
    if (operation == NULL) {
        atomic_store(&to->calls, (calls | 1) + 1);
        return;
    }
    g_strlcpy(to->plugin, plugin, sizeof to->plugin);
    g_strlcpy(to->operation, operation, sizeof to->operation);
    atomic_store(&to->at_most_ms, at_most_ms);
    atomic_store(&to->calls, (calls + 1) | 1);
}

static void work_here(pid_t parent, const struct watch *watch, int (*work)(void *data), void *data)
{
    struct watch_page *page = watch->page;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(DSB_EXIT_OURS);
    if (watch->flags & WATCH_GROUP)
        setpgid(0, 0);
    int status = work(data);
    watch_tell(page, "", "", LEAVING_MS);
    atomic_store(&page->status, status);
    atomic_store(&page->done, 1);
    exit(status);
}

gboolean watch_start(struct watch *watch, struct watch_page *page, enum watch_flags flags, int (*work)(void *data), void *data)
{
    pid_t parent = getpid();
    atomic_store(&page->calls, 0);
    atomic_store(&page->done, 0);
    *watch = (struct watch){.page = page, .flags = flags, .pidfd = -1};
    watch->pid = fork();
    if (watch->pid == 0)
        work_here(parent, watch, work, data);
    if (watch->pid < 0)
        return FALSE;
    if (flags & WATCH_GROUP)
        setpgid(watch->pid, watch->pid); /* here, too: it may be killed before it comes to that */
    watch->pidfd = (int) syscall(SYS_pidfd_open, watch->pid, 0);
    watch->looked_us = g_get_monotonic_time();
    return TRUE;
}

/* --- the one that watches -------------------------------------------------------- */

static gboolean is_late(struct watch *watch, gint64 total_ms)
{
    struct watch_page *page = watch->page;
    gint64 now = g_get_monotonic_time();
    gint64 step = MIN(now - watch->looked_us, 2 * TICK_MS * 1000);
    guint64 at_most_ms = atomic_load(&page->at_most_ms);
    unsigned calls = atomic_load(&page->calls);
    watch->looked_us = now;
    watch->total_us += step;
    if (total_ms > 0 && watch->total_us > total_ms * 1000)
        return TRUE;
    if (calls != watch->calls) {
        watch->calls = calls;
        watch->call_us = watch->cancelled_us = 0;
        return FALSE;
    }
    watch->call_us += step;
    if (page->signal != 0)
        watch->cancelled_us += step;
    return (calls & 1) != 0 && ((at_most_ms > 0 && (guint64) watch->call_us > at_most_ms * 1000) ||
                                watch->cancelled_us > CANCELLED_MS * 1000);
}

void watch_kill(struct watch *watch)
{
    watch->killed = TRUE;
    kill(watch->flags & WATCH_GROUP ? -watch->pid : watch->pid, SIGKILL);
}

static gboolean has_ended(struct watch *watch, int options)
{
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t) watch->pid, &info, WEXITED | options) < 0)
        if (errno != EINTR)
            return TRUE;
    if (info.si_pid == 0)
        return FALSE;
    watch->info = info;
    return TRUE;
}

/* Not waited for before: its number is its group's, and must not be another's yet. */
static void collect(struct watch *watch)
{
    has_ended(watch, WNOWAIT);
    if ((watch->flags & WATCH_GROUP) && !watch_is_done(watch))
        kill(-watch->pid, SIGKILL);
    has_ended(watch, 0);
    if (watch->pidfd >= 0)
        close(watch->pidfd);
    watch->pidfd = -1;
}

gboolean watch_step(struct watch *watch, gint64 total_ms, int fd)
{
    struct pollfd fds[] = {{watch->pidfd, POLLIN, 0}, {fd, POLLIN, 0}}; /* -1 is passed over */
    int ready = poll(fds, G_N_ELEMENTS(fds), TICK_MS);
    gboolean ended = watch->pidfd >= 0 ? ready > 0 && fds[0].revents != 0 : has_ended(watch, WNOHANG | WNOWAIT);
    if (ended)
        collect(watch);
    else if (!watch->killed && is_late(watch, total_ms))
        watch_kill(watch);
    return ended;
}

void watch_over(struct watch *watch, gint64 total_ms)
{
    while (!watch_step(watch, total_ms, -1))
        continue;
}

/* --- what became of it ------------------------------------------------------------ */

gboolean watch_is_done(const struct watch *watch)
{
    return atomic_load(&watch->page->done) != 0 && watch->info.si_code == CLD_EXITED;
}

/* Words of the page, which may have anything by now. */
static char *words(const char *before, const char *from, gsize size)
{
    g_autofree char *text = g_strndup(from, size - 1);
    g_autofree char *clean = clean_text(text, strlen(text), "");
    return g_strconcat(before, clean, NULL);
}

char *watch_plugin(const struct watch *watch) { return words("", watch->page->plugin, sizeof watch->page->plugin); }

char *watch_reason(const struct watch *watch)
{
    const struct watch_page *page = watch->page;
    const siginfo_t *info = &watch->info;
    gboolean in_call = (atomic_load(&page->calls) & 1) != 0;
    gboolean signalled = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
    if (atomic_load(&page->done) && signalled)
        return g_strdup_printf("a backend %s at the process's end%s%s", watch->killed ? "did not come to an end" : "crashed",
                               watch->killed ? "" : ": ", watch->killed ? "" : strsignal(info->si_status));
    g_autofree char *actor =
        in_call ? words("the backend ", page->plugin, sizeof page->plugin) : g_strdup("dsandbox itself");
    g_autofree char *place = in_call ? words(" in ", page->operation, sizeof page->operation) : g_strdup("");
    if (watch->killed && signalled && info->si_status == SIGKILL)
        return g_strdup_printf("%s did not answer in time%s, and was killed%s", actor, place,
                               page->signal != 0 ? "" : " (--engine-timeout gives it more)");
    if (signalled)
        return g_strdup_printf("%s crashed%s: signal %d (%s)", actor, place, info->si_status, strsignal(info->si_status));
    return g_strdup_printf("%s ended%s with exit status %d, before the answer", actor, place, info->si_status);
}
