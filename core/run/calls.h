/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_CALLS_H
#define DSB_RUN_CALLS_H

#include "run/result.h"
#include "run/wire.h"

#include <dsandbox/run.h>

/**
 * The tools that one execution may call, and its calls: what comes from inside is a wish, checked here. The caller's
 * answers may come from any thread, and wait until the code has taken those before.
 */
struct dsb_calls;

/** For a request that was checked; what was called is noted in `result`. NULL: the machine is short of something. */
struct dsb_calls *dsb_calls_new(const struct dsb_request *request, struct dsb_result *result, GError **error);
/** No call is open any more; answers that still come are nobody's. */
void dsb_calls_end(struct dsb_calls *calls);

/** Queue what there is to call, before the code. */
void dsb_calls_give(const struct dsb_calls *calls, struct dsb_wire *wire, uint32_t execution);
/** A call. FALSE: PROTOCOL, pid 1 does not make such a one. */
gboolean dsb_calls_take(struct dsb_calls *calls, const struct dsb_frame *frame, const struct dsb_run_options *options,
                        GError **error);
/** Who asked has the answer, or is gone. FALSE: PROTOCOL. */
gboolean dsb_calls_returned(struct dsb_calls *calls, const struct dsb_frame *frame, GError **error);

/** Readable when the caller has answered. */
int dsb_calls_fd(const struct dsb_calls *calls);
/** Queue the answers that there are, and those of calls whose time is over. */
void dsb_calls_answer(struct dsb_calls *calls, struct dsb_wire *wire, uint32_t execution);
/** When dsb_calls_answer has to be called at the latest, monotonic microseconds. */
gint64 dsb_calls_next(const struct dsb_calls *calls);
/** `deadline`, later by the time that does not count. */
gint64 dsb_calls_deadline(const struct dsb_calls *calls, gint64 deadline);

/** The names, none of them twice. FALSE: INVALID says which is none. */
gboolean dsb_calls_check(const struct dsb_request *request, GError **error);

#endif
