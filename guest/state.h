/* SPDX-License-Identifier: MIT */
/* The one state of dsb-init, shared by its loop (init.c), the host's frames (host.c) and the execution (execution.c). */
#ifndef DSB_STATE_H
#define DSB_STATE_H

#include "guest.h"

#define ACK_WAIT_MS 10000
#define START_WAIT_MS 120000
#define OUT_QUEUE_HIGH (256 * KIB) /* above this the user's pipes are left alone: back-pressure */
#define STDIN_QUEUE_HIGH (1 * MIB)

enum phase { WAIT_CONFIG, STARTING, READY, RUNNING, ANSWERED };
enum reason { REASON_NONE, REASON_TIMEOUT, REASON_CANCELLED, REASON_OUTPUT };

struct stream {
    int fd;
    enum frame_type type;
    int64_t bytes;
    bool truncated;
};

struct state {
    int in, out, signals;
    struct buf in_queue, out_queue;
    enum phase phase;
    struct cgroup cg;
    char python[256], script[4096];
    struct kernel kernel;
    struct buf log;
    int64_t life_deadline, idle_ms, deadline; /* deadline: of the phase, idle, or the acknowledgement */
    /* the execution */
    bool pending; /* its frame is here, the kernel is not ready yet */
    bool cancel_early;
    uint32_t id;
    struct buf code, in_data;
    bool in_end, user_started, interrupted, main_dead;
    int stdin_fd, report_fd;
    struct stream stdout_, stderr_;
    int64_t timeout_ms, grace_ms, output_limit, started, kill_at;
    bool output_kill;
    enum reason reason;
    int main_status;
    int64_t wall_ms, oom_before, cpu_before, pids_before, pids_peak;
};

extern struct state g;

/* --- host.c --- */

_Noreturn void leave(int status);
void send_frame(enum frame_type type, uint32_t id, const void *data, size_t n);
void flush_out(void);
/** Reads what the host has sent and acts on it. */
void read_host(void);
/** Says why we cannot go on, and ends. */
_Noreturn void fail(const char *what, const char *detail);
/** The same, with what the interpreter has written to its log. */
_Noreturn void fail_kernel(const char *what);

/* --- execution.c --- */

void start_execution(void);
void stop_execution(enum reason reason);
/** SIGKILL when the time after the interrupt is over. */
void check_grace(int64_t now);
/** One read and one frame; false when there is nothing left for now. */
bool relay_stream(struct stream *s);
void relay_stdin(void);
void sample_pids(void);
/** The main process is dead and reaped: its end is the end of the execution, whoever still holds a pipe. */
void finish_execution(void);

#endif
