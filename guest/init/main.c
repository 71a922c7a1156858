/* SPDX-License-Identifier: MIT */
/* dsb-init: pid 1 of a sandbox. See PROTOCOL.md for what it says and hears. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_WAIT_MS 30000
#define SAMPLE_MS 50
#define SAMPLE_LEAST_MS 5 /* however often something wakes us */
#define LOG_MAX (4 * KIB)
#define SIGNALS_AT_ONCE 16
#define REAPED_AT_ONCE 1000
#define LAST_READS 100 /* of what a dead interpreter has left; a child of it can write for ever */

struct state g = {
    .stdin_fd = -1,
    .report_fd = -1,
    .stdout_ = {.fd = -1},
    .stderr_ = {.fd = -1},
    .child = {.tty = -1},
    .tools = {.listener = -1},
    .session = {.listener = -1, .streams = -1, .point = {.fd = -1}, .coming = {.fd = -1}},
};

static void read_log(void)
{
    char chunk[1024];
    ssize_t n = read(g.kernel.log, chunk, sizeof chunk);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        fd_close(&g.kernel.log);
    if (n > 0)
        buf_add(&g.log, chunk, (size_t) n);
    if (buf_len(&g.log) > LOG_MAX)
        buf_consume(&g.log, buf_len(&g.log) - LOG_MAX); /* an error stands at the end */
}

/* One letter each: R ready, S user code starts now. The kernel closes its end right after S. */
static void read_control(void)
{
    char letter;
    ssize_t n = recv(g.kernel.control, &letter, 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fd_close(&g.kernel.control);
        return;
    }
    if (letter == 'S')
        g.user_started = true;
    if (letter != 'R' || g.phase != STARTING)
        return;
    g.phase = READY;
    g.deadline = now_ms() + g.idle_ms;
    if (g.tells_ready)
        send_frame(DSB_FRAME_READY, 0, "{}", 2);
    if (g.pending)
        start_execution();
}

void reap(void)
{
    pid_t pid;
    int status;

    for (int i = 0; i < REAPED_AT_ONCE && (pid = waitpid(-1, &status, WNOHANG)) > 0; i++) {
        if (pid == g.session.point.pid)
            point_ended();
        if (pid == g.child.pid)
            child_ended(status);
        if (pid != g.kernel.pid)
            continue;
        g.main_dead = true;
        g.main_status = status;
    }
}

_Noreturn void fail_start(void)
{
    bool killed = WIFSIGNALED(g.main_status) && WTERMSIG(g.main_status) == SIGKILL;

    fail_kernel(killed && cgroup_oom_kills(&g.cg) > 0 ? "the interpreter ran out of memory before it took any code"
                                                      : "the interpreter ended");
}

static void on_main_death(void)
{
    g.main_dead = false;
    if (g.session.on) {
        session_on_death();
        return;
    }
    g.kernel.pid = -1;
    for (int i = 0; i < LAST_READS && g.kernel.log >= 0; i++)
        read_log();
    for (int i = 0; i < LAST_READS && g.kernel.control >= 0; i++)
        read_control();
    if (g.phase != RUNNING)
        fail_start();
    finish_execution();
}

static void on_child_death(void)
{
    g.child.dead = false;
    if (g.session.on) {
        session_program_ended();
        return;
    }
    g.main_status = g.child.status;
    finish_execution();
}

static void read_signals(void)
{
    struct signalfd_siginfo info;

    /* Whoever sends signals all the time is not listened to all the time. */
    for (int i = 0; i < SIGNALS_AT_ONCE && read(g.signals, &info, sizeof info) == sizeof info; i++)
        /* SIGTERM counts only from outside: inside the namespace a sender has a pid, and user code may send anything.
         */
        if (info.ssi_signo == SIGTERM && info.ssi_code == SI_USER && (info.ssi_pid == 0 || getpid() != 1))
            leave(0);
    reap();
}

/* The host waits longer than for the code alone. */
static void tell_drawing(int64_t now)
{
    int64_t deadline = tools_deadline(now);

    if (g.drawing_told || g.interrupted || now < deadline || now >= deadline + drawing_ms())
        return;
    g.drawing_told = true;
    send_frame(DSB_FRAME_DRAWING, g.id, "", 0);
}

static void on_deadlines(int64_t now)
{
    if (g.session.on)
        session_on_deadlines(now);
    if (g.phase == RUNNING) {
        if (now >= g.sampled + SAMPLE_LEAST_MS) {
            g.sampled = now;
            sample_pids();
        }
        tell_drawing(now);
        if (now >= g.life_deadline || (now >= tools_deadline(now) && now >= tools_deadline(now) + drawing_ms()))
            stop_execution(REASON_TIMEOUT);
        check_grace(now);
        return;
    }
    if (g.session.on && (!g.session.up || g.pending) && now < g.life_deadline)
        return; /* not idle */
    if (now < g.deadline && (g.phase == WAIT_CONFIG || g.phase == ANSWERED || now < g.life_deadline))
        return;
    if (g.phase == STARTING)
        fail_kernel("the interpreter is not ready in time");
    if (g.phase == WAIT_CONFIG)
        fail("no config in time", "");
    leave(0);
}

static int next_wait(int64_t now)
{
    int64_t until = g.deadline, session = session_wait_until();

    if (g.phase != WAIT_CONFIG && g.phase != ANSWERED && g.life_deadline < until)
        until = g.life_deadline;
    if (g.phase == RUNNING && g.interrupted)
        until = g.kill_at > now ? g.kill_at : now + SAMPLE_MS;
    if (g.phase == RUNNING && (until > now + SAMPLE_MS || (until <= now && !g.interrupted)))
        until = now + SAMPLE_MS; /* past the limit, it draws */
    if (session < until)
        until = session;
    return until <= now ? 0 : until - now > 3600000 ? 3600000 : (int) (until - now);
}

