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
    gboolean pooled;  /**< it waited: its container is labelled by its own name, whoever has it */
    gboolean stopped; /**< there is no container to remove, not yet or not any more */
};

/** What a sandbox is made for. */
enum dsb_sandbox_use {
    DSB_FOR_RUN,     /**< its life ends with one execution */
    DSB_FOR_SESSION,
    DSB_FOR_POOL,    /**< it waits for somebody, in a directory of its own */
};

/** Choose a name, and write into the result what is known before anything is tried. */
void dsb_sandbox_init(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                      struct dsb_result *result);
/**
 * Open the engine, resolve the policy, create, inspect, start and measure a container, in this order, and refuse it at
 * the first control that does not hold. The result gets the facts and the times of each step. After FALSE, too, the
 * caller calls the two functions below.
 */
gboolean dsb_sandbox_open(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                          enum dsb_sandbox_use use, struct dsb_result *result, GError **error);
/** After dsb_exec_configure: wait until what the policy preloads is imported; where that is nothing only if it `waits`. */
gboolean dsb_sandbox_preload(struct dsb_sandbox *sandbox, const struct dsb_run_options *options, gboolean waits,
                             struct dsb_result *result, GError **error);
/** FALSE, CONFLICT: the image's name means another image than the sandbox has. Asks the engine. */
gboolean dsb_sandbox_has_image(struct dsb_sandbox *sandbox, const struct dsb_run_options *options,
                               const struct dsb_result *facts, GError **error);
/** It waited, in a pool: it is this session's from now on, with its directory; NULL: of a run, and keeps its own. */
gboolean dsb_sandbox_claim(struct dsb_sandbox *sandbox, const char *session, GError **error);
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

/** {id, container, name, backend, engine, image, policy, workdir, timing} (caller puts). */
struct json_object *dsb_sandbox_info(const struct dsb_sandbox *sandbox, const struct dsb_result *facts);
/** Note in the result that a step has ended now. */
void dsb_sandbox_stamp(struct dsb_result *result, gint64 began, const char *step);

#endif
