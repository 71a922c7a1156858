/* SPDX-License-Identifier: MIT */
/*
 * The table of cases. A group is a Python file; comment lines that begin with "#:" are the rows, and the function
 * after a row is its probe. Expected answers are read here, on the host, never taken from the sandbox.
 */
#include "conformance.h"

#include <string.h>

#define MAX_FILE (256 * 1024)

static const char *const severities[] = {"critical", "high", "medium", "low", NULL};

void conf_case_free(void *data)
{
    struct conf_case *row = data;
    g_free(row->id);
    g_free(row->group);
    g_free(row->severity);
    g_free(row->title);
    g_free(row->expected);
    g_free(row->function);
    g_free(row->skip);
    g_free(row->needs);
    g_clear_pointer(&row->policy, g_ptr_array_unref);
    g_clear_pointer(&row->slow, g_ptr_array_unref);
    g_clear_pointer(&row->env, g_ptr_array_unref);
    g_clear_pointer(&row->host, g_ptr_array_unref);
    g_free(row);
}

/* "FS-01 critical the title" */
static struct conf_case *case_new(const char *text, const char *group, GError **error)
{
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    if (g_strv_length(words) != 3 || !g_strv_contains(severities, words[1])) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "case line '%s' is not 'ID SEVERITY TITLE'", text);
        return NULL;
    }
    struct conf_case *row = g_new0(struct conf_case, 1);
    row->id = g_strdup(words[0]);
    row->group = g_ascii_strup(group, -1);
    row->severity = g_strdup(words[1]);
    row->title = g_strdup(words[2]);
    row->policy = g_ptr_array_new_with_free_func(g_free);
    row->slow = g_ptr_array_new_with_free_func(g_free);
    row->env = g_ptr_array_new_with_free_func(g_free);
    row->host = g_ptr_array_new_with_free_func(g_free);
    return row;
}

static gboolean case_key(struct conf_case *row, const char *key, const char *value, GError **error)
{
    char **text = NULL;
    GPtrArray *list = NULL;
    if (strcmp(key, "expect") == 0)
        text = &row->expected;
    else if (strcmp(key, "match") == 0) {
        text = &row->expected;
        row->pattern = TRUE;
    } else if (strcmp(key, "skip") == 0)
        text = &row->skip;
    else if (strcmp(key, "needs") == 0)
        text = &row->needs;
    else if (strcmp(key, "policy") == 0)
        list = row->policy;
    else if (strcmp(key, "slow") == 0)
        list = row->slow;
    else if (strcmp(key, "env") == 0)
        list = row->env;
    else if (strcmp(key, "host") == 0)
        list = row->host;
    else if (strcmp(key, "own") == 0)
        row->own = TRUE;
    else if (strcmp(key, "beside") == 0)
        row->own = row->beside = TRUE;
    else {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: unknown key '%s'", row->id, key);
        return FALSE;
    }
    if (text != NULL && *text != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: '%s' is given twice", row->id, key);
        return FALSE;
    }
    if (text != NULL)
        *text = g_strdup(value);
    if (list != NULL)
        g_ptr_array_add(list, g_strdup(value));
    return TRUE;
}

static gboolean case_complete(const struct conf_case *row, GError **error)
{
    if (row->skip == NULL && (row->function == NULL || row->expected == NULL)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s has no probe, or no expected answer", row->id);
        return FALSE;
    }
    if (!row->pattern)
        return TRUE;
    g_autoptr(GRegex) regex = g_regex_new(row->expected, 0, 0, error);
    return regex != NULL;
}

static char *read_file(const char *dir, const char *name, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/%s.py", dir, name);
    g_autofree char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, error))
        return NULL;
    if (size > MAX_FILE || !g_utf8_validate(text, (gssize) size, NULL)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "'%s' is too long, or not UTF-8", path);
        return NULL;
    }
    return g_steal_pointer(&text);
}

/* One line of a group's file; *row is the case that it belongs to. */
static gboolean case_line(GPtrArray *cases, const char *group, const char *line, struct conf_case **row, GError **error)
{
    if (g_str_has_prefix(line, "#: case ")) {
        if (*row != NULL && !case_complete(*row, error))
            return FALSE;
        *row = case_new(line + strlen("#: case "), group, error);
        if (*row != NULL)
            g_ptr_array_add(cases, *row);
        return *row != NULL;
    }
    if (g_str_has_prefix(line, "#: ")) {
        g_auto(GStrv) words = g_strsplit(line + strlen("#: "), " ", 2);
        if (*row != NULL)
            return case_key(*row, words[0], words[1] != NULL ? words[1] : "", error);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "'%s' stands before the first case of %s", line, group);
        return FALSE;
    }
    if (g_str_has_prefix(line, "def ") && *row != NULL && (*row)->function == NULL && (*row)->skip == NULL)
        (*row)->function = g_strndup(line + strlen("def "), strcspn(line + strlen("def "), "("));
    return TRUE;
}

