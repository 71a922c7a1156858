/* SPDX-License-Identifier: MIT */
/* One execution: its pipes, its end, its answer. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPORT_HEADER 16 /* its length, and the milliseconds of drawing_ms() */
#define REPORT_KEEP ((off_t) (64 * KIB))
#define RING_LEAST ((off_t) (2 * MIB)) /* where the whole is smaller there is no ring; link.py has the same number */

void sample_pids(void)
{
    int64_t n = cgroup_pids_current(&g.cg);

    if (n > g.pids_peak)
        g.pids_peak = n;
    /* The group's own peak is that of the whole session. */
    n = g.session.on ? session_memory_now() : -1;
    if (n > g.session.memory_peak)
        g.session.memory_peak = n;
}

static void signal_main(int signal)
{
    if (g.child.is) {
        child_signal(signal);
        return;
    }
    /* Never 0 or -1: outside a pid namespace of our own that would reach foreign processes. */
    if (g.kernel.pid > 1)
        kill(g.kernel.pid, signal);
}

/* False: it has its end already. */
static bool begin_end(enum reason reason, int64_t grace_ms)
{
    if (g.phase != RUNNING || g.interrupted)
        return false;
    g.reason = reason;
    if (g.session.on && g.session.answered)
        return false; /* what is left of its output is over the limit */
    g.interrupted = true;
    g.kill_at = now_ms() + grace_ms;
    return true;
}

void stop_execution(enum reason reason)
{
    if (!begin_end(reason, reason == REASON_OUTPUT ? 0 : g.grace_ms))
        return;
    if (reason == REASON_OUTPUT)
        check_grace(now_ms());
    else if (g.child.is) /* as a terminal does it, that is closed or not, and timeout(1) */
        child_signal(g.child.terminal ? SIGHUP : reason == REASON_TIMEOUT ? SIGTERM : SIGINT);
    else if (!g.session.on || g.session.started)
        signal_main(SIGINT);
    /* What it started ends before the answer anyway, and would keep the interpreter from its last words until then. */
    if (reason == REASON_TIMEOUT && !g.child.is && (!g.session.on || g.session.started))
        newcomers_kill();
}

/* No SIGINT before: the code could act on it until the SIGKILL comes. */
void kill_execution(enum reason reason)
{
    if (!begin_end(reason, 0) && g.interrupted)
        g.kill_at = now_ms();
    check_grace(now_ms());
}

void check_grace(int64_t now)
{
    if (!g.interrupted)
        return;
    if (now >= g.kill_at)
        signal_main(SIGKILL);
    else if (!g.child.is && (!g.session.on || g.session.started))
        /* CPython only notes a signal and acts between two instructions: a SIGINT that comes just before a blocking
           call is seen after it. SIGURG ends the call, does nothing else, and is ignored by who has no handler. */
        signal_main(SIGURG);
}

/*
 * The report is memory that the interpreter maps and we read when it is dead: user code then has no descriptor beyond
 * 0, 1, 2, and cannot make us wait. -1 when there is no room for it; the answer has no report then.
 */
int open_report(void)
{
    struct rlimit fsize;
    off_t size = g.report_max + (off_t) RING_SIZE;

    if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur < (rlim_t) size)
        size = (off_t) fsize.rlim_cur;
    size &= ~(off_t) 4095;
    int fd = memfd_create("report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (size <= REPORT_HEADER || ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        close(fd);
        return -1;
    }
    bool both = size >= RING_LEAST;
    g.report_max = both ? size - (off_t) RING_SIZE : size;
    if (both)
        ring_open(fd, g.report_max);
    return fd_high(fd);
}

/* The n-th number of the report's header; the interpreter writes it, so it may be anything. */
static uint64_t report_number(int n)
{
    unsigned char bytes[8];

    if (g.report_fd < 0 || pread(g.report_fd, bytes, sizeof bytes, n * 8) != sizeof bytes)
        return 0;
    return get_number(bytes, sizeof bytes);
}

int64_t drawing_ms(void)
{
    uint64_t ms = g.session.control || g.child.is ? 0 : report_number(1);

    return ms < DRAWING_MAX_MS ? (int64_t) ms : DRAWING_MAX_MS;
}

/* Milliseconds of all that has ended, and of the interpreter. */
static int64_t cpu_of_processes(void)
{
    struct rusage usage = {0};
    struct timespec t = {0};
    clockid_t clock;

    getrusage(RUSAGE_CHILDREN, &usage);
    if (g.session.on && g.kernel.pid > 0 && clock_getcpuclockid(g.kernel.pid, &clock) == 0)
        clock_gettime(clock, &t);
    return (int64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + t.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + t.tv_nsec / 1000) / 1000;
}

static void begin_cpu(void)
{
    g.cpu_before = cgroup_cpu_usec(&g.cg);
    g.session.children_before = g.session.on && g.cpu_before < 0 ? cpu_of_processes() : 0;
}

