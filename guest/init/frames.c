/* SPDX-License-Identifier: MIT */
/* Frames: to the host and from it. */
#include "init/state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (64 * KIB)

_Noreturn void leave(int status)
{
    volume_tidy();
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

unsigned char *frame_room(size_t n) { return buf_reserve(&g.out_queue, DSB_FRAME_HEADER + n) + DSB_FRAME_HEADER; }

void frame_written(enum dsb_frame_type type, uint32_t id, size_t n)
{
    unsigned char *header = buf_reserve(&g.out_queue, DSB_FRAME_HEADER + n);

    put_number(header, n, 4);
    header[4] = (unsigned char) type;
    put_number(header + 5, id, 4);
    buf_added(&g.out_queue, DSB_FRAME_HEADER + n);
}

void send_frame(enum dsb_frame_type type, uint32_t id, const void *data, size_t n)
{
    unsigned char *payload = frame_room(n);

    if (n > 0)
        memcpy(payload, data, n);
    frame_written(type, id, n);
}

_Noreturn void fail(const char *what, const char *detail)
{
    struct buf text = {0}, message = {0};

    buf_printf(&text, "%s%s", what, *detail ? ": " : "");
    buf_add(&text, detail, strlen(detail));
    buf_printf(&message, "{\"message\":");
    json_string(&message, (const char *) buf_head(&text), buf_len(&text));
    buf_printf(&message, "}");
    send_frame(DSB_FRAME_FAILURE, g.id, buf_head(&message), buf_len(&message));
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
    struct command c;
    const char *wrong = command_read(&c, DSB_FRAME_CONFIG, data, n);

    volume_tidy(); /* the host has seen it, or does not care */
    if (wrong)
        fail("bad config frame", wrong);
    if (!g.python[0] && !(c.flags & DSB_CONFIG_PROGRAM))
        fail("no python3 in the image", "");
    g.report_max = c.numbers[DSB_CONFIG_RESULTS_LIMIT];
    g.own_idle_ms = c.numbers[DSB_CONFIG_IDLE_MS];
    g.own_life_ms = c.numbers[DSB_CONFIG_LIFE_MS];
    g.waits = c.flags & DSB_CONFIG_WAITS;
    g.idle_ms = g.waits ? POOL_WAIT_MS : g.own_idle_ms;
    g.life_deadline = now_ms() + (g.waits ? POOL_WAIT_MS : g.own_life_ms);
    g.tells_ready = g.waits || c.arguments > 0;
    if (c.flags & DSB_CONFIG_SESSION) {
        g.session.on = true;
        g.session.memory = c.numbers[DSB_CONFIG_MEMORY] ? c.numbers[DSB_CONFIG_MEMORY] : -1;
        if (c.flags & DSB_CONFIG_CHECKPOINT)
            g.session.checkpoint = c.flags & DSB_CONFIG_CHECKPOINT_IDLE ? CHECKPOINT_IDLE : CHECKPOINT_ALWAYS;
        buf_add(&g.session.config, data, n);
        session_start();
        return;
    }
    if (c.flags & DSB_CONFIG_PROGRAM) {
        g.phase = READY;
        g.deadline = now_ms() + g.idle_ms;
        return;
    }
    struct message config = {.type = 'C', .data = data, .n = n};
    start_one_shot(&config);
}

static void on_exec(uint32_t id, const unsigned char *data, size_t n)
{
    struct command c;
    const char *wrong = command_read(&c, DSB_FRAME_EXEC, data, n);

    if (wrong)
        fail("bad exec frame", wrong);
    session_give_up_control();
    bool control = g.session.control; /* it ends, and the execution waits for that */
    if (g.pending || (g.phase == RUNNING && !control) || g.phase == ANSWERED)
        fail("bad exec frame", "one execution at a time");
    g.child.wanted = c.flags & DSB_EXEC_PROGRAM;
    g.child.terminal = c.flags & DSB_EXEC_TERMINAL;
    g.child.window = (uint32_t) c.numbers[DSB_EXEC_WINDOW];
    g.child.typed = 0;
    g.child.typed_end = false;
    if (!g.child.wanted && !g.session.on && g.kernel.pid < 0)
        fail("bad exec frame", "there is no interpreter for code");
    g.id = id;
    g.timeout_ms = c.numbers[DSB_EXEC_TIMEOUT_MS];
    g.grace_ms = c.numbers[DSB_EXEC_GRACE_MS];
    g.output_limit = c.numbers[DSB_EXEC_OUTPUT_LIMIT];
    g.output_kill = c.flags & DSB_EXEC_OUTPUT_KILL;
    g.output_keep = c.flags & DSB_EXEC_OUTPUT_KEEP;
    g.tools.stops_clock = c.flags & DSB_EXEC_CALLS_STOP_CLOCK;
    if (g.child.wanted && tools_given())
        fail("bad exec frame", "a program with tools");
    g.in_end = g.cancel_early = false;
    if (!g.child.wanted)
        program_begin(&c.name);
    buf_free(&g.in_data);
    buf_add(&g.code, data, n);
    g.pending = true;
    if (g.session.on)
        session_pending();
    else if (g.phase == READY || g.child.wanted)
        start_execution();
}

/* It is somebody's from now on. */
static void on_claim(void)
{
    if (!g.waits || (g.phase != READY && g.phase != STARTING))
        fail("bad frame", "nothing waits");
    g.waits = false;
    g.idle_ms = g.own_idle_ms;
    g.life_deadline = now_ms() + g.own_life_ms;
    if (g.phase == READY)
        g.deadline = now_ms() + g.idle_ms;
}

static void on_frame(unsigned type, uint32_t id, const unsigned char *data, size_t n)
{
    if (g.phase == WAIT_CONFIG && type != DSB_FRAME_CONFIG)
        fail("bad frame", "config must come first");
    if (g.waits && type != DSB_FRAME_CLAIM)
        fail("bad frame", "nobody has claimed the sandbox");
    switch (type) {
    case DSB_FRAME_CLAIM:
        on_claim();
        return;
    case DSB_FRAME_CONFIG:
        if (g.phase != WAIT_CONFIG)
            fail("bad frame", "a second config");
        on_config(data, n);
        return;
    case DSB_FRAME_EXEC:
        on_exec(id, data, n);
        return;
    case DSB_FRAME_STDIN:
        /* Late input of an execution that is over is nobody's. */
        if (id != g.id || g.in_end || !(g.pending || g.phase == RUNNING))
            return;
        buf_add(&g.in_data, data, n);
        g.in_end = n == 0;
        if (g.phase == RUNNING)
            relay_stdin();
        return;
    case DSB_FRAME_WINDOW:
        if (n != 4)
            fail("bad window frame", "it has two numbers");
        if (id == g.id && g.child.terminal && (g.pending || g.phase == RUNNING))
            terminal_resize((uint32_t) (get_number(data, 2) << 16 | get_number(data + 2, 2)));
        return;
    case DSB_FRAME_TOOLS:
        if (g.pending || g.phase == RUNNING)
            fail("bad frame", "tools for what runs already");
        tools_names(id, data, n);
        return;
    case DSB_FRAME_RETURN:
        if (id == g.id && g.phase == RUNNING)
            tools_return(data, n);
        return;
    case DSB_FRAME_CANCEL:
        if (id != g.id)
            return;
        g.cancel_early = g.pending;
        if (g.session.control)
            return;
        if (n > 0)
            kill_execution(REASON_CANCELLED);
        else
            stop_execution(REASON_CANCELLED);
        return;
    case DSB_FRAME_ACK:
        if (g.phase != ANSWERED || id != g.id)
            return;
        if (!g.session.on)
            leave(0);
        g.phase = READY;
        return;
    case DSB_FRAME_CONTROL:
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
    while (buf_len(&g.in_queue) >= DSB_FRAME_HEADER) {
        const unsigned char *h = buf_head(&g.in_queue);
        size_t len = get_number(h, 4);
        if (len > (h[4] == DSB_FRAME_EXEC || h[4] == DSB_FRAME_RETURN ? DSB_FRAME_MAX : DSB_FRAME_MAX_CONTROL))
            fail("bad frame", "too long");
        if (buf_len(&g.in_queue) < DSB_FRAME_HEADER + len)
            return;
        on_frame(h[4], (uint32_t) get_number(h + 5, 4), h + DSB_FRAME_HEADER, len);
        buf_consume(&g.in_queue, DSB_FRAME_HEADER + len);
    }
}
