/* SPDX-License-Identifier: MIT */
#include "broker/revive.h"

#include "common/json.h"

#include <string.h>

static void put(struct json_object *body, const char *name, struct json_object *value)
{
    json_object_object_add(body, name, json_object_get(value));
}

/* Objects of independent members: each by its name. */
static void put_members(struct json_object *body, const char *name, struct json_object *named)
{
    struct json_object *all = json_object_new_object(), *had = json_member(body, name);
    if (json_object_is_type(had, json_type_object)) {
        json_object_object_foreach (had, key, value)
            put(all, key, value);
    }
    json_object_object_foreach (named, key, value)
        put(all, key, value);
    json_object_object_add(body, name, all);
}

/* One policy file, or several, at the end of the others. */
static void append(struct json_object *layers, struct json_object *files)
{
    gboolean several = json_object_is_type(files, json_type_array);
    if (files != NULL && !several)
        json_object_array_add(layers, json_object_get(files));
    for (size_t i = 0; several && i < json_object_array_length(files); i++)
        json_object_array_add(layers, json_object_get(json_object_array_get_idx(files, i)));
}

/* They say once more what the last ones say. */
static gboolean ends_with(struct json_object *layers, struct json_object *named)
{
    size_t n = json_object_array_length(layers), more = json_object_array_length(named);
    for (size_t i = 0; more <= n && i < more; i++)
        if (!json_object_equal(json_object_array_get_idx(layers, n - more + i), json_object_array_get_idx(named, i)))
            return FALSE;
    return more <= n;
}

/* Nothing of the layer holds any more, since `over`, behind it, sets all that it does. */
static gboolean is_covered(struct json_object *layer, struct json_object *over)
{
    if (!json_object_is_type(layer, json_type_object) || !json_object_is_type(over, json_type_object))
        return FALSE;
    json_object_object_foreach (layer, key, value) {
        (void) value;
        if (!json_object_object_get_ex(over, key, NULL))
            return FALSE;
    }
    return TRUE;
}

/*
 * Files that take turns would fill the record. What a lock lets through depends on what came before it: layers before
 * the last lock stay.
 */
static void drop_covered(struct json_object *layers)
{
    size_t last = json_object_array_length(layers) - 1;
    struct json_object *over = json_object_array_get_idx(layers, last);
    for (size_t i = last; i-- > 0 && json_member(over, "locked") == NULL;) {
        struct json_object *layer = json_object_array_get_idx(layers, i);
        if (json_member(layer, "locked") != NULL)
            break;
        if (is_covered(layer, over))
            json_object_array_del_idx(layers, i, 1);
    }
}

/* What a file names counts for more than an option of before. */
static void forget_options(struct json_object *set, struct json_object *files)
{
    struct json_object *all = json_object_new_array();
    append(all, files);
    for (size_t i = 0; set != NULL && i < json_object_array_length(all); i++) {
        struct json_object *file = json_object_array_get_idx(all, i);
        if (!json_object_is_type(file, json_type_object))
            continue;
        json_object_object_foreach (file, key, value) {
            (void) value;
            json_object_object_del(set, key);
        }
    }
    json_object_put(all);
}

/* A policy is one more layer over the one that there is, so that what that one locks stays so. */
static void put_policy(struct json_object *body, struct json_object *named)
{
    struct json_object *layers = json_object_new_array(), *more = json_object_new_array();
    append(layers, json_member(body, "policy"));
    append(more, named);
    if (!ends_with(layers, more)) {
        append(layers, more);
        drop_covered(layers);
    }
    json_object_put(more);
    json_object_object_add(body, "policy", layers);
    forget_options(json_member(body, "set"), named);
}

/* Addresses and plugin files belong to a backend. */
static void put_member(struct json_object *body, const char *name, struct json_object *value)
{
    gboolean other = !json_object_equal(json_member(body, name), value);
    if (strcmp(name, "set") == 0 && json_object_is_type(value, json_type_object)) {
        put_members(body, name, value);
        return;
    }
    if (strcmp(name, "policy") == 0) {
        put_policy(body, value);
        return;
    }
    if (other && (strcmp(name, "backend") == 0 || strcmp(name, "plugin") == 0)) {
        json_object_object_del(body, strcmp(name, "backend") == 0 ? "plugin" : "backend");
        json_object_object_del(body, "host");
    }
    put(body, name, value);
}

