/* SPDX-License-Identifier: MIT */
/* What the user's process says about itself. It may be false; it cannot break the result. */
#include "run/user_report.h"

#include "common/json.h"
#include "common/strictjson.h"

#include <string.h>

#define DEPTH 32
#define TYPES_MAX 32
#define TYPE_LENGTH 127
#define DISPLAYS_MAX 1000
#define VARS_MAX 1000
#define REASONS_MAX 32
#define NAME_MAX_SIZE 1024
#define TEXT_MAX (1u << 20)

static gboolean is_text(dsb_json *value, gsize max)
{
    return json_object_is_type(value, json_type_string) && (gsize) json_object_get_string_len(value) <= max;
}

static gboolean is_mime_type(const char *key)
{
    const char *slash = strchr(key, '/');
    if (slash == NULL || slash == key || slash[1] == '\0' || strlen(key) > TYPE_LENGTH)
        return FALSE;
    for (const char *p = key; *p != '\0'; p++)
        if (!g_ascii_isalnum(*p) && strchr("!#$&-^_.+/;= ", *p) == NULL)
            return FALSE;
    return TRUE;
}

static gboolean is_json_type(const char *key)
{
    return strcmp(key, "application/json") == 0 || g_str_has_suffix(key, "+json");
}

/* NULL: nothing of it is right. */
static dsb_json *take_bundle(dsb_json *from)
{
    if (!json_object_is_type(from, json_type_object))
        return NULL;
    g_autoptr(dsb_json) bundle = json_object_new_object();
    json_object_object_foreach (from, key, value) {
        gboolean fits = is_mime_type(key) && (is_json_type(key) || json_object_is_type(value, json_type_string));
        if (fits && json_object_object_length(bundle) < TYPES_MAX)
            json_object_object_add(bundle, key, json_object_get(value));
    }
    return json_object_object_length(bundle) > 0 ? g_steal_pointer(&bundle) : NULL;
}

static dsb_json *take_displays(dsb_json *from)
{
    dsb_json *displays = json_object_new_array();
    gsize n = json_length(from);
    for (gsize i = 0; i < n && json_object_array_length(displays) < DISPLAYS_MAX; i++) {
        dsb_json *bundle = take_bundle(json_object_array_get_idx(from, i));
        if (bundle != NULL)
            json_object_array_add(displays, bundle);
    }
    return displays;
}

static void pass_on(dsb_json *to, dsb_json *from, const char *key)
{
    json_object_object_add(to, key, json_object_get(json_member(from, key)));
}

static dsb_json *take_error(dsb_json *from)
{
    if (!json_object_is_type(from, json_type_object) || !is_text(json_member(from, "name"), NAME_MAX_SIZE) ||
        !is_text(json_member(from, "value"), TEXT_MAX))
        return NULL;
    dsb_json *error = json_object_new_object();
    gboolean traced = is_text(json_member(from, "traceback"), TEXT_MAX);
    pass_on(error, from, "name");
    pass_on(error, from, "value");
    json_object_object_add(error, "traceback", traced ? json_object_get(json_member(from, "traceback")) : NULL);
    return error;
}

static dsb_json *take_var(dsb_json *from)
{
    if (is_text(from, NAME_MAX_SIZE))
        return json_object_get(from);
    if (!json_object_is_type(from, json_type_object) || !is_text(json_member(from, "name"), NAME_MAX_SIZE) ||
        !is_text(json_member(from, "type"), NAME_MAX_SIZE))
        return NULL;
    dsb_json *variable = json_object_new_object();
    pass_on(variable, from, "name");
    pass_on(variable, from, "type");
    return variable;
}

/* `truncated` is also of what is left out here. */
static dsb_json *take_vars(dsb_json *from)
{
    static const char *const lists[] = {"created", "changed", "deleted"};
    if (!json_object_is_type(from, json_type_object))
        return NULL;
    dsb_json *vars = json_object_new_object();
    gboolean truncated = json_object_get_boolean(json_member(from, "truncated"));
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        dsb_json *list = json_member(from, lists[i]), *taken = json_object_new_array();
        gsize n = MIN(json_length(list), VARS_MAX);
        for (gsize k = 0; k < n; k++) {
            dsb_json *variable = take_var(json_object_array_get_idx(list, k));
            if (variable != NULL)
                json_object_array_add(taken, variable);
        }
        truncated |= json_length(taken) < json_length(list);
        json_object_object_add(vars, lists[i], taken);
    }
    json_add_bool(vars, "truncated", truncated);
    return vars;
}

/* What was left out: [{count, reason}]. */
static dsb_json *take_omitted(dsb_json *from)
{
    dsb_json *omitted = json_object_new_array();
    gsize n = MIN(json_length(from), REASONS_MAX);
    for (gsize i = 0; i < n; i++) {
        dsb_json *row = json_object_array_get_idx(from, i);
        dsb_json *count = json_member(row, "count");
        if (!json_object_is_type(count, json_type_int) || json_object_get_int64(count) <= 0 ||
            !is_text(json_member(row, "reason"), NAME_MAX_SIZE))
            continue;
        dsb_json *taken = json_object_new_object();
        pass_on(taken, row, "count");
        pass_on(taken, row, "reason");
        json_object_array_add(omitted, taken);
    }
    return omitted;
}

static void leave_out(dsb_json *omitted, gsize count, const char *reason)
{
    if (count == 0)
        return;
    dsb_json *row = json_object_new_object();
    json_add_int(row, "count", count);
    json_add(row, "reason", reason);
    json_object_array_add(omitted, row);
}

struct json_object *dsb_user_report_parse(const char *text, gsize size)
{
    g_autoptr(dsb_json) said = dsb_json_parse_foreign(text, size, DEPTH);
    dsb_json *report = json_object_new_object(), *count = json_member(said, "count");
    dsb_json *displays = take_displays(json_member(said, "displays")), *omitted = take_omitted(json_member(said, "omitted"));
    leave_out(omitted, said == NULL ? 1 : 0, "the report of the code's process is no JSON, too deep or too large");
    leave_out(omitted, json_length(json_member(said, "displays")) - json_length(displays), "not a MIME bundle, or too many");
    json_object_object_add(report, "result", take_bundle(json_member(said, "result")));
    json_object_object_add(report, "displays", displays);
    json_object_object_add(report, "omitted", omitted);
    json_object_object_add(report, "error", take_error(json_member(said, "error")));
    json_object_object_add(report, "vars", take_vars(json_member(said, "vars")));
    if (json_object_is_type(count, json_type_int) && json_object_get_int64(count) >= 0)
        json_object_object_add(report, "count", json_object_get(count));
    return report;
}
