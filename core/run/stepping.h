/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_STEPPING_H
#define DSB_RUN_STEPPING_H

#include "run/execution.h"

#include <sys/types.h>

struct dsb_loop_side;

/** What a one-shot run and an execution in a session do differently. */
struct dsb_execution_kind {
    /** Up to dsb_exec_begin. FALSE: nothing runs. May block where `opens` is set: it calls an engine. */
    gboolean (*begin)(struct dsb_execution *execution, GError **error);
    /** Whatever came of it: fills the result, takes the error. May block where `ends_slowly` says so. */
    void (*end)(struct dsb_execution *execution);
    gboolean (*ends_slowly)(const struct dsb_execution *execution);
    /** In a child that was forked: only what keeps something of the parent's. */
    void (*forget)(struct dsb_execution *execution);
    void (*free)(struct dsb_execution *execution);
    gboolean opens;
};

enum dsb_execution_phase { DSB_EXECUTION_BEGINS, DSB_EXECUTION_RUNS, DSB_EXECUTION_ENDS, DSB_EXECUTION_OVER };

/** The public one. The kinds have it as their first member. */
struct dsb_execution {
    const struct dsb_execution_kind *kind;
    enum dsb_execution_phase phase;
    pid_t opener; /**< the process; children that it forks have no part in it */
    gint busy;    /**< atomic: somebody is in it */
    struct dsb_run_options options;
    struct dsb_request request;
    struct dsb_exec exec;
    gboolean started;          /**< dsb_exec_begin succeeded */
    struct dsb_result *result; /**< until it is taken */
    GError *error;
    struct dsb_loop_side *side; /**< NULL: the call waits itself */
};

/** Make one of `kind`, whose structure has `size` bytes. The result is taken. */
struct dsb_execution *dsb_execution_new(const struct dsb_execution_kind *kind, gsize size, struct dsb_result *result);
/** One that is over: `why` (taken) kept it from beginning. */
struct dsb_execution *dsb_execution_failed(struct dsb_result *result, GError *why);
/** From the beginning to the result, in this call; frees it. */
struct dsb_result *dsb_execution_wait(struct dsb_execution *execution);
/** Begin it for an event loop: its options are changed so that callbacks and descriptors go through it. */
void dsb_execution_begin(struct dsb_execution *execution);

#endif
