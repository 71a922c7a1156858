/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: runs the table of cases in sandboxes of one backend and compares the answers with what must
 * be seen. It uses the public interface only, and no case asks which backend it is running on.
 */
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#define MARK "@case "
#define READY "@ready\n"
#define READY_SECONDS 60
#define MAX_ANSWER 4000

static struct {
    char *backend, *plugin, *endpoint, *base_dir, *image, *group, *only, *allow, *setup, *cases, *waivers;
    char *compare, *html, *junit, **settings, **rest;
    gboolean json, contract, list, verbose, every;
} opt;

static const GOptionEntry entries[] = {
    {"backend", 'b', 0, G_OPTION_ARG_STRING, &opt.backend, "Backend by name", "NAME"},
    {"plugin", 0, 0, G_OPTION_ARG_FILENAME, &opt.plugin, "Backend by absolute path", "PATH"},
    {"host", 'H', 0, G_OPTION_ARG_STRING, &opt.endpoint, "Address of the engine", "URL"},
    {"base-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt.base_dir, "Directory for sessions (default: a private one)", "DIR"},
    {"image", 0, 0, G_OPTION_ARG_STRING, &opt.image, "Sandbox image", "NAME"},
    {"group", 0, 0, G_OPTION_ARG_STRING, &opt.group, "One group only", "GROUP"},
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

/* What one call of the program works with. */
struct suite {
    dsb_policy *policy;
    struct conf_host *host;
    const struct conf_waivers *waivers;
    uint64_t allow;
    const char *cases_dir;
    json_object *about; /* the report; backend and engine from the first answer */
    unsigned failed;
    char *dead;          /* why nothing can be asked here, or NULL */
    GPtrArray *outcomes; /* struct conf_outcome * */
};

/* One sandbox: in, and out. */
struct run {
    const struct suite *suite;
    const char *session, *code;
    const struct conf_case *own; /* the case with settings of its own, or NULL */
    int stdin_fd;
    GMutex lock;
    GCond changed;
    gboolean ready, over;
    gboolean failed;     /* the sandbox itself, not the code in it */
    GString *out;        /* complete standard output, from the stream */
    GHashTable *answers; /* id -> char * */
    char *trouble;       /* why there may be no answer */
};

static void outcome_free(void *data)
{
    struct conf_outcome *outcome = data;
    g_clear_pointer(&outcome->own, conf_case_free);
    g_free(outcome->observed);
    g_free(outcome->reason);
    g_free(outcome);
}

static void log_line(void *data G_GNUC_UNUSED, const char *line)
{
    if (opt.verbose)
        g_printerr("%s\n", line);
}

static void output(void *data, int stream, const void *bytes, gsize size)
{
    struct run *run = data;
    if (stream != 1)
        return;
    g_mutex_lock(&run->lock);
    if (run->out->len < (1 << 20))
        g_string_append_len(run->out, bytes, (gssize) size);
    if (strstr(run->out->str, READY) != NULL) {
        run->ready = TRUE;
        g_cond_broadcast(&run->changed);
    }
    g_mutex_unlock(&run->lock);
}

static gboolean apply_settings(dsb_policy *policy, char *const *settings, gsize n, const char *origin, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        g_auto(GStrv) parts = g_strsplit(settings[i], "=", 2);
        if (g_strv_length(parts) != 2) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "'%s' is not KEY=VALUE", settings[i]);
            return FALSE;
        }
        if (!dsb_policy_set(policy, parts[0], parts[1], origin, error))
            return FALSE;
    }
    return TRUE;
}

static void read_answers(struct run *run)
{
    g_auto(GStrv) lines = g_strsplit(run->out->str, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (!g_str_has_prefix(*line, MARK))
            continue;
        json_object *row = json_tokener_parse(*line + strlen(MARK));
        json_object *id = NULL, *answer = NULL;
        if (json_object_object_get_ex(row, "id", &id) && json_object_object_get_ex(row, "answer", &answer))
            g_hash_table_replace(run->answers, g_strdup(json_object_get_string(id)),
                                 g_strndup(json_object_get_string(answer), MAX_ANSWER));
        json_object_put(row);
    }
}

/* How the run ended, for cases that did not answer. */
static char *describe_end(const dsb_result *result, json_object *json)
{
    const GError *failure = dsb_result_failure(result);
    if (failure != NULL)
        return g_strdup_printf("no answer: %s: %s", dsb_status_name(dsb_result_status(result)), failure->message);
    json_object *text = NULL;
    json_object_object_get_ex(json, "stderr", &text);
    const char *tail = text != NULL ? json_object_get_string(text) : "";
    gsize length = strlen(tail);
    return g_strdup_printf("no answer: %s: %s", dsb_status_name(dsb_result_status(result)),
                           length > 600 ? tail + length - 600 : tail);
}

