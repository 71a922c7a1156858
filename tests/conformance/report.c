/* SPDX-License-Identifier: MIT */
/* The report of one set-up, as text and as JSON. */
#include "conformance.h"

#include <string.h>

char *conf_text(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    return g_strdup(json_object_get_string(value));
}

char *conf_clean(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    GString *out = g_string_new(NULL);
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        gboolean bad = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || c == 0xFFFE || c == 0xFFFF;
        g_string_append_unichar(out, bad ? 0xFFFD : c);
    }
    return g_string_free(out, FALSE);
}

void conf_add(json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text != NULL ? json_object_new_string(text) : NULL);
}

void conf_print(json_object *object)
{
    g_print("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static const char *verdict_name(enum conf_verdict verdict)
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

static json_object *outcome_json(const struct conf_outcome *outcome)
{
    json_object *row = json_object_new_object();
    conf_add(row, "id", outcome->which->id);
    conf_add(row, "group", outcome->which->group);
    conf_add(row, "severity", outcome->which->severity);
    conf_add(row, "title", outcome->which->title);
    conf_add(row, "expected", outcome->which->expected);
    conf_add(row, "observed", outcome->observed);
    conf_add(row, "verdict", verdict_name(outcome->verdict));
    conf_add(row, "reason", outcome->reason);
    return row;
}

unsigned conf_report(GPtrArray *outcomes, const char *setup, json_object *about)
{
    unsigned counts[4] = {0};
    json_object *rows = json_object_new_array();
    for (guint i = 0; i < outcomes->len; i++) {
        const struct conf_outcome *outcome = outcomes->pdata[i];
        counts[outcome->verdict]++;
        json_object_array_add(rows, outcome_json(outcome));
    }
    json_object *summary = json_object_new_object();
    json_object_object_add(summary, "cases", json_object_new_int((int) outcomes->len));
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
        json_object_object_add(summary, verdict_name((enum conf_verdict) i), json_object_new_int((int) counts[i]));
    conf_add(about, "setup", setup);
    json_object_object_add(about, "summary", summary);
    json_object_object_add(about, "cases", rows);
    return counts[CONF_FAIL];
}

static int count(json_object *summary, const char *verdict)
{
    return json_object_get_int(json_object_object_get(summary, verdict));
}

void conf_print_report(json_object *report)
{
    json_object *rows = json_object_object_get(report, "cases");
    g_autofree char *last = NULL; /* what keeps one sandbox from starting keeps all: said once */
    for (gsize i = 0; i < json_object_array_length(rows); i++) {
        json_object *row = json_object_array_get_idx(rows, i);
        g_autofree char *id = conf_text(row, "id"), *verdict = conf_text(row, "verdict");
        g_autofree char *severity = conf_text(row, "severity"), *title = conf_text(row, "title");
        g_autofree char *raw = conf_text(row, "observed"), *observed = conf_clean(raw);
        g_autofree char *reason = conf_text(row, "reason");
        g_autofree char *expected = conf_text(row, "expected");
        g_print("%-8s %-9s %-8s %s\n", id, verdict, severity, title);
        gboolean again = g_str_has_prefix(observed, "no answer") && g_strcmp0(observed, last) == 0;
        if ((strcmp(verdict, "fail") == 0 || strcmp(verdict, "waived") == 0) && !again)
            g_print("         expected: %s\n         observed: %s\n", expected, observed);
        g_free(last);
        last = g_steal_pointer(&observed);
        if (reason != NULL)
            g_print("         reason: %s\n", reason);
    }
    g_autofree char *setup = conf_text(report, "setup");
    json_object *summary = json_object_object_get(report, "summary");
    g_print("%s: %d passed, %d failed, %d skipped, %d waived\n", setup, count(summary, "pass"), count(summary, "fail"),
            count(summary, "skipped"), count(summary, "waived"));
}
