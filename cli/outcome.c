/* SPDX-License-Identifier: MIT */
/* How a run ended, for people: the words and the exit status. */
#include "outcome.h"

#include "guard.h"
#include "input.h"
#include "common/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAMES_SHOWN 20

void json_print(struct json_object *object)
{
    size_t size = 0;
    const char *text =
        json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (text == NULL) /* more than json-c makes a text of */
        g_error("what was to be printed has more than 2 GiB");
    cli_guard_answers();
    fwrite(text, 1, size, stdout);
    putchar('\n');
}

void json_print_text(const char *text)
{
    cli_guard_answers();
    puts(text);
}

static const char *asked(struct json_object *result, const char *control)
{
    struct json_object *controls = json_member(json_member(result, "policy"), "controls");
    size_t n = json_length(controls);
    for (size_t i = 0; i < n; i++) {
        struct json_object *row = json_object_array_get_idx(controls, i);
        if (g_strcmp0(json_string(row, "name"), control) == 0)
            return json_string(row, "asked");
    }
    return NULL;
}

static enum dsb_status status_of(const char *name)
{
    for (int i = 0; i <= DSB_STATUS_REFUSED; i++)
        if (g_strcmp0(name, dsb_status_name((enum dsb_status) i)) == 0)
            return (enum dsb_status) i;
    return DSB_STATUS_LOST;
}

static int exit_of(enum dsb_status status, struct json_object *result)
{
    gboolean exited = json_object_is_type(json_member(result, "exit_code"), json_type_int);
    int exit_code = exited ? (int) json_int(result, "exit_code") : -1;
    return dsb_exit_of(status, json_member(result, "failure") != NULL, exit_code, (int) json_int(result, "signal"));
}

/* Bytes that the code wrote, and neither the result nor a file of the session has. */
static guint64 beyond(struct json_object *result, const char *stream)
{
    g_autofree char *exact = g_strconcat(stream, "_base64", NULL), *bytes = g_strconcat(stream, "_bytes", NULL);
    g_autofree char *truncated = g_strconcat(stream, "_truncated", NULL), *file = g_strconcat(stream, "_file", NULL);
    struct json_object *text = json_member(result, stream);
    const char *base64 = json_string(result, exact);
    guint64 kept = json_object_is_type(text, json_type_string) ? (guint64) json_object_get_string_len(text) : 0;
    guint64 total = (guint64) json_int(result, bytes);
    if (base64 != NULL) {
        gsize letters = strcspn(base64, "=");
        kept = letters / 4 * 3 + (letters % 4 > 0 ? letters % 4 - 1 : 0);
    }
    gboolean cut = json_object_get_boolean(json_member(result, truncated)) && json_string(result, file) == NULL;
    return cut && total > kept ? total - kept : 0;
}

struct outcome outcome_of(struct json_object *result, const char *timeout)
{
    struct json_object *state = json_member(result, "state");
    struct outcome outcome = {
        .status = status_of(json_string(result, "status")),
        .failure = json_string(json_member(result, "failure"), "message"),
        .limit = json_string(result, "reason"),
        .timeout = timeout != NULL ? timeout : asked(result, "time"),
        .memory = asked(result, "memory"),
        .state = json_string(state, "outcome"),
        .reason = json_string(state, "reason"),
        .point = json_string(state, "point"),
        .restored = json_member(state, "restored"),
        .background = json_member(result, "background"),
        .omitted = json_member(result, "results_omitted"),
        .leftover = json_string(result, "leftover"),
        .left_out = beyond(result, "stdout") + beyond(result, "stderr"),
        .workdir = json_string(result, "workdir"),
        .kept = {json_string(result, "stdout_file"), json_string(result, "stderr_file")},
        .to = json_int(state, "to"),
    };
    outcome.exit_status = exit_of(outcome.status, result);
    return outcome;
}

static void explain_restored(struct json_object *list, const char *what)
{
    size_t n = json_length(list);
    g_autoptr(GString) names = g_string_new(NULL);
    for (size_t i = 0; i < n && i < NAMES_SHOWN; i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        const char *name =
            json_object_is_type(item, json_type_string) ? json_object_get_string(item) : json_string(item, "name");
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", name);
    }
    g_autofree char *clean = clean_text(names->str, names->len, "");
    if (n > 0)
        g_printerr("dsandbox: %s%s %s\n", clean, n > NAMES_SHOWN ? ", …" : "", what);
}

