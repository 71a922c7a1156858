/* SPDX-License-Identifier: MIT */
#include "route.h"

#include "listen.h"
#include "record.h"
#include "session.h"

#include <string.h>
#include <unistd.h>

#define CONTROL_MS 30000

static void fail(struct request *request, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void fail(struct request *request, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    GError *error = g_error_new_valist(DSB_ERROR, code, format, args);
    va_end(args);
    request_fail(request, error);
}

static void no_session(struct request *request, const char *id)
{
    fail(request, DSB_ERROR_NOT_FOUND, "there is no session '%.64s'", id);
}

/* An empty body, or an empty object. */
static gboolean nothing_in_body(struct request *request)
{
    static const char *const none[] = {NULL};
    GError *error = NULL;
    struct json_object *body = request_json(request, &error);
    gboolean ok = body != NULL && body_only(body, "this request, which has none", none, &error);
    json_object_put(body);
    if (!ok)
        request_fail(request, error);
    return ok;
}

static void get_version(struct request *request)
{
    struct service *service = request->service;
    struct json_object *object = json_object_new_object();
    json_add(object, "version", dsb_version());
    json_add_int(object, "pid", getpid());
    json_add(object, "started", service->started);
    json_add_int(object, "sessions", g_hash_table_size(service->sessions));
    json_add_int(object, "executing", service->running);
    json_add_int(object, "queued", service->queued);
    request_answer(request, 200, object);
}

/* --- sessions --------------------------------------------------------------- */

static void list_sessions(struct request *request)
{
    struct json_object *object = json_object_new_object();
    struct json_object *array = json_object_new_array();
    g_autoptr(GList) ids = g_list_sort(g_hash_table_get_keys(request->service->sessions), (GCompareFunc) strcmp);
    for (GList *item = ids; item != NULL; item = item->next) {
        const struct session *session = session_find(request->service, item->data);
        if (!session->ending && session_has_labels(session, request->labels))
            json_object_array_add(array, session_json(session));
    }
    json_object_object_add(object, "sessions", array);
    request_answer(request, 200, object);
}

static void submit(struct request *request, struct session *session, struct job *job)
{
    GError *error = NULL;
    request_hold(request, job_abandon);
    if (session_submit(session, job, &error))
        return;
    request_fail(request, error);
    job_free(job);
}

/* What is there can be used as what is asked for. */
static gboolean fits(struct request *request, const struct session *session, const struct settings *wants)
{
    g_autofree char *differs = settings_differ(session->settings, wants);
    if (differs == NULL)
        return TRUE;
    fail(request, DSB_ERROR_CONFLICT, "session %s exists with other settings: %s; end it, or take another id",
         session->id, differs);
    return FALSE;
}

static void create_session(struct request *request)
{
    GError *error = NULL;
    struct json_object *body = request_json(request, &error);
    struct settings *settings = body != NULL ? settings_read(body, NULL, &error) : NULL;
    json_object_put(body);
    if (settings == NULL) {
        request_fail(request, error);
        return;
    }
    struct session *session = settings->id != NULL ? session_find(request->service, settings->id) : NULL;
    if (session != NULL && session->ending) {
        session_park(session, request);
    } else if (session != NULL) {
        if (!settings->exist_ok)
            fail(request, DSB_ERROR_CONFLICT, "session %s exists", session->id);
        else if (fits(request, session, settings))
            request_answer(request, 200, session_json(session));
    } else {
        session = session_create(request->service, settings, &error);
        if (session == NULL)
            request_fail(request, error);
        else
            submit(request, session, job_new(request->service, JOB_OPEN, session, request));
        return;
    }
    settings_free(settings);
}

static void get_session(struct request *request, struct session *session)
{
    request_answer(request, 200, session_json(session));
}

static void delete_session(struct request *request, struct session *session)
{
    if (!nothing_in_body(request))
        return;
    session->delete_files |= request_flag(request, "files");
    g_clear_pointer(&session->end_reason, g_free);
    session_end(session, NULL, request);
}

static void control(struct request *request, struct session *session, const char *op)
{
    if (!nothing_in_body(request))
        return;
    struct job *job = job_new(request->service, JOB_CONTROL, session, request);
    job->op = g_strdup_printf("{\"op\":\"%s\"}", op);
    job->timeout_ms = CONTROL_MS;
    submit(request, session, job);
}

static void get_vars(struct request *request, struct session *session) { control(request, session, "vars"); }
static void post_reset(struct request *request, struct session *session) { control(request, session, "reset"); }
static void post_save(struct request *request, struct session *session) { control(request, session, "save"); }
static void post_restore(struct request *request, struct session *session) { control(request, session, "restore"); }

static void get_history(struct request *request, struct session *session)
{
    request_answer(request, 200, history_json(session->history));
}

/* --- executions ------------------------------------------------------------- */

static struct session *session_for(struct request *request, const char *id, struct json_object *create)
{
    GError *error = NULL;
    struct session *session = session_find(request->service, id);
    struct record *past = g_hash_table_lookup(request->service->past, id);
    if (session == NULL && create == NULL)
        create = past != NULL ? past->create : NULL;
    if (create == NULL) {
        if (session == NULL)
            no_session(request, id);
        return session;
    }
    struct settings *settings = settings_read(create, id, &error);
    if (settings == NULL) {
        request_fail(request, error);
        return NULL;
    }
    if (session == NULL) {
        session = session_create(request->service, settings, &error);
        if (session == NULL)
            request_fail(request, error);
        return session;
    }
    gboolean ok = fits(request, session, settings);
    settings_free(settings);
    return ok ? session : NULL;
}

static void execute(struct request *request, const char *id, struct execution *execution)
{
    GError *error = NULL;
    struct session *session = session_find(request->service, id);
    if (session != NULL && session->ending) {
        session_park(session, request);
        return;
    }
    session = session_for(request, id, execution->create);
    if (session == NULL)
        return;
    if (!execution->wait && !session_is_free(session)) {
        fail(request, DSB_ERROR_BUSY, "session %s is busy", id);
        return;
    }
    struct job *job = job_new(request->service, JOB_EXECUTE, session, request);
    job->execution = *execution;
    *execution = (struct execution){0};
    job->events = request->events;
    if (job_prepare_input(job, &error)) {
        submit(request, session, job);
        return;
    }
    request_fail(request, error);
    job_free(job);
}

static void post_execute(struct request *request)
{
    GError *error = NULL;
    struct execution execution = {0};
    const char *id = request->path[1];
    struct json_object *body = request_json(request, &error);
    if (body != NULL && !id_is_good(id))
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID,
                    "a session's id has 1 to 64 letters, digits and _.-, the first a letter or digit");
    if (error == NULL && execution_read(body, &execution, &error))
        execute(request, id, &execution);
    else
        request_fail(request, error);
    execution_clear(&execution);
    json_object_put(body);
}

