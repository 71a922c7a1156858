/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "audit.h"
#include "record.h"
#include "route.h"

#include <glib-unix.h>
#include <string.h>

#define LOOK_SECONDS 1

static void pump(struct session *session);

struct session *session_find(struct service *service, const char *id)
{
    return g_hash_table_lookup(service->sessions, id);
}

/* A look at the idle sandbox is no work that anybody has to know about. */
static gboolean is_working(const struct session *session)
{
    return (session->current != NULL && session->current->kind != JOB_CHECK) || session->waiting.length > 0;
}

const char *session_state(const struct session *session)
{
    if (session->ending)
        return "ended";
    if (is_working(session))
        return session->open ? "busy" : "starting";
    return session->open ? "idle" : "ended";
}

gboolean session_is_free(const struct session *session)
{
    const struct service *service = session->service;
    return !is_working(session) && service->running < service->options.max_running;
}

static void stop_source(guint *source)
{
    if (*source != 0)
        g_source_remove(*source);
    *source = 0;
}

struct session *session_create(struct service *service, struct settings *settings, GError **error)
{
    if (g_hash_table_size(service->sessions) >= service->options.max_sessions) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "there are %u sessions, and no more are allowed; end one first",
                    service->options.max_sessions);
        settings_free(settings);
        return NULL;
    }
    if (settings->id == NULL)
        settings->id = random_id("s-");
    struct session *session = g_new0(struct session, 1);
    struct record *past = record_take(service, settings->id);
    session->service = service;
    session->id = settings->id;
    session->settings = settings;
    session->history = history_new();
    session->created = session->used = g_get_real_time();
    session->fd = -1;
    g_queue_init(&session->waiting);
    g_queue_init(&session->ended_waiters);
    g_queue_init(&session->parked);
    if (past != NULL)
        session->lost = g_strdup(past->reason);
    record_free(past);
    worker_start(session);
    g_hash_table_insert(service->sessions, (char *) session->id, session);
    return session;
}

void session_free(struct session *session)
{
    stop_source(&session->idle_source);
    stop_source(&session->life_source);
    stop_source(&session->look_source);
    stop_source(&session->fd_source);
    if (session->worker != NULL)
        g_thread_join(session->worker);
    if (session->inbox != NULL)
        g_async_queue_unref(session->inbox);
    history_free(session->history);
    json_object_put(session->info);
    settings_free(session->settings);
    g_free(session->lost);
    g_free(session->end_reason);
    g_free(session);
}

/* --- places: how many jobs run at once ------------------------------------- */

static gboolean needs_place(const struct job *job)
{
    return job->kind == JOB_OPEN || job->kind == JOB_EXECUTE || job->kind == JOB_RUN || !job->session->open;
}

static void announce(struct job *job, const char *event)
{
    if (job->request != NULL && job->events)
        request_event(job->request, event, job_accepted(job));
}

static void start_run(struct job *job)
{
    job->service->threads++;
    announce(job, "started");
    g_thread_pool_push(job->service->runs, job, NULL);
}

static void start_in_session(struct job *job);

static void take_place(struct job *job)
{
    job->placed = TRUE;
    job->service->running++;
}

static void give_place(struct job *job)
{
    struct service *service = job->service;
    if (!job->placed)
        return;
    job->placed = FALSE;
    service->running--;
    while (service->running < service->options.max_running && !g_queue_is_empty(&service->gate)) {
        struct job *next = g_queue_pop_head(&service->gate);
        take_place(next);
        service->queued--;
        if (next->kind == JOB_RUN) {
            start_run(next);
            continue;
        }
        next->session->at_gate = FALSE;
        g_queue_pop_head(&next->session->waiting);
        start_in_session(next);
    }
}

/* --- the queue of a session ------------------------------------------------ */

