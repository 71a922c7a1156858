/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_JSON_H
#define DSB_COMMON_JSON_H

#include <glib.h>
#include <json-c/json.h>

G_BEGIN_DECLS

/* Shorthands over json-c. */

/** object[name], NULL when there is none or it is null; object may be NULL, or no object. */
struct json_object *json_member(struct json_object *object, const char *name);
/** object[name] as text, NULL when it is not one. */
const char *json_string(struct json_object *object, const char *name);
/** object[name] as a number, 0 when there is none. */
gint64 json_int(struct json_object *object, const char *name);

/** How many items an array has; 0 for what is none. */
gsize json_length(struct json_object *array);

/** A NULL text is null. What is not UTF-8 in it, as in names of files and words of engines, is replaced. */
void json_add(struct json_object *to, const char *key, const char *text);
void json_add_int(struct json_object *to, const char *key, gint64 value);
void json_add_bool(struct json_object *to, const char *key, gboolean value);
/** A text that is JSON, made by another process of ours: put in as it is, never read. NULL is null. */
void json_add_raw(struct json_object *to, const char *key, const char *json);
/** The names of controls, bits of enum dsb_control, as an array. */
void json_add_controls(struct json_object *to, const char *key, guint64 bits);
/** The name of a file as `path`, and as `path_base64` where it is not UTF-8. */
void json_add_path(struct json_object *to, const char *path);
/** NULL: json-c makes no text of 2 GiB. */
const char *json_text(struct json_object *object);
/** The same of an object that it takes, new; NULL stays NULL (g_free). */
char *json_take_text(struct json_object *object);

G_END_DECLS
#endif
