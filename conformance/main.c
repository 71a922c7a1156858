/* SPDX-License-Identifier: MIT */
/* The program: options, what to run, and where the reports go. */
#include "child.h"
#include "common/names.h"
#include "common/words.h"
#include "conformance.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

struct conf_options opt;

static const GOptionEntry entries[] = {
    {"backend", 'b', 0, G_OPTION_ARG_STRING, &opt.backend, "Backend by name", "NAME"},
    {"plugin", 0, 0, G_OPTION_ARG_FILENAME, &opt.plugin, "Backend by absolute path", "PATH"},
    {"host", 'H', 0, G_OPTION_ARG_STRING, &opt.endpoint, "Address of the engine", "URL"},
    {"engine-timeout", 0, 0, G_OPTION_ARG_INT, &opt.engine_timeout, "Deadline of one engine call (60)", "SECONDS"},
    {"base-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt.base_dir, "Directory for sessions (default: a private one)", "DIR"},
    {"image", 0, 0, G_OPTION_ARG_STRING, &opt.image, "Sandbox image", "NAME"},
    {"group", 0, 0, G_OPTION_ARG_STRING, &opt.group, "These groups only", "GROUP,…"},
    {"case", 0, 0, G_OPTION_ARG_STRING, &opt.only, "These cases only", "ID,…"},
    {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &opt.settings, "Another policy than the default one", "KEY=VALUE"},
    {"allow-unenforced", 0, 0, G_OPTION_ARG_STRING, &opt.allow, "Controls that may be missing", "LIST"},
    {"every-case", 0, 0, G_OPTION_ARG_NONE, &opt.every, "Also those about controls that may be missing", NULL},
    {"setup", 0, 0, G_OPTION_ARG_STRING, &opt.setup, "Name of this set-up in reports and waivers", "NAME"},
    {"cases", 0, 0, G_OPTION_ARG_FILENAME, &opt.cases, "Directory of the cases", "DIR"},
    {"waivers", 0, 0, G_OPTION_ARG_FILENAME, &opt.waivers,
     "Known differences, at most ten (default: our own; none: none)", "FILE"},
    {"compare", 0, 0, G_OPTION_ARG_STRING, &opt.compare,
     "Run on each of these backends, or read their reports, and compare the answers", "BACKEND[=URL] | REPORT,…"},
    {"contract", 0, 0, G_OPTION_ARG_NONE, &opt.contract, "The operations of --plugin only: needs no kernel", NULL},
    {"list", 0, 0, G_OPTION_ARG_NONE, &opt.list, "List the cases", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &opt.json, "One JSON object instead of text", NULL},
    {"html", 0, 0, G_OPTION_ARG_FILENAME, &opt.html, "Also one page for people", "FILE"},
    {"junit", 0, 0, G_OPTION_ARG_FILENAME, &opt.junit, "Also JUnit XML", "FILE"},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &opt.verbose, "Show the library's diagnostics", NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &opt.rest, NULL, "[REPORT...]"},
    G_OPTION_ENTRY_NULL,
};

static void outcome_free(void *data)
{
    struct conf_outcome *outcome = data;
    g_clear_pointer(&outcome->own, conf_case_free);
    g_free(outcome->observed);
    g_free(outcome->reason);
    g_free(outcome);
}

static int by_id(const void *a, const void *b)
{
    const struct conf_outcome *const *left = a, *const *right = b;
    return strcmp((*left)->which->id, (*right)->which->id);
}

static gboolean any_ran(GPtrArray *outcomes)
{
    for (guint i = 0; i < outcomes->len; i++) {
        const struct conf_outcome *outcome = outcomes->pdata[i];
        if (outcome->verdict != CONF_SKIPPED)
            return TRUE;
    }
    return FALSE;
}

