/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_INPUT_CHECK_H
#define DSB_RUN_INPUT_CHECK_H

#include <dsandbox/run.h>

/** "K=V" entries in UTF-8, NULL-terminated, or NULL. INVALID names the one that is not. */
gboolean dsb_check_env(const char *const *env, GError **error);

/** The part of it that is about the code. */
gboolean dsb_check_code(const struct dsb_request *request, GError **error);

/** A copy of the policy with the request's own timeout (dsb_policy_free). NULL: INVALID, or REFUSED by a lock. */
dsb_policy *dsb_request_policy(const dsb_policy *policy, const struct dsb_request *request, GError **error);
/** The request has a timeout of its own. */
gboolean dsb_request_has_timeout(const struct dsb_request *request);

/** All that can be said about a caller's input before an engine is asked. INVALID says what to change. */
gboolean dsb_check_request(const struct dsb_run_options *options, const struct dsb_request *request, GError **error);

/** The calls of its tools, where it has some, come to somebody. */
gboolean dsb_check_call(const struct dsb_run_options *options, const struct dsb_request *request, GError **error);

#endif
