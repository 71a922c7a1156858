/* SPDX-License-Identifier: MIT */
/* Frames from the host as pid 1 reads them, cut anywhere. Processes are left out: what would start one only notes it.
 */
#include "init/state.h"

#include "fuzz.h"

#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

/* A pid 1 that leaves frees nothing: every allocation of its buffers is remembered, and freed here. */
static void *fuzz_realloc(void *old, size_t size);
static void fuzz_free(void *old);
#define realloc fuzz_realloc
#define free fuzz_free
#include "init/buf.c"
#undef realloc
#undef free

static GHashTable *allocations;

static void *fuzz_realloc(void *old, size_t size)
{
    g_hash_table_steal(allocations, old);
    void *made = realloc(old, size);
    g_hash_table_add(allocations, made);
    return made;
}

static void fuzz_free(void *old) { g_hash_table_remove(allocations, old); }

struct state g;
static jmp_buf gone;

pid_t __wrap_getpid(void);

/* A pid 1 that leaves would end everything around it, and us. */
void kill_everything(void) { longjmp(gone, 1); }

/* Where we are pid 1, leaving would not pass by here. */
pid_t __wrap_getpid(void) { return 2; }

int64_t now_ms(void) { return 1000000; }

void start_one_shot(const struct message *config)
{
    PROMISE(config->type == 'C' && config->n <= DSB_FRAME_MAX_CONTROL && g.python[0] != '\0');
    g.kernel.pid = 2;
    g.phase = STARTING;
}

void session_start(void)
{
    PROMISE(g.session.on);
    g.phase = READY;
}

void session_pending(void)
{
    if (g.pending)
        start_execution();
}

/* As the real one reads its operation. */
void session_on_control(uint32_t id, const unsigned char *data, size_t n)
{
    struct command c;
    g.session.control_id = id;
    if (command_read(&c, DSB_FRAME_CONTROL, data, n) == NULL)
        PROMISE(c.name.at > data && c.name.at + c.name.n <= data + n);
}

void session_give_up_control(void) { PROMISE(!g.session.control); }

void kill_execution(enum reason reason) { g.reason = reason; }

void start_execution(void)
{
    PROMISE(g.pending && g.timeout_ms > 0 && g.grace_ms >= 0 && g.output_limit >= 0);
    g.pending = false;
    g.phase = RUNNING;
}

void stop_execution(enum reason reason) { g.reason = reason; }

void terminal_resize(uint32_t window) { g.child.window = window; }

/* As the real ones, without their socket. */
void tools_names(uint32_t id, const unsigned char *data, size_t n)
{
    PROMISE(!g.pending && g.phase != RUNNING && n <= DSB_FRAME_MAX_CONTROL);
    g.tools.id = id;
    buf_free(&g.tools.names);
    buf_add(&g.tools.names, data, n);
}

bool tools_given(void) { return buf_len(&g.tools.names) > 0 && g.tools.id == g.id; }

void tools_return(const unsigned char *data, size_t n)
{
    PROMISE(g.phase == RUNNING && n <= DSB_FRAME_MAX && (n == 0 || data != NULL));
}

void relay_stdin(void) { buf_consume(&g.in_data, buf_len(&g.in_data)); }

static void feed(struct fuzz_input *input, gsize step, int to)
{
    while (input->size > 0) {
        gsize n = MIN(step, input->size);
        PROMISE(write(to, input->data, n) == (ssize_t) n);
        input->data += n;
        input->size -= n;
        read_host();
        /* The interpreter came up in between. */
        if (g.phase == STARTING)
            g.phase = READY;
        flush_out();
    }
}

static void feed_until_gone(struct fuzz_input *input, gsize step, int to)
{
    if (setjmp(gone) == 0)
        feed(input, step, to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ends[2] = {-1, -1}, nowhere = -1;
    if (nowhere < 0) {
        allocations = g_hash_table_new_full(NULL, NULL, free, NULL);
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        PROMISE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    }
    struct fuzz_input input = {data, size};
    gsize step = 1 + (gsize) fuzz_byte(&input) * 64;
    memset(&g, 0, sizeof g);
    g.in = ends[0];
    g.out = nowhere;
    strcpy(g.python, "/usr/bin/python3");
    feed_until_gone(&input, step, ends[1]);
    g_hash_table_remove_all(allocations);
    return 0;
}
