/* SPDX-License-Identifier: MIT */
/* Session mode: one interpreter for many executions, its start, its answers, its end. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_LOSSES_MAX 5
#define LAST_WORDS 100 /* messages that a dead interpreter may have left; a child of it can write for ever */
#define CONTROL_GRACE_MS 500
#define POOLS_WAIT_MS 2500
#define CONTROL_GONE_MS 2000 /* for an interpreter that has lost its socket to come back */

/* --- start --- */

/* An abstract name: a session without network has no other socket that it could reach. */
static int open_listener(int type, const char *name, const char *more)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int yes = 1, fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s%s", name, more);
    socklen_t length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n);
    /* Who is accepted inherits it: no message is without its sender. */
    if (type == SOCK_SEQPACKET)
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *) &address, length) < 0 || listen(fd, 4) < 0) {
        close(fd);
        return -1;
    }
    return fd_high(fd);
}

static void open_listeners(char *name, size_t size)
{
    unsigned char random[12] = {0};

    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return;
    int n = snprintf(name, size, "dsandbox-");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(name + n, size - (size_t) n, "%02x", random[i]);
    g.session.listener = open_listener(SOCK_SEQPACKET, name, "");
    g.session.streams = open_listener(SOCK_STREAM, name, "s");
    if (g.session.listener < 0)
        name[0] = '\0';
}

static void start_interpreter(void)
{
    struct message config = {.type = 'C', .data = buf_head(&g.session.config), .n = buf_len(&g.session.config)};
    struct message listener = {
        .type = 'L', .data = (const unsigned char *) g.session.name, .n = strlen(g.session.name)};

    buf_free(&g.log);
    if (!kernel_start(&g.kernel, SOCK_SEQPACKET, &g.report_fd, 1, g.python, g.script))
        fail("cannot start the interpreter", strerror(errno));
    if (!kernel_send(g.kernel.control, &config, SEND_WAIT_MS) || !kernel_send(g.kernel.control, &listener, SEND_WAIT_MS))
        fail_kernel("cannot start the interpreter");
    g.session.up = g.session.point_gone = false;
    g.session.unsaved_since = 0;
    g.session.start_deadline = now_ms() + START_WAIT_MS;
}

void session_start(void)
{
    g.stdout_ = (struct stream){.fd = -1, .type = DSB_FRAME_STDOUT};
    g.stderr_ = (struct stream){.fd = -1, .type = DSB_FRAME_STDERR};
    g.session.point.fd = g.session.coming.fd = -1;
    g.report_fd = open_report();
    open_listeners(g.session.name, sizeof g.session.name);
    start_interpreter();
    g.phase = READY;
    g.deadline = now_ms() + g.idle_ms;
}

static void run_pending(void);

static void on_up(void)
{
    g.session.up = true;
    send_frame(DSB_FRAME_READY, 0, "{}", 2);
    if (g.session.reset_pending)
        send_frame(DSB_FRAME_ANSWER, g.session.control_id, "{}", 2);
    g.session.reset_pending = false;
    if (g.phase == READY)
        g.deadline = now_ms() + g.idle_ms;
    point_want();
    point_take();
    run_pending();
}

/* --- executions --- */

static void clear_report(void)
{
    static const unsigned char zero[16];

    if (g.report_fd >= 0 && pwrite(g.report_fd, zero, sizeof zero, 0) < 0)
        fd_close(&g.report_fd);
    give_back_report();
}

static void recover(const char *why);

/* An interpreter with nothing to do ended, or is no use. */
static void replace(const char *why)
{
    if (++g.session.idle_losses > IDLE_LOSSES_MAX)
        fail_kernel("the interpreter ends again and again");
    g.reason = REASON_NONE;
    recover(why);
    g.session.idle = g.session.outcome;
    point_want();
    point_take();
}

/* False: the interpreter did not take them. */
static bool give_tools(void)
{
    struct buf text = {0};

    if (!tools_given())
        return true;
    tools_begin(&text);
    bool taken = session_send('T', g.id, &text) != 0;
    buf_free(&text);
    return taken;
}

