/* SPDX-License-Identifier: MIT */
/* Calls on their way: a thread for each. */
#include "mcp/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CLIENTS_MAX 4 /* that are kept for later */

/* What a thread has. */
struct task {
    struct mcp_call *call;
    GAsyncQueue *done;
    int wake_fd;
};

static void wake(int fd)
{
    const guint64 one = 1;
    if (write(fd, &one, sizeof one) < 0)
        g_debug("eventfd: %s", g_strerror(errno));
}

static void *do_call(void *data)
{
    struct task *task = data;
    task->call->run(&task->call->work);
    g_async_queue_push(task->done, task->call);
    wake(task->wake_fd);
    g_async_queue_unref(task->done);
    g_free(task);
    return NULL;
}

void mcp_calls_begin(struct mcp_calls *calls, struct mcp_call *call)
{
    struct task *task = g_new0(struct task, 1);
    int fds[2] = {-1, -1};
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
        call->work.cancel_fd = fds[0];
        call->cancel_write = fds[1];
    }
    call->work.client = g_queue_pop_tail(&calls->clients);
    *task = (struct task){call, g_async_queue_ref(calls->done), calls->wake_fd};
    GThread *thread = call->work.cancel_fd >= 0 ? g_thread_try_new("mcp-call", do_call, task, NULL) : NULL;
    if (thread != NULL) {
        g_thread_unref(thread);
        return;
    }
    work_fail_text(&call->work, "this machine has no thread or descriptor left for the call; try again");
    g_async_queue_push(calls->done, call);
    wake(calls->wake_fd);
    g_async_queue_unref(task->done);
    g_free(task);
}

/* The next call need not ask who serves. */
static void keep_client(struct mcp_calls *calls, struct mcp_work *work)
{
    if (work->client == NULL || work->broken || calls->clients.length >= CLIENTS_MAX)
        return;
    g_queue_push_tail(&calls->clients, g_steal_pointer(&work->client));
}

static void free_client(void *client) { dsb_client_free(client); }

void mcp_calls_take(struct mcp_calls *calls, struct mcp_server *server)
{
    guint64 count;
    struct mcp_call *call;
    if (read(calls->wake_fd, &count, sizeof count) < 0)
        g_debug("eventfd: %s", g_strerror(errno));
    while ((call = g_async_queue_try_pop(calls->done)) != NULL) {
        if (call->cancel_write >= 0) {
            close(call->work.cancel_fd);
            close(call->cancel_write);
        }
        keep_client(calls, &call->work);
        mcp_server_done(server, call);
    }
}

gboolean mcp_calls_init(struct mcp_calls *calls, GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "eventfd: %s", g_strerror(errno));
        return FALSE;
    }
    *calls = (struct mcp_calls) {.done = g_async_queue_new(), .wake_fd = fd};
    g_queue_init(&calls->clients);
    return TRUE;
}

void mcp_calls_clear(struct mcp_calls *calls)
{
    close(calls->wake_fd);
    g_queue_clear_full(&calls->clients, free_client);
    g_async_queue_unref(calls->done);
}
