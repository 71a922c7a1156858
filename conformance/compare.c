/* SPDX-License-Identifier: MIT */
/* Several reports beside each other: what each set-up answered, and where the answers differ. */
#include "common/words.h"
#include "conformance.h"

#include <string.h>

#define SHORT 200

/* One report: `rows` belong to it. */
struct column {
    char *setup;
    GHashTable *rows; /* id -> json_object * */
};

static void column_free(void *data)
{
    struct column *column = data;
    g_free(column->setup);
    g_hash_table_unref(column->rows);
    g_free(column);
}

/* Read the report's cases; ids in their order are added to `ids` (json_object *, each once). */
static struct column *column_new(json_object *report, GPtrArray *ids, GHashTable *seen)
{
    struct column *column = g_new0(struct column, 1);
    column->setup = conf_text(report, "setup");
    column->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    json_object *cases = json_object_object_get(report, "cases");
    for (gsize i = 0; i < json_object_array_length(cases); i++) {
        json_object *row = json_object_array_get_idx(cases, i);
        char *id = conf_text(row, "id");
        g_hash_table_insert(column->rows, id, row);
        if (!g_hash_table_contains(seen, id)) {
            g_hash_table_add(seen, g_strdup(id));
            g_ptr_array_add(ids, row);
        }
    }
    return column;
}

static gboolean is_row(json_object *row)
{
    static const char *const keys[] = {"id", "group", "severity", "title", "verdict"};
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (!json_object_is_type(json_object_object_get(row, keys[i]), json_type_string))
            return FALSE;
    }
    return TRUE;
}

json_object *conf_report_read(const char *path, GError **error)
{
    json_object *report = json_object_from_file(path);
    json_object *setup = NULL, *cases = NULL, *summary = NULL;
    gboolean good =
        json_object_is_type(report, json_type_object) && json_object_object_get_ex(report, "setup", &setup) &&
        json_object_is_type(setup, json_type_string) && json_object_object_get_ex(report, "summary", &summary) &&
        json_object_is_type(summary, json_type_object) && json_object_object_get_ex(report, "cases", &cases) &&
        json_object_is_type(cases, json_type_array);
    for (gsize i = 0; good && i < json_object_array_length(cases); i++)
        good = json_object_is_type(json_object_array_get_idx(cases, i), json_type_object) &&
               is_row(json_object_array_get_idx(cases, i));
    if (good)
        return report;
    json_object_put(report);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "%s is not a report of this program (dsandbox conformance --json writes one)", path);
    return NULL;
}

/* What is compared: a case that was not run is an answer as well. */
static char *answer_of(json_object *cell)
{
    g_autofree char *verdict = conf_text(cell, "verdict");
    if (strcmp(verdict, "skipped") == 0 || strcmp(verdict, "not run") == 0)
        return g_strdup_printf("(%s)", verdict);
    char *observed = conf_text(cell, "observed");
    return observed != NULL ? observed : g_strdup("(no answer)");
}

static json_object *cell_new(const struct column *column, const char *id, const struct conf_waivers *waivers)
{
    json_object *cell = json_object_new_object();
    json_object *row = g_hash_table_lookup(column->rows, id);
    g_autofree char *verdict = row != NULL ? conf_text(row, "verdict") : g_strdup("not run");
    g_autofree char *observed = conf_text(row, "observed"), *reason = conf_text(row, "reason");
    const char *waiver = conf_waiver(waivers, id, column->setup);
    conf_add(cell, "verdict", verdict);
    conf_add(cell, "observed", observed);
    conf_add(cell, "reason", reason);
    if (waiver != NULL)
        conf_add(cell, "waiver", waiver);
    return cell;
}

/* Why this cell may differ from the others: a waiver, or a case that is left out with a reason. */
static gboolean may_differ(json_object *cell)
{
    g_autofree char *verdict = conf_text(cell, "verdict"), *reason = conf_text(cell, "reason");
    return json_object_object_get(cell, "waiver") != NULL || (strcmp(verdict, "skipped") == 0 && reason != NULL);
}

/* One case: {id, group, severity, title, expected, equal, explained, answers: {setup: {verdict, observed, reason}}} */
static json_object *matrix_row(GPtrArray *columns, json_object *about, const struct conf_waivers *waivers)
{
    static const char *const keys[] = {"id", "group", "severity", "title", "expected"};
    g_autofree char *id = conf_text(about, "id");
    g_autofree char *first = NULL, *plain = NULL;
    gboolean equal = TRUE, explained = TRUE;
    json_object *row = json_object_new_object(), *answers = json_object_new_object();
    for (guint i = 0; i < columns->len; i++) {
        const struct column *column = columns->pdata[i];
        json_object *cell = cell_new(column, id, waivers);
        g_autofree char *answer = answer_of(cell);
        if (first == NULL)
            first = g_strdup(answer);
        equal = equal && strcmp(first, answer) == 0;
        if (!may_differ(cell)) {
            if (plain == NULL)
                plain = g_strdup(answer);
            explained = explained && strcmp(plain, answer) == 0;
        }
        json_object_object_add(answers, column->setup, cell);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *text = conf_text(about, keys[i]);
        conf_add(row, keys[i], text);
    }
    json_object_object_add(row, "equal", json_object_new_boolean(equal));
    json_object_object_add(row, "explained", json_object_new_boolean(explained));
    json_object_object_add(row, "answers", answers);
    return row;
}

