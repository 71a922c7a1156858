/* SPDX-License-Identifier: MIT */
/* The report of one set-up, as text and as JSON. */
#include "common/words.h"
#include "conformance.h"

#include <string.h>

#define SHOWN_MAX 4000

char *conf_text(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    return g_strdup(json_object_get_string(value));
}

char *conf_clean(const char *text) { return clean_text(text != NULL ? text : "", text != NULL ? strlen(text) : 0, "\n\t"); }

/* Further lines of it cannot be taken for ours. */
char *conf_shown(const char *text)
{
    gsize size = text != NULL ? strlen(text) : 0;
    g_autofree char *clean = clean_text(text != NULL ? text : "", MIN(size, SHOWN_MAX), "\n\t");
    g_auto(GStrv) lines = g_strsplit(clean, "\n", -1);
    g_autofree char *all = g_strjoinv("\n           ", lines);
    return g_strconcat(all, size > SHOWN_MAX ? "…" : "", NULL);
}

void conf_add(json_object *object, const char *key, const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid(text, -1) : NULL;
    json_object_object_add(object, key, valid != NULL ? json_object_new_string(valid) : NULL);
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

static void print_detail(const char *what, const char *text)
{
    g_autofree char *shown = conf_shown(text);
    g_print("         %s: %s\n", what, shown);
}

static void print_outcome(struct suite *suite, const struct conf_outcome *outcome)
{
    const struct conf_case *which = outcome->which;
    g_print("%-8s %-9s %-8s %s\n", which->id, verdict_name(outcome->verdict), which->severity, which->title);
    /* What keeps one sandbox from starting keeps all: said once. */
    gboolean again = outcome->observed != NULL && g_str_has_prefix(outcome->observed, "no answer") &&
                     g_strcmp0(outcome->observed, suite->last) == 0;
    if ((outcome->verdict == CONF_FAIL || outcome->verdict == CONF_WAIVED) && !again) {
        print_detail("expected", which->expected);
        print_detail("observed", outcome->observed);
    }
    g_free(suite->last);
    suite->last = g_strdup(outcome->observed);
    if (outcome->reason != NULL)
        print_detail("reason", outcome->reason);
}

void conf_outcome_add(struct suite *suite, struct conf_outcome *outcome)
{
    g_ptr_array_add(suite->outcomes, outcome);
    if (suite->prints)
        print_outcome(suite, outcome);
}

void conf_print_totals(json_object *report)
{
    g_autofree char *setup = conf_text(report, "setup"), *shown = conf_shown(setup);
    json_object *summary = json_object_object_get(report, "summary");
    g_print("%s: %d passed, %d failed, %d skipped, %d waived\n", shown, count(summary, "pass"), count(summary, "fail"),
            count(summary, "skipped"), count(summary, "waived"));
}
