/* SPDX-License-Identifier: MIT */
/* What the files of dsb-init have in common that does not need its state: frames, bytes, facts, processes. */
#ifndef DSB_GUEST_INIT_H
#define DSB_GUEST_INIT_H

#include "common/pid1_protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef DSB_VERSION
#define DSB_VERSION "0.1.0"
#endif

#define KIB ((size_t) 1024)
#define MIB (KIB * KIB)

/* Numbers as they stand in frames and messages: little endian. */

static inline void put_number(unsigned char *to, uint64_t n, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char) (n >> (8 * i));
}

static inline uint64_t get_number(const unsigned char *from, size_t bytes)
{
    uint64_t n = 0;

    while (bytes-- > 0)
        n = n << 8 | from[bytes];
    return n;
}

/* --- buf.c --- */

struct buf {
    unsigned char *data;
    size_t start, end, size;
};

static inline size_t buf_len(const struct buf *b) { return b->end - b->start; }
static inline const unsigned char *buf_head(const struct buf *b) { return b->data + b->start; }
/** Room for `n` more bytes at the returned place; count them with buf_added(). */
unsigned char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n);
void buf_free(struct buf *b);

/* --- json_text.c --- */

/** Adds `text` as a JSON string; bytes that are not UTF-8 become '?'. */
void json_string(struct buf *b, const char *text, size_t n);

/* --- command.c --- */


/** Bytes of a frame, not a C string. */
struct part {
    const unsigned char *at;
    size_t n;
};

struct command {
    uint32_t flags, arguments, variables; /**< the latter: how many */
    int64_t numbers[DSB_COMMAND_NUMBERS];     /**< within their bounds */
    struct part text, name;
    struct part rest; /**< the arguments, and of each variable its name and its value: part_next() */
};

/** Takes a config, exec or control payload apart. Returns NULL, or what is wrong with it. */
const char *command_read(struct command *c, enum dsb_frame_type type, const unsigned char *data, size_t n);
/** The first part of what is left, which is behind it then: no more often than there are some. */
struct part part_next(struct part *rest);
bool part_is(const struct part *part, const char *word);

/* --- cgroup.c --- */

struct cgroup {
    int version; /**< 0: none that can be read */
    char memory[256], pids[256], cpu[256], cpuacct[256];
    bool ours;                              /**< made for this sandbox, so what it counts is this sandbox alone */
    int64_t memory_limit, pids_limit;       /**< -1: none */
    int oom_fd, pids_fd, cpu_fd, memory_fd; /**< kept open: nothing later can take them away */
};

void cgroup_open(struct cgroup *cg);
void cgroup_facts(const struct cgroup *cg, struct buf *out);
int64_t cgroup_oom_kills(const struct cgroup *cg);   /**< -1: not known */
int64_t cgroup_cpu_usec(const struct cgroup *cg);    /**< -1: not known */
int64_t cgroup_memory_peak(const struct cgroup *cg); /**< -1: not known */
int64_t cgroup_pids_peak(const struct cgroup *cg);   /**< -1: not known */
/** Tasks now; without a group of our own the processes in /proc. */
int64_t cgroup_pids_current(const struct cgroup *cg);

int64_t cgroup_memory_current(const struct cgroup *cg); /**< -1: not known */
/** What of the current memory the kernel gives back when it is short: file pages. */
int64_t cgroup_memory_cache(const struct cgroup *cg);

/** Reads a small file whole, zero-terminated. Returns its length or -1. */
ssize_t read_file(const char *path, char *text, size_t size);

/* --- facts.c --- */

/** The path of python3, looked up in PATH but never in a place that user code can write. */
bool find_python(char *path, size_t size);
void facts_write(struct buf *out, const struct cgroup *cg, const char *python);
/** Members "use" and "file" of the hello's "volume"; tidy removes what the host did not. */
void volume_use(struct buf *out);
void volume_tidy(void);

/* --- processes.c --- */

struct kernel {
    pid_t pid;
    int control; /**< to the kernel; one-shot: until it lets go of it just before user code */
    int log;     /**< what the interpreter says on stderr before user code */
};

/** Moves `fd` to 10 or above, close-on-exec. */
int fd_high(int fd);
void fd_close(int *fd);
void fd_nonblock(int fd);
void close_from(unsigned first);
/** In a child: a session of its own, signals as by default, no core. */
void process_begin(void);
/** Starts the interpreter with nothing but the log (fd 0, 1, 2), a control socket (3) and `fds` (from 4 on; -1: the log
 * once more). Descriptors are inherited and never sent: those in flight are counted for all sandboxes of a user. */
bool kernel_start(struct kernel *k, int socket_type, const int *fds, int nfds, const char *python, const char *script);

/* u8 type, u32 length of what follows, u32 number, u64 nonce */
#define MESSAGE_HEADER 17

/** One message to the interpreter. A session's answer repeats `number` and `nonce`, so other bytes are no answer. */
struct message {
    char type;
    uint32_t number;
    uint64_t nonce;
    const unsigned char *data;
    size_t n;
};

/** False when it is not taken, or not in time. */
bool kernel_send(int control, const struct message *m, int64_t wait_ms);
/** SIGKILL to every process but ourselves and `keep` (0: none), and waits for them; bounded. Returns what `keep` came
 * to. */
bool kill_others(pid_t keep);
void kill_everything(void);

int64_t now_ms(void);
int64_t now_us(void); /**< the same clock in microseconds */

#endif