/* One object, here as everywhere in dsandbox. */
static int fail(const GError *error)
{
    g_autofree char *message = option_words(error->message);
    g_autofree char *clean = clean_text(message, strlen(message), "\n\t");
    if (opt.json) {
        g_autoptr(dsb_result) result = dsb_result_from_error(error);
        g_autofree char *text = dsb_result_json(result, FALSE);
        g_print("%s\n", text);
    }
    g_printerr("dsandbox conformance: %s\n", clean);
    return 2;
}

static int list_json(GPtrArray *cases)
{
    json_object *list = json_object_new_object(), *rows = json_object_new_array();
    for (guint i = 0; i < cases->len; i++) {
        const struct conf_case *which = cases->pdata[i];
        json_object *row = json_object_new_object();
        conf_add(row, "id", which->id);
        conf_add(row, "group", which->group);
        conf_add(row, "severity", which->severity);
        conf_add(row, "title", which->title);
        conf_add(row, "skip", which->skip);
        json_object_array_add(rows, row);
    }
    json_object_object_add(list, "cases", rows);
    conf_print(list);
    json_object_put(list);
    return 0;
}

static int list_cases(GPtrArray *cases)
{
    if (opt.json)
        return list_json(cases);
    for (guint i = 0; i < cases->len; i++) {
        const struct conf_case *row = cases->pdata[i];
        g_print("%-8s %-8s %s%s%s\n", row->id, row->severity, row->title, row->skip != NULL ? " -- left out: " : "",
                row->skip != NULL ? row->skip : "");
    }
    return 0;
}

static void new_report(struct suite *suite)
{
    suite->outcomes = g_ptr_array_new_with_free_func(outcome_free);
    suite->about = json_object_new_object();
    suite->prints = !opt.json && opt.compare == NULL;
    conf_add(suite->about, "schema", "dsandbox.conformance/1");
}

/* The report, also of what a signal ended: it says so, and has the cases that were asked. */
static void complete(struct suite *suite)
{
    suite->failed = conf_report(suite->outcomes, opt.setup, suite->about);
    json_object_object_add(suite->about, "interrupted", json_object_new_boolean(child_signal() != 0));
}

/* Everything on one set-up; the report is in suite->about. */
static gboolean run_suite(struct suite *suite, GPtrArray *cases, GError **error)
{
    suite->policy = dsb_policy_new();
    new_report(suite);
    gsize settings = opt.settings != NULL ? g_strv_length(opt.settings) : 0;
    if (!dsb_policy_set(suite->policy, "timeout", "1200s", "conformance", error) ||
        !conf_apply_settings(suite->policy, opt.settings, settings, "--set", error) ||
        (opt.allow != NULL && !dsb_controls_parse(opt.allow, &suite->allow, error)))
        return FALSE;
    suite->host = conf_host_new(opt.base_dir, error);
    if (suite->host == NULL)
        return FALSE;
    conf_plant_neighbour(suite);
    if (!conf_run_cases(suite, cases, error))
        return FALSE;
    g_ptr_array_sort(suite->outcomes, by_id);
    if (suite->dead != NULL && child_signal() == 0) {
        g_autofree char *shown = conf_shown(suite->dead);
        g_printerr("dsandbox conformance: no sandbox starts here: %s\n", shown);
    }
    complete(suite);
    if (any_ran(suite->outcomes) || child_signal() != 0)
        return TRUE;
    g_printerr("dsandbox conformance: no case ran\n");
    suite->failed++;
    return TRUE;
}

