/* SPDX-License-Identifier: MIT */
/* Frames: to the host and from it. */
#include "state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Used where the host names no limit: nothing is unlimited because a number is missing. */
#define DEFAULT_IDLE_MS (INT64_C(30) * 60 * 1000)
#define DEFAULT_LIFE_MS (INT64_C(24) * 3600 * 1000)
#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_GRACE_MS 500
#define DEFAULT_OUTPUT_LIMIT ((int64_t) MIB)
#define TIME_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)
#define CHUNK (64 * KIB)

static void put_u32(unsigned char *to, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char) (n >> (8 * i));
}

static uint32_t get_u32(const unsigned char *from)
{
    return from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

_Noreturn void leave(int status)
{
    /* The end of pid 1 ends the rest; elsewhere nobody else would. */
    if (getpid() != 1)
        kill_everything();
    _exit(status);
}

void flush_out(void)
{
    while (buf_len(&g.out_queue) > 0) {
        ssize_t n = write(g.out, buf_head(&g.out_queue), buf_len(&g.out_queue));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            leave(0); /* the host is gone */
        buf_consume(&g.out_queue, (size_t) n);
        if (g.phase == ANSWERED && !g.session.on)
            g.deadline = now_ms() + ACK_WAIT_MS;
    }
}

void send_frame(enum frame_type type, uint32_t id, const void *data, size_t n)
{
    unsigned char header[FRAME_HEADER];

    put_u32(header, (uint32_t) n);
    header[4] = (unsigned char) type;
    put_u32(header + 5, id);
    buf_add(&g.out_queue, header, sizeof header);
    buf_add(&g.out_queue, data, n);
}

_Noreturn void fail(const char *what, const char *detail)
{
    struct buf text = {0}, message = {0};

    buf_printf(&text, "%s%s", what, *detail ? ": " : "");
    buf_add(&text, detail, strlen(detail));
    buf_printf(&message, "{\"message\":");
    json_string(&message, (const char *) buf_head(&text), buf_len(&text));
    buf_printf(&message, "}");
    send_frame(FRAME_FAILURE, g.id, buf_head(&message), buf_len(&message));
    int64_t until = now_ms() + ACK_WAIT_MS;
    for (flush_out(); buf_len(&g.out_queue) > 0 && now_ms() < until; flush_out())
        poll(&(struct pollfd){.fd = g.out, .events = POLLOUT}, 1, 100);
    leave(1);
}

_Noreturn void fail_kernel(const char *what)
{
    buf_add(&g.log, "", 1);
    char *text = (char *) g.log.data + g.log.start;
    for (size_t n = strlen(text); n > 0 && text[n - 1] == '\n'; n--)
        text[n - 1] = '\0';
    fail(what, text);
}

/* --- frames from the host --- */

static void on_config(const unsigned char *data, size_t n)
{
    struct json_member m[] = {
        {"idle_ms", JSON_INT, 0, false}, {"life_ms", JSON_INT, 0, false},     {"session", JSON_BOOL, 0, false},
        {"memory", JSON_INT, -1, false}, {"checkpoint", JSON_BOOL, 1, false},
    };
    const char *wrong = json_scan(data, n, m, sizeof m / sizeof *m);

    if (wrong)
        fail("bad config frame", wrong);
    for (int i = 0; i < 2; i++)
        if (m[i].value < 0 || m[i].value > TIME_MAX_MS)
            fail("bad config frame", m[i].key);
    if (!g.python[0])
        fail("no python3 in the image", "");
    g.idle_ms = m[0].value ? m[0].value : DEFAULT_IDLE_MS;
    g.life_deadline = now_ms() + (m[1].value ? m[1].value : DEFAULT_LIFE_MS);
    if (m[2].value) {
        g.session.on = true;
        g.session.memory = m[3].value;
        g.session.checkpoint = m[4].value;
        buf_add(&g.session.config, data, n);
        session_start();
        return;
    }
    struct message config = {.type = 'C', .data = data, .n = n};
    if (!kernel_start(&g.kernel, SOCK_STREAM, g.python, g.script))
        fail("cannot start the interpreter", strerror(errno));
    if (!kernel_send(g.kernel.control, &config, SEND_WAIT_MS))
        fail_kernel("cannot start the interpreter");
    g.phase = STARTING;
    g.deadline = now_ms() + START_WAIT_MS;
}

static void on_exec(uint32_t id, const unsigned char *data, size_t n)
{
    struct json_member m[] = {
        {"timeout_ms", JSON_INT, DEFAULT_TIMEOUT_MS, false},
        {"grace_ms", JSON_INT, DEFAULT_GRACE_MS, false},
        {"output_limit", JSON_INT, DEFAULT_OUTPUT_LIMIT, false},
        {"output_kill", JSON_BOOL, 0, false},
    };
    const char *wrong = json_scan(data, n, m, 4);

    if (wrong)
        fail("bad exec frame", wrong);
    if (g.pending || g.phase == RUNNING || g.phase == ANSWERED)
        fail("bad exec frame", "one execution at a time");
    if (m[0].value <= 0 || m[0].value > TIME_MAX_MS || m[1].value < 0 || m[1].value > TIME_MAX_MS || m[2].value < 0)
        fail("bad exec frame", "a limit is out of range");
    g.id = id;
    g.timeout_ms = m[0].value;
    g.grace_ms = m[1].value;
    g.output_limit = m[2].value;
    g.output_kill = m[3].value;
    g.in_end = g.cancel_early = false;
    buf_free(&g.in_data);
    buf_add(&g.code, data, n);
    g.pending = true;
    if (g.session.on)
        session_pending();
    else if (g.phase == READY)
        start_execution();
}

static void on_frame(unsigned type, uint32_t id, const unsigned char *data, size_t n)
{
    if (g.phase == WAIT_CONFIG && type != FRAME_CONFIG)
        fail("bad frame", "config must come first");
    switch (type) {
    case FRAME_CONFIG:
        if (g.phase != WAIT_CONFIG)
            fail("bad frame", "a second config");
        on_config(data, n);
        return;
    case FRAME_EXEC:
        on_exec(id, data, n);
        return;
    case FRAME_STDIN:
        /* Late input of an execution that is over is nobody's. */
        if (id != g.id || g.in_end || !(g.pending || g.phase == RUNNING))
            return;
        buf_add(&g.in_data, data, n);
        g.in_end = n == 0;
        if (g.phase == RUNNING)
            relay_stdin();
        return;
    case FRAME_CANCEL:
        if (id != g.id || g.session.control)
            return;
        g.cancel_early = g.pending;
        if (n > 0)
            kill_execution(REASON_CANCELLED);
        else
            stop_execution(REASON_CANCELLED);
        return;
    case FRAME_ACK:
        if (g.phase != ANSWERED || id != g.id)
            return;
        if (!g.session.on)
            leave(0);
        g.phase = READY;
        return;
    case FRAME_CONTROL:
        if (!g.session.on)
            fail("bad frame", "a control operation without a session");
        session_on_control(id, data, n);
        return;
    default:
        fail("bad frame", "unknown type");
    }
}

void read_host(void)
{
    ssize_t n = read(g.in, buf_reserve(&g.in_queue, CHUNK), CHUNK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        leave(0); /* nobody waits for an answer any more */
    buf_added(&g.in_queue, (size_t) n);
    while (buf_len(&g.in_queue) >= FRAME_HEADER) {
        const unsigned char *h = buf_head(&g.in_queue);
        size_t len = get_u32(h);
        if (len > (h[4] == FRAME_EXEC ? FRAME_MAX_EXEC : FRAME_MAX_CONTROL))
            fail("bad frame", "too long");
        if (buf_len(&g.in_queue) < FRAME_HEADER + len)
            return;
        on_frame(h[4], get_u32(h + 5), h + FRAME_HEADER, len);
        buf_consume(&g.in_queue, FRAME_HEADER + len);
    }
}