static void post_run(struct request *request)
{
    GError *error = NULL;
    struct execution execution = {0};
    struct settings *settings = NULL;
    struct json_object *body = request_json(request, &error);
    if (body == NULL || !run_read(body, &settings, &execution, &error)) {
        execution_clear(&execution);
        json_object_put(body);
        request_fail(request, error);
        return;
    }
    json_object_put(body);
    if (!execution.wait && request->service->running >= request->service->options.max_running) {
        settings_free(settings);
        execution_clear(&execution);
        fail(request, DSB_ERROR_BUSY, "%u executions run already", request->service->running);
        return;
    }
    struct job *job = job_new(request->service, JOB_RUN, NULL, request);
    job->execution = execution;
    job->settings = settings;
    job->events = request->events;
    if (job_prepare_input(job, &error)) {
        request_hold(request, job_abandon);
        if (run_submit(job, &error))
            return;
    }
    request_fail(request, error);
    job_free(job);
}

static void interrupt(struct request *request, struct job *job)
{
    struct json_object *object = json_object_new_object();
    json_add_bool(object, "interrupted", job != NULL);
    request_answer(request, 200, object);
    if (job != NULL)
        job_interrupt(job);
}

static struct job *running_in(struct session *session)
{
    struct job *job = session->current;
    return job != NULL && job->kind == JOB_EXECUTE ? job : NULL;
}

static void post_interrupt(struct request *request, struct session *session)
{
    if (nothing_in_body(request))
        interrupt(request, running_in(session));
}

static void feed(struct request *request, struct job *job)
{
    if (job == NULL)
        fail(request, DSB_ERROR_CONFLICT, "no code is running that could read it");
    else if (job->input_fd < 0)
        fail(request, DSB_ERROR_CONFLICT, "the execution was not started with \"stdin_open\", or its input has ended");
    else
        job_feed(job, request, request_flag(request, "end"));
}

