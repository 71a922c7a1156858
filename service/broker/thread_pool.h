/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_THREAD_POOL_H
#define DSB_BROKER_THREAD_POOL_H

#include "broker/service.h"

G_BEGIN_DECLS

/**
 * Work on files, which may wait for a disk: a small piece of it at a time, on the pool's threads. This is the first
 * member of what it works on, which belongs to the main thread, then to one of the pool from thread_pool_start on, then to
 * the main thread again from `done` on.
 */
struct thread_pool_work {
    void (*run)(struct thread_pool_work *work);
    void (*done)(struct thread_pool_work *work);
};

void thread_pool_start(struct service *service, struct thread_pool_work *work);
/** For g_thread_pool_new. */
void thread_pool_run(gpointer work, gpointer unused);

G_END_DECLS
#endif
