/* SPDX-License-Identifier: MIT */
/*
 * The processes that one execution of a session has started: those that were not there before it. Group, session and
 * parent say nothing, since code changes all three.
 */
#include "init/state.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define END_WAIT_MS 3000
#define START_FIELD 17 /* numbers between the parent and the start time */

enum kin { UNKNOWN, OF_PROGRAM, OF_OTHERS };

struct process {
    pid_t pid, parent;
    uint64_t start;
    bool dead, ours;
    enum kin kin;
};

struct list {
    struct process *all;
    size_t n, size;
};

static struct list known;

/* What /proc/PID/stat says after the name, which may contain anything. */
static bool read_process(struct process *p, const char *name)
{
    char path[64], text[1024], state;
    long long threads = 0;

    *p = (struct process){.pid = (pid_t) atoi(name)};
    snprintf(path, sizeof path, "/proc/%d/stat", (int) p->pid);
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    char *at = strrchr(text, ')');
    if (!at || sscanf(at, ") %c %d", &state, &p->parent) != 2)
        return false;
    at = strchr(at + 4, ' ');
    for (int i = 0; at && i < START_FIELD; i++) {
        threads = strtoll(at, &at, 10);
        if (i == START_FIELD - 2)
            p->dead = (state == 'Z' || state == 'X') && threads < 2; /* a leader may have ended before its threads */
    }
    p->start = at ? strtoull(at, NULL, 10) : 0;
    return at != NULL;
}

static int by_pid(const void *a, const void *b)
{
    return ((const struct process *) a)->pid - ((const struct process *) b)->pid;
}

static struct process *find(const struct list *list, pid_t pid)
{
    struct process key = {.pid = pid};

    return list->n ? bsearch(&key, list->all, list->n, sizeof key, by_pid) : NULL;
}

/* Not pid 1, as in tests: others have processes here too. Ours are those that descend from us. */
static void mark_ours(struct list *list)
{
    bool all = getpid() == 1, more = true;

    for (size_t i = 0; i < list->n; i++)
        list->all[i].ours = all || list->all[i].parent == getpid();
    while (more && !all) {
        more = false;
        for (size_t i = 0; i < list->n; i++) {
            struct process *p = &list->all[i], *parent = p->ours ? NULL : find(list, p->parent);
            more = more || (parent && parent->ours);
            p->ours = p->ours || (parent && parent->ours);
        }
    }
}

static void scan(struct list *list)
{
    DIR *d = opendir("/proc");
    struct dirent *e;

    list->n = 0;
    while (d && (e = readdir(d))) {
        if (list->n == list->size) {
            size_t size = list->size ? 2 * list->size : 64;
            struct process *all = realloc(list->all, size * sizeof *all);
            if (!all)
                _exit(71);
            list->all = all;
            list->size = size;
        }
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_process(&list->all[list->n], e->d_name))
            list->n++;
    }
    if (d)
        closedir(d);
    if (list->n)
        qsort(list->all, list->n, sizeof *list->all, by_pid);
    mark_ours(list);
}

static void forget(struct list *list)
{
    free(list->all);
    *list = (struct list){0};
}

void newcomers_note(void) { scan(&known); }

static bool is_newcomer(const struct process *p)
{
    if (!p->ours || p->dead || p->pid == getpid() || p->pid == g.kernel.pid || p->pid == g.session.point.pid)
        return false;
    const struct process *before = find(&known, p->pid);
    return !before || before->start != p->start;
}

/* What can be said of it without its parent. Who descends from what was there before is not the program's. */
static enum kin own_kin(const struct process *p)
{
    const struct process *before = find(&known, p->pid);

    if (p->kin != UNKNOWN)
        return p->kin;
    if (before && before->start == p->start && p->pid != getpid())
        return OF_OTHERS;
    if (p->parent != getpid())
        return UNKNOWN;
    return p->pid != g.kernel.pid && p->pid != g.session.point.pid ? OF_PROGRAM : OF_OTHERS;
}

/* Each is looked at once, however long the chain of parents. */
static bool is_of_program(const struct list *now, struct process *p)
{
    enum kin kin = UNKNOWN;
    size_t depth = 0;

    for (struct process *at = p; at && kin == UNKNOWN && depth < now->n; depth++, at = find(now, at->parent))
        kin = own_kin(at);
    if (kin == UNKNOWN)
        kin = OF_PROGRAM; /* its parent ended while we looked: the next look finds it with another one, or killed */
    for (struct process *at = p; at && depth > 0; depth--, at = find(now, at->parent))
        at->kin = kin;
    return kin == OF_PROGRAM;
}

static int kill_newcomers(bool program)
{
    struct list now = {0};
    int n = 0;

    scan(&now);
    for (size_t i = 0; i < now.n; i++)
        if (is_newcomer(&now.all[i]) && (!program || is_of_program(&now, &now.all[i]))) {
            kill(now.all[i].pid, SIGKILL);
            n++;
        }
    forget(&now);
    return n;
}

int newcomers_kill(void) { return kill_newcomers(false); }

static bool end_newcomers(bool program)
{
    int64_t until = now_ms() + END_WAIT_MS;
    int round = 0, n;

    while ((n = kill_newcomers(program)) > 0 && now_ms() < until) {
        reap();
        usleep(round++ < 20 ? 500 : 5000);
    }
    forget(&known);
    return n == 0;
}

bool newcomers_end(void) { return end_newcomers(false); }

bool newcomers_end_of_program(void) { return end_newcomers(true); }
