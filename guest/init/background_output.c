/* SPDX-License-Identifier: MIT */
/* What processes and threads of executions that are over still write: never another execution's output. */
#include "init/state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (64 * KIB)
#define TEXT_MAX (64 * KIB) /* for each of both, until the next result */

void background_take(struct stream *s)
{
    struct session *session = &g.session;

    if (s->fd < 0)
        return;
    if (session->backgrounds == BACKGROUND_MAX) {
        close(session->background[0].fd);
        memmove(session->background, session->background + 1, (BACKGROUND_MAX - 1) * sizeof *session->background);
        session->backgrounds--;
    }
    session->background[session->backgrounds++] = *s;
    s->fd = -1;
}

/* One read: a writer that never rests is not waited for. */
static void read_some(struct stream *s)
{
    unsigned char chunk[CHUNK];
    ssize_t n = read(s->fd, chunk, sizeof chunk);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fd_close(&s->fd);
        return;
    }
    struct buf *text = &g.session.behind[s->type == DSB_FRAME_STDERR];
    size_t room = TEXT_MAX - buf_len(text);
    g.session.behind_truncated |= (size_t) n > room;
    buf_add(text, chunk, (size_t) n < room ? (size_t) n : room);
}

void background_read(void)
{
    struct session *session = &g.session;
    int kept = 0;

    for (int i = 0; i < session->backgrounds; i++) {
        read_some(&session->background[i]);
        if (session->background[i].fd >= 0)
            session->background[kept++] = session->background[i];
    }
    session->backgrounds = kept;
}

int background_poll(struct pollfd *p)
{
    for (int i = 0; i < g.session.backgrounds; i++)
        p[i] = (struct pollfd){g.session.background[i].fd, POLLIN, 0};
    return g.session.backgrounds;
}

void background_send(void)
{
    struct buf out = {0}, *behind = g.session.behind;

    background_read();
    if (buf_len(&behind[0]) + buf_len(&behind[1]) == 0)
        return;
    buf_printf(&out, "{\"stdout\":");
    json_string(&out, (const char *) buf_head(&behind[0]), buf_len(&behind[0]));
    buf_printf(&out, ",\"stderr\":");
    json_string(&out, (const char *) buf_head(&behind[1]), buf_len(&behind[1]));
    buf_printf(&out, ",\"truncated\":%s}", g.session.behind_truncated ? "true" : "false");
    send_frame(DSB_FRAME_BACKGROUND, g.id, buf_head(&out), buf_len(&out));
    buf_free(&out);
    buf_free(&behind[0]);
    buf_free(&behind[1]);
    g.session.behind_truncated = false;
}