static void run_pending(void)
{
    if (!g.pending || g.phase != READY || !g.session.up || g.kernel.control < 0)
        return;
    point_take();
    if (point_is_coming())
        return; /* once more when it is there */
    g.child.is = g.child.wanted && !g.session.control;
    if (g.child.is)
        point_wait(); /* a copy that comes now would be taken for the program's */
    else if (!g.session.control || g.session.restores)
        point_begin();
    clear_report();
    newcomers_note();
    g.session.answered = g.session.started = g.session.opened = false;
    g.session.connected = -1;
    begin_usage();
    if (g.child.is) {
        g.session.nonce = 1; /* the interpreter is told nothing */
        g.session.opened = true;
        child_start();
        relay_stdin(); /* it may be at its end already */
    } else if (g.session.control)
        g.session.nonce = session_send('Q', g.session.control_id, &g.code);
    else if (!give_tools())
        g.session.nonce = 0;
    else
        g.session.nonce = session_send('E', g.id, &g.code);
    if (g.session.nonce == 0) { /* once more with what takes its place */
        g.phase = READY;
        g.pending = true;
        replace("the interpreter did not take the execution");
        return; /* the loop comes here again */
    }
    buf_free(&g.code);
    g.session.idle_losses = 0;
    g.session.outcome = (struct outcome){.kind = KEPT};
    g.session.memory_before = session_memory_peak();
    g.session.memory_peak = 0;
    sample_pids();
    if (g.session.control)
        return;
    if (g.cancel_early)
        stop_execution(REASON_CANCELLED);
    g.cancel_early = false;
}

static void write_state(struct buf *out, const struct outcome *outcome)
{
    static const char *const names[] = {"kept", "rolled_back", "lost"};
    static const struct outcome over = {.kind = LOST, .reason = "the life time of the session is over"};
    char point[160];

    point_decide(point, sizeof point);
    if (now_ms() >= g.life_deadline) /* after this answer there is no interpreter */
        outcome = &over;
    buf_printf(out, ",\"state\":{\"outcome\":\"%s\",\"reason\":", names[outcome->kind]);
    if (outcome->reason[0])
        json_string(out, outcome->reason, strlen(outcome->reason));
    else
        buf_printf(out, "null");
    if (outcome->kind == ROLLED_BACK)
        buf_printf(out, ",\"to\":%" PRId64, outcome->to);
    else
        buf_printf(out, ",\"to\":null");
    buf_printf(out, ",\"point\":");
    json_string(out, point, strlen(point));
    buf_printf(out, "}");
}

static void finish_control(bool dead)
{
    struct buf answer = {0}, text = {0};

    if (!dead && (g.report_fd < 0 || !send_memory(DSB_FRAME_ANSWER, g.session.control_id)))
        send_frame(DSB_FRAME_ANSWER, g.session.control_id, "{\"error\":\"no answer\"}", 21);
    if (dead) {
        buf_printf(&answer, "{\"error\":");
        buf_printf(&text, "the interpreter ended: %s", g.session.outcome.reason);
        json_string(&answer, (const char *) buf_head(&text), buf_len(&text));
        write_state(&answer, &g.session.outcome);
        buf_printf(&answer, "}");
        send_frame(DSB_FRAME_ANSWER, g.session.control_id, buf_head(&answer), buf_len(&answer));
    }
    buf_free(&answer);
    buf_free(&text);
    if (g.session.restores) { /* the point has other variables */
        char point[160];
        point_decide(point, sizeof point);
    } else
        point_postpone();
    give_back_report();
    g.session.control = false;
    g.phase = READY;
    g.deadline = now_ms() + g.idle_ms;
}

/* The interpreter's pools are to start no workers again. */
static void end_pools(void)
{
    uint64_t nonce = session_send('K', g.id, NULL);
    int64_t until = now_ms() + POOLS_WAIT_MS, left;
    struct answer a = {0};
    bool gone = false;

    while (nonce && !gone && a.nonce != nonce && (left = until - now_ms()) > 0)
        if (poll(&(struct pollfd){.fd = g.kernel.control, .events = POLLIN}, 1, (int) left) > 0)
            read_answer(g.kernel.control, &a, &gone);
}

/* After an end by force nothing that the execution has started goes on. */
static bool end_children(void)
{
    if (g.reason == REASON_NONE)
        return true;
    end_pools();
    return newcomers_end();
}

