/* SPDX-License-Identifier: MIT */
#include "broker/session.h"

#include "broker/answer.h"
#include "broker/audit.h"
#include "broker/dispatch.h"
#include "broker/files.h"
#include "broker/idempotency.h"
#include "broker/queue.h"
#include "broker/record.h"
#include "broker/route.h"
#include "common/ids.h"

#include <dsandbox/files.h>
#include <string.h>

struct session *session_find(struct service *service, const char *id)
{
    return g_hash_table_lookup(service->sessions, id);
}

const char *session_state(const struct session *session)
{
    if (session->ending)
        return "ended";
    if (queue_is_working(session))
        return session->open ? "busy" : "starting";
    return session->open ? "idle" : "ended";
}

static void stop_sources(struct session *session)
{
    event_source_clear(&session->idle);
    event_source_clear(&session->life);
}

struct session *session_new(struct service *service, struct settings *settings)
{
    struct session *session = g_new0(struct session, 1);
    session->service = service;
    session->id = settings->id;
    session->settings = settings;
    session->history = history_new();
    session->created = session->used = g_get_real_time();
    g_queue_init(&session->given);
    g_queue_init(&session->waiting);
    g_queue_init(&session->ended_waiters);
    g_queue_init(&session->parked);
    g_hash_table_insert(service->sessions, (char *) session->id, session);
    return session;
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
        settings->id = dsb_random_id("s-");
    struct session *session = session_new(service, settings);
    struct record *past = record_take(service, session->id);
    if (past != NULL)
        session->lost = g_strdup(past->reason);
    if (past != NULL)
        session->image = g_steal_pointer(&past->image);
    record_free(past);
    return session;
}

void session_drop(struct session *session)
{
    g_hash_table_remove(session->service->sessions, session->id);
    session_free(session);
}

void session_free(struct session *session)
{
    stop_sources(session);
    dispatch_end(session);
    history_free(session->history);
    for (int i = 0; i < N_FACTS; i++)
        g_free(session->facts[i]);
    settings_free(session->settings);
    json_object_put(session->changes);
    g_free(session->image);
    g_free(session->lost);
    g_free(session->end_reason);
    g_free(session);
}

/* --- its times --------------------------------------------------------------- */

