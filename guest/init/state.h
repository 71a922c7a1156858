/* SPDX-License-Identifier: MIT */
/*
 * The one state of dsb-init, shared by its loop (main.c), the host's frames (frames.c), the execution (execution.c), and
 * in session mode the session (session.c, session_streams.c) and its rollback points (rollback_point.c).
 */
#ifndef DSB_GUEST_STATE_H
#define DSB_GUEST_STATE_H

#include "init/init.h"

#include <poll.h>

#define BACKGROUND_MAX 64 /* streams of executions that are over; the oldest is closed for one more */
#define ACK_WAIT_MS 10000
#define START_WAIT_MS 120000
#define POOL_WAIT_MS 3600000 /* no sandbox waits longer; resolve.h has the same */
#define SEND_WAIT_MS 20000 /* the interpreter takes a message; one that runs already has to be faster */
#define LIVE_SEND_WAIT_MS 3000
#define OUT_QUEUE_HIGH (256 * KIB) /* above this the user's pipes are left alone: back-pressure */
#define DRAWING_MAX_MS 30000 /* pictures of figures may take so much on top of the time limit */
#define STDIN_QUEUE_HIGH (1 * MIB)

enum phase { WAIT_CONFIG, STARTING, READY, RUNNING, ANSWERED };
enum reason { REASON_NONE, REASON_TIMEOUT, REASON_CANCELLED, REASON_OUTPUT };

/* All of a stream in a file, from keep.c. */
struct keep {
    bool on, failed;
    int fd;            /* -1: there is no file */
    char name[64];     /* below /sandbox */
    struct buf held;   /* before there is one */
    int64_t bytes;     /* in the file */
};

struct stream {
    int fd;
    enum dsb_frame_type type;
    int64_t bytes, piped; /* all of them, and those that came through the pipe */
    bool truncated;
    int quick, idle;             /* reads in a row that came soon after each other; that found nothing */
    int64_t read_us, rest_until; /* microseconds; rest_until 0: it is waited for */
    struct keep keep;
};

enum outcome_kind { KEPT, ROLLED_BACK, LOST };

/* What became of the variables. */
struct outcome {
    enum outcome_kind kind;
    char reason[256];
    int64_t to; /* ROLLED_BACK: the execution whose state is back */
};

/* A paused copy of the interpreter. */
struct point {
    pid_t pid; /* 0: none, or not known yet */
    int fd;
    uint32_t after, threads;
    uint64_t nonce;
};

/* When the interpreter is copied. */
enum checkpoint { CHECKPOINT_OFF, CHECKPOINT_IDLE, CHECKPOINT_ALWAYS };
enum due { NOT_DUE, DUE_WHEN_QUIET, DUE_NOW };

/* What only session mode has. */
struct session {
    bool on;
    enum checkpoint checkpoint;
    bool up;                  /* the interpreter takes executions */
    int idle_losses;          /* interpreters in a row that ended with nothing to do */
    int64_t start_deadline;   /* while it is not up */
    int64_t control_deadline; /* while its control socket is gone */
    struct buf config;        /* for an interpreter that is started again */
    int64_t memory;           /* limit that the host states, -1: none */
    int listener, streams;    /* streams: the listener for standard streams that we cannot open by name */
    char name[40];            /* of the listener, abstract; that of `streams` has one letter more */
    int connected;            /* standard streams that have come there, -1: they need not */
    struct point point, coming;
    int64_t coming_until; /* an execution waits so long for the copy, whose making is not its time */
    enum due point_due;
    int64_t quiet_at;      /* DUE_WHEN_QUIET: then, if nothing comes before */
    int64_t unsaved_since; /* the start of the first execution that no point has, 0: there is none */
    bool point_gone;       /* there was one, and the variables are worth the next one now */
    const char *no_point; /* why there is none */
    uint32_t last;        /* the last execution that is over */
    uint64_t nonce;       /* of the message that S is to answer */
    bool opened;          /* its standard streams are there */
    bool restores;        /* it is one that changes the variables */
    bool started;         /* S is about to run the code: a signal now is for this execution */
    bool answered;        /* it has */
    bool control;         /* what runs or waits is a control operation */
    bool reset_pending;
    uint32_t control_id;
    struct stream background[BACKGROUND_MAX];
    int backgrounds;
    struct buf behind[2]; /* what came from there since the last result: stdout, stderr */
    bool behind_truncated;
    struct outcome outcome; /* of this execution */
    struct outcome idle;    /* what happened since the last answer, KEPT: nothing */
    int64_t memory_peak, memory_before, children_before, cpu_ms;
    bool died; /* the interpreter, while a program ran */
};

