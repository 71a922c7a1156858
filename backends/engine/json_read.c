/* SPDX-License-Identifier: MIT */
/* Small getters and builders over json-c. Absent and null are the same: not known. */
#include "engine/engine.h"

#include "common/json.h"
#include "common/strictjson.h"

#include <stdarg.h>
#include <string.h>

#define DEPTH_MAX 32

json_object *dsbe_json_parse(const char *text, gsize size, GError **error)
{
    return dsb_json_parse_engine(text, size, DEPTH_MAX, "the engine's answer", DSB_ERROR_PROTOCOL, error);
}

json_object *dsbe_json_at(json_object *root, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", 8);
    for (char **key = keys; *key; key++)
        root = json_member(root, *key);
    return root;
}

/* One with a NUL in it is none: half of it could pass for something else. */
static const char *string_of(json_object *value, const char *fallback)
{
    if (!json_object_is_type(value, json_type_string))
        return fallback;
    const char *text = json_object_get_string(value);
    return strlen(text) == (gsize) json_object_get_string_len(value) ? text : fallback;
}

const char *dsbe_json_string(json_object *root, const char *path, const char *fallback)
{
    return string_of(dsbe_json_at(root, path), fallback);
}

const char *dsbe_json_label(json_object *labels, const char *name)
{
    return string_of(json_member(labels, name), "");
}

int dsbe_give_listed(const char *id, json_object *labels, gboolean running, dsb_each_fn each, void *data)
{
    const struct dsb_listed item = {
        .struct_size = sizeof item,
        .id = id,
        .owner = dsbe_json_label(labels, DSB_LABEL_OWNER),
        .session = dsbe_json_label(labels, DSB_LABEL_SESSION),
        .deadline = MAX(0, g_ascii_strtoll(dsbe_json_label(labels, DSB_LABEL_DEADLINE), NULL, 10)),
        .running = running,
    };
    return each(data, &item);
}

gboolean dsbe_json_bool(json_object *root, const char *path)
{
    json_object *value = dsbe_json_at(root, path);
    return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

gboolean dsbe_json_int(json_object *root, const char *path, int64_t *value)
{
    json_object *number = dsbe_json_at(root, path);
    if (!json_object_is_type(number, json_type_int))
        return FALSE;
    *value = json_object_get_int64(number);
    return TRUE;
}

gsize dsbe_json_count(json_object *root, const char *path)
{
    json_object *value = dsbe_json_at(root, path);
    if (json_object_is_type(value, json_type_array))
        return json_object_array_length(value);
    if (json_object_is_type(value, json_type_object))
        return (gsize) json_object_object_length(value);
    return 0;
}

gboolean dsbe_json_has(json_object *root, const char *path, const char *word)
{
    json_object *array = dsbe_json_at(root, path);
    if (!json_object_is_type(array, json_type_array))
        return FALSE;
    for (gsize i = 0; i < json_object_array_length(array); i++) {
        const char *item = json_object_get_string(json_object_array_get_idx(array, i));
        if (item && g_ascii_strcasecmp(item, word) == 0)
            return TRUE;
    }
    return FALSE;
}

void dsbe_put(json_object *object, const char *key, json_object *value) { json_object_object_add(object, key, value); }

void dsbe_put_uint(json_object *object, const char *key, uint64_t value)
{
    dsbe_put(object, key, json_object_new_uint64(value));
}

json_object *dsbe_strings(const char *first, ...)
{
    json_object *array = json_object_new_array();
    va_list list;
    va_start(list, first);
    for (const char *word = first; word; word = va_arg(list, const char *))
        json_object_array_add(array, json_object_new_string(word));
    va_end(list);
    return array;
}

json_object *dsbe_masked_paths(void)
{
    return dsbe_strings("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                        "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                        "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware", NULL);
}
