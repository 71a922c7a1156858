/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <string.h>

#define RESTORE_MS 30000
#define NAMES_MAX 1000

/*
 * What runs outside the main thread: the calls that take time. A worker sees its session's `handle` and the job it was
 * given, nothing else.
 */

static gboolean report(gpointer data)
{
    struct job *job = data;
    if (job->kind == JOB_RUN)
        run_done(job);
    else
        session_job_done(job);
    return G_SOURCE_REMOVE;
}

static void send_back(struct job *job) { g_idle_add_full(G_PRIORITY_DEFAULT, report, job, NULL); }

static void on_output(void *data, int stream, const void *bytes, gsize size) { job_output(data, stream, bytes, size); }

static struct dsb_run_options options_of(struct job *job)
{
    const struct settings *settings = job->session != NULL ? job->session->settings : job->settings;
    return (struct dsb_run_options){
        .struct_size = sizeof(struct dsb_run_options),
        .backend = settings->backend,
        .plugin_path = settings->plugin,
        .endpoint = settings->host,
        .base_dir = settings->base_dir,
        .session = job->session != NULL ? settings->id : NULL,
        .image = settings->image,
        .allow_unenforced = settings->allow_unenforced,
        .engine_timeout_ms = settings->engine_timeout_ms,
        .cancel_fd = job->cancel_fd,
        .output = job->events ? on_output : NULL,
        .data = job,
        .no_checkpoint = settings->no_checkpoint,
        .lost_reason = job->lost,
    };
}

static struct dsb_request request_of(const struct job *job)
{
    const struct execution *execution = &job->execution;
    return (struct dsb_request){
        .struct_size = sizeof(struct dsb_request),
        .code = execution->code,
        .code_size = execution->code_size,
        .filename = execution->filename,
        .argv = (const char *const *) execution->argv,
        .env = (const char *const *) execution->env,
        .stdin_fd = job->input_read_fd,
        .timeout_ms = execution->timeout_ms,
    };
}

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return value;
}

/* What history and the audit log keep: everything but the output. */
static struct json_object *summary_of(struct json_object *result)
{
    static const char *const names[] = {"status", "exit_code", "signal",  "failure",
                                        "error",  "usage",     "backend", "state"};
    struct json_object *summary = json_object_new_object();
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        json_object_object_add(summary, names[i], json_object_get(member(result, names[i])));
    json_object_object_add(summary, "policy_sha256", json_object_get(member(member(result, "policy"), "sha256")));
    return summary;
}

/* A sandbox counts its own executions; the session's go on when it gets another sandbox. */
static void shift(struct json_object *state, const char *name, guint64 offset)
{
    struct json_object *value = member(state, name);
    if (json_object_is_type(value, json_type_int))
        json_add_int(state, name, json_object_get_int64(value) + (gint64) offset);
}

/* Only what the result's schema says, whatever the sandbox has put there. */
static struct json_object *names_of(struct json_object *list, gboolean with_reason)
{
    struct json_object *names = json_object_new_array();
    gsize n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (gsize i = 0; i < MIN(n, NAMES_MAX); i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        struct json_object *name = with_reason ? member(item, "name") : item;
        struct json_object *why = with_reason ? member(item, "why") : NULL;
        if (!json_object_is_type(name, json_type_string) ||
            (with_reason && !json_object_is_type(why, json_type_string)))
            continue;
        struct json_object *row = with_reason ? json_object_new_object() : json_object_get(name);
        if (with_reason) {
            json_object_object_add(row, "name", json_object_get(name));
            json_object_object_add(row, "why", json_object_get(why));
        }
        json_object_array_add(names, row);
    }
    return names;
}

/*
 * Variables that were saved come back when the interpreter was lost: inside the sandbox, which has the file and may do
 * with it what it likes. What it says of it is the user's word.
 */
static void restore(struct job *job)
{
    g_autofree char *text =
        job->lost != NULL ? dsb_session_control(job->session->handle, "{\"op\":\"restore\"}", RESTORE_MS, NULL) : NULL;
    struct json_object *answer = text != NULL ? json_tokener_parse(text) : NULL;
    if (member(answer, "restored") != NULL) {
        job->restored = json_object_new_object();
        json_object_object_add(job->restored, "names", names_of(member(answer, "restored"), FALSE));
        json_object_object_add(job->restored, "missing", names_of(member(answer, "not_restored"), TRUE));
    }
    json_object_put(answer);
}

