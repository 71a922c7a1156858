/* SPDX-License-Identifier: MIT */
/* Extra binds of a policy: read, compared and written. */
#include "policy/denied_places.h"
#include "policy/field_types.h"

#include <string.h>

#define MAX_BINDS 32
#define MAX_PATH 4000

/* Mount points that are ours or the engine's. */
static const char *const our_targets[] = {"/sandbox", "/opt/dsandbox", "/proc", "/sys", "/dev", "/run", NULL};
static const char *const our_tmp_targets[] = {"/tmp", "/var/tmp", NULL};

const char *dsb_path_problem(const char *path)
{
    if (path[0] != '/')
        return "must be an absolute path";
    if (strlen(path) > MAX_PATH)
        return "is too long";
    if (!g_utf8_validate(path, -1, NULL))
        return "must be UTF-8";
    for (const char *p = path; *p != '\0'; p++) {
        if (g_ascii_iscntrl(*p) || strchr(",:\"'\\`", *p) != NULL)
            return "must not have a comma, colon, quote, backslash or control character; "
                   "use another directory or rename it";
    }
    if (path[1] == '\0')
        return NULL;
    g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);
    for (char **part = parts; *part != NULL; part++) {
        if (**part == '\0' || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0)
            return "must be plain: no \"..\", \".\", \"//\" or slash at the end";
    }
    return NULL;
}

gboolean dsb_path_below(const char *path, const char *root)
{
    gsize length = strlen(root);
    if (strcmp(root, "/") == 0)
        return TRUE;
    return strncmp(path, root, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static gboolean clashes(const char *target, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (dsb_path_below(target, *list) || dsb_path_below(*list, target))
            return TRUE;
    }
    return FALSE;
}

const char *dsb_target_problem(const char *target, gboolean below_tmp_ok)
{
    if (clashes(target, our_targets))
        return "cannot be a mount point: /sandbox, /opt/dsandbox, /proc, /sys, /dev and /run are taken";
    for (const char *const *tmp = our_tmp_targets; *tmp != NULL; tmp++) {
        if (dsb_path_below(*tmp, target) || (!below_tmp_ok && dsb_path_below(target, *tmp)))
            return "cannot be a mount point: /tmp and /var/tmp are taken";
    }
    return NULL;
}

static void bind_free(void *data)
{
    struct dsb_policy_bind *bind = data;
    g_free(bind->source);
    g_free(bind->target);
    g_free(bind);
}

static gboolean take_path(json_object *json, unsigned index, const char *key, char **path, char **why)
{
    if (!json_object_is_type(json, json_type_string)) {
        *why = g_strdup_printf("[%u].%s: a string is expected", index, key);
        return FALSE;
    }
    const char *text = json_object_get_string(json);
    const char *problem = dsb_path_problem(text);
    if (problem == NULL)
        problem = strcmp(key, "source") == 0 ? dsb_bind_source_problem(text) : dsb_target_problem(text, FALSE);
    if (problem != NULL) {
        *why = g_strdup_printf("[%u].%s: %s", index, key, problem);
        return FALSE;
    }
    *path = g_strdup(text);
    return TRUE;
}

static gboolean take_member(struct dsb_policy_bind *bind, unsigned index, const char *key, json_object *json,
                            char **why)
{
    if (strcmp(key, "source") == 0)
        return take_path(json, index, key, &bind->source, why);
    if (strcmp(key, "target") == 0)
        return take_path(json, index, key, &bind->target, why);
    if (strcmp(key, "read_only") != 0) {
        *why = g_strdup_printf("[%u]: unknown key; there are source, target and read_only", index);
        return FALSE;
    }
    if (!json_object_is_type(json, json_type_boolean)) {
        *why = g_strdup_printf("[%u].read_only: true or false is expected", index);
        return FALSE;
    }
    bind->read_only = json_object_get_boolean(json);
    return TRUE;
}

static gboolean add_bind(GPtrArray *binds, unsigned index, json_object *json, char **why)
{
    if (!json_object_is_type(json, json_type_object)) {
        *why = g_strdup_printf("[%u]: an object is expected", index);
        return FALSE;
    }
    struct dsb_policy_bind *bind = g_new0(struct dsb_policy_bind, 1);
    bind->read_only = TRUE;
    g_ptr_array_add(binds, bind);
    json_object_object_foreach (json, key, member) {
        if (!take_member(bind, index, key, member, why))
            return FALSE;
    }
    if (bind->source == NULL || bind->target == NULL) {
        *why = g_strdup_printf("[%u]: source and target are needed", index);
        return FALSE;
    }
    for (unsigned i = 0; i < index; i++) {
        const struct dsb_policy_bind *other = g_ptr_array_index(binds, i);
        if (dsb_path_below(other->target, bind->target) || dsb_path_below(bind->target, other->target)) {
            *why = g_strdup_printf("[%u].target: is the same as, inside or around that of [%u]", index, i);
            return FALSE;
        }
    }
    return TRUE;
}

/* By target, so that the order in the file does not change the policy's hash. */
static int by_target(const void *a, const void *b)
{
    const struct dsb_policy_bind *const *left = a, *const *right = b;
    return strcmp((*left)->target, (*right)->target);
}

static gboolean binds_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why)
{
    (void) field;
    if (!json_object_is_type(json, json_type_array)) {
        *why = g_strdup("an array is expected");
        return FALSE;
    }
    if (json_object_array_length(json) > MAX_BINDS) {
        *why = g_strdup_printf("at most %d are possible", MAX_BINDS);
        return FALSE;
    }
    g_autoptr(GPtrArray) binds = g_ptr_array_new_with_free_func(bind_free);
    for (unsigned i = 0; i < json_object_array_length(json); i++) {
        if (!add_bind(binds, i, json_object_array_get_idx(json, i), why))
            return FALSE;
    }
    g_ptr_array_sort(binds, by_target);
    value->binds = g_steal_pointer(&binds);
    return TRUE;
}

