/* SPDX-License-Identifier: MIT */
#include "broker/queue.h"

#include "broker/dispatch.h"
#include "client/socket_path.h"

/* --- how many jobs run at once --------------------------------------------- */

static gboolean is_limited(const struct job *job)
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
    dispatch_give_single(job);
}

static void start_in_session(struct job *job)
{
    struct session *session = job->session;
    event_source_clear(&session->idle);
    session->current = job;
    session->used = g_get_real_time();
    job->lost = g_strdup(session->lost);
    job->before = session->executions;
    announce(job, "started");
    dispatch_give(session, job);
}

static void count_in(struct job *job)
{
    job->counted = TRUE;
    job->service->running++;
}

void queue_place_take(struct job *job)
{
    if (is_limited(job))
        count_in(job);
}

void queue_place_end(struct job *job)
{
    struct service *service = job->service;
    if (!job->counted)
        return;
    job->counted = FALSE;
    service->running--;
    while (service->running < service->options.max_running && !g_queue_is_empty(&service->run_queue)) {
        struct job *next = g_queue_pop_head(&service->run_queue);
        count_in(next);
        service->queued--;
        if (next->kind == JOB_RUN) {
            start_run(next);
            continue;
        }
        next->session->in_run_queue = FALSE;
        g_queue_pop_head(&next->session->waiting);
        start_in_session(next);
    }
}

/* --- the queue of a session ------------------------------------------------ */

gboolean queue_is_working(const struct session *session)
{
    return session->current != NULL || session->waiting.length > 0;
}

gboolean session_is_free(const struct session *session)
{
    const struct service *service = session->service;
    return !queue_is_working(session) && service->running < service->options.max_running;
}

void queue_go_on(struct session *session)
{
    struct service *service = session->service;
    struct job *job = g_queue_peek_head(&session->waiting);
    if (session->ending || session->current != NULL || session->in_run_queue)
        return;
    if (job == NULL) {
        session_rest(session);
        return;
    }
    gboolean full = service->running >= service->options.max_running || !g_queue_is_empty(&service->run_queue);
    if (is_limited(job) && full) {
        session->in_run_queue = TRUE;
        g_queue_push_tail(&service->run_queue, job);
        return;
    }
    g_queue_pop_head(&session->waiting);
    service->queued--;
    queue_place_take(job);
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
    queue_go_on(session);
    return TRUE;
}

gboolean run_submit(struct job *job, GError **error)
{
    struct service *service = job->service;
    if (service->running < service->options.max_running && g_queue_is_empty(&service->run_queue)) {
        announce(job, "accepted");
        count_in(job);
        start_run(job);
        return TRUE;
    }
    if (!queue_has_room(service, 0, error))
        return FALSE;
    announce(job, "accepted");
    service->queued++;
    g_queue_push_tail(&service->run_queue, job);
    return TRUE;
}

/* Out of its queue, if it waits in one. */
static gboolean unqueue(struct job *job)
{
    struct session *session = job->session;
    gboolean queued = g_queue_remove(&job->service->run_queue, job);
    gboolean waiting = session != NULL && g_queue_remove(&session->waiting, job);
    if (!queued && !waiting)
        return FALSE;
    job->service->queued--;
    if (queued && session != NULL)
        session->in_run_queue = FALSE;
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
        queue_go_on(session);
}

/* Why a job that waits will not run. The end of the service is no fault of its client, who goes to the next one. */
static GError *will_not_run(const struct service *service, const char *why)
{
    if (service->stopping)
        return g_error_new(DSB_ERROR, DSB_ERROR_UNAVAILABLE, SERVICE_ENDING "; the code was not run");
    return g_error_new_literal(DSB_ERROR, DSB_ERROR_CANCELLED, why);
}

void job_interrupt(struct job *job)
{
    if (unqueue(job)) {
        drop_waiting(job, will_not_run(job->service, "cancelled while it waited for its turn"));
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
    if (job->kept != NULL)
        return;
    /* Others may wait for the sandbox that is being made. */
    if (job->kind == JOB_OPEN && job->session != NULL && !g_queue_is_empty(&job->session->waiting))
        return;
    job_interrupt(job);
}

void queue_drop(struct session *session, const char *why)
{
    struct job *job;
    while ((job = g_queue_peek_head(&session->waiting)) != NULL) {
        unqueue(job);
        drop_waiting(job, will_not_run(session->service, why));
    }
}
