/* SPDX-License-Identifier: MIT */
#ifndef DSB_SESSION_TABLE_H
#define DSB_SESSION_TABLE_H

#include "history.h"
#include "job.h"

G_BEGIN_DECLS

/** A session as the main thread knows it. `handle` and `offset` belong to the worker thread. */
struct session {
    struct service *service;
    const char *id; /**< settings->id */
    struct settings *settings;
    GThread *worker;
    GAsyncQueue *inbox; /**< struct job, to the worker */
    dsb_session *handle;
    guint64 offset;      /**< worker: executions of the session before this sandbox, which counts from 1 itself */
    GQueue waiting;      /**< struct job, in the order they came */
    struct job *current; /**< with the worker */
    gboolean at_gate;    /**< the first waiting job is in service->gate */
    gboolean open;       /**< there is a sandbox */
    gboolean ever_open, ending;
    char *lost;               /**< why the next interpreter is not the former one; NULL: there was none, or it lives */
    char *end_reason;         /**< for the record; NULL: nothing is to be remembered */
    struct json_object *info; /**< dsb_session_info of the last sandbox */
    struct history *history;
    gint64 created, used; /**< real time */
    guint64 executions;
    guint idle_source, life_source, look_source;
    int fd;
    guint fd_source;
    GQueue ended_waiters; /**< struct request: answered when the session is gone */
    GQueue parked;        /**< struct request: handled anew when the session is gone */
    gboolean delete_files;
};

/** NULL: there is no such session. One that is ending is still there. */
struct session *session_find(struct service *service, const char *id);
/** A new session without a sandbox; takes the settings (also on failure). LIMIT: there are too many. */
struct session *session_create(struct service *service, struct settings *settings, GError **error);
/** Queue a job. LIMIT: the queue is full (the job is still the caller's then). */
gboolean session_submit(struct session *session, struct job *job, GError **error);
/** An execution would start at once. */
gboolean session_is_free(const struct session *session);
/**
 * End it: the running execution is interrupted, waiting ones fail, the sandbox is removed. `why` is what a later
 * session of this id is told; NULL: it was deleted, and leaves nothing. `request` (or NULL) is answered when it is
 * gone.
 */
void session_end(struct session *session, const char *why, struct request *request);
/** Called by the worker's report, on the main thread. */
void session_job_done(struct job *job);
/** The request is handled anew when this ending session is gone. */
void session_park(struct session *session, struct request *request);
/** The object of the API. */
struct json_object *session_json(const struct session *session);
const char *session_state(const struct session *session);
gboolean session_has_labels(const struct session *session, GPtrArray *selectors);
void session_free(struct session *session);

/** Start a one-shot job; it waits at the gate like others. LIMIT: the queue is full. */
gboolean run_submit(struct job *job, GError **error);
void run_done(struct job *job);
/** Drop a job whose client is gone: out of its queue, or interrupted. */
void job_abandon(struct request *request);
/** Cancel an execution, running or waiting. */
void job_interrupt(struct job *job);

/** The worker's side (worker.c). */
void worker_start(struct session *session);
void worker_run_one_shot(gpointer job, gpointer service);

G_END_DECLS
#endif
