/* SPDX-License-Identifier: MIT */
/* Rollback points: paused copies of a session's interpreter. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESUME_WAIT_MS 5000
#define COMING_WAIT_MS 2000
#define PATIENCE_MS 10000
#define QUIET_MS 50 /* a burst of executions has shorter pauses */
#define UNSAVED_MS 10000 /* a session that never rests has a point after so much of what none has */
#define PROCESSES_FREE 2 /* while a point is taken: the copy and the one that makes it */
/* A point that was taken before memory became short may stay when it holds at most this part of the limit. */
#define CHEAP_PART 5

static uint64_t random_number(void)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n)
        n = (uint64_t) now_ms() << 20 ^ (uint64_t) (uintptr_t) &n;
    return n ? n : 1;
}

static uint64_t send_to(int fd, char type, uint32_t number, const struct buf *data)
{
    struct message m = {.type = type, .number = number, .nonce = random_number()};

    if (data) {
        m.data = buf_head(data);
        m.n = buf_len(data);
    }
    return kernel_send(fd, &m, LIVE_SEND_WAIT_MS) ? m.nonce : 0;
}

uint64_t session_send(char type, uint32_t number, const struct buf *data)
{
    return g.kernel.control < 0 ? 0 : send_to(g.kernel.control, type, number, data);
}

/* Descriptors that come along are not taken: there is room for nothing but the credentials. */
static void read_ancillary(struct msghdr *message, pid_t *pid)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(c), sizeof who);
            *pid = who.pid;
        }
        if (c->cmsg_type == SCM_RIGHTS)
            for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
                close(fd);
            }
    }
}

bool read_answer(int fd, struct answer *a, bool *gone)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(struct ucred))];
    } ancillary;
    unsigned char text[17];
    struct iovec part = {text, sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int credentials = 0;
    socklen_t size = sizeof credentials;

    if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &credentials, &size) == 0 && credentials) {
        message.msg_control = ancillary.space;
        message.msg_controllen = sizeof ancillary.space;
    }
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    *a = (struct answer){0};
    if (n > 0)
        read_ancillary(&message, &a->pid);
    if (n != 16)
        return false;
    a->type = (char) text[0];
    a->code = text[1];
    a->count = (uint16_t) get_number(text + 2, 2);
    a->number = (uint32_t) get_number(text + 4, 4);
    a->nonce = get_number(text + 8, 8);
    return true;
}

/* --- may there be one --- */

/* Memory that a copy doubles when the session writes to all of it. */
static int64_t anonymous_memory(pid_t pid)
{
    char path[64], text[256];
    long long size, resident, shared;

    snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
    if (pid <= 0 || read_file(path, text, sizeof text) <= 0)
        return 0;
    if (sscanf(text, "%lld %lld %lld", &size, &resident, &shared) != 3)
        return 0;
    return (resident - shared) * sysconf(_SC_PAGESIZE);
}

/* A line of the interpreter's status, in bytes; -1: it is dead. */
static int64_t status_memory(const char *line)
{
    char path[64], text[2048];

    snprintf(path, sizeof path, "/proc/%d/status", (int) g.kernel.pid);
    if (g.kernel.pid <= 0 || read_file(path, text, sizeof text) <= 0)
        return -1;
    const char *at = strstr(text, line);
    return at ? strtoll(at + strlen(line), NULL, 10) * (int64_t) KIB : -1;
}

int64_t session_memory_now(void)
{
    int64_t n = cgroup_memory_current(&g.cg);

    return n >= 0 ? n : status_memory("\nVmRSS:");
}

int64_t session_memory_peak(void)
{
    int64_t n = cgroup_memory_peak(&g.cg);

    return n >= 0 ? n : status_memory("\nVmHWM:");
}

static int64_t limit(void)
{
    int64_t ours = g.cg.ours ? g.cg.memory_limit : -1;

    if (ours < 0 || (g.session.memory >= 0 && g.session.memory < ours))
        return g.session.memory;
    return ours;
}

/* What all processes use, and cannot be taken from them without a kill. */
static int64_t used_memory(int64_t need)
{
    int64_t now = cgroup_memory_current(&g.cg);

    if (now < 0)
        return anonymous_memory(g.kernel.pid);
    /* The second number costs more to read. */
    return now + need <= limit() ? now : now - cgroup_memory_cache(&g.cg);
}

static bool memory_allows(void)
{
    int64_t need = anonymous_memory(g.kernel.pid);

    return limit() < 0 || used_memory(need) + need <= limit();
}

static bool cheap(const struct point *p)
{
    int64_t size = anonymous_memory(p->pid);

    return size <= limit() / CHEAP_PART && used_memory(size) + size <= limit();
}

