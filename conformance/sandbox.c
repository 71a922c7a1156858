/* SPDX-License-Identifier: MIT */
/* A sandbox of the suite: a process of its own runs it and gives the answers, since its backend can do anything. */
#include "sandbox.h"

#include "common/words.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MARK "@case "
#define READY "@ready\n"
#define READY_SECONDS 300 /* of a machine that emulates */
#define MAX_ANSWER 4000
#define MAX_OUTPUT (1u << 20)
#define CLEAN_UP_MS 20000

/* Both processes have it, and the plugin: what the parent reads here is text from a stranger. */
struct sandbox_page {
    struct watch_page watch;
    atomic_int ready;
    char answers[2 * MAX_OUTPUT]; /* JSON */
};

void conf_log(void *data G_GNUC_UNUSED, const char *line)
{
    if (opt.verbose)
        g_printerr("%s\n", line);
}

/* ---- in the child ---- */

struct output {
    struct sandbox_page *page;
    GString *text; /* complete standard output, from the stream */
};

static void take_output(void *data, int stream, const void *bytes, gsize size)
{
    struct output *output = data;
    if (stream != 1)
        return;
    if (output->text->len < MAX_OUTPUT)
        g_string_append_len(output->text, bytes, (gssize) size);
    if (strstr(output->text->str, READY) != NULL)
        atomic_store(&output->page->ready, 1);
}

static json_object *read_answers(const char *out)
{
    json_object *answers = json_object_new_object();
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (!g_str_has_prefix(*line, MARK))
            continue;
        json_object *row = json_tokener_parse(*line + strlen(MARK));
        g_autofree char *id = conf_text(row, "id"), *answer = conf_text(row, "answer");
        g_autofree char *bounded = g_strndup(answer, MAX_ANSWER);
        if (id != NULL && answer != NULL)
            conf_add(answers, id, bounded);
        json_object_put(row);
    }
    return answers;
}

/* How the run ended, for cases that did not answer. */
static char *describe_end(const dsb_result *result, json_object *json)
{
    const GError *failure = dsb_result_failure(result);
    g_autofree char *message = option_words(failure != NULL ? failure->message : NULL);
    if (message != NULL)
        return g_strdup_printf("no answer: %s: %s", dsb_status_name(dsb_result_status(result)), message);
    g_autofree char *text = conf_text(json, "stderr");
    const char *tail = text != NULL ? text : "";
    gsize length = strlen(tail);
    return g_strdup_printf("no answer: %s: %s", dsb_status_name(dsb_result_status(result)),
                           length > 600 ? tail + length - 600 : tail);
}

static struct dsb_run_options options_of(const struct sandbox_run *run)
{
    return (struct dsb_run_options){
        .struct_size = sizeof(struct dsb_run_options),
        .init = DSB_INIT,
        .backend = opt.backend,
        .plugin_path = opt.plugin,
        .endpoint = opt.endpoint,
        .base_dir = conf_host_base_dir(run->suite->host),
        .session = run->session,
        .image = opt.image,
        .engine_timeout_ms = (uint32_t) opt.engine_timeout * 1000,
        .allow_unenforced = run->suite->allow,
        .cancel_fd = child_signal_fd(),
        .log = conf_log,
    };
}

static dsb_result *run_with(const struct sandbox_run *run, const dsb_policy *policy, struct output *output)
{
    struct dsb_run_options options = options_of(run);
    options.output = take_output;
    options.data = output;
    g_autoptr(GPtrArray) env = g_ptr_array_new();
    for (guint i = 0; run->own != NULL && i < run->own->env->len; i++)
        g_ptr_array_add(env, run->own->env->pdata[i]);
    g_ptr_array_add(env, NULL);
    struct dsb_request request = {
        .struct_size = sizeof request,
        .init = DSB_INIT,
        .code = run->code,
        .code_size = strlen(run->code),
        .env = (const char *const *) env->pdata,
        .stdin_fd = run->stdin_fd >= 0 ? run->stdin_fd : DSB_FD_NONE,
    };
    return dsb_run(policy, &options, &request);
}

static json_object *run_here(const struct sandbox_run *run, const dsb_policy *policy)
{
    static const char *const keys[] = {"backend", "engine", "image"};
    struct output output = {run->page, g_string_new(NULL)};
    json_object *answer = json_object_new_object(), *about = json_object_new_object();
    g_autoptr(dsb_result) result = run_with(run, policy, &output);
    g_autofree char *text = dsb_result_json(result, FALSE);
    json_object *json = json_tokener_parse(text);
    g_autofree char *trouble = json != NULL ? describe_end(result, json) : g_strdup("no answer: the result is not valid JSON");
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        json_object *value = NULL;
        if (json_object_object_get_ex(json, keys[i], &value) && value != NULL)
            json_object_object_add(about, keys[i], json_object_get(value));
    }
    json_object_object_add(answer, "about", about);
    json_object_object_add(answer, "answers", read_answers(output.text->str));
    json_object_object_add(answer, "failed", json_object_new_boolean(dsb_result_failure(result) != NULL));
    conf_add(answer, "trouble", trouble);
    json_object_put(json);
    g_string_free(output.text, TRUE);
    return answer;
}

