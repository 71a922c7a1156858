/* SPDX-License-Identifier: MIT */
/* Session mode: one interpreter for many executions, its start, its answers, its end. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_LOSSES_MAX 5
#define CONTROL_TIMEOUT_MS 30000
#define CONTROL_TIMEOUT_MAX_MS 600000
#define CONTROL_GRACE_MS 500
#define CONTROL_GONE_MS 2000 /* for an interpreter that has lost its socket to come back */

/* --- start --- */

/* An abstract name: a session without network has no other socket that it could reach. */
static int open_listener(char *name, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char random[12] = {0};

    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return -1;
    int n = snprintf(name, size, "dsandbox-");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(name + n, size - (size_t) n, "%02x", random[i]);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    memcpy(address.sun_path + 1, name, (size_t) n);
    socklen_t length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n);
    if (bind(fd, (struct sockaddr *) &address, length) < 0 || listen(fd, 4) < 0) {
        close(fd);
        return -1;
    }
    return fd_high(fd);
}

static void open_pipes(void)
{
    int out[2], err[2];

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        fail("cannot make pipes", strerror(errno));
    g.stdout_ = (struct stream){.fd = fd_high(out[0]), .type = FRAME_STDOUT};
    g.stderr_ = (struct stream){.fd = fd_high(err[0]), .type = FRAME_STDERR};
    g.session.out_write = fd_high(out[1]);
    g.session.err_write = fd_high(err[1]);
    fd_nonblock(g.stdout_.fd);
    fd_nonblock(g.stderr_.fd);
}

static void start_interpreter(void)
{
    struct buf hello = {0};
    struct message config = {.type = 'C', .data = buf_head(&g.session.config), .n = buf_len(&g.session.config)};
    struct message names = {.type = 'L', .fds = &g.report_fd, .nfds = g.report_fd >= 0};

    buf_free(&g.log);
    buf_printf(&hello, "{\"listener\":\"%s\"}", g.session.name);
    names.data = buf_head(&hello);
    names.n = buf_len(&hello);
    if (!kernel_start(&g.kernel, SOCK_SEQPACKET, g.python, g.script))
        fail("cannot start the interpreter", strerror(errno));
    if (!kernel_send(g.kernel.control, &config, SEND_WAIT_MS) || !kernel_send(g.kernel.control, &names, SEND_WAIT_MS))
        fail_kernel("cannot start the interpreter");
    buf_free(&hello);
    g.session.up = false;
    g.session.start_deadline = now_ms() + START_WAIT_MS;
}

void session_start(void)
{
    open_pipes();
    g.session.point.fd = g.session.coming.fd = -1;
    g.report_fd = open_report();
    g.session.listener = open_listener(g.session.name, sizeof g.session.name);
    if (g.session.listener < 0)
        g.session.name[0] = '\0';
    start_interpreter();
    g.phase = READY;
    g.deadline = now_ms() + g.idle_ms;
}

static void run_pending(void);

static void on_up(void)
{
    g.session.up = true;
    send_frame(FRAME_READY, 0, "{}", 2);
    if (g.session.reset_pending)
        send_frame(FRAME_ANSWER, g.session.control_id, "{}", 2);
    g.session.reset_pending = false;
    if (g.phase == READY)
        g.deadline = now_ms() + g.idle_ms;
    g.session.point_due = g.session.checkpoint;
    point_take();
    run_pending();
}

/* --- executions --- */

static void drop_output(void)
{
    unsigned char chunk[4 * KIB];
    int fds[] = {g.stdout_.fd, g.stderr_.fd};

    for (int i = 0; i < 2; i++) {
        int n = 0;
        ioctl(fds[i], FIONREAD, &n);
        while (n > 0) {
            ssize_t r = read(fds[i], chunk, (size_t) n < sizeof chunk ? (size_t) n : sizeof chunk);
            if (r <= 0)
                break;
            n -= (int) r;
        }
    }
}

/* What is in the pipe now, and no more: a process in the background may go on for ever. */
static void drain(struct stream *s)
{
    int n = 0;

    ioctl(s->fd, FIONREAD, &n);
    while (n > 0) {
        int64_t before = s->bytes;
        if (!relay_stream(s))
            return;
        n -= (int) (s->bytes - before);
    }
}