/* A program in the place of code, from child.c. */
struct child {
    bool wanted; /* what is pending is one */
    bool is;     /* what runs is one */
    pid_t pid;   /* 0: it has ended */
    bool dead;   /* it has, and its execution not yet */
    int status;
    bool terminal;   /* it has one, or wants it */
    uint32_t window; /* of the terminal: rows and, in the lower half, columns */
    int tty;         /* its end of that, which is open as long as the execution; -1: there is none */
    unsigned char typed; /* the last byte of the input that it took, 0: none */
    bool typed_end;
};

/* A call of a tool, from tools.c. */
struct tool_call {
    int fd;
    uint32_t number;    /* 0: it is not complete yet */
    bool answered;      /* by the host */
    struct buf in, out; /* of the call, and of its answer */
};

/* What code of the host's an execution may call. */
struct tools {
    uint32_t id;      /* of the execution */
    struct buf names; /* one a line */
    int listener;     /* -1: no execution with tools runs */
    struct tool_call calls[DSB_CALLS_AT_ONCE];
    int count;
    uint32_t last; /* number of a call */
    bool stops_clock;
    int open;      /* calls that the host has not answered */
    int64_t since; /* there are some */
};

struct state {
    int in, out, signals;
    struct buf in_queue, out_queue;
    enum phase phase;
    struct cgroup cg;
    char python[256], script[4096];
    struct kernel kernel;
    struct buf log;
    bool waits; /* in a pool, for somebody: its own times have not begun */
    int64_t own_life_ms, own_idle_ms;
    int64_t life_deadline, idle_ms, deadline; /* deadline: of the phase, idle, or the acknowledgement */
    /* the execution */
    bool pending; /* its frame is here, the kernel is not ready yet */
    bool cancel_early;
    bool tells_ready; /* of a one-shot run: the host waits for it */
    uint32_t id;
    struct buf code, in_data;
    bool in_end, user_started, interrupted, main_dead, drawing_told;
    int stdin_fd, report_fd;
    int64_t report_max; /* bytes of the report, with its header */
    struct stream stdout_, stderr_;
    int64_t timeout_ms, grace_ms, output_limit, started, kill_at, sampled;
    bool output_kill, output_keep;
    enum reason reason;
    int main_status;
    int64_t wall_ms, oom_before, cpu_before, pids_before, pids_peak;
    struct child child;
    struct tools tools;
    struct session session;
};

extern struct state g;

/* --- frames.c --- */

_Noreturn void leave(int status);
void send_frame(enum dsb_frame_type type, uint32_t id, const void *data, size_t n);
/** Room for a frame's payload of up to `n` bytes, for frame_written(); nothing else may be sent in between. */
unsigned char *frame_room(size_t n);
/** The first `n` bytes there are a frame. */
void frame_written(enum dsb_frame_type type, uint32_t id, size_t n);
void flush_out(void);
/** Reads what the host has sent and acts on it. */
void read_host(void);
/** Says why we cannot go on, and ends. */
_Noreturn void fail(const char *what, const char *detail);
/** The same, with what the interpreter has written to its log. */
_Noreturn void fail_kernel(const char *what);

/* --- main.c --- */

void reap(void);
/** The interpreter, whose status is main_status, ended before it took any code. */
_Noreturn void fail_start(void);

/* --- child.c --- */

/** Starts the program of the exec frame in g.code, with pipes of its own. One that cannot be started has its end. */
void child_start(void);
/** It is reaped. */
void child_ended(int status);
/** To its process group. */
void child_signal(int signal);

/* --- terminal.c --- */

