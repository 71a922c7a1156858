/* SPDX-License-Identifier: MIT */
/* Waivers, the report of one set-up, and the comparison of several. */
#include "conformance.h"

#include <string.h>

#define MAX_WAIVERS 10

struct waiver {
    char *id, *setup, *reason, *expires;
};

struct conf_waivers {
    GPtrArray *rows;
};

static void waiver_free(void *data)
{
    struct waiver *row = data;
    g_free(row->id);
    g_free(row->setup);
    g_free(row->reason);
    g_free(row->expires);
    g_free(row);
}

void conf_waivers_free(struct conf_waivers *waivers)
{
    if (waivers == NULL)
        return;
    g_ptr_array_unref(waivers->rows);
    g_free(waivers);
}

static char *text_of(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    return g_strdup(json_object_get_string(value));
}

static gboolean is_date(const char *text) { return g_regex_match_simple("^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", text, 0, 0); }

static gboolean add_waiver(GPtrArray *rows, json_object *object, GError **error)
{
    struct waiver *row = g_new0(struct waiver, 1);
    g_ptr_array_add(rows, row);
    row->id = text_of(object, "case");
    row->setup = text_of(object, "setup");
    row->reason = text_of(object, "reason");
    row->expires = text_of(object, "expires");
    if (row->id != NULL && row->setup != NULL && row->reason != NULL && *row->reason != '\0' && row->expires != NULL &&
        is_date(row->expires))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "waiver %u needs the texts case, setup, reason and expires (a date)", rows->len);
    return FALSE;
}

static gboolean add_waivers(GPtrArray *rows, json_object *list, GError **error)
{
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > MAX_WAIVERS) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "waivers are a list of at most %d", MAX_WAIVERS);
        return FALSE;
    }
    for (gsize i = 0; i < json_object_array_length(list); i++) {
        if (!add_waiver(rows, json_object_array_get_idx(list, i), error))
            return FALSE;
    }
    return TRUE;
}

struct conf_waivers *conf_waivers_read(const char *path, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(waiver_free);
    if (path != NULL) {
        json_object *list = json_object_from_file(path);
        gboolean good = add_waivers(rows, list, error);
        json_object_put(list);
        if (!good) {
            g_prefix_error(error, "%s: ", path);
            return NULL;
        }
    }
    struct conf_waivers *waivers = g_new0(struct conf_waivers, 1);
    waivers->rows = g_steal_pointer(&rows);
    return waivers;
}

const char *conf_waiver(const struct conf_waivers *waivers, const char *id, const char *setup)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *today = g_date_time_format(now, "%Y-%m-%d");
    for (guint i = 0; i < waivers->rows->len; i++) {
        const struct waiver *row = waivers->rows->pdata[i];
        if (strcmp(row->id, id) == 0 && g_pattern_match_simple(row->setup, setup) && strcmp(today, row->expires) <= 0)
            return row->reason;
    }
    return NULL;
}

const char *conf_verdict_name(enum conf_verdict verdict)
{
    switch (verdict) {
    case CONF_PASS:
        return "pass";
    case CONF_WAIVED:
        return "waived";
    case CONF_SKIPPED:
        return "skipped";
    case CONF_FAIL:
        break;
    }
    return "fail";
}

static void add_text(json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text != NULL ? json_object_new_string(text) : NULL);
}

static json_object *outcome_json(const struct conf_outcome *outcome)
{
    json_object *row = json_object_new_object();
    add_text(row, "id", outcome->which->id);
    add_text(row, "group", outcome->which->group);
    add_text(row, "severity", outcome->which->severity);
    add_text(row, "title", outcome->which->title);
    add_text(row, "expected", outcome->which->expected);
    add_text(row, "observed", outcome->observed);
    add_text(row, "verdict", conf_verdict_name(outcome->verdict));
    add_text(row, "reason", outcome->reason);
    return row;
}