static void clear_report(void)
{
    static const unsigned char zero[8];

    if (g.report_fd >= 0 && pwrite(g.report_fd, zero, sizeof zero, 0) < 0)
        fd_close(&g.report_fd);
}

static bool send_execution(void)
{
    int in[2];

    if (pipe2(in, O_CLOEXEC) < 0)
        fail("cannot make pipes", strerror(errno));
    /* The code may have changed the mode of these; it is shared with every execution. */
    fcntl(g.session.out_write, F_SETFL, O_WRONLY);
    fcntl(g.session.err_write, F_SETFL, O_WRONLY);
    int fds[] = {in[0], g.session.out_write, g.session.err_write};
    g.session.nonce = session_send('E', g.id, &g.code, fds, 3);
    close(in[0]);
    g.stdin_fd = fd_high(in[1]);
    fd_nonblock(g.stdin_fd);
    if (g.session.nonce)
        return true;
    fd_close(&g.stdin_fd);
    return false;
}

static void recover(const char *why);

static void run_pending(void)
{
    if (!g.pending || g.phase != READY || !g.session.up || g.kernel.control < 0)
        return;
    point_take();
    drop_output();
    clear_report();
    g.session.answered = g.session.started = false;
    if (g.session.control)
        g.session.nonce = session_send('Q', g.session.control_id, &g.code, NULL, 0);
    else if (!send_execution())
        g.session.nonce = 0;
    if (g.session.nonce == 0) { /* once more with what takes its place */
        recover("the interpreter did not take the execution");
        g.session.idle = g.session.outcome;
        point_take();
        if (g.session.up)
            run_pending();
        return;
    }
    buf_free(&g.code);
    begin_usage();
    g.session.idle_losses = 0;
    g.session.outcome = (struct outcome){.kind = KEPT};
    g.session.memory_before = session_memory_peak();
    g.session.memory_peak = 0;
    sample_pids();
    if (g.session.control)
        return;
    g.stdout_.bytes = g.stderr_.bytes = 0;
    g.stdout_.truncated = g.stderr_.truncated = false;
    relay_stdin();
    if (g.cancel_early)
        stop_execution(REASON_CANCELLED);
    g.cancel_early = false;
}

static void write_state(struct buf *out, const struct outcome *outcome)
{
    static const char *const names[] = {"kept", "rolled_back", "lost"};
    char point[128];

    point_decide(point, sizeof point);
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

    if (!dead && (g.report_fd < 0 || !send_memory(FRAME_ANSWER, g.session.control_id)))
        send_frame(FRAME_ANSWER, g.session.control_id, "{\"error\":\"no answer\"}", 21);
    if (dead) {
        buf_printf(&answer, "{\"error\":");
        buf_printf(&text, "the interpreter ended: %s", g.session.outcome.reason);
        json_string(&answer, (const char *) buf_head(&text), buf_len(&text));
        write_state(&answer, &g.session.outcome);
        buf_printf(&answer, "}");
        send_frame(FRAME_ANSWER, g.session.control_id, buf_head(&answer), buf_len(&answer));
    }
    buf_free(&answer);
    buf_free(&text);
    if (g.session.restores) { /* the point has other variables */
        char point[128];
        point_decide(point, sizeof point);
    }
    g.session.control = false;
    g.phase = READY;
    g.deadline = now_ms() + g.idle_ms;
}

void session_finish(bool dead)
{
    end_usage();
    if (dead)
        recover(NULL);
    if (g.session.control) {
        finish_control(dead);
        return;
    }
    drain(&g.stdout_);
    drain(&g.stderr_);
    fd_close(&g.stdin_fd);
    buf_free(&g.in_data);
    g.session.last = g.id;
    if (g.report_fd >= 0)
        send_memory(FRAME_REPORT, g.id);
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
        snprintf(o->reason, sizeof o->reason, "%s%s", why, threads ? "; threads were not carried over" : "");
        return;
    }
    kill_everything();
    o->kind = LOST;
    snprintf(o->reason, sizeof o->reason, "%s; there was no rollback point: %s", why,
             !g.session.checkpoint ? "they are off"
             : g.session.no_point  ? g.session.no_point
                                   : "none had been taken yet");
    start_interpreter();
}