static void explain_state(const struct outcome *outcome, gboolean verbose)
{
    const char *given = outcome->reason != NULL ? outcome->reason : "the reason is not known";
    g_autofree char *reason = clean_text(given, strlen(given), "");
    if (g_strcmp0(outcome->state, "rolled_back") == 0 && outcome->to > 0)
        g_printerr("dsandbox: variables were rolled back to execution %" G_GINT64_FORMAT ": %s\n", outcome->to, reason);
    else if (g_strcmp0(outcome->state, "rolled_back") == 0)
        g_printerr("dsandbox: variables were rolled back to the beginning: %s\n", reason);
    else if (g_strcmp0(outcome->state, "lost") == 0)
        g_printerr("dsandbox: variables were lost: %s\n", reason);
    explain_restored(json_member(outcome->restored, "names"), "came back from the saved ones");
    explain_restored(json_member(outcome->restored, "missing"), "did not come back");
    if (verbose && outcome->point != NULL && strcmp(outcome->point, "taken") != 0)
        g_printerr("dsandbox: a crash in a later execution cannot come back to the end of this one (%s)\n",
                   outcome->point);
}

static void explain_background(struct json_object *background, const char *stream)
{
    const char *given = json_string(background, stream);
    if (given == NULL || *given == '\0')
        return;
    g_autofree char *text = clean_text(given, strlen(given), "\n\t");
    g_printerr("dsandbox: from the background of earlier executions (%s):\n%s%s", stream, text,
               g_str_has_suffix(text, "\n") ? "" : "\n");
}

void outcome_say_missing(uint64_t count, const char *reason)
{
    g_autofree char *clean = clean_text(reason, strlen(reason), "");
    g_printerr("dsandbox: %" G_GUINT64_FORMAT " %s missing: %s\n", (guint64) count, count == 1 ? "result is" : "results are", clean);
}

static void explain_omitted(struct json_object *omitted)
{
    for (size_t i = 0; i < json_length(omitted); i++) {
        struct json_object *row = json_object_array_get_idx(omitted, i);
        const char *reason = json_string(row, "reason");
        outcome_say_missing((uint64_t) MAX(json_int(row, "count"), 0), reason != NULL ? reason : "?");
    }
}

static void explain_kept(const char *stream, const char *workdir, const char *file)
{
    if (file == NULL)
        return;
    g_autofree char *path = workdir != NULL ? g_build_filename(workdir, file, NULL) : g_strdup(file);
    g_autofree char *clean = clean_text(path, strlen(path), "");
    g_printerr("dsandbox: more on standard %s than --output-limit; all of it is in %s\n", stream, clean);
}

void outcome_explain(const struct outcome *outcome, gboolean verbose)
{
    enum dsb_status status = outcome->status;
    const char *timeout = outcome->timeout != NULL ? outcome->timeout : "?";
    /* "30s, idle 15m": the first is meant. */
    int first = (int) strcspn(timeout, ",");
    g_autofree char *said = option_words(outcome->failure);
    g_autofree char *failure = said != NULL ? clean_text(said, strlen(said), "\n\t") : NULL;
    if (failure != NULL)
        g_printerr("dsandbox: %s\n", failure);
    else if (status == DSB_STATUS_TIMEOUT)
        g_printerr("dsandbox: stopped after the time limit of %.*s (--timeout)\n", first, timeout);
    else if (status == DSB_STATUS_OOM)
        g_printerr("dsandbox: stopped: out of memory, the limit is %s (--memory)\n",
                   outcome->memory != NULL ? outcome->memory : "?");
    else if (status == DSB_STATUS_OUTPUT_LIMIT)
        g_printerr("dsandbox: stopped: more output than --output-limit\n");
    else if (status == DSB_STATUS_DISK_LIMIT)
        g_printerr("dsandbox: disk limit: %s (--disk)\n", outcome->limit != NULL ? outcome->limit : "more in /sandbox");
    else if (status == DSB_STATUS_SIGNAL)
        g_printerr("dsandbox: the code ended by signal %d (%s)\n", outcome->exit_status - DSB_EXIT_SIGNAL,
                   g_strsignal(outcome->exit_status - DSB_EXIT_SIGNAL));
    else if (status == DSB_STATUS_LOST && outcome->state == NULL)
        g_printerr("dsandbox: the sandbox was lost; the reason is not known\n");
    explain_omitted(outcome->omitted);
    if (outcome->left_out > 0)
        g_printerr("dsandbox: %" G_GUINT64_FORMAT " bytes of output were left out: more than --output-limit\n",
                   outcome->left_out);
    explain_state(outcome, verbose);
    explain_background(outcome->background, "stdout");
    explain_background(outcome->background, "stderr");
    explain_kept("output", outcome->workdir, outcome->kept[0]);
    explain_kept("error", outcome->workdir, outcome->kept[1]);
    g_autofree char *leftover = outcome->leftover != NULL ? clean_text(outcome->leftover, strlen(outcome->leftover), "") : NULL;
    if (leftover != NULL)
        g_printerr("dsandbox: %s\n", leftover);
}

int outcome_exit(const struct outcome *outcome)
{
    if (cli_output_error() != 0 && cli_output_error() != EPIPE) {
        g_printerr("dsandbox: cannot write the output: %s\n", g_strerror(cli_output_error()));
        return DSB_EXIT_OURS;
    }
    if (outcome->status == DSB_STATUS_CANCELLED)
        return cli_cancel_status();
    return outcome->exit_status;
}