/** A terminal of g.child.window for the program: its end is g.child.tty, ours are the streams. False: errno. */
bool terminal_open(void);
/** In the program's process, which leads a session: the terminal is that session's. */
void terminal_take(void);
/** It has this size now, and who is in front there is told so. */
void terminal_resize(uint32_t window);
/** Once, behind the last of the input: its end, as somebody types it, is input as well then. */
bool terminal_types_end(void);
/** The program is over; what it has written can still be read. */
void terminal_close(void);
/** More than one holds that nobody reads, in bytes. */
#define TERMINAL_HOLDS (64 * KIB)

/* --- execution.c --- */

/** A pipe whose end for us is `ours` (0 or 1) and does not block; returns that. */
int make_pipe(int *theirs, int ours);

/** The interpreter of a one-shot run, with the pipes that the code will have. */
void start_one_shot(const struct message *config);
void start_execution(void);
/** The counters of an execution start here. */
void begin_usage(void);
/** And end here, in a session. */
void end_usage(void);
int open_report(void);
/** How long the interpreter draws figures, or wants to: its own word, so no more than DRAWING_MAX_MS. */
int64_t drawing_ms(void);
/** Sends what the interpreter has left in the report's memory; false: nothing. */
bool send_memory(enum dsb_frame_type type, uint32_t id);
/** The memory of the report counts against the user's limit. */
void give_back_report(void);
void send_done(void);
void stop_execution(enum reason reason);
/** The same without a grace, also where one runs already. */
void kill_execution(enum reason reason);
/** Session mode: the interpreter says that the code starts, and gets the interrupt that may be due. No clock listens
 * to it: whoever can delay or forge the message would have the time. */
void code_started(void);
/** After an interrupt: ends a blocking call that began just then; SIGKILL when the time is over. */
void check_grace(int64_t now);
void relay_stdin(void);
void sample_pids(void);
/** The main process, or the program, is dead and reaped: its end is that of the execution, whoever still holds a pipe. */
void finish_execution(void);

/* --- output.c --- */

/** An execution starts. */
void output_begin(struct stream *s);
/** One read and one frame; false when there is nothing left for now. */
bool relay_stream(struct stream *s);
/** Nobody has to look at the stream before its rest_until, `now` and that in microseconds. */
bool output_rests(const struct stream *s, int64_t now);
/** There is something to read that nobody is told of: after a rest, or what the interpreter has printed into memory. */
bool output_due(int64_t now);

/* --- keep.c --- */

/** An execution starts. */
void keep_begin(struct stream *s);
void keep_add(struct stream *s, const unsigned char *text, size_t n);
/** It is over: sends the end of a stream that is over the limit, and adds to `done` where all of it is. */
void keep_end(struct stream *s, struct buf *done);

/* --- ring.c --- */

#define RING_SIZE (516 * KIB)
/** The last RING_SIZE bytes of the report's memory, which cannot shrink, begin there. */
void ring_open(int fd, off_t at);
/** An execution starts: what is in there is of no interest. */
void ring_begin(void);
/** It counts against the user's limit. */
void ring_give_back(void);
/** The interpreter prints there. */
bool ring_used(void);
void ring_ready(bool is);
/** What has come since; false: nothing. It can change while it is read. */
bool ring_take(const unsigned char **text, size_t *n);
bool ring_has_more(void);

/* --- tools.c --- */

/** The execution `id`, whose exec comes next, may call these. */
void tools_names(uint32_t id, const unsigned char *data, size_t n);
/** The execution g.id may call some. */
bool tools_given(void);
/** Opens the way to them, and writes where that is and what they are for the interpreter. */
void tools_begin(struct buf *message);
/** The host's answer to a call. */
void tools_return(const unsigned char *data, size_t n);
/** Returns how many were written to `p`: DSB_CALLS_AT_ONCE + 1 at most. `hold`: nothing new for the host now. */
int tools_poll(struct pollfd *p, bool hold);
/** With what became of them. */
void tools_turn(const struct pollfd *p, int n);
/** g.deadline, later where the time of calls does not count. */
int64_t tools_deadline(int64_t now);
/** No call comes any more, and no answer. */
void tools_close(void);
/** The same; and the execution is over. */
void tools_end(void);

/* --- program_file.c --- */

/** `name` as the exec frame has it: its file, if there is none of that name now, is removed at the end. */
void program_begin(const struct part *name);
void program_end(void);

/* --- background_output.c --- */

