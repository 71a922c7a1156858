/* SPDX-License-Identifier: MIT */
/* Reports for other programs and for people: JUnit XML, and one self-contained HTML page. */
#include "conformance.h"

#include <string.h>

#define PLACE "@DATA@"

static void attribute(GString *out, const char *name, const char *text)
{
    g_autofree char *good = conf_clean(text);
    g_autofree char *escaped = g_markup_escape_text(good, -1);
    g_string_append_printf(out, " %s=\"%s\"", name, escaped);
}

static void element(GString *out, const char *name, const char *message, const char *body)
{
    g_string_append_printf(out, "      <%s", name);
    attribute(out, "message", message);
    if (body == NULL) {
        g_string_append(out, "/>\n");
        return;
    }
    g_autofree char *good = conf_clean(body);
    g_autofree char *escaped = g_markup_escape_text(good, -1);
    g_string_append_printf(out, ">%s</%s>\n", escaped, name);
}

static void testcase(GString *out, json_object *row, const char *setup)
{
    g_autofree char *id = conf_text(row, "id"), *group = conf_text(row, "group"), *title = conf_text(row, "title");
    g_autofree char *verdict = conf_text(row, "verdict"), *reason = conf_text(row, "reason");
    g_autofree char *expected = conf_text(row, "expected"), *observed = conf_text(row, "observed");
    g_autofree char *class = g_strdup_printf("%s.%s", setup, group);
    g_autofree char *name = g_strdup_printf("%s %s", id, title);
    g_autofree char *body = g_strdup_printf("expected: %s\nobserved: %s", expected != NULL ? expected : "",
                                            observed != NULL ? observed : "");
    g_string_append(out, "    <testcase");
    attribute(out, "classname", class);
    attribute(out, "name", name);
    g_string_append(out, ">\n");
    if (strcmp(verdict, "fail") == 0)
        element(out, "failure", reason != NULL ? reason : "not what must be seen", body);
    else if (strcmp(verdict, "skipped") == 0)
        element(out, "skipped", reason, NULL);
    else if (strcmp(verdict, "waived") == 0) {
        g_autofree char *message = g_strdup_printf("waived: %s", reason != NULL ? reason : "");
        element(out, "skipped", message, NULL);
    }
    g_string_append(out, "    </testcase>\n");
}

static int count(json_object *report, const char *key)
{
    return json_object_get_int(json_object_object_get(json_object_object_get(report, "summary"), key));
}

char *conf_junit(GPtrArray *reports)
{
    GString *out =
        g_string_new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dsandbox conformance\">\n");
    for (guint i = 0; i < reports->len; i++) {
        json_object *report = reports->pdata[i], *rows = json_object_object_get(report, "cases");
        g_autofree char *setup = conf_text(report, "setup");
        g_string_append(out, "  <testsuite");
        attribute(out, "name", setup);
        g_string_append_printf(out, " tests=\"%zu\" failures=\"%d\" errors=\"0\" skipped=\"%d\">\n",
                               json_object_array_length(rows), count(report, "fail"),
                               count(report, "skipped") + count(report, "waived"));
        for (gsize j = 0; j < json_object_array_length(rows); j++)
            testcase(out, json_object_array_get_idx(rows, j), setup);
        g_string_append(out, "  </testsuite>\n");
    }
    g_string_append(out, "</testsuites>\n");
    return g_string_free(out, FALSE);
}

char *conf_page(json_object *matrix, const char *template_path, GError **error)
{
    g_autofree char *page = NULL;
    if (!g_file_get_contents(template_path, &page, NULL, error))
        return NULL;
    char *place = strstr(page, PLACE);
    if (place == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s is not the template of the page", template_path);
        return NULL;
    }
    /* No answer can end the script element: in JSON text these stand in strings only. */
    g_autofree char *json = g_utf8_make_valid(json_object_to_json_string_ext(matrix, JSON_C_TO_STRING_PLAIN), -1);
    GString *out = g_string_new_len(page, place - page);
    for (const char *at = json; *at != '\0'; at++) {
        if (*at == '<' || *at == '>' || *at == '&')
            g_string_append_printf(out, "\\u%04x", *at);
        else
            g_string_append_c(out, *at);
    }
    g_string_append(out, place + strlen(PLACE));
    return g_string_free(out, FALSE);
}
