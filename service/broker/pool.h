/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_POOL_H
#define DSB_BROKER_POOL_H

#include "broker/service.h"

G_BEGIN_DECLS

/**
 * Work on files, which may wait for a disk: a small piece of it at a time, on the pool's threads. This is the first
 * member of what it works on, which belongs to the main thread, then to one of the pool from pool_start on, then to
 * the main thread again from `done` on.
 */
struct pool_work {
    void (*run)(struct pool_work *work);
    void (*done)(struct pool_work *work);
};

void pool_start(struct service *service, struct pool_work *work);
/** For g_thread_pool_new. */
void pool_run(gpointer work, gpointer unused);

G_END_DECLS
#endif
