/* SPDX-License-Identifier: MIT */
/* The names of Python modules that the interpreter imports before any code is there. */
#include "policy/field_types.h"

#include "policy/fields.h"

#include <string.h>

#define MODULES_MAX 32
#define NAME_BYTES 128
#define NONE "none"
#define START "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define PART START "0123456789"
#define PATTERN "[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*"

/* Identifiers with dots between them; what Python allows beyond ASCII is no module that anybody preloads. */
static gboolean is_module(const char *name)
{
    if (strlen(name) > NAME_BYTES)
        return FALSE;
    for (const char *at = name;; at++) {
        gsize length = strspn(at, PART);
        if (length == 0 || g_ascii_isdigit(*at))
            return FALSE;
        at += length;
        if (*at != '.')
            return *at == '\0';
    }
}

/* Takes the name over. */
static gboolean add_module(GPtrArray *names, char *name, char **why)
{
    g_ptr_array_add(names, name);
    if (!is_module(name))
        *why = g_strdup("must be names of modules, like numpy or matplotlib.pyplot, each of at most 128 bytes");
    for (guint i = 0; *why == NULL && i + 1 < names->len; i++)
        if (strcmp(names->pdata[i], name) == 0)
            *why = g_strdup_printf("names %s twice", name);
    if (*why == NULL && names->len > MODULES_MAX)
        *why = g_strdup_printf("names more than %d modules", MODULES_MAX);
    return *why == NULL;
}

static void take(struct dsb_value *value, GPtrArray *names)
{
    g_ptr_array_add(names, NULL);
    value->names = (char **) g_ptr_array_steal(names, NULL);
}

static gboolean modules_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    (void) field;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit(strcmp(text, NONE) != 0 ? text : "", ",", MODULES_MAX + 2);
    for (char **part = parts; *part != NULL; part++)
        if (!add_module(names, g_strdup(g_strstrip(*part)), why))
            return FALSE;
    if (names->len == 0 && strcmp(text, NONE) != 0) {
        *why = g_strdup("is empty; none preloads nothing");
        return FALSE;
    }
    take(value, names);
    return TRUE;
}

static gboolean modules_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why)
{
    if (json_object_is_type(json, json_type_string))
        return modules_parse(field, json_object_get_string(json), value, why);
    if (!json_object_is_type(json, json_type_array)) {
        *why = g_strdup("an array of names is expected");
        return FALSE;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < json_object_array_length(json); i++) {
        json_object *item = json_object_array_get_idx(json, i);
        gboolean text = json_object_is_type(item, json_type_string);
        if (!add_module(names, g_strdup(text ? json_object_get_string(item) : ""), why))
            return FALSE;
    }
    take(value, names);
    return TRUE;
}

static char *modules_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return value->names[0] != NULL ? g_strjoinv(",", value->names) : g_strdup(NONE);
}

static json_object *modules_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    json_object *list = json_object_new_array();
    for (char **name = value->names; *name != NULL; name++)
        json_object_array_add(list, json_object_new_string(*name));
    return list;
}

/* What is not imported cannot do anything: fewer are tighter, in whatever order. */
static gboolean modules_within(const struct dsb_field *field, const struct dsb_value *value,
                               const struct dsb_value *bound)
{
    (void) field;
    for (char **name = value->names; *name != NULL; name++)
        if (!g_strv_contains((const char *const *) bound->names, *name))
            return FALSE;
    return TRUE;
}

static json_object *text_schema(const char *pattern)
{
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "type", json_object_new_string("string"));
    json_object_object_add(schema, "pattern", json_object_new_string(pattern));
    return schema;
}

static json_object *modules_schema(const struct dsb_field *field)
{
    (void) field;
    json_object *list = json_object_new_object(), *either = json_object_new_array(), *schema = json_object_new_object();
    json_object *name = text_schema("^" PATTERN "$");
    json_object_object_add(name, "maxLength", json_object_new_int(NAME_BYTES));
    json_object_object_add(list, "type", json_object_new_string("array"));
    json_object_object_add(list, "maxItems", json_object_new_int(MODULES_MAX));
    json_object_object_add(list, "uniqueItems", json_object_new_boolean(TRUE));
    json_object_object_add(list, "items", name);
    json_object_array_add(either, list);
    json_object_array_add(either, text_schema("^ *" PATTERN " *(, *" PATTERN " *)*$"));
    json_object_object_add(schema, "anyOf", either);
    return schema;
}

const struct dsb_field_type dsb_type_modules = {
    .unit = "list",
    .argument = "MODULES",
    .parse_text = modules_parse,
    .parse_json = modules_parse_json,
    .render = modules_render,
    .to_json = modules_to_json,
    .within = modules_within,
    .schema = modules_schema,
};
