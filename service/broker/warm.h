/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_WARM_H
#define DSB_BROKER_WARM_H

#include "broker/process.h"
#include "broker/service.h"
#include "shared/settings.h"

G_BEGIN_DECLS

/*
 * The pool: processes whose sandbox is made, measured and has imported what its policy preloads, and waits for somebody.
 * What is made is what was asked for in the last minutes: a kind is one policy, image, engine and base directory, for runs
 * or for sessions. Each is given away once. Main thread only. Without --pool there is none, and nothing here does anything.
 */
struct warm_pool;

struct warm_pool *warm_pool_new(struct service *service);
/** None will be needed any more: all that wait end. */
void warm_pool_stop(struct warm_pool *pool);
void warm_pool_free(struct warm_pool *pool);

/**
 * Somebody asks for a sandbox: one that waits for just that, or NULL. The caller has the process from then on
 * (process_pass), and gives it the settings anew; it does what it is told also if its sandbox is of no use.
 */
struct process *warm_pool_take(struct warm_pool *pool, const struct settings *settings, gboolean one_shot);

/** The object of GET /v1/pool. */
struct json_object *warm_pool_json(const struct warm_pool *pool);

G_END_DECLS
#endif
