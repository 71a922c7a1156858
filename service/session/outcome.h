/* SPDX-License-Identifier: MIT */
#ifndef DSB_SESSION_OUTCOME_H
#define DSB_SESSION_OUTCOME_H

#include "shared/order.h"

#include <dsandbox/dsandbox.h>

struct json_object;

G_BEGIN_DECLS

/**
 * The answer of an execution, made once from what the library hands over: sets text, status and summary. `id` of the
 * execution, `before` the session's executions before this sandbox, which counts from 1 itself, `gone`, why the
 * sandbox has ended with this execution (NULL: it has not), and `restored` (or NULL) go into it.
 */
void outcome_take(struct outcome *outcome, const dsb_result *result, const char *id, guint64 before, const char *gone,
                  struct json_object *restored);
/** In the place of an answer that cannot be handed over for an errno, `number`: what else has come of it stays. */
void outcome_replace(struct outcome *outcome, const char *id, int number);
/** What the sandbox says of the variables that came back; NULL: nothing that can be used (json_object_put). */
struct json_object *outcome_restored(struct json_object *answer);

G_END_DECLS
#endif
