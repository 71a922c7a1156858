/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include <dsandbox/policy.h>
#include <dsandbox/spec.h>
#include <json-c/printbuf.h>
#include <string.h>

struct json_object *json_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return value;
}

const char *json_string(struct json_object *object, const char *name)
{
    struct json_object *value = json_member(object, name);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

gint64 json_int(struct json_object *object, const char *name)
{
    struct json_object *value = json_member(object, name);
    return value != NULL ? json_object_get_int64(value) : 0;
}

gsize json_length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

void json_add(struct json_object *to, const char *key, const char *text)
{
    g_autofree char *valid = text != NULL && !g_utf8_validate(text, -1, NULL) ? g_utf8_make_valid(text, -1) : NULL;
    json_object_object_add(to, key, text != NULL ? json_object_new_string(valid != NULL ? valid : text) : NULL);
}

void json_add_int(struct json_object *to, const char *key, gint64 value)
{
    json_object_object_add(to, key, json_object_new_int64(value));
}

void json_add_bool(struct json_object *to, const char *key, gboolean value)
{
    json_object_object_add(to, key, json_object_new_boolean(value));
}

static int write_raw(struct json_object *object, struct printbuf *to, int level, int flags)
{
    (void) level;
    (void) flags;
    return printbuf_memappend(to, json_object_get_string(object), json_object_get_string_len(object));
}

void json_add_raw(struct json_object *to, const char *key, const char *json)
{
    struct json_object *value = json != NULL ? json_object_new_string(json) : NULL;
    if (value != NULL)
        json_object_set_serializer(value, write_raw, NULL, NULL);
    json_object_object_add(to, key, value);
}

const char *json_text(struct json_object *object)
{
    return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

char *json_take_text(struct json_object *object)
{
    char *text = object != NULL ? g_strdup(json_text(object)) : NULL;
    json_object_put(object);
    return text;
}

void json_add_controls(struct json_object *to, const char *key, guint64 bits)
{
    struct json_object *names = json_object_new_array();
    for (unsigned control = 0; dsb_control_name(control) != NULL; control++)
        if ((bits & DSB_BIT(control)) != 0)
            json_object_array_add(names, json_object_new_string(dsb_control_name(control)));
    json_object_object_add(to, key, names);
}

void json_add_path(struct json_object *to, const char *path)
{
    json_add(to, "path", path);
    if (g_utf8_validate(path, -1, NULL))
        return;
    g_autofree char *base64 = g_base64_encode((const guchar *) path, strlen(path));
    json_add(to, "path_base64", base64);
}