static dsb_result *run_with(struct run *run, const dsb_policy *policy)
{
    const struct suite *suite = run->suite;
    struct dsb_run_options options = {
        .struct_size = sizeof options,
        .backend = opt.backend,
        .plugin_path = opt.plugin,
        .endpoint = opt.endpoint,
        .base_dir = conf_host_base_dir(suite->host),
        .session = run->session,
        .image = opt.image,
        .allow_unenforced = suite->allow,
        .cancel_fd = -1,
        .log = log_line,
        .output = output,
        .data = run,
    };
    g_autoptr(GPtrArray) env = g_ptr_array_new();
    for (guint i = 0; run->own != NULL && i < run->own->env->len; i++)
        g_ptr_array_add(env, run->own->env->pdata[i]);
    g_ptr_array_add(env, NULL);
    struct dsb_request request = {
        .struct_size = sizeof request,
        .code = run->code,
        .code_size = strlen(run->code),
        .env = (const char *const *) env->pdata,
        .stdin_fd = run->stdin_fd,
    };
    return dsb_run(policy, &options, &request);
}

static void *run_sandbox(void *data)
{
    struct run *run = data;
    g_autoptr(dsb_policy) policy = dsb_policy_copy(run->suite->policy);
    g_autoptr(GError) error = NULL;
    if (run->own == NULL ||
        apply_settings(policy, (char *const *) run->own->policy->pdata, run->own->policy->len, run->own->id, &error)) {
        g_autoptr(dsb_result) result = run_with(run, policy);
        g_autofree char *text = dsb_result_json(result, FALSE);
        json_object *json = json_tokener_parse(text);
        run->failed = dsb_result_failure(result) != NULL;
        run->trouble = json != NULL ? describe_end(result, json) : g_strdup("the result is not valid JSON");
        read_answers(run);
        static const char *const keys[] = {"backend", "engine", "image"};
        for (gsize i = 0; i < G_N_ELEMENTS(keys) && run->stdin_fd < 0; i++) {
            json_object *value = NULL;
            if (json_object_object_get_ex(json, keys[i], &value) && value != NULL)
                json_object_object_add(run->suite->about, keys[i], json_object_get(value));
        }
        json_object_put(json);
    } else {
        run->trouble = g_strdup_printf("no answer: %s", error->message);
    }
    g_mutex_lock(&run->lock);
    run->over = TRUE;
    g_cond_broadcast(&run->changed);
    g_mutex_unlock(&run->lock);
    return NULL;
}