static gboolean on_idle(gpointer data)
{
    struct session *session = data;
    if (transfers_has(session->id)) { /* that is use, too */
        event_source_timeout(&session->idle, (guint) session->settings->idle_ms, on_idle, session);
        return G_SOURCE_REMOVE;
    }
    g_autofree char *text = dsb_policy_get(session->settings->policy, "idle_timeout");
    g_autofree char *why = g_strdup_printf("the session ended after %s without use", text);
    session_end(session, why, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean on_life_over(gpointer data)
{
    struct session *session = data;
    g_autofree char *text = dsb_policy_get(session->settings->policy, "life_time");
    g_autofree char *why = g_strdup_printf("the session ended after its life time of %s", text);
    session_end(session, why, NULL);
    return G_SOURCE_REMOVE;
}

/* What is left of a time that began then; wall clocks may jump. */
static guint left_of(guint64 ms, gint64 began)
{
    gint64 gone = (g_get_real_time() - began) / 1000;
    return (guint) (ms - MIN((guint64) MAX(gone, 0), ms));
}

static void live(struct session *session)
{
    event_source_timeout(&session->life, left_of(session->settings->life_ms, session->opened), on_life_over, session);
}

void session_rest(struct session *session)
{
    if (!event_source_is_set(&session->idle))
        event_source_timeout(&session->idle, left_of(session->settings->idle_ms, session->used), on_idle, session);
}

void session_resume(struct session *session, struct job *job)
{
    record_free(record_take(session->service, session->id)); /* it says that the session ended */
    if (session->ever_open) {
        record_write(session);
        live(session);
    }
    session->current = job;
    if (job == NULL)
        session_rest(session);
    else
        queue_place_take(job);
}

/* --- what became of jobs ----------------------------------------------------- */

static void answer(struct job *job)
{
    struct request *request = job->request;
    struct outcome *outcome = &job->outcome;
    if (job->kept != NULL)
        idempotency_end(g_steal_pointer(&job->kept), outcome->text);
    if (request == NULL)
        return;
    request->job = NULL;
    job->request = NULL;
    if (job->kind == JOB_OPEN) {
        if (outcome->error != NULL)
            request_fail(request, g_steal_pointer(&outcome->error));
        else
            request_answer(request, 201, session_json(job->session));
    } else if (job->kind == JOB_CONTROL) {
        if (outcome->error != NULL)
            request_fail(request, g_steal_pointer(&outcome->error));
        else
            answer_whole(request, outcome->text);
    } else if (job->events) {
        answer_event(request, outcome->text);
    } else {
        answer_whole(request, outcome->text);
    }
}

static void set_lost(struct session *session, const char *why)
{
    char *copy = g_strdup(why);
    g_free(session->lost);
    session->lost = copy;
}

/* What a name means may change while there is no sandbox: that is no change that anybody has asked for. */
static void compare_image(struct session *session, struct job *job)
{
    const char *before = session_image(session), *now = job->outcome.facts[FACT_IMAGE];
    if (before == NULL || now == NULL || strcmp(before, now) == 0 || session->image_named)
        return;
    struct json_object *text = json_object_new_string(
        "the image is not the one of before: its name means another one now (to keep one, give its id to --image)");
    if (session->changes == NULL)
        session->changes = json_object_new_array();
    json_object_array_add(session->changes, text);
    if (job->request == NULL || !job->events)
        return;
    struct json_object *object = json_object_new_object(), *texts = json_object_new_array();
    json_object_array_add(texts, json_object_get(text));
    json_object_object_add(object, "changed", texts);
    request_event(job->request, "changed", object);
}

static void take_state(struct session *session, struct job *job)
{
    struct outcome *outcome = &job->outcome;
    session->open = outcome->alive;
    if (outcome->opened) {
        compare_image(session, job);
        session->image_named = FALSE;
        for (int i = 0; i < N_FACTS; i++) {
            g_free(session->facts[i]);
            session->facts[i] = g_steal_pointer(&outcome->facts[i]);
        }
        g_clear_pointer(&session->lost, g_free);
        record_write(session);
        if (!session->ever_open)
            session->opened = g_get_real_time();
        if (!session->ever_open && !session->ending)
            live(session);
        session->ever_open = TRUE;
    }
    if (outcome->ended != NULL)
        set_lost(session, outcome->ended);
    else if (!outcome->opened && outcome->lost != NULL && g_str_has_suffix(outcome->lost, FILES_GONE))
        set_lost(session, outcome->lost);
}

static void remember(struct session *session, const struct job *job)
{
    session->executions++;
    history_add(session->history, session->executions, job);
    audit_write(session->service->audit, session->id, job);
}

static void close_it(struct session *session)
{
    struct job *job = job_new(session->service, JOB_CLOSE, session, NULL);
    job->delete_files = session->delete_files;
    dispatch_give(session, job);
}

static void session_gone(struct session *session, struct job *job)
{
    struct service *service = session->service;
    struct request *request;
    if (job->outcome.error != NULL && g_queue_is_empty(&session->ended_waiters))
        service_log("%s", job->outcome.error->message);
    record_end(session, job->outcome.error);
    if (session->end_reason == NULL)
        idempotency_forget(session->id);
    g_hash_table_remove(service->sessions, session->id);
    while ((request = g_queue_pop_head(&session->ended_waiters)) != NULL) {
        if (job->outcome.error != NULL) {
            request_fail(request, g_error_copy(job->outcome.error));
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

void session_sandbox_ended(struct session *session, const char *why)
{
    gint64 idle_ms = (g_get_real_time() - session->used) / 1000;
    if (!session->open)
        return;
    session->open = FALSE;
    set_lost(session, why);
    dispatch_keep(session, NULL);
    /* pid 1 has an idle time too, and may be a little earlier than our own. */
    if (!session->ending && !queue_is_working(session) && idle_ms * 10 >= (gint64) session->settings->idle_ms * 9)
        on_idle(session);
}

void session_job_done(struct job *job)
{
    struct session *session = job->session;
    if (job->kind == JOB_CLOSE && session->delete_files && !job->delete_files) {
        job_free(job); /* somebody asked for that meanwhile */
        close_it(session);
        return;
    }
    if (job->kind == JOB_CLOSE) {
        session_gone(session, job);
        return;
    }
    session->current = NULL;
    session->used = g_get_real_time();
    record_again(session);
    take_state(session, job);
    if (job->kind == JOB_EXECUTE)
        remember(session, job);
    dispatch_keep(session, job);
    job_close_input(job);
    job_flush_output(job);
    gboolean useless = job->outcome.error != NULL && !session->ever_open && g_queue_is_empty(&session->waiting);
    answer(job);
    queue_place_end(job);
    job_free(job);
    service_touch(session->service);
    if (session->ending)
        return;
    if (useless) {
        g_autofree char *why = g_strdup(session->lost);
        session_end(session, why, NULL);
    } else {
        queue_go_on(session);
    }
}

void run_done(struct job *job)
{
    struct service *service = job->service;
    audit_write(service->audit, NULL, job);
    job_close_input(job);
    job_flush_output(job);
    answer(job);
    queue_place_end(job);
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
    if (request != NULL) {
        request_hold(request, parked_gone);
        g_queue_push_tail(&session->ended_waiters, request);
    }
    if (session->ending)
        return;
    session->ending = TRUE;
    session->end_reason = g_strdup(why);
    transfers_end(session->id);
    stop_sources(session);
    g_autofree char *ended = g_strdup_printf("the session %s ended", session->id);
    queue_drop(session, ended);
    if (session->current != NULL)
        job_session_ends(session->current);
    close_it(session);
}

static void leave_job(struct job *job, const char *why)
{
    g_autoptr(GError) error =
        g_error_new(DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                    "%s; what was begun goes on in session %s: 'dsandbox session history %s' tells what comes of it", why,
                    job->session->id, job->session->id);
    job_flush_output(job);
    if (job->request != NULL)
        request_fail(job->request, g_error_copy(error));
    idempotency_fail(g_steal_pointer(&job->kept), error);
    if (job->counted)
        job->service->running--; /* for nobody any more */
    job_free(job);
}

gboolean session_hand_over(struct session *session, const char *why)
{
    struct job *job = session->current;
    if (session->ending || !dispatch_hand_over(session))
        return FALSE;
    session->ending = TRUE;
    queue_drop(session, why);
    if (job != NULL)
        leave_job(job, why);
    session_drop(session);
    return TRUE;
}

void session_park(struct session *session, struct request *request)
{
    request_hold(request, parked_gone);
    g_queue_push_tail(&session->parked, request);
}