/* How far the point is behind: a count, since the host may number executions beyond one sandbox. */
static const char *last_executions(char *text, size_t size, uint32_t after)
{
    uint32_t n = g.session.last - after;

    if (n == 1)
        return "the last execution";
    snprintf(text, size, "the last %" PRIu32 " executions", n);
    return text;
}

/* What a crash does as long as there is no newer point. */
static void loses(char *text, size_t size, const char *begin, const char *more)
{
    char last[48];

    if (g.session.point.pid > 0)
        snprintf(text, size, "%s%s loses the variables of %s", begin, more,
                 last_executions(last, sizeof last, g.session.point.after));
    else
        snprintf(text, size, "%s%s loses all variables", begin, more);
}

static void skip(char *text, size_t size, const char *why, const char *more)
{
    char begin[112];

    g.session.no_point = why;
    snprintf(begin, sizeof begin, "skipped: %s%s", why, more);
    loses(text, size, begin, ", a crash");
}

/* The limit with which there would be a point. */
static void skip_for_memory(char *text, size_t size)
{
    int64_t need = anonymous_memory(g.kernel.pid), mib = (int64_t) MIB;
    char more[64];

    snprintf(more, sizeof more, " (it takes a limit of %" PRId64 " MiB)", (used_memory(need) + need + mib - 1) / mib);
    skip(text, size, "memory", more);
}

/* False: there cannot be one now, and the text says why. */
static bool allowed(char *text, size_t size)
{
    int64_t processes = g.cg.pids_limit >= 0 ? cgroup_pids_current(&g.cg) : -1;
    if (processes >= 0 && processes + PROCESSES_FREE > g.cg.pids_limit) {
        point_wait(); /* what is said of an older one is to be true */
        skip(text, size, "processes", "");
        return false;
    }
    if (g.session.up && !memory_allows()) {
        point_wait();
        /* Memory first: what the older one holds may be what is missing. */
        if (g.session.point.pid > 0 && !cheap(&g.session.point)) {
            point_drop("memory");
            g.session.point_gone = true;
        }
        if (g.session.point.pid > 0 || !memory_allows()) {
            skip_for_memory(text, size);
            return false;
        }
    }
    return true;
}

/* A point that was there and is gone is not waited for: in a burst of crashes the second one would lose everything. */
static bool urgent(void)
{
    const struct session *s = &g.session;

    return s->checkpoint == CHECKPOINT_ALWAYS || s->point_gone ||
           (s->unsaved_since && now_ms() - s->unsaved_since >= UNSAVED_MS);
}

void point_want(void)
{
    g.session.quiet_at = now_ms() + QUIET_MS;
    if (!g.session.up || g.session.checkpoint == CHECKPOINT_OFF)
        g.session.point_due = NOT_DUE;
    else
        g.session.point_due = urgent() ? DUE_NOW : DUE_WHEN_QUIET;
}

void point_begin(void)
{
    g.session.point_due = NOT_DUE;
    if (!g.session.unsaved_since)
        g.session.unsaved_since = now_ms();
}

void point_postpone(void) { g.session.quiet_at = now_ms() + QUIET_MS; }

void point_carry(void)
{
    struct session *s = &g.session;

    if (s->point.pid > 0 && s->point.after == s->last)
        s->point.after = g.id;
    if (s->coming.nonce && s->coming.after == s->last)
        s->coming.after = g.id;
    s->last = g.id;
}

void point_decide(char *text, size_t size)
{
    /* After a program the one that is there may have all. */
    if (g.child.is && g.session.point.pid > 0 && g.session.point.after == g.session.last) {
        snprintf(text, size, "taken");
        return;
    }
    g.session.point_due = NOT_DUE;
    if (g.session.checkpoint == CHECKPOINT_OFF) {
        snprintf(text, size, "off");
        return;
    }
    if (!allowed(text, size))
        return;
    if (urgent()) {
        snprintf(text, size, "taken");
    } else {
        point_wait(); /* what is said of an older one is to be true */
        loses(text, size, "pending:", " a crash before it is taken");
    }
    point_want();
}

const char *point_absence(void)
{
    if (g.session.checkpoint == CHECKPOINT_OFF)
        return "they are off";
    if (g.session.no_point)
        return g.session.no_point;
    return g.session.checkpoint == CHECKPOINT_IDLE ? "none yet, since the session had not been quiet"
                                                   : "none had been taken yet";
}

/* --- making, keeping, using --- */

static void forget(struct point *p)
{
    fd_close(&p->fd);
    *p = (struct point){.fd = -1};
}

void point_drop(const char *why)
{
    pid_t pid = g.session.point.pid;

    forget(&g.session.point);
    g.session.no_point = why;
    if (pid <= 1)
        return;
    kill(pid, SIGKILL);
    /* Its memory is wanted now. It is our child, or the reaper of the loop takes it later. */
    for (int i = 0; i < 200 && kill(pid, 0) == 0; i++) {
        reap();
        usleep(1000);
    }
}

