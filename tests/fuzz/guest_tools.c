/* SPDX-License-Identifier: MIT */
/* What code in a sandbox says to pid 1 when it calls a tool, cut anywhere: a call, or nothing. */
#include "init/state.h"

#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct state g;
static guint told, ended;

#include "init/tools.c"

void fail(const char *what, const char *detail)
{
    PROMISE(what == NULL && detail == NULL);
    abort();
}

int fd_high(int fd) { return fd; }

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int64_t now_ms(void) { return 1000000; }

static struct buf room;

unsigned char *frame_room(size_t n) { return buf_reserve(&room, n); }

void frame_written(enum dsb_frame_type type, uint32_t id, size_t n)
{
    PROMISE(type == DSB_FRAME_CALL && id == 0 && n >= 9 + 1 && n <= 9 + DSB_TOOL_NAME + DSB_CALL_ARGUMENTS);
    const unsigned char *frame = buf_head(&room);
    PROMISE(is_name(frame + 9, frame[4]) && n == 9 + frame[4] + get_number(frame + 5, 4));
    told++;
}

void send_frame(enum dsb_frame_type type, uint32_t id, const void *data, size_t n)
{
    PROMISE(type == DSB_FRAME_RETURNED && id == 0 && n == 4 && data != NULL);
    ended++;
}

static void say(int to, struct fuzz_input *input, gsize step)
{
    while (input->size > 0 && g.tools.count == 1) {
        gsize n = MIN(step, input->size);
        PROMISE(write(to, input->data, n) == (ssize_t) n);
        input->data += n;
        input->size -= n;
        if (!read_call(&g.tools.calls[0]))
            end_call(0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    gsize step = 1 + (gsize) fuzz_byte(&input) * 16;
    int ends[2];
    PROMISE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    memset(&g, 0, sizeof g);
    told = ended = 0;
    g.tools.listener = -1;
    g.tools.count = 1;
    g.tools.calls[0].fd = ends[0];
    say(ends[1], &input, step);
    if (g.tools.count == 1 && told == 1) {
        static const unsigned char answer[] = {1, 0, 0, 0, 0, '{', '}'};
        tools_return(answer, sizeof answer);
    }
    PROMISE(told <= 1 && ended == told);
    PROMISE(g.tools.open == 0);
    tools_end();
    buf_free(&room);
    close(ends[1]);
    return 0;
}