void session_finish(bool dead)
{
    const char *why = NULL;

    end_usage();
    if (!g.session.control)
        tools_end();
    if (!dead && !end_children()) {
        why = "processes that the code started do not end";
        dead = true;
    }
    if (dead)
        recover(why);
    if (g.session.control) {
        finish_control(dead);
        return;
    }
    program_end();
    background_send();
    streams_drain(&g.stdout_);
    streams_drain(&g.stderr_);
    background_take(&g.stdout_);
    background_take(&g.stderr_);
    fd_close(&g.stdin_fd);
    buf_free(&g.in_data);
    g.session.last = g.id;
    if (g.report_fd >= 0)
        send_memory(DSB_FRAME_REPORT, g.id);
    give_back_report();
    send_done();
    g.phase = ANSWERED;
    g.deadline = now_ms() + g.idle_ms;
}

/* --- the end of an interpreter --- */

static const char *end_of_interpreter(char *text, size_t size)
{
    int status = g.main_status;

    switch (g.reason) {
    case REASON_TIMEOUT:
        return "the code did not end at its time limit";
    case REASON_CANCELLED:
        return "the code did not end when it was cancelled";
    case REASON_OUTPUT:
        return "the code was ended at its output limit";
    case REASON_NONE:
        break;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && cgroup_oom_kills(&g.cg) > g.oom_before)
        return "out of memory";
    if (WIFSIGNALED(status))
        snprintf(text, size, "the interpreter was ended by signal %d", WTERMSIG(status));
    else
        snprintf(text, size, "the code ended the interpreter with exit status %d", WEXITSTATUS(status));
    return text;
}

/* Afterwards the point is the interpreter, or another one starts. NULL: the interpreter ended as main_status says. */
static void recover(const char *why)
{
    struct outcome *o = &g.session.outcome;
    char text[128];
    uint32_t after = 0, threads = 0;

    *o = (struct outcome){.to = -1};
    g.main_dead = false;
    point_wait();
    if (g.session.point.pid <= 1 || !kill_others(g.session.point.pid)) {
        if (g.session.point.pid > 1)
            point_drop("it was ended as well");
        kill_everything();
    }
    if (!why)
        why = end_of_interpreter(text, sizeof text);
    g.kernel.pid = -1;
    fd_close(&g.kernel.control);
    fd_close(&g.kernel.log);
    if (point_resume(&after, &threads)) {
        o->kind = ROLLED_BACK;
        o->to = after;
        point_went_back(o->reason, sizeof o->reason, why, threads);
        return;
    }
    kill_everything();
    o->kind = LOST;
    snprintf(o->reason, sizeof o->reason, "%s; there was no rollback point: %s", why, point_absence());
    start_interpreter();
}

void session_on_death(void)
{
    if (g.child.is) { /* the program goes on: what becomes of the variables is told at its end */
        g.session.died = true;
        g.kernel.pid = -1;
        return;
    }
    if (!g.session.up)
        fail_start();
    /* It may have answered before. */
    for (int i = 0; i < LAST_WORDS && g.kernel.control >= 0; i++)
        session_read_control();
    if (g.phase == RUNNING) {
        session_finish(true);
        return;
    }
    replace(NULL);
    run_pending();
}

/* What it has written is in the pipe; what it has left behind is ended, and so is nobody's. */
void session_program_ended(void)
{
    end_usage();
    bool ended = newcomers_end_of_program();
    if (g.session.died || !ended)
        recover(ended ? "the interpreter ended while a program ran" : "processes that the program started do not end");
    g.session.died = false;
    background_send();
    terminal_close();
    streams_drain(&g.stdout_);
    streams_drain(&g.stderr_);
    fd_close(&g.stdout_.fd);
    fd_close(&g.stderr_.fd);
    fd_close(&g.stdin_fd);
    buf_free(&g.in_data);
    g.main_status = g.child.status;
    point_carry();
    send_done();
    g.child.is = false;
    g.phase = ANSWERED;
    g.deadline = now_ms() + g.idle_ms;
}

void session_done(struct buf *out)
{
    struct outcome *o = &g.session.outcome;

    /* What was lost between executions is told with the next one. */
    if (g.session.idle.kind > o->kind)
        *o = g.session.idle;
    g.session.idle = (struct outcome){.kind = KEPT};
    write_state(out, o);
}

/* --- what the interpreter says --- */