/** The execution is over; who still writes there is in the background. */
void background_take(struct stream *s);
/** Reads a little of all of them. */
void background_read(void);
/** Returns how many were written to `p`. */
int background_poll(struct pollfd *p);
/** A frame with what they wrote since the last one, if anything. */
void background_send(void);

/* --- new_processes.c --- */

/** Remembers which processes are there. */
void newcomers_note(void);
/** Kill those that came since, once; how many there were. */
int newcomers_kill(void);
/** Ends all that came since, however they hide, but for the interpreter and its copy. False: they do not end. */
bool newcomers_end(void);
/** The same for a program's: not what the interpreter and older processes have started meanwhile. */
bool newcomers_end_of_program(void);

/* --- session.c --- */

void session_start(void);
/** A message on the control socket. */
void session_read_control(void);
void session_accept(void);
/** Something waits: runs it as soon as the interpreter can take it. */
void session_pending(void);
void session_on_control(uint32_t id, const unsigned char *data, size_t n);
/** The host has asked for something else meanwhile: it no longer waits for the control operation. */
void session_give_up_control(void);
void session_on_death(void);
/** The program is dead and reaped. */
void session_program_ended(void);
void session_on_deadlines(int64_t now);
/** When session_on_deadlines() has to be called, INT64_MAX: never. */
int64_t session_wait_until(void);
/** The members that done has in a session. */
void session_done(struct buf *out);
/** The answer of the interpreter has been read, or it is dead. */
void session_finish(bool dead);

/* --- session_streams.c --- */

/** The interpreter has made the pipes of an execution: takes our ends, or has it connect sockets instead. */
void streams_open(void);
/** A connection that may be one of these. */
void session_accept_stream(void);
/** The process at the other end of a socket, as the kernel says; 0: not known. */
pid_t streams_peer(int fd);
/** Relays what is in the pipe now, and no more: a process in the background may go on for ever. */
void streams_drain(struct stream *s);

/* --- rollback_point.c --- */

/** Of the cgroup, else of the interpreter; -1: not known. */
int64_t session_memory_now(void);
int64_t session_memory_peak(void);

/** Sends the interpreter a message that it has to answer with the nonce, which is returned; 0: not taken. */
uint64_t session_send(char type, uint32_t number, const struct buf *data);
struct answer {
    char type;
    unsigned char code;
    uint16_t count;
    uint32_t number;
    uint64_t nonce;
    pid_t pid; /* the sender, as the kernel says; 0 where the socket does not tell */
};
/** False: nothing of that form is there. `gone`: the other end is closed. */
bool read_answer(int fd, struct answer *a, bool *gone);
/** Whether a crash after this execution can be rolled back, as text; drops a point that costs too much. */
void point_decide(char *text, size_t size);
/** The variables are others, or may be: a point is due, at once or when the session is quiet. */
void point_want(void);
/** An execution starts, or an operation that changes the variables: what is due waits for its end. */
void point_begin(void);
/** A program is over, which changes no variables: what a point had before it, it has after it. */
void point_carry(void);
/** An operation that changed nothing is over: the session is quiet from now on. */
void point_postpone(void);
/** The interpreter could not make it. */
void point_failed(uint64_t nonce);
/** A connection that may be the copy's. */
void point_connected(int fd);
/** Asks for the point that is due at once. */
void point_take(void);
/** The same, and for the one that is due in quiet when the time has come: the answer is on its way, nothing waits. */
void point_on_time(void);
/** When point_on_time() has to be called, INT64_MAX: never. */
int64_t point_wait_until(void);
/** A copy is being made, and there is still patience for it. */
bool point_is_coming(void);
/** Why there is none, for the end of a sentence. */
const char *point_absence(void);
/** Waits a little for a copy that is being made, then gives it up. */
void point_wait(void);
/** What the copy says on its socket. */
void point_read(void);
void point_drop(const char *why);
/** The point has died, and is reaped. */
void point_ended(void);
/** Why, and what a rollback to the end of execution outcome.to did not bring back. */
void point_went_back(char *text, size_t size, const char *why, uint32_t threads);
/** Continues the point as the interpreter. False: there is none, or it does not answer. */
bool point_resume(uint32_t *after, uint32_t *threads);

#endif