bool point_is_coming(void) { return g.session.coming.nonce && now_ms() < g.session.coming_until; }

void point_wait(void)
{
    int64_t until = now_ms() + COMING_WAIT_MS, left;

    while (g.session.coming.nonce && (left = until - now_ms()) > 0) {
        bool connected = g.session.coming.fd >= 0;
        int fd = connected ? g.session.coming.fd : g.session.listener;
        if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int) left) <= 0)
            break;
        if (connected)
            point_read();
        else
            session_accept();
    }
    forget(&g.session.coming);
}

void point_failed(uint64_t nonce)
{
    if (nonce == 0 || nonce != g.session.coming.nonce)
        return;
    forget(&g.session.coming);
    g.session.no_point = "it could not be made";
}

/* Whoever it is: its first word says more, and the kernel says with it who speaks. */
void point_connected(int fd)
{
    if (!g.session.coming.nonce || g.session.coming.fd >= 0)
        close(fd);
    else
        g.session.coming.fd = fd_high(fd);
}

void point_take(void)
{
    if (g.session.point_due != DUE_NOW || !g.session.up || g.kernel.control < 0)
        return;
    g.session.point_due = NOT_DUE;
    g.session.point_gone = false;
    g.session.unsaved_since = 0;
    point_wait();
    if (g.session.listener < 0) {
        g.session.no_point = "there is no way to it";
        return;
    }
    struct point *p = &g.session.coming;
    p->after = g.session.last;
    g.session.coming_until = now_ms() + PATIENCE_MS;
    p->nonce = session_send('F', g.session.last, NULL);
}

int64_t point_wait_until(void)
{
    bool quiet = g.session.up && g.kernel.control >= 0 && g.phase != RUNNING && !g.pending && buf_len(&g.out_queue) == 0;

    return g.session.point_due == DUE_WHEN_QUIET && quiet ? g.session.quiet_at : INT64_MAX;
}

void point_on_time(void)
{
    char text[160];

    if (g.phase == RUNNING || buf_len(&g.out_queue) > 0)
        return;
    if (now_ms() >= point_wait_until()) /* memory and processes may have become short meanwhile */
        g.session.point_due = allowed(text, sizeof text) ? DUE_NOW : NOT_DUE;
    point_take();
}

void point_read(void)
{
    struct point *p = &g.session.coming;
    struct answer a;
    bool gone = false;

    if (p->fd < 0)
        return;
    if (!read_answer(p->fd, &a, &gone)) {
        if (gone) { /* it is dead, or it was somebody else */
            fd_close(&p->fd);
        }
        return;
    }
    if (a.type != 'P' || a.nonce != p->nonce || a.pid <= 1 || a.pid == g.kernel.pid || kill(a.pid, 0) < 0)
        return;
    pid_t former = g.session.point.pid;
    fd_close(&g.session.point.fd);
    p->pid = a.pid;
    p->threads = a.count;
    g.session.point = *p;
    g.session.no_point = NULL;
    *p = (struct point){.fd = -1};
    if (former > 1)
        kill(former, SIGKILL);
}

void point_ended(void)
{
    forget(&g.session.point);
    g.session.no_point = "the last one was ended";
    g.session.point_gone = true;
}

void point_went_back(char *text, size_t size, const char *why, uint32_t threads)
{
    uint32_t to = (uint32_t) g.session.outcome.to;
    char last[48];
    bool more = g.session.last > to;

    snprintf(text, size, "%s%s%s%s%s", why, more ? "; what " : "", more ? last_executions(last, sizeof last, to) : "",
             more ? " before it did to variables is gone" : "", threads ? "; threads were not carried over" : "");
}

bool point_resume(uint32_t *after, uint32_t *threads)
{
    struct point *p = &g.session.point;
    int64_t until = now_ms() + RESUME_WAIT_MS, left;
    struct answer a = {0};
    bool gone = false;

    if (p->pid <= 1)
        return false;
    uint64_t nonce = send_to(p->fd, 'A', p->after, NULL);
    while (nonce && !gone && (left = until - now_ms()) > 0) {
        poll(&(struct pollfd){.fd = p->fd, .events = POLLIN}, 1, (int) left);
        if (read_answer(p->fd, &a, &gone) && a.type == 'A' && a.nonce == nonce && a.pid == p->pid)
            break;
        a.nonce = 0;
    }
    if (nonce == 0 || a.nonce != nonce) {
        point_drop("it did not continue");
        return false;
    }
    setsockopt(p->fd, SOL_SOCKET, SO_PASSCRED, &(int){0}, sizeof(int));
    g.kernel.pid = p->pid;
    g.kernel.control = p->fd;
    g.session.point_gone = true;
    g.session.unsaved_since = 0;
    *after = p->after;
    *threads = p->threads;
    *p = (struct point){.fd = -1};
    return true;
}