static void post_stdin(struct request *request, struct session *session) { feed(request, running_in(session)); }

static void execution_request(struct request *request)
{
    struct job *job = g_hash_table_lookup(request->service->jobs, request->path[1]);
    if (job == NULL)
        fail(request, DSB_ERROR_NOT_FOUND, "there is no execution '%.64s', or it has ended", request->path[1]);
    else if (strcmp(request->path[2], "stdin") == 0)
        feed(request, job);
    else if (nothing_in_body(request))
        interrupt(request, job);
}

/* --- the table -------------------------------------------------------------- */

/* Rows of /v1/sessions/ID/NAME. */
static const struct {
    const char *method, *name;
    void (*handle)(struct request *, struct session *);
} session_rows[] = {
    {"GET", NULL, get_session},        {"DELETE", NULL, delete_session}, {"GET", "vars", get_vars},
    {"GET", "history", get_history},   {"POST", "reset", post_reset},    {"POST", "save", post_save},
    {"POST", "restore", post_restore}, {"POST", "stdin", post_stdin},    {"POST", "interrupt", post_interrupt},
};

/* Rows of /v1/…; a NULL segment stands for any. */
static const struct {
    const char *method, *path[3];
    guint n;
    void (*handle)(struct request *);
} rows[] = {
    {"GET", {"version"}, 1, get_version},
    {"GET", {"sessions"}, 1, list_sessions},
    {"POST", {"sessions"}, 1, create_session},
    {"POST", {"run"}, 1, post_run},
    {"POST", {"gc"}, 1, gc_request},
    {"POST", {"sessions", NULL, "execute"}, 3, post_execute},
    {"GET", {"sessions", NULL, "files"}, 3, files_request},
    {"PUT", {"sessions", NULL, "files"}, 3, files_request},
    {"DELETE", {"sessions", NULL, "files"}, 3, files_request},
    {"POST", {"executions", NULL, "interrupt"}, 3, execution_request},
    {"POST", {"executions", NULL, "stdin"}, 3, execution_request},
};

/* TRUE: the path is known; *handled tells whether the method is. */
static gboolean try_rows(struct request *request, gboolean *handled)
{
    guint n = g_strv_length(request->path);
    gboolean known = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gboolean match = rows[i].n == n;
        for (guint k = 0; match && k < n; k++)
            match = rows[i].path[k] == NULL || strcmp(rows[i].path[k], request->path[k]) == 0;
        known |= match;
        if (match && strcmp(rows[i].method, request->method) == 0) {
            *handled = TRUE;
            rows[i].handle(request);
            return TRUE;
        }
    }
    return known;
}

static gboolean try_session_rows(struct request *request, gboolean *handled)
{
    guint n = g_strv_length(request->path);
    const char *name = n == 3 ? request->path[2] : NULL;
    gboolean known = FALSE;
    if ((n != 2 && n != 3) || strcmp(request->path[0], "sessions") != 0)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(session_rows); i++) {
        if (g_strcmp0(session_rows[i].name, name) != 0)
            continue;
        known = TRUE;
        if (strcmp(session_rows[i].method, request->method) != 0)
            continue;
        struct session *session = session_find(request->service, request->path[1]);
        *handled = TRUE;
        if (session == NULL && session_rows[i].handle == delete_session &&
            g_hash_table_contains(request->service->past, request->path[1]))
            past_delete(request);
        else if (session == NULL)
            no_session(request, request->path[1]);
        else if (session->ending && session_rows[i].handle != delete_session)
            session_park(session, request);
        else
            session_rows[i].handle(request, session);
        return TRUE;
    }
    return known;
}

void route_again(struct request *request)
{
    gboolean handled = FALSE;
    if (request->service->stopping) {
        fail(request, DSB_ERROR_UNAVAILABLE, "the service is ending");
        return;
    }
    gboolean known = try_rows(request, &handled) || try_session_rows(request, &handled);
    if (handled)
        return;
    if (!known)
        fail(request, DSB_ERROR_NOT_FOUND, "there is no such path; see /openapi.json");
    else
        request_fail_with(request, 405,
                          g_error_new(DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                                      "%s is not possible on this path; see /openapi.json", request->method));
}

void route(struct service *service, SoupServerMessage *message)
{
    listener_working(message);
    struct request *request = request_new(service, message);
    if (request != NULL)
        route_again(request);
}
