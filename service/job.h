/* SPDX-License-Identifier: MIT */
#ifndef DSB_JOB_H
#define DSB_JOB_H

#include "body.h"
#include "request.h"

G_BEGIN_DECLS

struct session;

enum job_kind {
    JOB_OPEN,    /**< make the sandbox */
    JOB_EXECUTE, /**< run code; makes the sandbox first where there is none */
    JOB_CONTROL, /**< a control operation on the interpreter */
    JOB_CHECK,   /**< something came from the idle sandbox: is it alive? */
    JOB_CLOSE,   /**< remove the sandbox, end the worker */
    JOB_RUN,     /**< one shot, no session */
};

/** One piece of work for a worker thread, and what came of it. */
struct job {
    enum job_kind kind;
    struct service *service;
    struct session *session;   /**< NULL for JOB_RUN */
    struct request *request;   /**< who waits for it; NULL when nobody does any more. Main thread only */
    const char *user;          /**< for the audit log */
    char *id;                  /**< of an execution */
    struct settings *settings; /**< JOB_RUN */
    struct execution execution;
    char *op;         /**< JOB_CONTROL: its JSON */
    guint timeout_ms; /**< JOB_CONTROL */
    char *lost;       /**< why the former interpreter is gone; NULL: there was none */
    guint64 before;   /**< executions of the session when it was started */
    gboolean events;  /**< send output as it comes */
    gboolean placed;  /**< holds a place among the running ones */
    gboolean cancelled;
    int cancel_fd;  /**< eventfd */
    gint64 created; /**< real time */

    /* standard input that comes while the code runs; main thread only */
    int input_fd;      /**< write end, -1: none */
    int input_read_fd; /**< the code's end; the worker's while it runs */
    GQueue input;      /**< struct input_piece */
    guint input_watch;
    GByteArray *tails[2]; /**< of stdout and stderr: the first bytes of a character that is not complete yet */
    guint64 dropped[2];

    /* set by the worker */
    GError *error;                /**< nothing ran, and why */
    char *text;                   /**< the result object, or the answer of a control operation */
    char *status;                 /**< of an execution: "ok" … */
    struct json_object *summary;  /**< what history and audit log want to know */
    gboolean alive;               /**< the session's sandbox, afterwards */
    gboolean opened;              /**< a sandbox was made */
    char *info;                   /**< dsb_session_info, when opened */
    struct json_object *restored; /**< what came back from saved variables, when the former interpreter is gone */
    char *ended;                  /**< why the sandbox is gone, when it is */
    int fd;                       /**< dsb_session_fd */
    gint64 began;                 /**< real time */
};

/** A new job; `request` may be NULL. */
struct job *job_new(struct service *service, enum job_kind kind, struct session *session, struct request *request);
/** Frees it; its request, if any is left, must have been answered. */
void job_free(struct job *job);

/** Stop it as soon as possible: the code is interrupted, what waits is dropped. Main thread. */
void job_cancel(struct job *job);
/** Prepare standard input as its body asks. */
gboolean job_prepare_input(struct job *job, GError **error);
/** The worker has ended: release what it used. */
void job_close_input(struct job *job);
/** More standard input, answered when the code's pipe took it; takes over the request. `end`: no more after it. */
void job_feed(struct job *job, struct request *request, gboolean end);

/** From a worker: output for the client. */
void job_output(struct job *job, int stream, const void *bytes, gsize size);
/** Main thread: what is left of incomplete characters. */
void job_flush_output(struct job *job);

/** The object of the `accepted` event. */
struct json_object *job_accepted(const struct job *job);

G_END_DECLS
#endif
