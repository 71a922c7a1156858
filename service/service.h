/* SPDX-License-Identifier: MIT */
#ifndef DSB_SERVICE_H
#define DSB_SERVICE_H

#include <dsandbox/dsandbox.h>
#include <libsoup/soup.h>

G_BEGIN_DECLS

/*
 * One process per user. The main thread owns all state below and speaks HTTP; it never waits for anything. Each session
 * has a worker thread that alone touches its dsb_session; one-shot runs, files and gc go to thread pools. A job travels
 * from the main thread to a worker and back, and belongs to one side at a time.
 */

/** How the service was started. */
struct options {
    char *socket;    /**< path of the unix socket */
    char *state_dir; /**< records and the audit log */
    char *listen;    /**< HOST:PORT, or NULL */
    char *token_file, *tls_cert, *tls_key;
    guint idle_seconds; /**< leave after this long without a session and a request */
    guint max_sessions, max_running;
};

struct listener;
struct audit;
struct job;

struct service {
    struct options options;
    GMainLoop *loop;
    SoupServer *server;
    struct listener *listener;
    struct audit *audit;
    GHashTable *sessions; /**< id: struct session */
    GHashTable *past;     /**< id: struct record, of sessions that ended without being deleted */
    GHashTable *jobs;     /**< id: struct job, executions that are queued or running */
    GQueue gate;          /**< struct job that could start but for the limit on running ones */
    guint running;        /**< jobs that hold one of options.max_running places */
    guint queued;         /**< executions that wait, at the gate or in a session */
    guint requests;       /**< requests being answered */
    guint threads;        /**< jobs in thread pools */
    guint background;     /**< chores that nobody waits for, not even the end */
    GThreadPool *runs, *chores;
    char *owner;      /**< UID.PID.START of this process */
    char *started;    /**< ISO time */
    gint64 last_used; /**< monotonic */
    guint idle_source;
    gboolean stopping;
};

/** Limits that are not options. */
#define BODY_MAX (32u << 20)          /**< bytes of a request body */
#define SESSION_QUEUE_MAX 64          /**< executions that wait for one session */
#define QUEUE_MAX 256                 /**< executions that wait at all */
#define EVENTS_PENDING_MAX (8u << 20) /**< bytes of events that a slow client may leave unread */
#define FILES_MAX 10000               /**< entries of one listing */

/** The service was used: starts the idle time anew. */
void service_touch(struct service *service);
/** End all sessions and leave the main loop when they are gone. */
void service_stop(struct service *service, const char *why);
/** Call when something ended that service_stop may be waiting for. */
void service_check_stop(struct service *service);
/** One line to standard error. */
void service_log(const char *format, ...) G_GNUC_PRINTF(1, 2);

/** "2025-01-31T12:00:00.123Z" of a time in microseconds since the epoch (g_free). */
char *iso_time(gint64 real_us);
/** Twenty-six random characters after a prefix (g_free). */
char *random_id(const char *prefix);

G_END_DECLS
#endif
