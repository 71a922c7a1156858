/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_ERROR_RULE_H
#define DSB_RUN_ERROR_RULE_H

#include <glib.h>

/**
 * A function that failed has set its error, and one that succeeded has not. Whatever ends in a result or an answer
 * passes through here, so that a fault of ours never looks like success: `*error` is set if and only if this is FALSE.
 * `error` is the caller's own, not NULL.
 */
gboolean dsb_error_rule(gboolean ok, GError **error, const char *what);
#define DSB_KEEPS_RULE(call, error) dsb_error_rule((call), (error), #call)

#endif
