/* SPDX-License-Identifier: MIT */
/*
 * The parts of the documents that the table of controls (core/policy/fields.c) is made into: `documents DIR` fails when
 * one of DIR is not what the table says, `documents --write DIR` makes it so.
 */
#include "policy/fields.h"

#include <dsandbox/error.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 132

/* Text for man: quotes of its own. */
static void add_roff(GString *out, const char *text)
{
    gboolean open = FALSE;
    for (; *text != '\0'; text++) {
        if (*text != '"') {
            g_string_append_c(out, *text);
            continue;
        }
        open = !open;
        g_string_append(out, open ? "\\(lq" : "\\(rq");
    }
}

static gboolean is_fixed(const struct dsb_field *field) { return field->choices != NULL && field->choices[1] == NULL; }

/* What a value can be, where that is no matter of form. */
static char *range_of(const struct dsb_field *field)
{
    static const char *const numbers[] = {"bytes", "seconds", "cpus", "count", NULL};
    if (field->choices != NULL)
        return g_strjoinv(", ", (char **) field->choices);
    if (!g_strv_contains(numbers, field->type->unit))
        return g_strdup(field->max == 1 ? "true, false" : "");
    g_autofree char *min = dsb_field_render(field, field->min);
    g_autofree char *max = dsb_field_render(field, field->max);
    return g_strdup_printf("%s to %s", min, max);
}

/* Rows of the manual's table of keys, but for those that have one value only. */
static char *make_keys(gsize column)
{
    (void) column;
    GString *out = g_string_new("\n");
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        if (is_fixed(field))
            continue;
        g_autofree char *range = range_of(field);
        g_string_append_printf(out, "%s|%s|%s|T{\n", field->key, field->fallback, range);
        add_roff(out, field->description);
        g_string_append(out, "\nT}\n");
    }
    return g_string_free(out, FALSE);
}

static char *make_fixed(gsize column)
{
    (void) column;
    GString *out = g_string_new("\n");
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        if (is_fixed(field))
            g_string_append_printf(out, "%s.B %s\n%s", out->len > 1 ? ",\n" : "", field->key, field->choices[0]);
    }
    g_string_append(out, ".\n");
    return g_string_free(out, FALSE);
}

/* The options of the program that are keys, for its manual. */
static char *make_options(gsize column)
{
    (void) column;
    GString *out = g_string_new("\n");
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = rows->pdata[i];
        if (!row->option)
            continue;
        g_auto(GStrv) words = g_strsplit(row->key, "_", -1);
        g_autofree char *name = g_strjoinv("\\-", words);
        g_string_append_printf(out, ".TP\n.BR \\-\\-%s =\\fI%s\\fR\n", name, row->argument);
        gsize start = out->len;
        add_roff(out, row->help);
        if (strchr(row->argument, '|') == NULL)
            out->str[start] = g_ascii_toupper(out->str[start]);
        g_string_append_printf(out, " (%s).\n", row->value);
    }
    return g_string_free(out, FALSE);
}

/* The names of all controls as items of a JSON array, the first at this column. */
static char *make_names(gsize column)
{
    GString *out = g_string_new(NULL);
    gsize at = column;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        const char *name = dsb_control_name(i);
        gsize size = strlen(name) + 3;
        if (at + size > WIDTH) {
            g_string_append_printf(out, "\n%*s", (int) column, "");
            at = column;
        } else if (i > 0)
            g_string_append_c(out, ' ');
        at += size + 1;
        g_string_append_printf(out, "\"%s\"%s", name, i + 1 < DSB_N_CONTROLS ? "," : "");
    }
    return g_string_free(out, FALSE);
}

static char *make_schema(gsize column)
{
    (void) column;
    g_autofree char *schema = dsb_policy_schema();
    return g_strconcat(schema, "\n", NULL);
}

/* What stands between `begin` and `end`; NULL: the whole file. */
static const struct {
    const char *file, *begin, *end;
    char *(*make)(gsize column);
} parts[] = {
    {"policy.schema.json", NULL, NULL, make_schema},
    {"dsandbox-policy.5", ".\\\" made from core/policy/fields.c: keys", ".\\\" end", make_keys},
    {"dsandbox-policy.5", ".\\\" made from core/policy/fields.c: fixed keys", ".\\\" end", make_fixed},
    {"dsandbox.1", ".\\\" made from core/policy/fields.c: options", ".\\\" end", make_options},
    {"result.schema.json", "\"name\": {\"enum\": [", "]", make_names},
    {"openapi.json", "\"name\": {\"enum\": [", "]", make_names},
};

/* The file with this part as it must be; NULL: it has no such part. */
static char *put_part(gsize part, const char *text)
{
    const char *begin = text, *end = text + strlen(text);
    if (parts[part].begin != NULL) {
        begin = strstr(text, parts[part].begin);
        if (begin == NULL)
            return NULL;
        begin += strlen(parts[part].begin);
        end = strstr(begin, parts[part].end);
        if (end == NULL)
            return NULL;
    }
    const char *line = begin;
    while (line > text && line[-1] != '\n')
        line--;
    g_autofree char *made = parts[part].make((gsize) (begin - line));
    g_autofree char *before = g_strndup(text, (gsize) (begin - text));
    return g_strconcat(before, made, end, NULL);
}

static gboolean do_part(gsize part, const char *directory, gboolean write, GError **error)
{
    g_autofree char *path = g_build_filename(directory, parts[part].file, NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, error))
        return FALSE;
    g_autofree char *good = put_part(part, text);
    if (good == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s has no part between '%s' and '%s'", path,
                    parts[part].begin, parts[part].end);
        return FALSE;
    }
    if (strcmp(good, text) == 0)
        return TRUE;
    if (write)
        return g_file_set_contents(path, good, -1, error);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "%s is not what core/policy/fields.c says (%s): run `ninja documents` in the build directory", path,
                parts[part].begin != NULL ? parts[part].begin : "all of it");
    return FALSE;
}

int main(int argc, char **argv)
{
    gboolean write = argc == 3 && strcmp(argv[1], "--write") == 0;
    if (argc != 2 && !write) {
        fprintf(stderr, "usage: documents [--write] DIRECTORY\n");
        return 2;
    }
    int status = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autoptr(GError) error = NULL;
        if (!do_part(i, argv[argc - 1], write, &error)) {
            fprintf(stderr, "%s\n", error->message);
            status = 1;
        }
    }
    return status;
}