static gboolean run_contract(struct suite *suite, GError **error)
{
    if (opt.plugin == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--contract is about a plugin file: give --plugin");
        return FALSE;
    }
    new_report(suite);
    if (opt.allow != NULL && !dsb_controls_parse(opt.allow, &suite->allow, error))
        return FALSE;
    suite->host = conf_host_new(opt.base_dir, error);
    if (suite->host == NULL)
        return FALSE;
    json_object *backend = json_object_new_object();
    conf_add(backend, "plugin", opt.plugin);
    json_object_object_add(suite->about, "backend", backend);
    const struct dsb_run_options options = {
        .struct_size = sizeof options,
        .init = DSB_INIT,
        .plugin_path = opt.plugin,
        .endpoint = opt.endpoint,
        .base_dir = conf_host_base_dir(suite->host),
        .image = opt.image,
        .allow_unenforced = suite->allow,
        .engine_timeout_ms = (uint32_t) opt.engine_timeout * 1000,
        .cancel_fd = DSB_FD_NONE,
        .log = conf_log,
    };
    if (!conf_contract(&options, suite, error))
        return FALSE;
    complete(suite);
    suite->failed += suite->outcomes->len == 0;
    return TRUE;
}

static void suite_clear(struct suite *suite)
{
    dsb_policy_free(suite->policy);
    conf_host_free(suite->host);
    if (suite->outcomes != NULL)
        g_ptr_array_unref(suite->outcomes);
    json_object_put(suite->about);
    g_free(suite->dead);
    g_free(suite->last);
}

/* The source's while we are in the build tree, the installed ones otherwise. */
static gboolean is_built(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    return self != NULL && g_str_has_prefix(self, DSB_BUILD_DIR "/");
}

static struct conf_waivers *read_waivers(GError **error)
{
    if (opt.waivers == NULL)
        return conf_waivers_read(is_built() ? DSB_CASES_SOURCE "/../waivers.json" : DSB_CASES_INSTALLED "/waivers.json",
                                 error);
    return conf_waivers_read(strcmp(opt.waivers, "none") != 0 ? opt.waivers : NULL, error);
}

static void report_free(void *data) { json_object_put(data); }

/* One report (json_object_put), NULL on error: run here and now. */
static json_object *make_report(const struct conf_waivers *waivers, const char *cases_dir, unsigned *failed,
                                GError **error)
{
    struct suite suite = {.cases_dir = cases_dir, .waivers = waivers};
    g_autoptr(GPtrArray) cases = opt.contract ? NULL : conf_cases_read(cases_dir, opt.group, error);
    gboolean good = opt.contract ? run_contract(&suite, error) : cases != NULL && run_suite(&suite, cases, error);
    json_object *report = good ? json_object_get(suite.about) : NULL;
    *failed = suite.failed;
    suite_clear(&suite);
    return report;
}

/* "docker-api", "podman=unix:///…", "/path/plugin.so", "report.json" */
static json_object *compared(const char *item, const struct conf_waivers *waivers, const char *cases_dir,
                             GError **error)
{
    unsigned failed;
    if (g_str_has_suffix(item, ".json"))
        return conf_report_read(item, error);
    g_auto(GStrv) parts = g_strsplit(item, "=", 2);
    opt.setup = parts[0];
    opt.backend = parts[0][0] != '/' ? parts[0] : NULL;
    opt.plugin = parts[0][0] == '/' ? parts[0] : NULL;
    opt.endpoint = parts[1];
    g_printerr("%s: running the cases\n", parts[0]);
    json_object *report = make_report(waivers, cases_dir, &failed, error);
    opt.setup = opt.backend = opt.plugin = opt.endpoint = NULL;
    return report;
}

static gboolean write_exports(GPtrArray *reports, json_object *matrix, const char *cases_dir, GError **error)
{
    if (opt.junit != NULL) {
        g_autofree char *xml = conf_junit(reports);
        if (!g_file_set_contents(opt.junit, xml, -1, error))
            return FALSE;
    }
    if (opt.html == NULL)
        return TRUE;
    g_autofree char *template = g_build_filename(cases_dir, "page.html", NULL);
    g_autofree char *page = conf_page(matrix, template, error);
    return page != NULL && g_file_set_contents(opt.html, page, -1, error);
}