static gboolean read_group(const char *dir, const char *group, GPtrArray *cases, GError **error)
{
    g_autofree char *text = read_file(dir, group, error);
    if (text == NULL)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    struct conf_case *row = NULL;
    for (char **line = lines; *line != NULL; line++) {
        if (!case_line(cases, group, *line, &row, error)) {
            g_prefix_error(error, "%s.py: ", group);
            return FALSE;
        }
    }
    if (row == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "group '%s' has no case", group);
        return FALSE;
    }
    return case_complete(row, error);
}

static gboolean distinct(GPtrArray *cases, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < cases->len; i++) {
        const struct conf_case *row = cases->pdata[i];
        if (!g_hash_table_add(seen, row->id)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "two cases are called '%s'", row->id);
            return FALSE;
        }
    }
    return TRUE;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *) a, *(char *const *) b); }

/* The names of `list` ("FS,us"), all of which must be in `names`. */
static GPtrArray *chosen(GPtrArray *names, const char *list, GError **error)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *lower = g_ascii_strdown(list, -1);
    g_auto(GStrv) words = g_strsplit(lower, ",", -1);
    for (char **word = words; *word != NULL; word++) {
        if (!g_ptr_array_find_with_equal_func(names, *word, g_str_equal, NULL)) {
            g_ptr_array_add(names, NULL);
            g_autofree char *all = g_strjoinv(" ", (char **) names->pdata);
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--group: there is no group '%s'; there are: %s", *word, all);
            return NULL;
        }
        g_ptr_array_add(found, g_strdup(*word));
    }
    return g_steal_pointer(&found);
}

static GPtrArray *group_names(const char *dir, const char *only, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) folder = g_dir_open(dir, 0, error);
    if (folder == NULL)
        return NULL;
    for (const char *name = g_dir_read_name(folder); name != NULL; name = g_dir_read_name(folder)) {
        if (g_str_has_suffix(name, ".py") && strcmp(name, "common.py") != 0)
            g_ptr_array_add(names, g_strndup(name, strlen(name) - strlen(".py")));
    }
    g_ptr_array_sort(names, by_name);
    return only != NULL ? chosen(names, only, error) : g_steal_pointer(&names);
}

static gboolean knows_all(GPtrArray *cases, const char *list, GError **error)
{
    g_auto(GStrv) ids = g_strsplit(list, ",", -1);
    for (char **id = ids; *id != NULL; id++) {
        gboolean found = FALSE;
        for (guint i = 0; i < cases->len && !found; i++)
            found = g_ascii_strcasecmp(((const struct conf_case *) cases->pdata[i])->id, *id) == 0;
        if (!found) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--case: there is no case '%s' here; --list shows all", *id);
            return FALSE;
        }
    }
    return TRUE;
}

GPtrArray *conf_cases_read(const char *dir, const char *group, GError **error)
{
    g_autoptr(GPtrArray) names = group_names(dir, group, error);
    g_autoptr(GPtrArray) cases = g_ptr_array_new_with_free_func(conf_case_free);
    if (names == NULL)
        return NULL;
    for (guint i = 0; i < names->len; i++) {
        if (!read_group(dir, names->pdata[i], cases, error))
            return NULL;
    }
    gboolean ok = distinct(cases, error) && (opt.only == NULL || knows_all(cases, opt.only, error));
    return ok ? g_steal_pointer(&cases) : NULL;
}

char *conf_source(const char *dir, const char *group, const char *facts, GError **error)
{
    g_autofree char *name = g_ascii_strdown(group, -1);
    g_autofree char *common = read_file(dir, "common", error);
    g_autofree char *probes = common != NULL ? read_file(dir, name, error) : NULL;
    if (probes == NULL)
        return NULL;
    /* A JSON string, its slashes as they are, is a Python string as well. */
    json_object *quoted = json_object_new_string(facts);
    char *source = g_strdup_printf("%s\nFACTS = json.loads(%s)\n%s\n", common,
                                   json_object_to_json_string_ext(quoted, JSON_C_TO_STRING_NOSLASHESCAPE), probes);
    json_object_put(quoted);
    return source;
}

gboolean conf_answer_ok(const struct conf_case *which, const char *answer)
{
    if (!which->pattern)
        return strcmp(which->expected, answer) == 0;
    g_autofree char *whole = g_strdup_printf("\\A(?:%s)\\z", which->expected);
    return g_regex_match_simple(whole, answer, 0, 0);
}