static json_object *setup_json(json_object *report)
{
    static const char *const keys[] = {"setup", "backend", "engine", "image", "summary"};
    json_object *setup = json_object_new_object();
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        json_object_object_add(setup, keys[i], json_object_get(json_object_object_get(report, keys[i])));
    return setup;
}

json_object *conf_matrix(GPtrArray *reports, const struct conf_waivers *waivers, GError **error)
{
    g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func(column_free);
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < reports->len; i++) {
        struct column *column = column_new(reports->pdata[i], ids, seen);
        g_ptr_array_add(columns, column);
        if (!g_hash_table_add(names, column->setup)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                        "two reports are of the set-up '%s'; --setup gives each report a name of its own",
                        column->setup);
            return NULL;
        }
    }
    json_object *matrix = json_object_new_object(), *setups = json_object_new_array(), *rows = json_object_new_array();
    int differences = 0, open = 0;
    for (guint i = 0; i < reports->len; i++)
        json_object_array_add(setups, setup_json(reports->pdata[i]));
    for (guint i = 0; i < ids->len; i++) {
        json_object *row = matrix_row(columns, ids->pdata[i], waivers);
        gboolean equal = json_object_get_boolean(json_object_object_get(row, "equal"));
        differences += !equal;
        open += !equal && !json_object_get_boolean(json_object_object_get(row, "explained"));
        json_object_array_add(rows, row);
    }
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    conf_add(matrix, "schema", "dsandbox.comparison/1");
    conf_add(matrix, "date", date);
    conf_add(matrix, "dsandbox", dsb_version());
    json_object_object_add(matrix, "setups", setups);
    json_object *summary = json_object_new_object();
    json_object_object_add(summary, "cases", json_object_new_int((int) ids->len));
    json_object_object_add(summary, "differences", json_object_new_int(differences));
    json_object_object_add(summary, "unexplained", json_object_new_int(open));
    json_object_object_add(matrix, "summary", summary);
    json_object_object_add(matrix, "cases", rows);
    return matrix;
}

/* Reports are files, whoever wrote them. */
static char *shown(json_object *object, const char *key)
{
    g_autofree char *text = conf_text(object, key);
    return clean_line(text, SHORT);
}

static void print_answers(json_object *answers)
{
    json_object_object_foreach (answers, name, other) {
        g_autofree char *raw = answer_of(other), *answer = conf_shown(raw), *why = conf_text(other, "waiver");
        if (why == NULL)
            why = conf_text(other, "reason");
        g_autofree char *setup = clean_line(name, SHORT), *reason = conf_shown(why);
        g_print("    %s: %s%s%s\n", setup, answer, why != NULL ? "\n        because: " : "", reason);
    }
}

static void print_row(json_object *row)
{
    gboolean equal = json_object_get_boolean(json_object_object_get(row, "equal"));
    gboolean explained = json_object_get_boolean(json_object_object_get(row, "explained"));
    json_object *answers = json_object_object_get(row, "answers");
    g_autofree char *id = shown(row, "id"), *title = shown(row, "title");
    g_print("%-8s %-9s", id, equal ? "equal" : explained ? "explained" : "DIFFERENT");
    json_object_object_foreach (answers, name, cell) {
        g_autofree char *setup = clean_line(name, SHORT), *verdict = shown(cell, "verdict");
        g_print(" %*s", -(int) strlen(setup), verdict);
    }
    g_print("  %s\n", title);
    if (!equal)
        print_answers(answers);
}

void conf_print_matrix(json_object *matrix)
{
    json_object *setups = json_object_object_get(matrix, "setups"), *rows = json_object_object_get(matrix, "cases");
    json_object *summary = json_object_object_get(matrix, "summary");
    g_print("%-8s %-9s", "case", "answers");
    for (gsize i = 0; i < json_object_array_length(setups); i++) {
        g_autofree char *name = shown(json_object_array_get_idx(setups, i), "setup");
        g_print(" %s", name);
    }
    g_print("\n");
    for (gsize i = 0; i < json_object_array_length(rows); i++)
        print_row(json_object_array_get_idx(rows, i));
    g_print("%s cases, %zu set-ups: %s differences, %s of them unexplained\n",
            json_object_get_string(json_object_object_get(summary, "cases")), json_object_array_length(setups),
            json_object_get_string(json_object_object_get(summary, "differences")),
            json_object_get_string(json_object_object_get(summary, "unexplained")));
}

unsigned conf_matrix_open(json_object *matrix)
{
    json_object *summary = json_object_object_get(matrix, "summary");
    return (unsigned) json_object_get_int(json_object_object_get(summary, "unexplained"));
}
