/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_SESSION_H
#define DSB_BROKER_SESSION_H

#include "broker/history.h"
#include "broker/job.h"

G_BEGIN_DECLS

struct process;

/** A session. Its sandbox is its process's. */
struct session {
    struct service *service;
    const char *id; /**< settings->id */
    struct settings *settings;
    struct process *process; /**< NULL until there is something to do, and when it failed */
    GQueue given;            /**< struct job, given to dispatch.c; the process has the first */
    GQueue waiting;          /**< struct job, in the order they came */
    struct job *current;     /**< given, but for the one that closes it */
    gboolean in_run_queue;        /**< the first waiting job is in service->run_queue */
    gboolean open;           /**< there is a sandbox */
    gboolean ever_open, ending;
    gboolean image_named;        /**< it comes back, with another image that was asked for */
    struct json_object *changes; /**< array of texts: since it came back, what is other than it was; NULL: it is new */
    char *image;                 /**< of the last sandbox that another service had for it; see session_image */
    char *lost;               /**< why the next interpreter is not the former one; NULL: there was none, or it lives */
    char *end_reason;         /**< for the record; NULL: nothing is to be remembered */
    char *facts[N_FACTS];     /**< of the last sandbox */
    struct history *history;
    gint64 created, used; /**< real time */
    gint64 opened;        /**< real time of the first sandbox, when its life began; 0: there was none */
    guint64 executions;
    struct event_source idle, life; /**< its times */
    GQueue ended_waiters; /**< struct request: answered when the session is gone */
    GQueue parked;        /**< struct request: handled anew when the session is gone */
    gboolean delete_files;
    gboolean unwritten; /**< its record could not be written */
};

/** NULL: there is no such session. One that is ending is still there. */
struct session *session_find(struct service *service, const char *id);
/** A new session without a sandbox; takes the settings (also on failure). LIMIT: there are too many. */
struct session *session_create(struct service *service, struct settings *settings, GError **error);
/** The same without a limit on them: it was there before us. */
struct session *session_new(struct service *service, struct settings *settings);
/** It never came to be, or is another service's now: what is remembered of it stays. */
void session_drop(struct session *session);
/** It was another service's, with all that it had, and its times go on; `job` is the current one, or NULL. */
void session_resume(struct session *session, struct job *job);
/** Nothing is to be done: its idle time runs. */
void session_rest(struct session *session);
/**
 * End it: the running execution is interrupted, waiting ones fail, the sandbox is removed. `why` is what a later
 * session of this id is told; NULL: it was deleted, and leaves nothing. `request` (or NULL) is answered when it is
 * gone.
 */
void session_end(struct session *session, const char *why, struct request *request);
/**
 * Leave it to the next service with all that it has; what waits has not run, and who waits for what runs is told so.
 * FALSE: it is ending, or there is nothing to leave.
 */
gboolean session_hand_over(struct session *session, const char *why);
/** Called by dispatch.c, from the main loop. */
void session_job_done(struct job *job);
/** The request is handled anew when this ending session is gone. */
void session_park(struct session *session, struct request *request);
/** The object of the API. */
struct json_object *session_json(const struct session *session);
const char *session_state(const struct session *session);
gboolean session_has_labels(const struct session *session, GPtrArray *selectors);
void session_free(struct session *session);
/** The image of its last sandbox, as the engine told it then; NULL: there was none. */
const char *session_image(const struct session *session);

void run_done(struct job *job);
/** The idle sandbox has ended. */
void session_sandbox_ended(struct session *session, const char *why);

G_END_DECLS
#endif