void session_on_death(void)
{
    if (!g.session.up)
        fail_kernel("the interpreter ended");
    /* It may have answered before. */
    while (g.kernel.control >= 0 && poll(&(struct pollfd){.fd = g.kernel.control, .events = POLLIN}, 1, 0) > 0)
        session_read_control();
    if (g.phase == RUNNING) {
        session_finish(true);
        return;
    }
    if (++g.session.idle_losses > IDLE_LOSSES_MAX)
        fail_kernel("the interpreter ends again and again");
    g.reason = REASON_NONE;
    recover(NULL);
    g.session.idle = g.session.outcome;
    g.session.point_due = g.session.up && g.session.checkpoint;
    point_take();
    run_pending();
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
    /* Whatever else is there, the code has put it there. */
    if (!is || g.phase != RUNNING || g.session.answered || a.nonce != g.session.nonce)
        return;
    if (a.type == 'S' && !g.session.started) {
        g.session.started = true;
        code_started();
    }
    if (a.type != 'D')
        return;
    g.session.answered = true;
    g.main_status = a.code << 8;
    session_finish(false);
}

/* An interpreter whose control socket the code has closed comes back here. */
void session_accept(void)
{
    struct ucred who = {0};
    socklen_t size = sizeof who;
    int fd = accept4(g.session.listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (!g.session.up || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.pid != g.kernel.pid) {
        close(fd);
        return;
    }
    fd_close(&g.kernel.control);
    g.kernel.control = fd_high(fd);
    point_take();
    run_pending();
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
    send_frame(FRAME_ANSWER, id, buf_head(&answer), buf_len(&answer));
    buf_free(&answer);
}

static void reset(uint32_t id)
{
    point_drop("the session was reset");
    fd_close(&g.session.coming.fd);
    kill_everything();
    g.kernel.pid = -1;
    fd_close(&g.kernel.control);
    fd_close(&g.kernel.log);
    drop_output();
    g.session.idle = (struct outcome){.kind = KEPT};
    g.session.control_id = id;
    g.session.reset_pending = true;
    start_interpreter();
}

void session_on_control(uint32_t id, const unsigned char *data, size_t n)
{
    struct json_member m[] = {{"op", JSON_TEXT, 0, false}, {"timeout_ms", JSON_INT, CONTROL_TIMEOUT_MS, false}};
    const char *wrong = json_scan(data, n, m, 2);

    if (wrong)
        fail("bad control frame", wrong);
    if (!m[0].seen || m[1].value <= 0 || m[1].value > CONTROL_TIMEOUT_MAX_MS)
        fail("bad control frame", "no operation, or a time that is out of range");
    if (g.pending || g.session.reset_pending || (g.phase != READY && g.phase != ANSWERED)) {
        answer_error(id, "busy");
        return;
    }
    g.phase = READY;
    if (m[0].length == 5 && memcmp(m[0].text, "reset", 5) == 0) {
        reset(id);
        return;
    }
    g.session.control = true;
    g.session.control_id = id;
    g.session.restores = m[0].length == 7 && memcmp(m[0].text, "restore", 7) == 0;
    g.timeout_ms = m[1].value;
    g.grace_ms = CONTROL_GRACE_MS;
    g.output_kill = false;
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
    if (g.kernel.control < 0 && g.pending && g.phase == READY)
        return g.session.control_deadline;
    return INT64_MAX;
}

void session_on_deadlines(int64_t now)
{
    if (!g.session.up && now >= g.session.start_deadline)
        fail_kernel("the interpreter is not ready in time");
    /* It lost its socket and does not come back; while code runs, that is the code's time. */
    if (g.session.up && g.kernel.control < 0 && g.pending && g.phase == READY && now >= g.session.control_deadline) {
        recover("the interpreter lost its control socket");
        g.session.idle = g.session.outcome;
        run_pending();
    }
}