static void print_json(json_object *object)
{
    g_print("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void print_outcome(const struct conf_outcome *outcome)
{
    g_print("%-8s %-9s %-8s %s\n", outcome->which->id, conf_verdict_name(outcome->verdict), outcome->which->severity,
            outcome->which->title);
    if (outcome->verdict == CONF_FAIL || outcome->verdict == CONF_WAIVED)
        g_print("         expected: %s\n         observed: %s\n", outcome->which->expected, outcome->observed);
    if (outcome->reason != NULL)
        g_print("         reason: %s\n", outcome->reason);
}

unsigned conf_report(GPtrArray *outcomes, const char *setup, json_object *about, gboolean json)
{
    unsigned counts[4] = {0};
    json_object *rows = json_object_new_array();
    for (guint i = 0; i < outcomes->len; i++) {
        const struct conf_outcome *outcome = outcomes->pdata[i];
        counts[outcome->verdict]++;
        json_object_array_add(rows, outcome_json(outcome));
        if (!json)
            print_outcome(outcome);
    }
    json_object *summary = json_object_new_object();
    json_object_object_add(summary, "cases", json_object_new_int((int) outcomes->len));
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
        json_object_object_add(summary, conf_verdict_name((enum conf_verdict) i), json_object_new_int((int) counts[i]));
    if (!json)
        g_print("%s: %s\n", setup, json_object_to_json_string_ext(summary, JSON_C_TO_STRING_SPACED));
    add_text(about, "setup", setup);
    json_object_object_add(about, "summary", summary);
    json_object_object_add(about, "cases", rows);
    if (json)
        print_json(about);
    return counts[CONF_FAIL];
}

/* One report, as read back. */
struct column {
    char *setup;
    GHashTable *rows; /* id -> json_object *, owned by `root` */
    GPtrArray *order; /* char *, ids */
    json_object *root;
};

static void column_free(void *data)
{
    struct column *column = data;
    g_free(column->setup);
    g_hash_table_unref(column->rows);
    g_ptr_array_unref(column->order);
    json_object_put(column->root);
    g_free(column);
}

static struct column *column_read(const char *path)
{
    struct column *column = g_new0(struct column, 1);
    column->root = json_object_from_file(path);
    column->setup = text_of(column->root, "setup");
    column->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    column->order = g_ptr_array_new_with_free_func(g_free);
    json_object *cases = NULL;
    if (column->setup == NULL || !json_object_object_get_ex(column->root, "cases", &cases) ||
        !json_object_is_type(cases, json_type_array)) {
        column_free(column);
        return NULL;
    }
    for (gsize i = 0; i < json_object_array_length(cases); i++) {
        json_object *row = json_object_array_get_idx(cases, i);
        g_autofree char *id = text_of(row, "id");
        if (id == NULL)
            continue;
        g_ptr_array_add(column->order, g_strdup(id));
        g_hash_table_insert(column->rows, g_steal_pointer(&id), row);
    }
    return column;
}

/* What a set-up answered, for comparison: a skipped or missing case is an answer as well. */
static char *answer_of(const struct column *column, const char *id)
{
    json_object *row = g_hash_table_lookup(column->rows, id);
    g_autofree char *verdict = row != NULL ? text_of(row, "verdict") : NULL;
    if (verdict == NULL)
        return g_strdup("(not run)");
    if (strcmp(verdict, "skipped") == 0)
        return g_strdup("(skipped)");
    char *observed = text_of(row, "observed");
    return observed != NULL ? observed : g_strdup("(no answer)");
}

/* Compare one case; returns NULL when all answers are equal, else {case, answers, explained}. */
static json_object *difference(GPtrArray *columns, const char *id, const struct conf_waivers *waivers)
{
    g_autofree char *first = NULL;
    gboolean equal = TRUE, explained = TRUE;
    json_object *answers = json_object_new_object();
    for (guint i = 0; i < columns->len; i++) {
        const struct column *column = columns->pdata[i];
        g_autofree char *answer = answer_of(column, id);
        add_text(answers, column->setup, answer);
        equal = equal && (i == 0 || strcmp(json_object_get_string(json_object_object_get(
                                               answers, ((struct column *) columns->pdata[0])->setup)),
                                           answer) == 0);
        if (conf_waiver(waivers, id, column->setup) != NULL)
            continue;
        explained = explained && (first == NULL || strcmp(first, answer) == 0);
        if (first == NULL)
            first = g_steal_pointer(&answer);
    }
    if (equal) {
        json_object_put(answers);
        return NULL;
    }
    json_object *row = json_object_new_object();
    add_text(row, "case", id);
    json_object_object_add(row, "explained", json_object_new_boolean(explained));
    json_object_object_add(row, "answers", answers);
    return row;
}

static void print_difference(json_object *row)
{
    gboolean explained = json_object_get_boolean(json_object_object_get(row, "explained"));
    g_print("%s%s\n", json_object_get_string(json_object_object_get(row, "case")), explained ? " (waived)" : "");
    json_object_object_foreach (json_object_object_get(row, "answers"), setup, answer)
        g_print("    %-28s %s\n", setup, json_object_get_string(answer));
}

static GPtrArray *all_ids(GPtrArray *columns)
{
    GPtrArray *ids = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < columns->len; i++) {
        const struct column *column = columns->pdata[i];
        for (guint j = 0; j < column->order->len; j++) {
            if (g_hash_table_add(seen, column->order->pdata[j]))
                g_ptr_array_add(ids, column->order->pdata[j]);
        }
    }
    return ids;
}

static GPtrArray *columns_read(char *const *files)
{
    g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func(column_free);
    g_autoptr(GHashTable) setups = g_hash_table_new(g_str_hash, g_str_equal);
    for (char *const *file = files; file != NULL && *file != NULL; file++) {
        struct column *column = column_read(*file);
        if (column == NULL) {
            g_printerr("%s is not a report of this program\n", *file);
            return NULL;
        }
        g_ptr_array_add(columns, column);
        if (!g_hash_table_add(setups, column->setup)) {
            g_printerr("two reports are of set-up '%s' (--setup gives each a name)\n", column->setup);
            return NULL;
        }
    }
    if (columns->len >= 2)
        return g_steal_pointer(&columns);
    g_printerr("a comparison needs two reports or more\n");
    return NULL;
}

int conf_compare(char *const *files, const struct conf_waivers *waivers, gboolean json)
{
    g_autoptr(GPtrArray) columns = columns_read(files);
    if (columns == NULL)
        return 2;
    g_autoptr(GPtrArray) ids = all_ids(columns);
    json_object *rows = json_object_new_array();
    unsigned open = 0;
    for (guint i = 0; i < ids->len; i++) {
        json_object *row = difference(columns, ids->pdata[i], waivers);
        if (row == NULL)
            continue;
        open += !json_object_get_boolean(json_object_object_get(row, "explained"));
        if (!json)
            print_difference(row);
        json_object_array_add(rows, row);
    }
    gsize differences = json_object_array_length(rows);
    json_object *result = json_object_new_object();
    json_object_object_add(result, "cases", json_object_new_int((int) ids->len));
    json_object_object_add(result, "setups", json_object_new_int((int) columns->len));
    json_object_object_add(result, "unexplained", json_object_new_int((int) open));
    json_object_object_add(result, "differences", rows);
    if (json)
        print_json(result);
    else
        g_print("%u cases, %u set-ups: %zu differences, %u of them unexplained\n", ids->len, columns->len, differences,
                open);
    json_object_put(result);
    return open == 0 && ids->len > 0 ? 0 : 1;
}
