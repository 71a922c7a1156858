/* SPDX-License-Identifier: MIT */
/*
 * All of a stream in a file of the session directory, where the caller asks for it: what is over the output limit is
 * not lost. Little output makes no file. The directory is the code's: names are made anew and nothing is followed, and
 * what the code does to the file is its own loss.
 */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "dsandbox-output"
#define HELD (64 * KIB) /* so much waits in memory before there is a file */
#define TAIL (64 * KIB)
#define NAMES_MAX 100

/* The file is made here; -1 where it cannot be. */
static int make_file(struct stream *s)
{
    const char *which = s->type == DSB_FRAME_STDOUT ? "stdout" : "stderr";
    int fd = -1, top = open("/sandbox", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (top < 0)
        return -1;
    if (mkdirat(top, PLACE, 0755) == 0 || errno == EEXIST) {
        int place = openat(top, PLACE, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        for (int i = 1; place >= 0 && fd < 0 && i <= NAMES_MAX; i++) {
            int at = snprintf(s->keep.name, sizeof s->keep.name, PLACE "/execution-%" PRIu32, g.id);
            if (i > 1)
                at += snprintf(s->keep.name + at, sizeof s->keep.name - (size_t) at, "-%d", i);
            snprintf(s->keep.name + at, sizeof s->keep.name - (size_t) at, ".%s", which);
            fd = openat(place, s->keep.name + sizeof PLACE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
            if (fd < 0 && errno != EEXIST)
                break;
        }
        fd_close(&place);
    }
    close(top);
    return fd < 0 ? -1 : fd_high(fd);
}

/* Whatever goes wrong (no room, a limit) is the end of it: the file then has less than was written. */
static void put(struct keep *keep, const unsigned char *text, size_t n)
{
    while (n > 0 && !keep->failed) {
        ssize_t done = write(keep->fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        keep->failed = done <= 0;
        if (done > 0) {
            keep->bytes += done;
            text += done;
            n -= (size_t) done;
        }
    }
}

void keep_begin(struct stream *s)
{
    buf_free(&s->keep.held);
    if (s->keep.on)
        fd_close(&s->keep.fd);
    s->keep = (struct keep){.fd = -1, .on = g.output_keep};
}

void keep_add(struct stream *s, const unsigned char *text, size_t n)
{
    struct keep *keep = &s->keep;

    if (!keep->on || keep->failed)
        return;
    if (keep->fd < 0 && buf_len(&keep->held) + n <= HELD) {
        buf_add(&keep->held, text, n);
        return;
    }
    if (keep->fd < 0) {
        keep->fd = make_file(s);
        keep->failed = keep->fd < 0;
        put(keep, buf_head(&keep->held), buf_len(&keep->held));
        buf_free(&keep->held);
    }
    put(keep, text, n);
}

/* The last bytes, but none that the host has already. */
static void send_tail(struct stream *s)
{
    unsigned char *to = frame_room(1 + TAIL);
    int64_t from = s->keep.bytes - (int64_t) TAIL;

    if (from < g.output_limit)
        from = g.output_limit;
    to[0] = s->type == DSB_FRAME_STDOUT ? 1 : 2;
    ssize_t n = from < s->keep.bytes ? pread(s->keep.fd, to + 1, (size_t) (s->keep.bytes - from), from) : 0;
    if (n > 0)
        frame_written(DSB_FRAME_TAIL, g.id, 1 + (size_t) n);
}

void keep_end(struct stream *s, struct buf *done)
{
    const char *which = s->type == DSB_FRAME_STDOUT ? "stdout" : "stderr";
    struct keep *keep = &s->keep;

    if (!keep->on)
        return;
    /* Only what is over the limit needs a file; where that is small it may still be in memory. */
    if (s->truncated && keep->fd < 0 && !keep->failed) {
        keep->fd = make_file(s);
        keep->failed = keep->fd < 0;
        put(keep, buf_head(&keep->held), buf_len(&keep->held));
    }
    if (s->truncated && keep->fd >= 0) {
        send_tail(s);
        buf_printf(done, ",\"%s_file\":\"%s\",\"%s_file_bytes\":%" PRId64, which, keep->name, which, keep->bytes);
    } else if (keep->fd >= 0) {
        char path[sizeof "/sandbox/" + sizeof keep->name];
        snprintf(path, sizeof path, "/sandbox/%s", keep->name);
        unlink(path);
        rmdir("/sandbox/" PLACE); /* where nothing else is in it */
    }
    fd_close(&keep->fd);
    buf_free(&keep->held);
    keep->on = false;
}
