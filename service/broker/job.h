/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_JOB_H
#define DSB_BROKER_JOB_H

#include "broker/request.h"
#include "shared/event_source.h"
#include "shared/order.h"
#include "shared/settings.h"

G_BEGIN_DECLS

struct session;
struct process;
struct idempotency;

/** One piece of work for a process (dispatch.c), and what came of it. */
struct job {
    enum job_kind kind;
    struct service *service;
    struct session *session;   /**< NULL for JOB_RUN */
    struct request *request;   /**< who waits for it; NULL when nobody does any more */
    const char *user;          /**< for the audit log */
    char *id;                  /**< of an execution */
    struct settings *settings; /**< JOB_RUN, JOB_GC */
    struct execution execution;
    char *op;         /**< JOB_CONTROL: its JSON */
    guint timeout_ms; /**< JOB_CONTROL */
    char *lost;       /**< why the former interpreter is gone; NULL: there was none */
    guint64 before;   /**< executions of the session when it was started */
    gboolean events;  /**< send output as it comes */
    gboolean counted; /**< among the running ones */
    gboolean cancelled;
    gboolean delete_files; /**< JOB_CLOSE: the session's too */
    gboolean dry_run;      /**< JOB_GC */
    gboolean background;   /**< JOB_GC: nobody waits for it */
    gint64 given_up;       /**< JOB_GC: when all of it is, in monotonic time */
    struct idempotency *kept;     /**< of an execution with an Idempotency-Key: it runs on when its client is gone */
    struct process *process; /**< that has the order */
    gboolean begun;          /**< it is not behind others of its session's any more */
    gboolean unheard;        /**< given to a process that waited, which has said nothing of it yet */
    gboolean was_repeated;   /**< it was, once: it is done again without */
    gboolean has_given_input; /**< its standard input is the process's */
    int cancel_fd;  /**< eventfd; -1: nobody cancels it */
    int short_of;   /**< errno: it should have one */
    gint64 created; /**< real time */

    /* standard input that comes while the code runs */
    int input_fd;      /**< write end, -1: none */
    int input_read_fd; /**< the code's end, until the process has it */
    int window_fd, window_read_fd; /**< the same for new sizes of its terminal */
    GQueue input;      /**< struct input_piece */
    struct event_source input_watch;
    GHashTable *calls; /**< numbers of calls that the client has not answered; NULL: none */
    GByteArray *tails[2]; /**< of stdout and stderr: the first bytes of a character that is not complete yet */
    guint64 dropped[2];

    struct outcome outcome;
};

/** A new job; `request` may be NULL. */
struct job *job_new(struct service *service, enum job_kind kind, struct session *session, struct request *request);
/** Frees it; its request, if any is left, must have been answered. */
void job_free(struct job *job);

/** It is an execution that another service has taken, of that id. */
void job_rename(struct job *job, const char *id);

/** FALSE: the machine is short of what it needs; it may not be given to anybody. */
gboolean job_is_whole(const struct job *job, GError **error);
/** Stop it as soon as possible: the code is interrupted, what waits is dropped. */
void job_cancel(struct job *job);
/** The same, and nothing that the code leaves in its interpreter is kept. */
void job_session_ends(struct job *job);
/** Prepare standard input as its body asks. INVALID: its tools could not be called. */
gboolean job_prepare_input(struct job *job, GError **error);
/** It is done: release what it used. */
void job_close_input(struct job *job);
/** The request has a new size of its terminal, and is answered. */
void job_resize(struct job *job, struct request *request);
/** More standard input, answered when the code's pipe took it; takes over the request. `end`: no more after it. */
void job_feed(struct job *job, struct request *request, gboolean end);

/** Output for the client. */
void job_output(struct job *job, int stream, const void *bytes, gsize size);
/** Last: what is left of incomplete characters, and what was left out. */
void job_flush_output(struct job *job);

/** The object of the `accepted` event. */
struct json_object *job_accepted(const struct job *job);

G_END_DECLS
#endif
