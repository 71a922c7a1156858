/* SPDX-License-Identifier: MIT */
/*
 * What the code writes, on its way to the host.
 *
 * Each line is a write to a pipe: it is then in the kernel and not lost whoever is killed, and it stands in one order
 * with what children and libraries write there. What such lines cost is above all that somebody wakes up for each. So
 * a stream with many small pieces is left alone for a moment, until there should be half a pipe of them.
 */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define CHUNK (64 * KIB) /* what a pipe holds */
#define QUICK_US 500
#define QUICK_READS 16
#define PIECE (4 * KIB)
#define REST_MIN_US 100 /* shorter than the kernel's own precision: not worth it */
#define REST_MAX_US 2000
#define REST_IDLE_US 10000 /* where there has been nothing so often: */
#define IDLE_PASSES 10

/* Output that nobody gets is not even copied: descriptors 0 to 2 are /dev/null. */
static ssize_t take(const struct stream *s, unsigned char *to)
{
    if (s->bytes >= g.output_limit && !s->keep.on) {
        ssize_t n = splice(s->fd, NULL, STDOUT_FILENO, NULL, CHUNK, SPLICE_F_NONBLOCK);
        if (n >= 0 || errno != EINVAL)
            return n;
    }
    return read(s->fd, to, CHUNK);
}

/* In the time that `n` bytes took, scaled to half of what there is room for. */
static int64_t time_for(size_t n, int64_t gap, size_t room)
{
    int64_t us = gap < REST_MAX_US * 1000 ? gap * (int64_t) (room / 2) / (int64_t) n : REST_MAX_US;

    return us < REST_MAX_US ? us : REST_MAX_US;
}

/* How long a stream with many small reads is left alone after one of `n` bytes; `rested`: it was before it. */
static void rest_of_pipe(struct stream *s, size_t n, bool rested, int64_t gap)
{
    /* Not where somebody writes large pieces, who would wait for us. */
    if (n == 0 || n == CHUNK || (!rested && (gap > QUICK_US || n > PIECE)))
        s->quick = 0;
    else if (s->quick < QUICK_READS)
        s->quick++;
    if (s->quick < QUICK_READS || n >= CHUNK / 2)
        return;
    int64_t us = time_for(n, gap, CHUNK);
    if (us >= REST_MIN_US)
        s->rest_until = s->read_us + us;
}

/* Memory is looked at all the time: nobody says that something is there. */
static void rest_of_ring(struct stream *s, size_t n, int64_t gap)
{
    int64_t us = n > 0 ? time_for(n, gap, RING_SIZE) : s->idle < IDLE_PASSES ? REST_MAX_US : REST_IDLE_US;

    s->idle = n > 0 ? 0 : s->idle < IDLE_PASSES ? s->idle + 1 : s->idle;
    s->rest_until = s->read_us + (us > REST_MIN_US ? us : REST_MIN_US);
    ring_ready(true);
}

static void rest(struct stream *s, size_t n, bool rested, bool shared)
{
    int64_t before = s->read_us;

    s->read_us = now_us();
    if (shared)
        rest_of_ring(s, n, s->read_us - before);
    else
        rest_of_pipe(s, n, rested, s->read_us - before);
}

/* Counts `n` bytes; of so many of them the host hears. */
static size_t admit(struct stream *s, const unsigned char *text, size_t n)
{
    int64_t room = g.output_limit - s->bytes;

    keep_add(s, text, n);
    s->bytes += (int64_t) n;
    if ((int64_t) n <= room)
        return n;
    s->truncated = true;
    if (g.output_kill)
        stop_execution(REASON_OUTPUT);
    return room > 0 ? (size_t) room : 0;
}

static void send_some(struct stream *s, const unsigned char *text, size_t n)
{
    n = admit(s, text, n);
    if (n > 0)
        send_frame(s->type, g.id, text, n);
}

/* What the interpreter has printed into the memory that we share. */
static size_t relay_ring(struct stream *s)
{
    const unsigned char *text;
    size_t n;

    if (!ring_take(&text, &n))
        return 0;
    send_some(s, text, n);
    return n;
}

static bool is_ready(int fd) { return fd >= 0 && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0; }

/* Its memory, then the pipe. What comes into the memory before the pipe is read is older as well. */
static ssize_t relay_both(struct stream *s, size_t *n)
{
    unsigned char piped[CHUNK];

    *n = relay_ring(s);
    if (!is_ready(s->fd))
        return -1;
    ring_ready(false);
    *n += relay_ring(s);
    ssize_t got = read(s->fd, piped, sizeof piped);
    *n += relay_ring(s);
    if (got > 0) {
        send_some(s, piped, (size_t) got);
        s->piped += got;
        *n += (size_t) got;
    }
    return got;
}

static ssize_t relay_pipe(struct stream *s, size_t *n)
{
    unsigned char *text = frame_room(CHUNK);
    ssize_t got = s->fd < 0 ? -1 : take(s, text);

    if (got <= 0)
        return got;
    *n = (size_t) got;
    s->piped += got;
    size_t sent = admit(s, text, *n);
    if (sent > 0)
        frame_written(s->type, g.id, sent);
    return got;
}

void output_begin(struct stream *s)
{
    s->bytes = s->piped = s->rest_until = 0;
    s->quick = s->idle = 0;
    s->truncated = false;
    keep_begin(s);
}

bool relay_stream(struct stream *s)
{
    bool rested = s->rest_until > 0, shared = s->type == DSB_FRAME_STDOUT && ring_used();
    size_t n = 0;

    s->rest_until = 0;
    ssize_t got = shared ? relay_both(s, &n) : relay_pipe(s, &n);
    if (got == 0)
        fd_close(&s->fd);
    rest(s, n, rested, shared);
    return n > 0;
}

bool output_rests(const struct stream *s, int64_t now) { return s->rest_until > now; }

bool output_due(int64_t now)
{
    return (g.stdout_.rest_until > 0 && g.stdout_.rest_until <= now) ||
           (g.stderr_.rest_until > 0 && g.stderr_.rest_until <= now) || ring_has_more();
}
