/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_SERVICE_H
#define DSB_BROKER_SERVICE_H

#include "shared/event_source.h"

#include <dsandbox/dsandbox.h>
#include <libsoup/soup.h>

G_BEGIN_DECLS

/*
 * One process per user. The main thread owns all state below and speaks HTTP; it never waits for anything. Each session
 * is a process of its own, which alone has its dsb_session; one-shot runs and gc are processes, too, and files go to a
 * thread pool. The service itself loads no plugin, and reads nothing that a sandbox or an engine wrote: what a process
 * tells is passed on as it is.
 */

/** How the service was started. */
struct options {
    char *socket;    /**< path of the unix socket */
    char *state_dir; /**< records and the audit log */
    char *listen;    /**< HOST:PORT, or NULL */
    char *token_file, *tls_cert, *tls_key;
    char *mcp_settings; /**< what sessions of /mcp are made with: the body of POST /v1/sessions */
    guint idle_seconds; /**< leave after this long without a session and a request */
    guint max_sessions, max_running;
    guint pool, pool_idle_seconds; /**< sandboxes that wait at most, 0: none; and how long one that nobody asks for */
    gboolean plain; /**< as the program starts one: it may leave its place to the next */
    gboolean stay;  /**< somebody starts it again: it leaves its place to nothing but the next version */
};

struct listener;
struct audit;
struct job;
struct process;
struct warm_pool;
struct front_process;

struct service {
    struct options options;
    GMainLoop *loop;
    SoupServer *server;
    struct listener *listener;
    struct audit *audit;
    GHashTable *sessions; /**< id: struct session */
    GHashTable *past;     /**< id: struct record, of sessions that ended without being deleted */
    GHashTable *jobs;     /**< id: struct job, executions that are queued or running */
    GQueue run_queue;     /**< struct job that could start but for the limit on running ones */
    guint running;        /**< of them at most options.max_running */
    guint queued;         /**< executions that wait, in the run queue or in a session */
    guint requests;       /**< requests being answered */
    guint threads;        /**< one-shot runs, and work on files and gc that is under way */
    guint background;     /**< the same that nobody waits for, not even the end */
    GThreadPool *thread_pool; /**< struct thread_pool_work */
    GQueue processes;      /**< all of them */
    GQueue adoptions;      /**< adopt.c: processes of a former service that have not answered yet */
    struct process *spare; /**< one that waits for an order */
    struct front_process *front; /**< the one for /mcp, or NULL */
    struct warm_pool *warm; /**< those that wait with a sandbox */
    char *owner;      /**< of this process, common/owner.h */
    char *started;    /**< ISO time */
    gint64 last_used; /**< monotonic */
    gint64 patience;  /**< monotonic: until then the end waits for requests of those who found us before */
    struct event_source idle, stop_late, stop_check, prepare, forget, signals;
    GQueue dead; /**< numbers of processes whose sockets may be there still */
    gboolean stopping;
    int status; /**< exit status of an end in order */
};

/** Exit status of a service that leaves its place to one of the files that are installed now. */
#define SERVICE_EXIT_REPLACED 75

/** Limits that are not options. */
#define SESSION_QUEUE_MAX 64          /**< executions that wait for one session */
#define QUEUE_MAX 256                 /**< executions that wait at all */
#define EVENTS_PENDING_MAX (8u << 20) /**< bytes of events that a slow client may leave unread */
#define FILES_MAX 10000               /**< entries of one listing */

/** The service was used: starts the idle time anew. */
void service_touch(struct service *service);
/** Leave the main loop when all sessions are gone: ended, or left to the next service. */
void service_stop(struct service *service, const char *why, gboolean hand_over);
/** Something runs or waits, besides as many requests as that, which would notice the service's end. */
gboolean service_is_busy(const struct service *service, guint requests);
/** Call when something ended that service_stop may be waiting for. */
void service_check_stop(struct service *service);
/** One line to standard error. */
void service_log(const char *format, ...) G_GNUC_PRINTF(1, 2);

/** "2025-01-31T12:00:00.123Z" of a time in microseconds since the epoch (g_free). */
char *iso_time(gint64 real_us);

G_END_DECLS
#endif