void session_read_control(void)
{
    struct answer a;
    bool gone = false;
    bool is = read_answer(g.kernel.control, &a, &gone);

    if (gone) {
        fd_close(&g.kernel.control);
        g.session.control_deadline = now_ms() + CONTROL_GONE_MS;
        return;
    }
    if (is && a.type == 'R' && !g.session.up) {
        on_up();
        return;
    }
    if (is && a.type == 'F')
        point_failed(a.nonce);
    /* Whatever else is there, the code has put it there. */
    if (!is || g.phase != RUNNING || g.child.is || g.session.answered || a.nonce != g.session.nonce)
        return;
    if (a.type == 'I' && !g.session.control && !g.session.opened && g.session.connected < 0)
        streams_open();
    if (a.type == 'S' && !g.session.started)
        code_started();
    if (a.type != 'D')
        return;
    g.session.answered = true;
    g.main_status = a.count != 0 ? SIGINT : a.code << 8; /* as wait(2) has it */
    session_finish(false);
}

/* An interpreter whose control socket the code has closed comes back here, and a new copy of it comes first. */
void session_accept(void)
{
    int fd = accept4(g.session.listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (!g.session.up || streams_peer(fd) != g.kernel.pid) {
        point_connected(fd);
        return;
    }
    fd_close(&g.kernel.control);
    g.kernel.control = fd_high(fd);
}

void session_pending(void)
{
    g.session.control_deadline = now_ms() + CONTROL_GONE_MS;
    run_pending();
}

/* --- control operations --- */

static void answer_error(uint32_t id, const char *text)
{
    struct buf answer = {0};

    buf_printf(&answer, "{\"error\":");
    json_string(&answer, text, strlen(text));
    buf_printf(&answer, "}");
    send_frame(DSB_FRAME_ANSWER, id, buf_head(&answer), buf_len(&answer));
    buf_free(&answer);
}

static void reset(uint32_t id)
{
    point_drop("the session was reset");
    g.session.coming.nonce = 0;
    fd_close(&g.session.coming.fd);
    kill_everything();
    g.kernel.pid = -1;
    fd_close(&g.kernel.control);
    fd_close(&g.kernel.log);
    g.session.idle = (struct outcome){.kind = KEPT};
    g.session.control_id = id;
    g.session.reset_pending = true;
    start_interpreter();
}

void session_give_up_control(void)
{
    if (!g.session.control)
        return;
    if (g.phase == RUNNING) {
        stop_execution(REASON_CANCELLED);
        return;
    }
    g.session.control = g.pending = false;
    buf_free(&g.code);
    answer_error(g.session.control_id, "given up");
}

void session_on_control(uint32_t id, const unsigned char *data, size_t n)
{
    struct command c;
    const char *wrong = command_read(&c, DSB_FRAME_CONTROL, data, n);

    if (wrong)
        fail("bad control frame", wrong);
    session_give_up_control();
    if (g.pending || g.session.reset_pending || (g.phase != READY && g.phase != ANSWERED)) {
        answer_error(id, "busy");
        return;
    }
    g.phase = READY;
    if (part_is(&c.name, "reset")) {
        reset(id);
        return;
    }
    g.session.control = true;
    g.session.control_id = id;
    g.session.restores = part_is(&c.name, "restore");
    g.timeout_ms = c.numbers[DSB_CONTROL_TIMEOUT_MS];
    g.grace_ms = CONTROL_GRACE_MS;
    g.output_kill = g.output_keep = false;
    buf_free(&g.code);
    buf_add(&g.code, data, n);
    g.pending = true;
    session_pending();
}

/* --- time --- */

int64_t session_wait_until(void)
{
    if (!g.session.on)
        return INT64_MAX;
    if (!g.session.up)
        return g.session.start_deadline;
    if (!g.pending || g.phase != READY)
        return point_wait_until();
    if (g.kernel.control < 0)
        return g.session.control_deadline;
    return point_is_coming() ? g.session.coming_until : 0;
}

void session_on_deadlines(int64_t now)
{
    if (!g.session.up && now >= g.session.start_deadline)
        fail_kernel("the interpreter is not ready in time");
    /* It lost its socket and does not come back; while code runs, that is the code's time. */
    if (g.session.up && g.kernel.control < 0 && g.pending && g.phase == READY && now >= g.session.control_deadline)
        replace("the interpreter lost its control socket");
    run_pending();
}
