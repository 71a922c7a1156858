/* SPDX-License-Identifier: MIT */
/* One execution: its pipes, its end, its answer. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 * KIB)
#define REPORT_HEADER 8
#define REPORT_MAX (8 * MIB)
#define REPORT_KEEP ((off_t) (64 * KIB))

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
    /* Never 0 or -1: outside a pid namespace of our own that would reach foreign processes. */
    if (g.kernel.pid > 1)
        kill(g.kernel.pid, signal);
}

void stop_execution(enum reason reason)
{
    if (g.phase != RUNNING || g.interrupted)
        return;
    g.reason = reason;
    if (g.session.on && g.session.answered)
        return; /* what is left of its output is over the limit */
    g.interrupted = true;
    g.kill_at = now_ms() + (reason == REASON_OUTPUT ? 0 : g.grace_ms);
    if (reason == REASON_OUTPUT || !g.session.on || g.session.started)
        signal_main(reason == REASON_OUTPUT ? SIGKILL : SIGINT);
}

void kill_execution(enum reason reason)
{
    stop_execution(reason);
    if (g.interrupted)
        g.kill_at = now_ms();
    check_grace(now_ms());
}

void check_grace(int64_t now)
{
    if (!g.interrupted)
        return;
    if (now >= g.kill_at)
        signal_main(SIGKILL);
    else if (!g.session.on || g.session.started)
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
    off_t size = REPORT_MAX;

    if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur < (rlim_t) size)
        size = (off_t) fsize.rlim_cur;
    int fd = memfd_create("report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (size <= REPORT_HEADER || ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        close(fd);
        return -1;
    }
    return fd_high(fd);
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
    g.pending = g.interrupted = false;
    g.reason = REASON_NONE;
    g.oom_before = cgroup_oom_kills(&g.cg);
    begin_cpu();
    g.started = now_ms();
    g.deadline = g.started + g.timeout_ms;
    g.pids_peak = 0;
    g.pids_before = cgroup_pids_peak(&g.cg);
}

void code_started(void)
{
    g.started = now_ms();
    begin_cpu();
    if (g.interrupted)
        signal_main(SIGINT);
    else
        g.deadline = g.started + g.timeout_ms;
}

void start_execution(void)
{
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        fail("cannot make pipes", strerror(errno));
    g.report_fd = open_report();
    begin_usage();
    int fds[] = {in[0], out[1], err[1], g.report_fd};
    struct message m = {.type = 'E', .data = buf_head(&g.code), .n = buf_len(&g.code), .fds = fds};
    m.nfds = g.report_fd < 0 ? 3 : 4;
    if (!kernel_send(g.kernel.control, &m, SEND_WAIT_MS))
        fail_kernel("the interpreter does not take the code");
    buf_free(&g.code);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    g.stdin_fd = fd_high(in[1]);
    g.stdout_ = (struct stream){.fd = fd_high(out[0]), .type = FRAME_STDOUT};
    g.stderr_ = (struct stream){.fd = fd_high(err[0]), .type = FRAME_STDERR};
    fd_nonblock(g.stdin_fd);
    fd_nonblock(g.stdout_.fd);
    fd_nonblock(g.stderr_.fd);
    sample_pids();
    relay_stdin();
    if (g.cancel_early)
        stop_execution(REASON_CANCELLED);
}

bool relay_stream(struct stream *s)
{
    unsigned char chunk[CHUNK];
    ssize_t n = s->fd < 0 ? -1 : read(s->fd, chunk, sizeof chunk);

    if (n < 0)
        return s->fd >= 0 && errno == EINTR;
    if (n == 0) {
        fd_close(&s->fd);
        return false;
    }
    if (g.session.on && (g.phase != RUNNING || g.session.control))
        return true; /* of a thread or process in the background, and no execution's */
    int64_t room = g.output_limit - s->bytes;
    s->bytes += n;
    if (n > room) {
        s->truncated = true;
        n = room > 0 ? (ssize_t) room : 0;
        if (g.output_kill)
            stop_execution(REASON_OUTPUT);
    }
    if (n > 0)
        send_frame(s->type, g.id, chunk, (size_t) n);
    return true;
}

bool send_memory(enum frame_type type, uint32_t id)
{
    unsigned char head[REPORT_HEADER];
    uint64_t n = 0;

    if (g.report_fd < 0 || pread(g.report_fd, head, sizeof head, 0) != REPORT_HEADER)
        return false;
    for (int i = REPORT_HEADER; i-- > 0;)
        n = n << 8 | head[i];
    if (n == 0 || n > REPORT_MAX - REPORT_HEADER)
        return false;
    struct buf report = {0};
    unsigned char *to = buf_reserve(&report, n);
    bool is = pread(g.report_fd, to, n, REPORT_HEADER) == (ssize_t) n;
    if (is)
        send_frame(type, id, to, n);
    buf_free(&report);
    if (g.session.on && n > REPORT_KEEP) /* the memory counts against the user's limit */
        fallocate(g.report_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, REPORT_KEEP, REPORT_MAX - REPORT_KEEP);
    return is;
}

void relay_stdin(void)
{
    while (g.stdin_fd >= 0 && buf_len(&g.in_data) > 0) {
        ssize_t n = write(g.stdin_fd, buf_head(&g.in_data), buf_len(&g.in_data));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            fd_close(&g.stdin_fd); /* the code has closed its end */
        else
            buf_consume(&g.in_data, (size_t) n);
    }
    if (g.stdin_fd < 0)
        buf_free(&g.in_data);
    if (g.in_end && buf_len(&g.in_data) == 0)
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
    if (g.session.on)
        session_done(&out);
    buf_add(&out, "}", 1);
    send_frame(FRAME_DONE, g.id, buf_head(&out), buf_len(&out));
    buf_free(&out);
}

void finish_execution(void)
{
    g.wall_ms = now_ms() - g.started;
    sample_pids();
    kill_everything();
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
    if (!g.user_started && g.reason == REASON_NONE)
        fail_kernel("the interpreter ended before the code could start");
    send_memory(FRAME_REPORT, g.id);
    fd_close(&g.report_fd);
    send_done();
    g.phase = ANSWERED;
    g.deadline = now_ms() + ACK_WAIT_MS;
}