static gboolean binds_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    (void) field;
    if (strcmp(text, "[]") != 0) {
        *why = g_strdup("can only be set in a policy file");
        return FALSE;
    }
    value->binds = g_ptr_array_new_with_free_func(bind_free);
    return TRUE;
}

static json_object *binds_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    json_object *list = json_object_new_array();
    for (unsigned i = 0; i < value->binds->len; i++) {
        const struct dsb_policy_bind *bind = g_ptr_array_index(value->binds, i);
        json_object *item = json_object_new_object();
        json_object_object_add(item, "read_only", json_object_new_boolean(bind->read_only));
        json_object_object_add(item, "source", json_object_new_string(bind->source));
        json_object_object_add(item, "target", json_object_new_string(bind->target));
        json_object_array_add(list, item);
    }
    return list;
}

static char *binds_render(const struct dsb_field *field, const struct dsb_value *value)
{
    json_object *list = binds_to_json(field, value);
    char *text =
        g_strdup(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(list);
    return text;
}

static gboolean has_bind(const GPtrArray *binds, const struct dsb_policy_bind *wanted)
{
    for (unsigned i = 0; i < binds->len; i++) {
        const struct dsb_policy_bind *bind = g_ptr_array_index(binds, i);
        if (strcmp(bind->source, wanted->source) == 0 && strcmp(bind->target, wanted->target) == 0)
            return wanted->read_only || !bind->read_only;
    }
    return FALSE;
}

static gboolean binds_within(const struct dsb_field *field, const struct dsb_value *value,
                             const struct dsb_value *bound)
{
    (void) field;
    for (unsigned i = 0; i < value->binds->len; i++) {
        if (!has_bind(bound->binds, g_ptr_array_index(value->binds, i)))
            return FALSE;
    }
    return TRUE;
}

static json_object *typed(const char *type)
{
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "type", json_object_new_string(type));
    return schema;
}

static json_object *absolute_path(void)
{
    json_object *schema = typed("string");
    json_object_object_add(schema, "pattern", json_object_new_string("^/"));
    return schema;
}

static json_object *binds_schema(const struct dsb_field *field)
{
    (void) field;
    json_object *properties = json_object_new_object();
    json_object_object_add(properties, "source", absolute_path());
    json_object_object_add(properties, "target", absolute_path());
    json_object_object_add(properties, "read_only", typed("boolean"));
    json_object *needed = json_object_new_array();
    json_object_array_add(needed, json_object_new_string("source"));
    json_object_array_add(needed, json_object_new_string("target"));
    json_object *item = typed("object");
    json_object_object_add(item, "properties", properties);
    json_object_object_add(item, "required", needed);
    json_object_object_add(item, "additionalProperties", json_object_new_boolean(FALSE));
    json_object *schema = typed("array");
    json_object_object_add(schema, "maxItems", json_object_new_int(MAX_BINDS));
    json_object_object_add(schema, "items", item);
    return schema;
}

const struct dsb_field_type dsb_type_binds = {
    .unit = "list",
    .argument = "LIST",
    .parse_text = binds_parse,
    .parse_json = binds_parse_json,
    .render = binds_render,
    .to_json = binds_to_json,
    .within = binds_within,
    .schema = binds_schema,
};