static gboolean on_idle(gpointer data)
{
    struct session *session = data;
    g_autofree char *text = dsb_policy_get(session->settings->policy, "idle_timeout");
    g_autofree char *why = g_strdup_printf("the session ended after %s without use; files were kept", text);
    session->idle_source = 0;
    session_end(session, why, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean on_life_over(gpointer data)
{
    struct session *session = data;
    g_autofree char *text = dsb_policy_get(session->settings->policy, "life_time");
    g_autofree char *why = g_strdup_printf("the session ended after its life time of %s; files were kept", text);
    session->life_source = 0;
    session_end(session, why, NULL);
    return G_SOURCE_REMOVE;
}

static void look(struct session *session)
{
    stop_source(&session->look_source);
    stop_source(&session->fd_source);
    if (session->current != NULL || session->ending)
        return;
    session->current = job_new(session->service, JOB_CHECK, session, NULL);
    g_async_queue_push(session->inbox, session->current);
}

static gboolean on_idle_news(gint fd, GIOCondition condition, gpointer data)
{
    struct session *session = data;
    (void) fd;
    (void) condition;
    session->fd_source = 0;
    look(session);
    return G_SOURCE_REMOVE;
}

static gboolean on_look_time(gpointer data)
{
    struct session *session = data;
    session->look_source = 0;
    look(session);
    return G_SOURCE_REMOVE;
}

static void rest(struct session *session)
{
    if (session->idle_source == 0)
        session->idle_source = g_timeout_add((guint) session->settings->idle_ms, on_idle, session);
    /* Processes that an execution left behind may fill the disk. */
    if (session->open && session->look_source == 0)
        session->look_source = g_timeout_add_seconds(LOOK_SECONDS, on_look_time, session);
    if (session->open && session->fd >= 0 && session->fd_source == 0)
        session->fd_source = g_unix_fd_add(session->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_idle_news, session);
}

static void start_in_session(struct job *job)
{
    struct session *session = job->session;
    stop_source(&session->idle_source);
    stop_source(&session->look_source);
    stop_source(&session->fd_source);
    session->current = job;
    session->used = g_get_real_time();
    job->lost = g_strdup(session->lost);
    job->before = session->executions;
    announce(job, "started");
    g_async_queue_push(session->inbox, job);
}

static void pump(struct session *session)
{
    struct service *service = session->service;
    struct job *job = g_queue_peek_head(&session->waiting);
    if (session->ending || session->current != NULL || session->at_gate)
        return;
    if (job == NULL) {
        rest(session);
        return;
    }
    if (needs_place(job) && (service->running >= service->options.max_running || !g_queue_is_empty(&service->gate))) {
        session->at_gate = TRUE;
        g_queue_push_tail(&service->gate, job);
        return;
    }
    g_queue_pop_head(&session->waiting);
    service->queued--;
    if (needs_place(job))
        take_place(job);
    start_in_session(job);
}

static gboolean queue_has_room(const struct service *service, guint in_session, GError **error)
{
    if (in_session < SESSION_QUEUE_MAX && service->queued < QUEUE_MAX)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "the queue is full: %u wait%s",
                in_session < SESSION_QUEUE_MAX ? service->queued : in_session,
                in_session < SESSION_QUEUE_MAX ? "" : " for this session");
    return FALSE;
}

gboolean session_submit(struct session *session, struct job *job, GError **error)
{
    if (!queue_has_room(session->service, session->waiting.length, error))
        return FALSE;
    announce(job, "accepted");
    session->service->queued++;
    g_queue_push_tail(&session->waiting, job);
    pump(session);
    return TRUE;
}

gboolean run_submit(struct job *job, GError **error)
{
    struct service *service = job->service;
    if (service->running < service->options.max_running && g_queue_is_empty(&service->gate)) {
        announce(job, "accepted");
        take_place(job);
        start_run(job);
        return TRUE;
    }
    if (!queue_has_room(service, 0, error))
        return FALSE;
    announce(job, "accepted");
    service->queued++;
    g_queue_push_tail(&service->gate, job);
    return TRUE;
}

/* Out of its queue, if it waits in one. */
static gboolean unqueue(struct job *job)
{
    struct session *session = job->session;
    gboolean gate = g_queue_remove(&job->service->gate, job);
    gboolean waiting = session != NULL && g_queue_remove(&session->waiting, job);
    if (!gate && !waiting)
        return FALSE;
    job->service->queued--;
    if (gate && session != NULL)
        session->at_gate = FALSE;
    return TRUE;
}

/* Nothing ran: say so, and leave the session as it was. */
static void drop_waiting(struct job *job, GError *error)
{
    struct session *session = job->session;
    if (job->request != NULL)
        request_fail(job->request, error);
    else
        g_error_free(error);
    job_free(job);
    if (session != NULL)
        pump(session);
}

void job_interrupt(struct job *job)
{
    if (unqueue(job)) {
        drop_waiting(job, g_error_new(DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled while it waited for its turn"));
        return;
    }
    job_cancel(job);
}

void job_abandon(struct request *request)
{
    struct job *job = request->job;
    if (job == NULL)
        return;
    job->request = NULL;
    request->job = NULL;
    /* Others may wait for the sandbox that is being made. */
    if (job->kind == JOB_OPEN && job->session != NULL && !g_queue_is_empty(&job->session->waiting))
        return;
    job_interrupt(job);
}

/* --- what a worker reports ------------------------------------------------- */

static void answer(struct job *job)
{
    struct request *request = job->request;
    if (request == NULL)
        return;
    request->job = NULL;
    job->request = NULL;
    if (job->kind == JOB_OPEN) {
        if (job->error != NULL)
            request_fail(request, g_steal_pointer(&job->error));
        else
            request_answer(request, 201, session_json(job->session));
    } else if (job->kind == JOB_CONTROL) {
        if (job->error != NULL)
            request_fail(request, g_steal_pointer(&job->error));
        else
            request_answer_text(request, 200, "application/json", job->text, strlen(job->text));
    } else if (job->events) {
        request_event_text(request, "result", job->text);
        request_event_end(request);
    } else {
        request_answer_text(request, 200, "application/json", job->text, strlen(job->text));
    }
}

static void take_state(struct session *session, struct job *job)
{
    session->open = job->alive;
    session->fd = job->fd;
    if (job->opened) {
        json_object_put(session->info);
        session->info = job->info != NULL ? json_tokener_parse(job->info) : NULL;
        g_clear_pointer(&session->lost, g_free);
        record_write(session);
        if (!session->ever_open && !session->ending)
            session->life_source = g_timeout_add((guint) session->settings->life_ms, on_life_over, session);
        session->ever_open = TRUE;
    }
    if (job->ended != NULL) {
        g_free(session->lost);
        session->lost = g_strdup_printf("%s; files were kept", job->ended);
    }
}

static void remember(struct session *session, const struct job *job)
{
    session->executions++;
    history_add(session->history, session->executions, job);
    audit_write(session->service->audit, session->id, job);
}

static void session_gone(struct session *session, struct job *job)
{
    struct service *service = session->service;
    struct request *request;
    record_end(session);
    g_hash_table_remove(service->sessions, session->id);
    while ((request = g_queue_pop_head(&session->ended_waiters)) != NULL) {
        if (job->error != NULL) {
            request_fail(request, g_error_copy(job->error));
            continue;
        }
        struct json_object *object = json_object_new_object();
        json_add(object, "id", session->id);
        json_add_bool(object, "ended", TRUE);
        json_add_bool(object, "files_deleted", session->delete_files);
        request_answer(request, 200, object);
    }
    GQueue parked = session->parked;
    job_free(job);
    session_free(session);
    while ((request = g_queue_pop_head(&parked)) != NULL)
        route_again(request);
    service_touch(service);
    service_check_stop(service);
}

/* pid 1 has an idle time too, and may be a little earlier than our own. */
static gboolean ended_by_itself(const struct session *session, const struct job *job)
{
    gint64 idle_ms = (g_get_real_time() - session->used) / 1000;
    return job->kind == JOB_CHECK && job->ended != NULL && idle_ms * 10 >= (gint64) session->settings->idle_ms * 9;
}

void session_job_done(struct job *job)
{
    struct session *session = job->session;
    if (job->kind == JOB_CLOSE) {
        session_gone(session, job);
        return;
    }
    session->current = NULL;
    if (job->kind != JOB_CHECK)
        session->used = g_get_real_time();
    take_state(session, job);
    if (job->kind == JOB_EXECUTE)
        remember(session, job);
    job_close_input(job);
    job_flush_output(job);
    gboolean useless = job->error != NULL && !session->ever_open && g_queue_is_empty(&session->waiting);
    gboolean idle = ended_by_itself(session, job);
    answer(job);
    give_place(job);
    job_free(job);
    service_touch(session->service);
    if (session->ending)
        return;
    if (useless) {
        g_autofree char *why = g_strdup(session->lost);
        session_end(session, why, NULL);
    } else if (idle)
        on_idle(session);
    else
        pump(session);
}

void run_done(struct job *job)
{
    struct service *service = job->service;
    audit_write(service->audit, NULL, job);
    job_close_input(job);
    job_flush_output(job);
    answer(job);
    give_place(job);
    job_free(job);
    service->threads--;
    service_touch(service);
    service_check_stop(service);
}

static void parked_gone(struct request *request)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, request->service->sessions);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_queue_remove(&((struct session *) value)->parked, request);
        g_queue_remove(&((struct session *) value)->ended_waiters, request);
    }
}

