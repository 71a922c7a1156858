/* SPDX-License-Identifier: MIT */
#ifndef DSB_ANSWER_H
#define DSB_ANSWER_H

#include "result.h"
#include "wire.h"

/** What pid 1 says, taken apart. Strict: what is not the protocol is PROTOCOL. */

/** A payload as a JSON object (caller puts), NULL when it is none. */
struct json_object *dsb_answer_parse(const struct dsb_frame *frame);
/** Pid 1 cannot go on: its reason becomes the error. Always FALSE. */
gboolean dsb_answer_failure(const struct dsb_frame *frame, GError **error);
/** `done` into the result; `session`: with what became of the variables. */
gboolean dsb_answer_done(const struct dsb_frame *frame, gboolean session, struct dsb_result *result, GError **error);
/** The answer to a control operation as JSON text (g_free), or the operation's own error as FAILED. */
char *dsb_answer_control(const struct dsb_frame *frame, GError **error);
/** PROTOCOL: "pid 1 sent …". Always FALSE. */
gboolean dsb_answer_broken(const char *what, GError **error);

#endif