/* The same, and no longer than a stream of the code rests. */
static struct timespec wait_time(bool hold)
{
    int64_t now = now_us(), us = next_wait(now / 1000) * INT64_C(1000);
    const struct stream *const streams[] = {&g.stdout_, &g.stderr_};

    for (size_t i = 0; !hold && i < sizeof streams / sizeof *streams; i++)
        if (streams[i]->rest_until > 0 && streams[i]->rest_until - now < us)
            us = streams[i]->rest_until > now ? streams[i]->rest_until - now : 0;
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

/* What is on stdout now may be older than what is on stderr, so that is read first. */
static void relay_output(bool ready)
{
    if (!ready && !output_due(now_us()))
        return;
    relay_stream(&g.stdout_);
    relay_stream(&g.stderr_);
}

static void loop_once(void)
{
    enum { IN, OUT, SIGNALS, CONTROL, LOG, STDIN, STDOUT, STDERR, LISTENER, STREAMS, COMING, COUNT };
    bool hold = buf_len(&g.out_queue) > OUT_QUEUE_HIGH;
    bool stuck = buf_len(&g.in_data) > STDIN_QUEUE_HIGH;
    int64_t now = now_us();
    struct pollfd p[COUNT + BACKGROUND_MAX + 1 + DSB_CALLS_AT_ONCE] = {
        [IN] = {g.in, stuck ? 0 : POLLIN, 0},
        [OUT] = {buf_len(&g.out_queue) > 0 ? g.out : -1, POLLOUT, 0},
        [SIGNALS] = {g.signals, POLLIN, 0},
        [CONTROL] = {g.kernel.control, POLLIN, 0},
        [LOG] = {g.kernel.log, POLLIN, 0},
        [STDIN] = {buf_len(&g.in_data) > 0 ? g.stdin_fd : -1, POLLOUT, 0},
        [STDOUT] = {hold || output_rests(&g.stdout_, now) ? -1 : g.stdout_.fd, POLLIN, 0},
        [STDERR] = {hold || output_rests(&g.stderr_, now) ? -1 : g.stderr_.fd, POLLIN, 0},
        [LISTENER] = {g.session.listener, POLLIN, 0},
        [STREAMS] = {g.session.streams, POLLIN, 0},
        [COMING] = {g.session.coming.fd, POLLIN, 0},
    };

    int backgrounds = background_poll(p + COUNT);
    struct timespec wait = wait_time(hold);
    int tools = tools_poll(p + COUNT + backgrounds, hold);
    if (ppoll(p, (nfds_t) (COUNT + backgrounds + tools), &wait, NULL) < 0)
        return;
    background_read();
    if (p[OUT].revents)
        flush_out();
    if (p[LOG].revents)
        read_log();
    if (p[COMING].revents)
        point_read();
    if (p[CONTROL].revents && g.session.on)
        session_read_control();
    else if (p[CONTROL].revents)
        read_control();
    if (p[STDIN].revents)
        relay_stdin();
    if (!hold)
        relay_output(p[STDOUT].revents || p[STDERR].revents);
    tools_turn(p + COUNT + backgrounds, tools);
    if (p[LISTENER].revents)
        session_accept();
    if (p[STREAMS].revents)
        session_accept_stream();
    if (p[SIGNALS].revents)
        read_signals();
    if (g.main_dead)
        on_main_death();
    if (g.child.dead)
        on_child_death();
    if (stuck && p[IN].revents & POLLHUP)
        leave(0);
    if (p[IN].revents && !stuck)
        read_host();
    on_deadlines(now_ms());
    flush_out();
    point_on_time();
}

static void set_up(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file of ours is as large as it may be: the write fails */
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    g.in = fcntl(0, F_DUPFD_CLOEXEC, 10);
    g.out = fcntl(1, F_DUPFD_CLOEXEC, 10);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (g.in < 0 || g.out < 0 || null < 0)
        _exit(70);
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            _exit(70);
    if (null > 2)
        close(null);
    fd_nonblock(g.in);
    fd_nonblock(g.out);
    g.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (g.signals >= 0)
        g.signals = fd_high(g.signals);
    if (g.signals < 0)
        _exit(70);
    g.kernel = (struct kernel){.pid = -1, .control = -1, .log = -1};
    /* In a test we are not the init of a namespace, but orphans must come to us all the same. */
    if (getpid() != 1)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(void)
{
    struct buf hello = {0};

    prctl(PR_SET_DUMPABLE, 0);
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* what is freed is given back: it counts against the user's limit */
#endif
    umask(022); /* Podman's may be set for all containers */
    set_up();
    ssize_t n = readlink("/proc/self/exe", g.script, sizeof g.script - sizeof "/start.py");
    if (n < 0)
        n = 0;
    g.script[n] = '\0';
    strcpy(strrchr(g.script, '/') ? strrchr(g.script, '/') : g.script, "/start.py");
    if (!find_python(g.python, sizeof g.python))
        g.python[0] = '\0';
    cgroup_open(&g.cg);
    facts_write(&hello, &g.cg, g.python);
    send_frame(DSB_FRAME_HELLO, 0, buf_head(&hello), buf_len(&hello));
    buf_free(&hello);
    g.deadline = now_ms() + CONFIG_WAIT_MS;
    flush_out();
    for (;;)
        loop_once();
}