static int run_one(const struct conf_waivers *waivers, const char *cases_dir)
{
    g_autoptr(GError) error = NULL;
    unsigned failed;
    json_object *report = make_report(waivers, cases_dir, &failed, &error);
    if (report == NULL)
        return fail(error);
    if (opt.json)
        conf_print(report);
    else
        conf_print_totals(report);
    g_autoptr(GPtrArray) reports = g_ptr_array_new_with_free_func(report_free);
    g_ptr_array_add(reports, report);
    json_object *matrix = conf_matrix(reports, waivers, &error);
    gboolean good = matrix != NULL && write_exports(reports, matrix, cases_dir, &error);
    json_object_put(matrix);
    return !good ? fail(error) : failed == 0 ? 0 : 1;
}

static int run_compare(const struct conf_waivers *waivers, const char *cases_dir)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) reports = g_ptr_array_new_with_free_func(report_free);
    g_autofree char *rest = opt.rest != NULL ? g_strjoinv(",", opt.rest) : g_strdup("");
    g_autofree char *all = g_strconcat(opt.compare, *rest != '\0' ? "," : "", rest, NULL);
    g_auto(GStrv) items = g_strsplit(all, ",", -1);
    for (char **item = items; *item != NULL; item++) {
        json_object *report = compared(*item, waivers, cases_dir, &error);
        if (report == NULL)
            return fail(error);
        g_ptr_array_add(reports, report);
    }
    if (reports->len < 2) {
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID, "a comparison needs two backends or reports");
        return fail(error);
    }
    json_object *matrix = conf_matrix(reports, waivers, &error);
    if (matrix == NULL || !write_exports(reports, matrix, cases_dir, &error)) {
        json_object_put(matrix);
        return fail(error);
    }
    if (opt.json)
        conf_print(matrix);
    else
        conf_print_matrix(matrix);
    gboolean good =
        conf_matrix_open(matrix) == 0 && json_object_array_length(json_object_object_get(matrix, "cases")) > 0;
    json_object_put(matrix);
    return good ? 0 : 1;
}

static int run_program(const struct conf_waivers *waivers, const char *cases_dir)
{
    g_autoptr(GError) error = NULL;
    if (opt.compare != NULL)
        return run_compare(waivers, cases_dir);
    if (opt.rest != NULL) {
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "unexpected operand '%s'; see 'dsandbox conformance --help'",
                    opt.rest[0]);
        return fail(error);
    }
    if (!opt.list)
        return run_one(waivers, cases_dir);
    g_autoptr(GPtrArray) cases = conf_cases_read(cases_dir, opt.group, &error);
    return cases != NULL ? list_cases(cases) : fail(error);
}

/* What could not be written was not said. */
static int end_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    g_printerr("dsandbox conformance: standard output cannot be written\n");
    return status != 0 ? status : 1;
}

static int run_checked(void)
{
    g_autoptr(GError) error = NULL;
    if (opt.engine_timeout < 0 || opt.engine_timeout > 3600) {
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID, "--engine-timeout: from 1 to 3600 seconds");
        return fail(error);
    }
    if (opt.setup == NULL)
        opt.setup = g_strdup(opt.backend != NULL ? opt.backend : opt.plugin != NULL ? opt.plugin : "auto");
    struct conf_waivers *waivers = read_waivers(&error);
    if (waivers == NULL || !child_catch_signals(&error)) {
        conf_waivers_free(waivers);
        return fail(error);
    }
    const char *cases = is_built() ? DSB_CASES_SOURCE : DSB_CASES_INSTALLED;
    int status = run_program(waivers, opt.cases != NULL ? opt.cases : cases);
    conf_waivers_free(waivers);
    return child_signal() != 0 ? DSB_EXIT_SIGNAL + child_signal() : status;
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    g_set_prgname("dsandbox conformance");
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- prove that a backend keeps the policy");
    gboolean json = g_strv_contains((const char *const *) argv, "--json"); /* if the options are wrong */
    g_option_context_add_main_entries(context, entries, NULL);
    if (g_option_context_parse(context, &argc, &argv, &error))
        return end_output(run_checked());
    opt.json = json;
    return end_output(fail(error));
}
