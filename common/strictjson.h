/* SPDX-License-Identifier: MIT */
#ifndef DSB_STRICTJSON_H
#define DSB_STRICTJSON_H

#include <glib.h>
#include <json-c/json.h>

typedef struct json_object dsb_json;
static inline void dsb_json_unref(dsb_json *object) { json_object_put(object); }
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_json, dsb_json_unref)

/**
 * Parse one JSON object, strictly: valid UTF-8, no NUL, no comments, nothing after it, no single quotes, no key twice
 * in any object, no more members than below, numbers and texts (no half of a surrogate pair) as the standard has them.
 * `what` opens every message ("policy.json"). Errors carry `code` (enum dsb_error_code). Free with dsb_json_unref.
 */
dsb_json *dsb_json_parse(const char *text, gsize size, int max_depth, const char *what, int code, GError **error);

/** The same, but texts, though not keys, may have a NUL: code and input are data. */
dsb_json *dsb_json_parse_request(const char *text, gsize size, int max_depth, const char *what, int code,
                                 GError **error);

/** Members of one object, and of all objects and arrays together, that are taken. */
#define DSB_JSON_MEMBERS 16384
#define DSB_JSON_ITEMS 200000u

/**
 * The same for text that comes from user code and goes on to other readers. Half a surrogate pair becomes U+FFFD.
 * Numbers that are not finite, too deep and too many items are not taken. What is taken is written again as valid
 * JSON. NULL: none of it is.
 */
dsb_json *dsb_json_parse_foreign(const char *text, gsize size, int max_depth);

/**
 * Any one JSON value, of a program that is believed as engines are, or of its settings: keys that are there twice and
 * what is not UTF-8 are taken. Of objects, arrays and commas at most DSB_JSON_ENGINE_ITEMS.
 */
dsb_json *dsb_json_parse_engine(const char *text, gsize size, int max_depth, const char *what, int code, GError **error);
#define DSB_JSON_ENGINE_ITEMS 500000u

/** For messages: `text` in quotes, control characters escaped, cut at 80 bytes (g_free). */
char *dsb_quoted(const char *text);

#endif
