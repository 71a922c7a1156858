/* SPDX-License-Identifier: MIT */
#include "broker/route.h"

#include "broker/answer.h"
#include "broker/audit.h"
#include "broker/calls.h"
#include "broker/connection.h"
#include "broker/files.h"
#include "broker/front.h"
#include "broker/gc.h"
#include "broker/idempotency.h"
#include "broker/lookup.h"
#include "broker/queue.h"
#include "broker/record.h"
#include "broker/replaced.h"
#include "broker/revive.h"
#include "broker/upgrade.h"
#include "broker/warm.h"
#include "client/socket_path.h"
#include "common/ids.h"

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

static void get_document(struct request *request)
{
    g_autofree char *resource = g_strconcat("/dsandbox/", request->path[0], NULL);
    g_autoptr(GBytes) bytes = g_resources_lookup_data(resource, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
    request_answer_bytes(request, "application/json", bytes);
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
    json_add_bool(object, "replaced", upgrade_seen());
    json_add_int(object, "unrecorded", (gint64) audit_unrecorded(service->audit));
    request_answer(request, 200, object);
}

static void get_pool(struct request *request) { request_answer(request, 200, warm_pool_json(request->service->warm)); }

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

/* Takes the error. A session that was made for this alone goes with it. */
static void refuse(struct request *request, struct session *session, struct job *job, GError *error)
{
    request_fail(request, error);
    job_free(job);
    if (session->ever_open || session->ending || session->current != NULL || !g_queue_is_empty(&session->waiting))
        return;
    g_autofree char *why = g_strdup(session->lost);
    session_end(session, why, NULL);
}

static void submit(struct request *request, struct session *session, struct job *job)
{
    GError *error = NULL;
    request_hold(request, job_abandon);
    if (!job_is_whole(job, &error) || !session_submit(session, job, &error))
        refuse(request, session, job, error);
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

static gboolean named_image(struct json_object *named)
{
    struct json_object *image = NULL, *backend = NULL;
    return json_object_object_get_ex(named, "image", &image) || json_object_object_get_ex(named, "backend", &backend);
}

/* One that was there comes back with what it had, but for what is named. NULL: the request is answered. */
static struct session *revive(struct request *request, const char *id, struct json_object *named)
{
    GError *error = NULL;
    struct record *past = g_hash_table_lookup(request->service->past, id);
    struct json_object *changes = NULL;
    struct settings *settings = settings_revive(past->create, named, id, &changes, &error);
    struct session *session = settings != NULL ? session_create(request->service, settings, &error) : NULL;
    if (session != NULL) {
        session->changes = changes;
        session->image_named = named_image(named);
        return session;
    }
    json_object_put(changes);
    request_fail(request, error);
    return NULL;
}

/* Takes the settings. */
static void make_session(struct request *request, struct settings *settings)
{
    GError *error = NULL;
    struct session *session = NULL;
    if (settings->exist_ok && settings->id != NULL && g_hash_table_contains(request->service->past, settings->id)) {
        session = revive(request, settings->id, settings->body);
        settings_free(settings);
    } else {
        session = session_create(request->service, settings, &error);
        if (session == NULL)
            request_fail(request, error);
    }
    if (session != NULL)
        submit(request, session, job_new(request->service, JOB_OPEN, session, request));
}

/* The body as it would be without `like`, the session whose settings hold where nothing is named. Takes it; NULL: *error. */
static struct json_object *resolve_like(struct service *service, struct json_object *body, GError **error)
{
    const char *id = NULL;
    struct json_object *had = NULL;
    if (body != NULL && body_text(body, "like", &id, error)) {
        if (id == NULL)
            return body;
        const struct session *session = session_find(service, id);
        const struct record *past = session == NULL ? g_hash_table_lookup(service->past, id) : NULL;
        had = session != NULL ? session->settings->body : past != NULL ? past->create : NULL;
        if (had == NULL)
            g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no session '%.64s'", id);
    }
    struct json_object *whole = had != NULL ? settings_like(had, body) : NULL;
    json_object_put(body);
    return whole;
}

static void create_session(struct request *request)
{
    GError *error = NULL;
    struct json_object *body = resolve_like(request->service, request_json(request, &error), &error);
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
        make_session(request, settings);
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

/* Takes the operation, unless it is NULL: then the request is answered. */
static void submit_control(struct request *request, struct session *session, char *op)
{
    if (op == NULL)
        return;
    struct job *job = job_new(request->service, JOB_CONTROL, session, request);
    job->op = op;
    job->timeout_ms = CONTROL_MS;
    submit(request, session, job);
}

static void control(struct request *request, struct session *session, const char *op)
{
    submit_control(request, session, nothing_in_body(request) ? g_strdup_printf("{\"op\":\"%s\"}", op) : NULL);
}

static void post_complete(struct request *request, struct session *session)
{
    submit_control(request, session, lookup_operation(request, "complete"));
}

static void post_inspect(struct request *request, struct session *session)
{
    submit_control(request, session, lookup_operation(request, "inspect"));
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

static struct session *make_for(struct request *request, const char *id, struct json_object *create)
{
    GError *error = NULL;
    struct settings *settings = settings_read(create, id, &error);
    struct session *session = settings != NULL ? session_create(request->service, settings, &error) : NULL;
    if (session == NULL)
        request_fail(request, error);
    return session;
}

static struct session *session_for(struct request *request, const char *id, const struct execution *execution)
{
    GError *error = NULL;
    struct session *session = session_find(request->service, id);
    struct json_object *named = execution->create != NULL ? execution->create : execution->change;
    if (session == NULL && g_hash_table_contains(request->service->past, id))
        return revive(request, id, named);
    if (session == NULL && execution->create != NULL)
        return make_for(request, id, execution->create);
    if (session == NULL)
        no_session(request, id);
    if (session == NULL || named == NULL)
        return session;
    struct settings *settings = settings_read(named, id, &error);
    if (settings == NULL) {
        request_fail(request, error);
        return NULL;
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
    session = session_for(request, id, execution);
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
    job->kept = idempotency_begin(request, job->id, id);
    if (job_prepare_input(job, &error))
        submit(request, session, job);
    else
        refuse(request, session, job, error);
}

static void post_execute(struct request *request)
{
    GError *error = NULL;
    struct execution execution = {0};
    const char *id = request->path[2];
    struct json_object *body = request_json(request, &error);
    if (body != NULL && !dsb_session_id_valid(id))
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID,
                    "a session's id has 1 to 64 letters, digits and _.-, the first a letter or digit");
    if (error != NULL || !execution_read(body, &execution, &error))
        request_fail(request, error);
    else if (!idempotency_answer(request))
        execute(request, id, &execution);
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
    if (idempotency_answer(request)) {
        settings_free(settings);
        execution_clear(&execution);
        return;
    }
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
    job->kept = idempotency_begin(request, job->id, NULL);
    if (job_is_whole(job, &error) && job_prepare_input(job, &error)) {
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
    struct job *job = g_hash_table_lookup(request->service->jobs, request->path[2]);
    if (job == NULL)
        fail(request, DSB_ERROR_NOT_FOUND, "there is no execution '%.64s', or it has ended", request->path[2]);
    else if (strcmp(request->path[3], "stdin") == 0)
        feed(request, job);
    else if (strcmp(request->path[3], "window") == 0)
        job_resize(job, request);
    else if (nothing_in_body(request))
        interrupt(request, job);
}

static void get_execution(struct request *request)
{
    const char *id = request->path[2];
    struct text *text = NULL;
    struct job *job = g_hash_table_lookup(request->service->jobs, id);
    enum idempotency_state state = job == NULL ? idempotency_find(id, &text) : KEPT_NOT;
    if (job != NULL) {
        struct json_object *object = json_object_new_object();
        json_add(object, "id", id);
        json_add(object, "state", job->process != NULL ? "running" : "waiting");
        request_answer(request, 202, object);
    } else if (state == KEPT_TEXT) {
        answer_whole(request, text);
    } else {
        request_fail_with(request, state == KEPT_GONE ? 410 : 404,
                          g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND,
                                      "there is no execution '%.64s' that runs, and no result of it: one is kept for "
                                      "some minutes when the execution came with an Idempotency-Key",
                                      id));
    }
}

/* --- the table -------------------------------------------------------------- */

/* Rows of /v1/sessions/ID/NAME. */
static const struct {
    const char *method, *name;
    void (*handle)(struct request *, struct session *);
    const char *flag; /* the only query parameter */
} session_rows[] = {
    {"GET", NULL, get_session, NULL},
    {"DELETE", NULL, delete_session, "files"},
    {"GET", "vars", get_vars, NULL},
    {"GET", "history", get_history, NULL},
    {"POST", "complete", post_complete, NULL},
    {"POST", "inspect", post_inspect, NULL},
    {"POST", "reset", post_reset, NULL},
    {"POST", "save", post_save, NULL},
    {"POST", "restore", post_restore, NULL},
    {"POST", "stdin", post_stdin, "end"},
    {"POST", "interrupt", post_interrupt, NULL},
};

/* A NULL segment stands for any. */
static const struct {
    const char *method, *path[5];
    guint n;
    void (*handle)(struct request *);
    enum parameter_kind kind;
    const char *parameter; /* the only one of the query */
} rows[] = {
    {"GET", {"openapi.json"}, 1, get_document, 0, NULL},
    {"GET", {"result.schema.json"}, 1, get_document, 0, NULL},
    {"POST", {"mcp"}, 1, front_request, 0, NULL},
    {"DELETE", {"mcp"}, 1, front_request, 0, NULL},
    {"GET", {"v1", "version"}, 2, get_version, 0, NULL},
    {"GET", {"v1", "pool"}, 2, get_pool, 0, NULL},
    {"GET", {"v1", "sessions"}, 2, list_sessions, PARAMETER_TEXT, "label"},
    {"POST", {"v1", "sessions"}, 2, create_session, 0, NULL},
    {"POST", {"v1", "run"}, 2, post_run, 0, NULL},
    {"POST", {"v1", "run", "events"}, 3, post_run, 0, NULL},
    {"POST", {"v1", "gc"}, 2, gc_request, 0, NULL},
    {"POST", {"v1", "sessions", NULL, "execute"}, 4, post_execute, 0, NULL},
    {"POST", {"v1", "sessions", NULL, "execute", "events"}, 5, post_execute, 0, NULL},
    {"GET", {"v1", "sessions", NULL, "files"}, 4, files_request, PARAMETER_TEXT, "path"},
    {"GET", {"v1", "sessions", NULL, "files", NULL}, 5, files_request, 0, NULL},
    {"PUT", {"v1", "sessions", NULL, "files", NULL}, 5, files_request, 0, NULL},
    {"DELETE", {"v1", "sessions", NULL, "files", NULL}, 5, files_request, PARAMETER_FLAG, "recursive"},
    {"GET", {"v1", "executions", NULL}, 3, get_execution, 0, NULL},
    {"POST", {"v1", "executions", NULL, "interrupt"}, 4, execution_request, 0, NULL},
    {"POST", {"v1", "executions", NULL, "stdin"}, 4, execution_request, PARAMETER_FLAG, "end"},
    {"POST", {"v1", "executions", NULL, "window"}, 4, execution_request, 0, NULL},
    {"POST", {"v1", "executions", NULL, "calls", NULL}, 5, calls_request, 0, NULL},
};

static void add_method(GPtrArray *allow, const char *method)
{
    g_ptr_array_add(allow, (char *) method);
    if (strcmp(method, "GET") == 0)
        g_ptr_array_add(allow, (char *) "HEAD");
}

/* TRUE: the request is handled. Otherwise `allow` has the methods of its path. */
static gboolean try_rows(struct request *request, GPtrArray *allow)
{
    guint n = g_strv_length(request->path);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gboolean match = rows[i].n == n;
        for (guint k = 0; match && k < n; k++)
            match = rows[i].path[k] == NULL || strcmp(rows[i].path[k], request->path[k]) == 0;
        if (match)
            add_method(allow, rows[i].method);
        if (match && strcmp(rows[i].method, request->method) == 0) {
            if (request_takes(request, rows[i].kind, rows[i].parameter))
                rows[i].handle(request);
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean try_session_rows(struct request *request, GPtrArray *allow)
{
    guint n = g_strv_length(request->path);
    const char *name = n == 4 ? request->path[3] : NULL;
    if ((n != 3 && n != 4) || strcmp(request->path[0], "v1") != 0 || strcmp(request->path[1], "sessions") != 0)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(session_rows); i++) {
        if (g_strcmp0(session_rows[i].name, name) != 0)
            continue;
        add_method(allow, session_rows[i].method);
        if (strcmp(session_rows[i].method, request->method) != 0)
            continue;
        struct session *session = session_find(request->service, request->path[2]);
        if (!request_takes(request, PARAMETER_FLAG, session_rows[i].flag))
            return TRUE;
        if (session == NULL && session_rows[i].handle == delete_session &&
            g_hash_table_contains(request->service->past, request->path[2]))
            past_delete(request);
        else if (session == NULL)
            no_session(request, request->path[2]);
        else if (session->ending && session_rows[i].handle != delete_session)
            session_park(session, request);
        else
            session_rows[i].handle(request, session);
        return TRUE;
    }
    return FALSE;
}

/* The address can ask for events as well as the Accept field. */
static gboolean is_events(char **path)
{
    guint n = g_strv_length(path);
    return n >= 3 && strcmp(path[n - 1], "events") == 0 &&
           (strcmp(path[n - 2], "run") == 0 || strcmp(path[n - 2], "execute") == 0);
}

/* --- the way of a request ----------------------------------------------------- */

void route_again(struct request *request)
{
    g_autoptr(GPtrArray) allow = g_ptr_array_new();
    if (request->service->stopping) {
        fail(request, DSB_ERROR_UNAVAILABLE, SERVICE_ENDING "; nothing was done: try again, with the next one");
        return;
    }
    if (!files_are_current(request))
        return;
    request->events |= is_events(request->path);
    if (try_rows(request, allow) || try_session_rows(request, allow))
        return;
    if (allow->len == 0) {
        fail(request, DSB_ERROR_NOT_FOUND, "there is no such path; see /openapi.json");
        return;
    }
    g_ptr_array_add(allow, NULL);
    g_autofree char *methods = g_strjoinv(", ", (char **) allow->pdata);
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    soup_message_headers_replace(headers, "Allow", methods);
    request_fail_with(request, 405,
                      g_error_new(DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                                  "%s is not possible on this path; see /openapi.json", request->http->method));
}

void route(struct service *service, SoupServerMessage *message)
{
    connection_working(message);
    struct request *request = request_new(service, message);
    if (request != NULL)
        route_again(request);
}