void session_end(struct session *session, const char *why, struct request *request)
{
    struct job *job;
    if (request != NULL) {
        request_hold(request, parked_gone);
        g_queue_push_tail(&session->ended_waiters, request);
    }
    if (session->ending)
        return;
    session->ending = TRUE;
    session->end_reason = g_strdup(why);
    stop_source(&session->idle_source);
    stop_source(&session->life_source);
    stop_source(&session->look_source);
    stop_source(&session->fd_source);
    while ((job = g_queue_peek_head(&session->waiting)) != NULL) {
        unqueue(job);
        drop_waiting(job, g_error_new(DSB_ERROR, DSB_ERROR_CANCELLED, "the session %s ended", session->id));
    }
    if (session->current != NULL)
        job_cancel(session->current);
    g_async_queue_push(session->inbox, job_new(session->service, JOB_CLOSE, session, NULL));
}

void session_park(struct session *session, struct request *request)
{
    request_hold(request, parked_gone);
    g_queue_push_tail(&session->parked, request);
}

/* --- for listings ---------------------------------------------------------- */

static void copy(struct json_object *to, struct json_object *from, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(from, name, &value);
    json_object_object_add(to, name, json_object_get(value));
}

struct json_object *session_json(const struct session *session)
{
    const struct settings *settings = session->settings;
    struct json_object *object = json_object_new_object();
    struct json_object *policy = NULL;
    g_autofree char *created = iso_time(session->created);
    g_autofree char *used = iso_time(session->used);
    json_add(object, "id", session->id);
    json_add(object, "state", session_state(session));
    if (session->info != NULL) {
        copy(object, session->info, "backend");
        copy(object, session->info, "engine");
        copy(object, session->info, "image");
        copy(object, session->info, "workdir");
        json_object_object_get_ex(session->info, "policy", &policy);
    } else {
        json_add(object, "backend", settings->backend);
        json_object_object_add(object, "engine", NULL);
        json_object_object_add(object, "image", NULL);
        json_object_object_add(object, "workdir", NULL);
    }
    json_object_object_add(object, "container", NULL);
    if (session->open)
        copy(object, session->info, "container");
    json_add(object, "base_dir", settings->base_dir != NULL ? settings->base_dir : "/tmp/sandboxes");
    json_object_object_add(object, "labels", json_object_get(settings->labels));
    json_add(object, "created", created);
    json_add(object, "used", used);
    json_add_int(object, "executions", (gint64) session->executions);
    json_add_int(object, "queued", session->waiting.length);
    if (policy != NULL) {
        json_object_object_add(object, "policy", json_object_get(policy));
    } else {
        policy = json_object_new_object();
        json_add(policy, "sha256", settings->sha256);
        json_object_object_add(policy, "controls", json_object_new_array());
        json_object_object_add(object, "policy", policy);
    }
    json_add(object, "lost", session->lost);
    return object;
}

gboolean session_has_labels(const struct session *session, GPtrArray *selectors)
{
    for (guint i = 0; i < selectors->len; i++) {
        const char *selector = selectors->pdata[i];
        const char *equals = strchr(selector, '=');
        g_autofree char *key = g_strndup(selector, equals != NULL ? (gsize) (equals - selector) : strlen(selector));
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(session->settings->labels, key, &value) ||
            (equals != NULL && strcmp(json_object_get_string(value), equals + 1) != 0))
            return FALSE;
    }
    return TRUE;
}