static gboolean apply_own(const struct sandbox_run *run, dsb_policy *policy, GError **error)
{
    const struct conf_case *own = run->own;
    return own == NULL ||
           (conf_apply_settings(policy, (char *const *) own->policy->pdata, own->policy->len, own->id, error) &&
            (!run->slowly ||
             conf_apply_settings(policy, (char *const *) own->slow->pdata, own->slow->len, own->id, error)));
}

static int work(void *data)
{
    const struct sandbox_run *run = data;
    g_autoptr(dsb_policy) policy = dsb_policy_copy(run->suite->policy);
    g_autoptr(GError) error = NULL;
    json_object *answer = NULL;
    if (run->not_its_fd >= 0)
        close(run->not_its_fd);
    if (apply_own(run, policy, &error)) {
        answer = run_here(run, policy);
    } else {
        g_autofree char *trouble = g_strdup_printf("no answer: %s", error->message);
        answer = json_object_new_object();
        conf_add(answer, "trouble", trouble);
    }
    const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
    gboolean whole = g_strlcpy(run->page->answers, text, sizeof run->page->answers) < sizeof run->page->answers;
    json_object_put(answer);
    return whole ? 0 : 1;
}

static int clean_up(void *data)
{
    struct dsb_run_options options = options_of(data);
    unsigned removed = 0;
    options.cancel_fd = DSB_FD_NONE;
    options.session = NULL;
    return dsb_gc(&options, FALSE, &removed, NULL) ? 0 : 1;
}

/* ---- in our process ---- */

void sandbox_init(struct sandbox_run *run, struct suite *suite, const char *session, const char *code,
                  const struct conf_case *own)
{
    *run = (struct sandbox_run){.suite = suite, .session = session, .code = code, .own = own, .stdin_fd = -1, .not_its_fd = -1};
    run->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void sandbox_clear(struct sandbox_run *run)
{
    g_hash_table_unref(run->answers);
    g_free(run->trouble);
    if (run->page != NULL)
        munmap(run->page, sizeof *run->page);
}

void sandbox_start(struct sandbox_run *run)
{
    g_autoptr(GError) error = NULL;
    run->failed = TRUE;
    run->page = watch_share(sizeof *run->page);
    if (run->page == NULL)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_FAILED, "no memory: %s", dsb_errno_text(errno));
    else
        run->runs = child_fork(&run->child, &run->page->watch, work, run, &error);
    if (!run->runs)
        run->trouble = g_strdup_printf("no answer: %s", error->message);
}

void sandbox_wait_ready(struct sandbox_run *run)
{
    gint64 deadline = g_get_monotonic_time() + READY_SECONDS * G_TIME_SPAN_SECOND;
    while (run->runs && !atomic_load(&run->page->ready) && g_get_monotonic_time() < deadline)
        if (child_step(&run->child, 0))
            run->runs = FALSE;
}

static void take_about(struct sandbox_run *run, json_object *about)
{
    if (run->stdin_fd >= 0 || !json_object_is_type(about, json_type_object))
        return;
    json_object_object_foreach (about, key, value)
        json_object_object_add(run->suite->about, key, json_object_get(value));
}

/* FALSE: it makes no sense. */
static gboolean take_answer(struct sandbox_run *run)
{
    run->page->answers[sizeof run->page->answers - 1] = '\0';
    json_object *answer = json_tokener_parse(run->page->answers), *answers = NULL;
    run->trouble = conf_text(answer, "trouble");
    run->failed = json_object_get_boolean(json_object_object_get(answer, "failed"));
    if (json_object_object_get_ex(answer, "answers", &answers) && json_object_is_type(answers, json_type_object)) {
        json_object_object_foreach (answers, id, value)
            g_hash_table_replace(run->answers, g_strdup(id), g_strdup(json_object_get_string(value)));
    }
    if (run->trouble != NULL)
        take_about(run, json_object_object_get(answer, "about"));
    json_object_put(answer);
    return run->trouble != NULL;
}

/* What a sandbox left whose maker could not remove it: by a fresh process, which may fail as well. */
static gboolean remove_remains(struct sandbox_run *run)
{
    struct child child;
    if (!child_fork(&child, &run->page->watch, clean_up, run, NULL))
        return FALSE;
    child_over(&child, CLEAN_UP_MS);
    return watch_is_done(&child.watch) && child.watch.info.si_status == 0;
}

void sandbox_finish(struct sandbox_run *run)
{
    if (run->page == NULL || run->trouble != NULL)
        return;
    if (run->runs)
        child_over(&run->child, 0);
    run->runs = FALSE;
    run->ready = atomic_load(&run->page->ready) != 0;
    const struct watch *watch = &run->child.watch;
    if (watch_is_done(watch) && watch->info.si_status == 0 && take_answer(run))
        return;
    run->failed = TRUE;
    run->hung = watch->killed && child_signal() == 0;
    g_autofree char *reason = watch_is_done(watch) ? g_strdup("its answer has no end or no sense") : watch_reason(watch);
    const char *left = remove_remains(run) ? "" : "; its container may still be there: 'dsandbox gc' removes it";
    run->trouble = g_strdup_printf("no answer: lost: %s%s", reason, left);
}
