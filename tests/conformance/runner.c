/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: runs the table of cases in sandboxes of one backend and compares the answers with what must
 * be seen. It uses the public interface only, and no case asks which backend it is running on.
 */
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MARK "@case "
#define READY "@ready\n"
#define READY_SECONDS 60
#define MAX_ANSWER 4000

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

void conf_log(void *data G_GNUC_UNUSED, const char *line)
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

gboolean conf_apply_settings(dsb_policy *policy, char *const *settings, gsize n, const char *origin, GError **error)
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
        .log = conf_log,
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
    if (run->own == NULL || conf_apply_settings(policy, (char *const *) run->own->policy->pdata, run->own->policy->len,
                                                run->own->id, &error)) {
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
void conf_plant_neighbour(struct suite *suite)
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

gboolean conf_run_cases(struct suite *suite, GPtrArray *cases, GError **error)
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