static struct json_object *merge(struct json_object *had, struct json_object *named)
{
    static const char *const first[] = {"backend", "plugin", NULL};
    struct json_object *body = NULL;
    json_object_deep_copy(had, &body, NULL);
    /* Before what depends on them, and in an order of its own: policy before the options over it. */
    for (const char *const *name = first; *name != NULL; name++)
        if (json_member(named, *name) != NULL)
            put_member(body, *name, json_member(named, *name));
    if (json_member(named, "policy") != NULL)
        put_member(body, "policy", json_member(named, "policy"));
    if (json_object_is_type(named, json_type_object)) {
        json_object_object_foreach (named, key, value) {
            if (!g_strv_contains(first, key) && strcmp(key, "policy") != 0)
                put_member(body, key, value);
        }
    }
    json_object_object_del(body, "exist_ok");
    return body;
}

struct json_object *settings_like(struct json_object *had, struct json_object *named)
{
    static const char *const own[] = {"id", "exist_ok", NULL};
    struct json_object *body = merge(had, named);
    json_object_object_del(body, "like");
    for (const char *const *name = own; *name != NULL; name++) {
        json_object_object_del(body, *name);
        if (json_member(named, *name) != NULL)
            put(body, *name, json_member(named, *name));
    }
    return body;
}

/* --- what is other than it was --------------------------------------------------- */

static void say(struct json_object *changes, const char *name, const char *now, const char *before)
{
    if (g_strcmp0(now, before) == 0)
        return;
    g_autofree char *text = g_strdup_printf("%s is %s, was %s", name, now != NULL ? now : "the default",
                                            before != NULL ? before : "the default");
    json_object_array_add(changes, json_object_new_string(text));
}

static void say_names(struct json_object *changes, char **now, char **before)
{
    static char *none[] = {NULL};
    g_autofree char *first = g_strjoinv(", ", now != NULL ? now : none);
    g_autofree char *second = g_strjoinv(", ", before != NULL ? before : none);
    say(changes, "allow_unenforced", first[0] != '\0' ? first : "none", second[0] != '\0' ? second : "none");
}

static struct json_object *compare(const struct settings *now, const struct settings *before)
{
    struct json_object *changes = json_object_new_array();
    g_autoptr(GPtrArray) keys = dsb_policy_rows(now->policy);
    g_autofree char *timeout = g_strdup_printf("%u ms", now->engine_timeout_ms);
    g_autofree char *timeout_before = g_strdup_printf("%u ms", before->engine_timeout_ms);
    say(changes, "backend", now->backend, before->backend);
    say(changes, "plugin", now->plugin, before->plugin);
    say(changes, "host", now->host, before->host);
    say(changes, "image", now->image, before->image);
    say(changes, "base_dir", now->base_dir != NULL ? now->base_dir : dsb_default_base_dir(),
        before->base_dir != NULL ? before->base_dir : dsb_default_base_dir());
    say(changes, "checkpoint", dsb_checkpoint_name(now->checkpoint), dsb_checkpoint_name(before->checkpoint));
    say(changes, "engine_timeout", now->engine_timeout_ms != 0 ? timeout : NULL,
        before->engine_timeout_ms != 0 ? timeout_before : NULL);
    say_names(changes, now->allow, before->allow);
    if (!json_object_equal(now->labels, before->labels))
        say(changes, "labels", json_text(now->labels), json_text(before->labels));
    for (guint i = 0; i < keys->len; i++) {
        const struct dsb_policy_row *row = keys->pdata[i];
        g_autofree char *value = dsb_policy_get(before->policy, row->key);
        say(changes, row->key, row->value, value);
    }
    return changes;
}

struct settings *settings_revive(struct json_object *had, struct json_object *named, const char *id,
                                 struct json_object **changes, GError **error)
{
    g_autoptr(GError) ignored = NULL;
    struct json_object *body = merge(had, named);
    struct settings *settings = settings_read(body, id, error), *before = settings_read(had, id, &ignored);
    json_object_put(body);
    *changes = settings != NULL && before != NULL ? compare(settings, before) : json_object_new_array();
    settings_free(before);
    if (settings == NULL)
        g_prefix_error(error, "with what session %s had: ", id);
    return settings;
}
