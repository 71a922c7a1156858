/* SPDX-License-Identifier: MIT */
#include "broker/thread_pool.h"

#include "shared/thread_order.h"

static gboolean on_done(gpointer data)
{
    struct thread_pool_work *work = data;
    thread_acquire(work);
    work->done(work);
    return G_SOURCE_REMOVE;
}

void thread_pool_run(gpointer data, gpointer unused)
{
    struct thread_pool_work *work = data;
    (void) unused;
    thread_acquire(work);
    work->run(work);
    thread_release(work);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_done, work, NULL);
}

void thread_pool_start(struct service *service, struct thread_pool_work *work)
{
    thread_release(work);
    g_thread_pool_push(service->thread_pool, work, NULL);
}