void begin_usage(void)
{
    g.phase = RUNNING;
    g.pending = g.interrupted = g.drawing_told = false;
    g.reason = REASON_NONE;
    g.oom_before = cgroup_oom_kills(&g.cg);
    begin_cpu();
    g.started = now_ms();
    g.deadline = g.started + g.timeout_ms;
    ring_begin();
    output_begin(&g.stdout_);
    output_begin(&g.stderr_);
    g.pids_peak = 0;
    g.pids_before = cgroup_pids_peak(&g.cg);
}

void code_started(void)
{
    g.session.started = true;
    if (g.interrupted)
        signal_main(SIGINT);
}

int make_pipe(int *theirs, int ours)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        fail("cannot make pipes", strerror(errno));
    fds[0] = fd_high(fds[0]);
    fds[1] = fd_high(fds[1]);
    fd_nonblock(fds[ours]);
    *theirs = fds[!ours];
    return fds[ours];
}

void start_one_shot(const struct message *config)
{
    int theirs[4];

    theirs[0] = g.report_fd = open_report();
    g.stdin_fd = make_pipe(&theirs[1], 1);
    g.stdout_ = (struct stream){.fd = make_pipe(&theirs[2], 0), .type = DSB_FRAME_STDOUT};
    g.stderr_ = (struct stream){.fd = make_pipe(&theirs[3], 0), .type = DSB_FRAME_STDERR};
    if (!kernel_start(&g.kernel, SOCK_STREAM, theirs, 4, g.python, g.script))
        fail("cannot start the interpreter", strerror(errno));
    for (int i = 1; i < 4; i++)
        close(theirs[i]);
    if (!kernel_send(g.kernel.control, config, SEND_WAIT_MS))
        fail_kernel("cannot start the interpreter");
    g.phase = STARTING;
    g.deadline = now_ms() + START_WAIT_MS;
}

/* One that waited has an interpreter, which nobody needs any more. */
static void start_program(void)
{
    if (g.kernel.pid > 1)
        kill_everything();
    g.kernel.pid = -1;
    fd_close(&g.kernel.control);
    fd_close(&g.kernel.log);
    fd_close(&g.report_fd);
    fd_close(&g.stdin_fd);
    fd_close(&g.stdout_.fd);
    fd_close(&g.stderr_.fd);
    g.stdout_ = (struct stream){.fd = -1, .type = DSB_FRAME_STDOUT};
    g.stderr_ = (struct stream){.fd = -1, .type = DSB_FRAME_STDERR};
    g.child.is = true;
    begin_usage();
    child_start();
}

static void give_tools(void)
{
    struct buf text = {0};

    if (!tools_given())
        return;
    tools_begin(&text);
    struct message m = {.type = 'T', .data = buf_head(&text), .n = buf_len(&text)};
    if (!kernel_send(g.kernel.control, &m, SEND_WAIT_MS))
        fail_kernel("the interpreter does not take the tools");
    buf_free(&text);
}

static void start_code(void)
{
    struct message m = {.type = 'E', .data = buf_head(&g.code), .n = buf_len(&g.code)};

    begin_usage();
    give_tools();
    if (!kernel_send(g.kernel.control, &m, SEND_WAIT_MS))
        fail_kernel("the interpreter does not take the code");
    buf_free(&g.code);
}

void start_execution(void)
{
    if (g.child.wanted)
        start_program();
    else
        start_code();
    sample_pids();
    relay_stdin();
    if (g.cancel_early)
        stop_execution(REASON_CANCELLED);
}

void give_back_report(void)
{
    ring_give_back();
    if (g.report_fd >= 0 && g.report_max > REPORT_KEEP)
        fallocate(g.report_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, REPORT_KEEP, g.report_max - REPORT_KEEP);
}

bool send_memory(enum dsb_frame_type type, uint32_t id)
{
    uint64_t n = report_number(0);

    if (n == 0 || n > (uint64_t) g.report_max - REPORT_HEADER)
        return false;
    struct buf report = {0};
    unsigned char *to = buf_reserve(&report, n);
    bool is = pread(g.report_fd, to, n, REPORT_HEADER) == (ssize_t) n;
    if (is)
        send_frame(type, id, to, n);
    buf_free(&report);
    return is;
}

static void took_input(size_t n)
{
    g.child.typed = buf_head(&g.in_data)[n - 1];
    buf_consume(&g.in_data, n);
}

