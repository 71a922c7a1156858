/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_OBJECTS_H
#define DSB_COMMON_OBJECTS_H

#include <dsandbox/session.h>

G_BEGIN_DECLS

/*
 * What dsandbox's own programs get from the library as objects of json-c: reading the text again would have its limits, such
 * as depth, once more. It is not in the public interface, since both sides need the same json-c (libdsandbox has one that
 * no other can take the place of, see meson.build): these programs are built with the library, and go with it.
 */
struct json_object;

/**
 * dsb_result_json as an object, for callers that add to it (json_object_put); NULL for NULL only. Objects and arrays of
 * the first two levels are its own, what is below may be the result's and is not to be changed.
 */
struct json_object *dsb_result_object(const dsb_result *result);
/** dsb_session_control with the answer as an object (json_object_put). */
struct json_object *dsb_session_control_object(dsb_session *session, const char *op_json, guint timeout_ms,
                                               GError **error);
/** dsb_session_info as an object (json_object_put). */
struct json_object *dsb_session_info_object(const dsb_session *session);
/** dsb_warm_info as an object (json_object_put). */
struct json_object *dsb_warm_info_object(const dsb_warm *warm);

G_END_DECLS
#endif