static void run_init(struct run *run, const struct suite *suite, const char *session, const char *code,
                     const struct conf_case *own)
{
    *run = (struct run){.suite = suite, .session = session, .code = code, .own = own, .stdin_fd = -1};
    g_mutex_init(&run->lock);
    g_cond_init(&run->changed);
    run->out = g_string_new(NULL);
    run->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static void run_clear(struct run *run)
{
    g_mutex_clear(&run->lock);
    g_cond_clear(&run->changed);
    g_string_free(run->out, TRUE);
    g_hash_table_unref(run->answers);
    g_free(run->trouble);
}

static const char *run_answer(const struct run *run, const struct conf_case *which)
{
    const char *answer = g_hash_table_lookup(run->answers, which->id);
    return answer != NULL ? answer : run->trouble;
}

static gboolean run_answered(const struct run *run, const struct conf_case *which)
{
    return g_hash_table_contains(run->answers, which->id);
}

static void record(struct suite *suite, const struct conf_case *which, enum conf_verdict verdict, const char *observed,
                   const char *reason)
{
    const char *name = opt.setup;
    const char *waiver = verdict == CONF_FAIL ? conf_waiver(suite->waivers, which->id, name) : NULL;
    struct conf_outcome *outcome = g_new0(struct conf_outcome, 1);
    outcome->which = which;
    outcome->verdict = waiver != NULL ? CONF_WAIVED : verdict;
    outcome->observed = g_strdup(observed);
    outcome->reason = g_strdup(waiver != NULL ? waiver : reason);
    g_ptr_array_add(suite->outcomes, outcome);
}

static void judge(struct suite *suite, const struct conf_case *which, const struct run *run)
{
    const char *answer = run_answer(run, which);
    gboolean good = run_answered(run, which) && conf_answer_ok(which, answer);
    g_autofree char *wrong = NULL;
    for (guint i = 0; i < which->host->len && wrong == NULL; i++)
        wrong = conf_host_check(suite->host, run->session, which->host->pdata[i]);
    if (wrong == NULL) {
        record(suite, which, good ? CONF_PASS : CONF_FAIL, answer, NULL);
        return;
    }
    g_autofree char *both = g_strdup_printf("%s; on the host: %s", answer, wrong);
    record(suite, which, CONF_FAIL, both, NULL);
}

/* A case that cannot say anything here. */
static gboolean skipped(struct suite *suite, const struct conf_case *which)
{
    if (which->skip != NULL) {
        record(suite, which, CONF_SKIPPED, NULL, which->skip);
        return TRUE;
    }
    uint64_t needs = 0;
    if (opt.every || which->needs == NULL || !dsb_controls_parse(which->needs, &needs, NULL) ||
        (needs & suite->allow) == 0)
        return FALSE;
    record(suite, which, CONF_SKIPPED, NULL, "this set-up was allowed not to enforce a control that the case is about");
    return TRUE;
}

static gboolean wanted(const struct conf_case *which)
{
    g_autofree char *id = g_ascii_strup(which->id, -1);
    g_autofree char *only = opt.only != NULL ? g_ascii_strup(opt.only, -1) : NULL;
    g_auto(GStrv) ids = only != NULL ? g_strsplit(only, ",", -1) : NULL;
    return ids == NULL || g_strv_contains((const char *const *) ids, id);
}

/* The group's probes, followed by the calls that run some of them. */
static char *program(const struct suite *suite, const char *group, const char *session, const char *calls,
                     GError **error)
{
    g_autofree char *facts = conf_host_facts(suite->host, session);
    g_autofree char *source = conf_source(suite->cases_dir, group, facts, error);
    return source != NULL ? g_strconcat(source, "\n", calls, "\n", NULL) : NULL;
}

/* All plain cases of a group in one sandbox. */
static gboolean run_group(struct suite *suite, GPtrArray *rows, const char *group, GError **error)
{
    if (rows->len == 0)
        return TRUE;
    g_autofree char *session = conf_host_session(suite->host, group);
    g_autoptr(GString) calls = g_string_new("run_each([");
    for (guint i = 0; i < rows->len; i++) {
        const struct conf_case *row = rows->pdata[i];
        g_string_append_printf(calls, "(\"%s\", %s), ", row->id, row->function);
    }
    g_string_append(calls, "])");
    g_autofree char *code = program(suite, group, session, calls->str, error);
    if (code == NULL)
        return FALSE;
    struct run run;
    run_init(&run, suite, session, code, NULL);
    run_sandbox(&run);
    for (guint i = 0; i < rows->len; i++)
        judge(suite, rows->pdata[i], &run);
    run_clear(&run);
    return TRUE;
}

static char *own_program(const struct suite *suite, const struct conf_case *which, const char *session, GError **error)
{
    g_autofree char *call = g_strdup_printf("run_alone(\"%s\", %s)", which->id, which->function);
    return program(suite, which->group, session, call, error);
}

static gboolean run_own(struct suite *suite, const struct conf_case *which, GError **error)
{
    g_autofree char *session = conf_host_session(suite->host, which->group);
    g_autofree char *code = own_program(suite, which, session, error);
    if (code == NULL)
        return FALSE;
    struct run run;
    run_init(&run, suite, session, code, which);
    run_sandbox(&run);
    judge(suite, which, &run);
    run_clear(&run);
    return TRUE;
}

static void wait_ready(struct run *run)
{
    gint64 deadline = g_get_monotonic_time() + READY_SECONDS * G_TIME_SPAN_SECOND;
    g_mutex_lock(&run->lock);
    while (!run->ready && !run->over && g_cond_wait_until(&run->changed, &run->lock, deadline))
        continue;
    g_mutex_unlock(&run->lock);
}

/* The first sandbox stays until its standard input ends; the second one runs meanwhile. */
static void run_pair(struct run *first, struct run *second, int input[2])
{
    first->stdin_fd = input[0];
    g_autoptr(GThread) thread = g_thread_new("first", run_sandbox, first);
    g_thread_ref(thread);
    wait_ready(first);
    run_sandbox(second);
    close(input[1]);
    g_thread_join(thread);
    close(input[0]);
}

static void judge_pair(struct suite *suite, const struct conf_case *which, const struct run *first,
                       const struct run *second)
{
    if (!first->ready) {
        record(suite, which, CONF_FAIL, run_answer(first, which), "the first sandbox never said that it was ready");
        return;
    }
    gboolean first_good = run_answered(first, which) && conf_answer_ok(which, run_answer(first, which));
    judge(suite, which, first_good ? second : first);
}

static gboolean run_beside(struct suite *suite, const struct conf_case *which, GError **error)
{
    g_autofree char *session = conf_host_session(suite->host, which->group);
    g_autofree char *other = conf_host_session(suite->host, which->group);
    g_autofree char *code = own_program(suite, which, session, error);
    int input[2];
    if (code == NULL)
        return FALSE;
    if (pipe2(input, O_CLOEXEC) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "no pipe: %s", g_strerror(errno));
        return FALSE;
    }
    struct run first, second;
    run_init(&first, suite, session, code, which);
    run_init(&second, suite, other, code, which);
    run_pair(&first, &second, input);
    judge_pair(suite, which, &first, &second);
    run_clear(&first);
    run_clear(&second);
    return TRUE;
}

