/* SPDX-License-Identifier: MIT */
/* Frames from the host as pid 1 reads them, cut anywhere. Processes are left out: what would start one only notes it. */
#include "state.h"

#include "fuzz.h"

#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

struct state g;
static jmp_buf gone;

pid_t __wrap_getpid(void);

/* A pid 1 that leaves would end everything around it, and us. */
void kill_everything(void)
{
    longjmp(gone, 1);
}

/* Where we are pid 1, leaving would not pass by here. */
pid_t __wrap_getpid(void)
{
    return 2;
}

int64_t now_ms(void)
{
    return 1000000;
}

bool kernel_start(struct kernel *k, const char *python, const char *script)
{
    PROMISE(*python != '\0');
    (void) script;
    k->pid = 2;
    return true;
}

bool kernel_send(const struct kernel *k, char type, const unsigned char *data, size_t n, const int *fds, int nfds)
{
    (void) data;
    (void) fds;
    PROMISE(k->pid == 2 && type == 'C' && n <= FRAME_MAX_CONTROL && nfds == 0);
    return true;
}

void start_execution(void)
{
    PROMISE(g.pending && g.timeout_ms > 0 && g.grace_ms >= 0 && g.output_limit >= 0);
    g.pending = false;
    g.phase = RUNNING;
}

void stop_execution(enum reason reason)
{
    g.reason = reason;
}

void relay_stdin(void)
{
    buf_consume(&g.in_data, buf_len(&g.in_data));
}

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ends[2] = {-1, -1}, nowhere = -1;
    if (nowhere < 0) {
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        PROMISE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    }
    struct fuzz_input input = {data, size};
    gsize step = 1 + (gsize) fuzz_byte(&input) * 64;
    memset(&g, 0, sizeof g);
    g.in = ends[0];
    g.out = nowhere;
    strcpy(g.python, "/usr/bin/python3");
    if (setjmp(gone) == 0)
        feed(&input, step, ends[1]);
    buf_free(&g.in_queue);
    buf_free(&g.out_queue);
    buf_free(&g.code);
    buf_free(&g.in_data);
    buf_free(&g.log);
    return 0;
}
