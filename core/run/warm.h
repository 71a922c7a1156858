/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_WARM_H
#define DSB_RUN_WARM_H

#include "run/sandbox.h"

/** A run in what was claimed, to its result. Takes the sandbox, the policy and the result (run.c). */
struct dsb_result *dsb_run_claimed(const struct dsb_sandbox *box, struct dsb_policy *policy,
                                   const struct dsb_run_options *options, const struct dsb_request *request,
                                   struct dsb_result *result);

/** A session of what was claimed; takes all three (session.c). */
struct dsb_session *dsb_session_around(const struct dsb_sandbox *box, struct dsb_policy *policy, struct dsb_result *facts);

#endif
