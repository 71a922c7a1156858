/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_SANDBOX_H
#define DSB_RUN_SANDBOX_H

#include "policy/resolve.h"
#include "plugin/choice.h"
#include "run/wire.h"
#include "hostdir/workdir.h"

/** A container from its plan to its removal: what a one-shot run and a session have in common. */
struct dsb_sandbox {
    struct dsb_engine *engine;
    struct dsb_resolved *resolved;
    struct dsb_workdir *dir;
    char *name, *container;
    struct dsb_byte_stream stream;
    struct dsb_wire wire;
    gint64 began;
    gboolean stopped; /**< there is no container to remove, not yet or not any more */
};

/** Choose a name, and write into the result what is known before anything is tried. */
void dsb_sandbox_init(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                      struct dsb_result *result);
/**
 * Open the engine, resolve the policy, create, inspect, start and measure a container, in this order, and refuse it at
 * the first control that does not hold. The result gets the facts and the times of each step. After FALSE, too, the
 * caller calls the two functions below. `one_shot`: its life ends with one execution.
 */
gboolean dsb_sandbox_open(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                          gboolean one_shot, struct dsb_result *result, GError **error);
/** Close the stream: pid 1 ends. */
void dsb_sandbox_hang_up(struct dsb_sandbox *sandbox);
/** Close the stream and remove the container, once. FALSE: it could not, and `gc` tries again. */
gboolean dsb_sandbox_stop(struct dsb_sandbox *sandbox, GError **error);
/** The same after a failure, whose text says it then (the log has why). */
void dsb_sandbox_stop_failed(struct dsb_sandbox *sandbox, const struct dsb_run_options *options, GError *failure);
/** Remove what runs that were killed left in its engine, where there were any. */
void dsb_sandbox_collect(const struct dsb_sandbox *sandbox, const struct dsb_run_options *options);
/**
 * In a child that was forked: it keeps neither the stream nor the lock, and the parent's container stays. The rest is
 * left as it is, since ending it may say something to the engine.
 */
void dsb_sandbox_forget(struct dsb_sandbox *sandbox);
/** Unlock the directory (remove an ephemeral one), close the engine, free. */
void dsb_sandbox_clear(struct dsb_sandbox *sandbox);

/** Note in the result that a step has ended now. */
void dsb_sandbox_stamp(struct dsb_result *result, gint64 began, const char *step);

#endif