/* A neighbour's session with a secret in it; it stays on the host while the cases run. */
static void plant_neighbour(struct suite *suite)
{
    g_autofree char *session = conf_host_session(suite->host, "neighbour");
    g_autofree char *code =
        g_strdup_printf("open('/sandbox/secret', 'w').write('%s')\n", conf_host_canary(suite->host));
    struct run run;
    run_init(&run, suite, session, code, NULL);
    run_sandbox(&run);
    if (run.failed)
        suite->dead = g_strdup(run.trouble);
    run_clear(&run);
}

static gboolean run_cases(struct suite *suite, GPtrArray *cases, GError **error)
{
    guint at = 0;
    while (at < cases->len) {
        const char *group = ((const struct conf_case *) cases->pdata[at])->group;
        g_autoptr(GPtrArray) together = g_ptr_array_new();
        g_autoptr(GPtrArray) apart = g_ptr_array_new();
        for (; at < cases->len; at++) {
            struct conf_case *row = cases->pdata[at];
            if (strcmp(row->group, group) != 0)
                break;
            if (!wanted(row) || skipped(suite, row))
                continue;
            if (suite->dead != NULL) {
                record(suite, row, CONF_FAIL, suite->dead, NULL);
                continue;
            }
            gboolean plain = !row->own && row->policy->len == 0 && row->env->len == 0;
            g_ptr_array_add(plain ? together : apart, row);
        }
        if (!run_group(suite, together, group, error))
            return FALSE;
        for (guint i = 0; i < apart->len; i++) {
            const struct conf_case *row = apart->pdata[i];
            if (row->beside ? !run_beside(suite, row, error) : !run_own(suite, row, error))
                return FALSE;
        }
    }
    return TRUE;
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

static int fail(GError *error)
{
    g_printerr("dsandbox conformance: %s\n", error->message);
    return 2;
}

static int list_cases(GPtrArray *cases)
{
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
    conf_add(suite->about, "schema", "dsandbox.conformance/1");
}

/* Everything on one set-up; the report is in suite->about. */
static gboolean run_suite(struct suite *suite, GPtrArray *cases, GError **error)
{
    suite->policy = dsb_policy_new();
    new_report(suite);
    gsize settings = opt.settings != NULL ? g_strv_length(opt.settings) : 0;
    if (!dsb_policy_set(suite->policy, "timeout", "240s", "conformance", error) ||
        !apply_settings(suite->policy, opt.settings, settings, "--set", error) ||
        (opt.allow != NULL && !dsb_controls_parse(opt.allow, &suite->allow, error)))
        return FALSE;
    suite->host = conf_host_new(opt.base_dir, error);
    if (suite->host == NULL)
        return FALSE;
    plant_neighbour(suite);
    if (!run_cases(suite, cases, error))
        return FALSE;
    g_ptr_array_sort(suite->outcomes, by_id);
    if (suite->dead != NULL)
        g_printerr("dsandbox conformance: no sandbox starts here: %s\n", suite->dead);
    suite->failed = conf_report(suite->outcomes, opt.setup, suite->about);
    if (any_ran(suite->outcomes))
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
    suite->host = conf_host_new(opt.base_dir, error);
    if (suite->host == NULL)
        return FALSE;
    json_object *backend = json_object_new_object();
    conf_add(backend, "plugin", opt.plugin);
    json_object_object_add(suite->about, "backend", backend);
    const struct dsb_run_options options = {
        .struct_size = sizeof options,
        .plugin_path = opt.plugin,
        .endpoint = opt.endpoint,
        .base_dir = conf_host_base_dir(suite->host),
        .image = opt.image,
        .cancel_fd = -1,
        .log = log_line,
    };
    if (!conf_contract(&options, opt.only, suite->outcomes, error))
        return FALSE;
    suite->failed = conf_report(suite->outcomes, opt.setup, suite->about) + (suite->outcomes->len == 0);
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
        conf_print_report(report);
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

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    g_set_prgname("dsandbox conformance");
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- prove that a backend keeps the policy");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error))
        return fail(error);
    if (opt.setup == NULL)
        opt.setup = g_strdup(opt.backend != NULL ? opt.backend : opt.plugin != NULL ? opt.plugin : "auto");
    struct conf_waivers *waivers = read_waivers(&error);
    if (waivers == NULL)
        return fail(error);
    const char *cases = is_built() ? DSB_CASES_SOURCE : DSB_CASES_INSTALLED;
    int status = run_program(waivers, opt.cases != NULL ? opt.cases : cases);
    conf_waivers_free(waivers);
    return status;
}
