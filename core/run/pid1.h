/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_PID1_H
#define DSB_RUN_PID1_H

#include "run/result.h"
#include "run/wire.h"

/** What pid 1 says, taken apart. Strict: what is not the protocol is PROTOCOL. */

/** A payload as a JSON object (caller puts), NULL when it is none. */
struct json_object *dsb_pid1_parse(const struct dsb_frame *frame);
/** Pid 1 cannot go on: its reason becomes the error. Always FALSE. */
gboolean dsb_pid1_failure(const struct dsb_frame *frame, GError **error);
/** `done` into the result; `session`: with what became of the variables. */
gboolean dsb_pid1_done(const struct dsb_frame *frame, gboolean session, struct dsb_result *result, GError **error);
/** Output between executions, at most once for each of them. */
gboolean dsb_pid1_background(const struct dsb_frame *frame, struct dsb_result *result, GError **error);
/** The answer to a control operation as an object (caller puts), or the operation's own error as FAILED. */
struct json_object *dsb_pid1_control(const struct dsb_frame *frame, GError **error);
/** The end of a stream that goes into a file, which belongs there only once and where the policy wants it. */
gboolean dsb_pid1_tail(const struct dsb_frame *frame, const struct dsb_resolved *limits, struct dsb_result *result,
                       GError **error);
/** PROTOCOL: "pid 1 sent …". Always FALSE. */
gboolean dsb_pid1_broken(const char *what, GError **error);

#endif