static void take_result(struct job *job, const dsb_result *result)
{
    g_autofree char *text = dsb_result_json(result, FALSE);
    struct json_object *object = json_tokener_parse(text);
    job->status = g_strdup(dsb_status_name(dsb_result_status(result)));
    if (job->id != NULL)
        json_add(object, "id", job->id);
    if (job->session != NULL && job->session->offset > 0) {
        shift(member(object, "state"), "execution", job->session->offset);
        shift(member(object, "state"), "to", job->session->offset);
    }
    struct json_object *state = member(object, "state");
    if (state != NULL && job->restored != NULL)
        json_object_object_add(state, "restored", json_object_get(job->restored));
    job->summary = summary_of(object);
    job->text = g_strdup(json_text(object));
    json_object_put(object);
}

static gboolean open_session(struct job *job)
{
    struct session *session = job->session;
    dsb_result *failure = NULL;
    struct dsb_run_options options = options_of(job);
    if (session->handle != NULL)
        return TRUE;
    session->handle = dsb_session_open(session->settings->policy, &options, &failure);
    if (session->handle != NULL) {
        job->opened = TRUE;
        session->offset = job->before;
        job->info = dsb_session_info(session->handle);
        return TRUE;
    }
    take_result(job, failure);
    const GError *why = dsb_result_failure(failure);
    job->error =
        why != NULL ? g_error_copy(why) : g_error_new(DSB_ERROR, DSB_ERROR_FAILED, "the sandbox could not be made");
    dsb_result_free(failure);
    return FALSE;
}

static void drop_handle(struct job *job, const char *why)
{
    g_clear_pointer(&job->session->handle, dsb_session_close);
    g_free(job->ended);
    job->ended = g_strdup(why);
}

/* It is not alive: a control operation says why. */
static void drop_dead(struct job *job)
{
    g_autoptr(GError) error = NULL;
    g_free(dsb_session_control(job->session->handle, "{\"op\":\"vars\"}", 1000, &error));
    drop_handle(job, error != NULL ? error->message : "the container ended");
}

static void execute(struct job *job)
{
    struct session *session = job->session;
    struct dsb_run_options options = options_of(job);
    const struct dsb_request request = request_of(job);
    if (!open_session(job))
        return;
    if (job->opened)
        restore(job);
    g_autoptr(dsb_result) result = dsb_session_execute(session->handle, &options, &request);
    take_result(job, result);
    const GError *why = dsb_result_failure(result);
    if (why != NULL && g_error_matches(why, DSB_ERROR, DSB_ERROR_LOST))
        drop_handle(job, why->message);
    else if (!dsb_session_alive(session->handle))
        drop_dead(job);
}

static void control(struct job *job)
{
    struct session *session = job->session;
    if (!open_session(job))
        return;
    job->text = dsb_session_control(session->handle, job->op, job->timeout_ms, &job->error);
    if (job->text == NULL && !dsb_session_alive(session->handle))
        drop_dead(job);
}

static void check(struct job *job)
{
    if (job->session->handle != NULL && !dsb_session_alive(job->session->handle))
        drop_dead(job);
}

static void delete_files(struct job *job)
{
    const struct settings *settings = job->session->settings;
    g_autoptr(GError) error = NULL;
    if (job->session->delete_files && !dsb_files_delete_session(settings->base_dir, settings->id, &error))
        job->error = g_steal_pointer(&error);
}

/* Returns FALSE when the session is over. */
static gboolean work(struct job *job)
{
    struct session *session = job->session;
    job->began = g_get_real_time();
    switch (job->kind) {
    case JOB_OPEN:
        open_session(job);
        break;
    case JOB_EXECUTE:
        execute(job);
        break;
    case JOB_CONTROL:
        control(job);
        break;
    case JOB_CHECK:
        check(job);
        break;
    case JOB_CLOSE:
        g_clear_pointer(&session->handle, dsb_session_close);
        delete_files(job);
        break;
    case JOB_RUN:
    default:
        break;
    }
    job->alive = session->handle != NULL;
    job->fd = session->handle != NULL ? dsb_session_fd(session->handle) : -1;
    return job->kind != JOB_CLOSE;
}

static gpointer worker(gpointer data)
{
    GAsyncQueue *inbox = data;
    gboolean more = TRUE;
    while (more) {
        struct job *job = g_async_queue_pop(inbox);
        more = work(job);
        send_back(job);
    }
    g_async_queue_unref(inbox);
    return NULL;
}

void worker_start(struct session *session)
{
    session->inbox = g_async_queue_new();
    session->worker = g_thread_new("session", worker, g_async_queue_ref(session->inbox));
}

void worker_run_one_shot(gpointer data, gpointer service)
{
    struct job *job = data;
    struct dsb_run_options options = options_of(job);
    const struct dsb_request request = request_of(job);
    (void) service;
    job->began = g_get_real_time();
    g_autoptr(dsb_result) result = dsb_run(job->settings->policy, &options, &request);
    take_result(job, result);
    send_back(job);
}