void relay_stdin(void)
{
    if (g.session.on && !g.session.opened && g.stdin_fd < 0)
        return; /* it waits for its pipe */
    while (g.stdin_fd >= 0 && buf_len(&g.in_data) > 0) {
        ssize_t n = write(g.stdin_fd, buf_head(&g.in_data), buf_len(&g.in_data));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || (n < 0 && errno == EAGAIN))
            return;
        if (n < 0)
            fd_close(&g.stdin_fd); /* the code has closed its end */
        else
            took_input((size_t) n);
    }
    if (g.stdin_fd < 0)
        buf_free(&g.in_data);
    if (!g.in_end || buf_len(&g.in_data) > 0)
        return;
    if (g.child.is && g.child.terminal && terminal_types_end()) {
        relay_stdin();
        return;
    }
    fd_close(&g.stdin_fd);
}

static const char *final_status(int64_t oom_kills)
{
    switch (g.reason) {
    case REASON_TIMEOUT:
        return "timeout";
    case REASON_CANCELLED:
        return "cancelled";
    case REASON_OUTPUT:
        return "output_limit";
    case REASON_NONE:
        break;
    }
    if (!WIFSIGNALED(g.main_status))
        return "exited";
    return oom_kills > 0 && WTERMSIG(g.main_status) == SIGKILL ? "oom" : "signal";
}

static int64_t cpu_time(void)
{
    int64_t cpu = cgroup_cpu_usec(&g.cg);

    return cpu >= 0 && g.cpu_before >= 0 ? (cpu - g.cpu_before) / 1000 : cpu_of_processes() - g.session.children_before;
}

static int64_t memory_peak(void)
{
    int64_t memory = cgroup_memory_peak(&g.cg);
    struct rusage usage = {0};

    if (memory >= 0)
        return memory;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (int64_t) usage.ru_maxrss * 1024;
}

void end_usage(void)
{
    g.wall_ms = now_ms() - g.started;
    sample_pids();
    g.session.cpu_ms = cpu_time();
    int64_t peak = session_memory_peak();
    if (peak < 0 && (peak = memory_peak()) < g.session.memory_before)
        peak = -1; /* an earlier process's */
    /* The highest so far is of this execution, when it is higher than before; else the samples have to do. */
    if (peak > g.session.memory_before && peak > g.session.memory_peak)
        g.session.memory_peak = peak;
}

void send_done(void)
{
    struct buf out = {0};
    int64_t oom = cgroup_oom_kills(&g.cg), pids = cgroup_pids_peak(&g.cg);
    int64_t cpu = g.session.on ? g.session.cpu_ms : cpu_time();
    int64_t memory = g.session.on ? g.session.memory_peak : memory_peak();

    oom = oom < 0 || g.oom_before < 0 ? 0 : oom - g.oom_before;
    buf_printf(&out, "{\"status\":\"%s\",\"exit_code\":%d,\"signal\":%d", final_status(oom),
               WIFEXITED(g.main_status) ? WEXITSTATUS(g.main_status) : -1,
               WIFSIGNALED(g.main_status) ? WTERMSIG(g.main_status) : 0);
    buf_printf(&out, ",\"wall_ms\":%" PRId64 ",\"cpu_ms\":%" PRId64 ",\"memory_peak_bytes\":%" PRId64, g.wall_ms, cpu,
               memory);
    /* The peak of the start, the runtime's threads above all, is not the code's. */
    if (pids <= g.pids_before || pids < g.pids_peak)
        pids = g.pids_peak;
    buf_printf(&out, ",\"pids_peak\":%" PRId64 ",\"oom_kills\":%" PRId64, pids, oom);
    buf_printf(&out, ",\"stdout_bytes\":%" PRId64 ",\"stderr_bytes\":%" PRId64, g.stdout_.bytes, g.stderr_.bytes);
    buf_printf(&out, ",\"stdout_truncated\":%s,\"stderr_truncated\":%s", g.stdout_.truncated ? "true" : "false",
               g.stderr_.truncated ? "true" : "false");
    keep_end(&g.stdout_, &out);
    keep_end(&g.stderr_, &out);
    if (g.session.on)
        session_done(&out);
    buf_add(&out, "}", 1);
    send_frame(DSB_FRAME_DONE, g.id, buf_head(&out), buf_len(&out));
    buf_free(&out);
}

void finish_execution(void)
{
    g.wall_ms = now_ms() - g.started;
    sample_pids();
    tools_end();
    kill_everything();
    program_end();
    terminal_close();
    while (relay_stream(&g.stdout_))
        ;
    while (relay_stream(&g.stderr_))
        ;
    fd_close(&g.stdout_.fd);
    fd_close(&g.stderr_.fd);
    fd_close(&g.stdin_fd);
    fd_close(&g.kernel.control);
    fd_close(&g.kernel.log);
    buf_free(&g.in_data);
    if (!g.child.is && !g.user_started && g.reason == REASON_NONE)
        fail_kernel("the interpreter ended before the code could start");
    send_memory(DSB_FRAME_REPORT, g.id);
    fd_close(&g.report_fd);
    send_done();
    g.phase = ANSWERED;
    g.deadline = now_ms() + ACK_WAIT_MS;
}
