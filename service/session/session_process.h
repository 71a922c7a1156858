/* SPDX-License-Identifier: MIT */
#ifndef DSB_SESSION_SESSION_PROCESS_H
#define DSB_SESSION_SESSION_PROCESS_H

#include "shared/event_source.h"
#include "shared/order.h"
#include "shared/settings.h"

#include <pthread.h>

G_BEGIN_DECLS

/*
 * The process of one session, dsandbox-session: it alone has its sandbox, the plugin and the stream. The main thread
 * reads what the service says (main.c) and goes on without one (keep.c), and one other thread makes the calls
 * that take time (work.c).
 */

struct session_socket;
struct session_process;

/** An order on its way through the other thread, and back. */
struct task {
    struct session_process *process;
    struct frame frame; /**< the order's, which has the code; its descriptors are `cancel` and the code's input */
    struct order order;
    const struct settings *settings; /**< the process's, when it was given */
    gboolean check; /**< no order: is the idle sandbox alive? */
    struct outcome outcome;
    struct json_object *restored; /**< what came back from saved variables, when the former interpreter is gone */
    gboolean done;                /**< the outcome is there */
    guint told_to;                /**< the connection that was told so */
};

/** work.c: the thread that owns what is in `work`. */
struct work {
    const struct settings *settings; /**< of the task */
    dsb_session *session;
    dsb_warm *warm; /**< a sandbox that waits for the next order; there is no session then */
    guint64 before; /**< executions of the session before this sandbox */
    char *ended;    /**< why it is gone, when that came between two orders */
    GError *left;   /**< what of the last one could not be removed; NULL: nothing */
    char *mark;     /**< dsb_installation_mark when the process began */
};
/** Do what the task says, and fill in its outcome. */
void work_do(struct work *work, struct task *task);

/** keep.c: what there is for the next service. All of the main thread. */
struct kept {
    char *socket;        /**< of the service; NULL: the process ends with it */
    struct session_socket *listening; /**< where the next one finds us; NULL: nowhere */
    GBytes *session, *state;
    GQueue past; /**< GBytes, of the history */
    gsize past_size;
    GQueue results; /**< GBytes, of executions with a key */
    gsize results_size;
    char *ended;      /**< of an idle sandbox, until the next order */
    gint64 life_end;  /**< real time; 0: not begun */
    gint64 used;      /**< monotonic */
    gint64 give_up;   /**< monotonic: an order that is under way without a service takes no longer */
    struct event_source look, accept, alone;
};

struct session_process {
    struct settings *settings, *former; /**< those that a waiting sandbox was made with, when there are others */
    gboolean waits; /**< for somebody, with a sandbox: it ends in order when the service does */
    GMainLoop *loop;
    GAsyncQueue *inbox; /**< struct task, to the other thread */
    guint tasks;        /**< that are there */
    char *owner;        /**< dsb_owner_label */
    struct work work;   /**< the other thread's, while there are tasks */
    struct task *order; /**< the last one, until its outcome has arrived */
    struct event_source service, look, news;
    pthread_mutex_t sending;
    int fd;           /**< to the service; -1: there is none. Under `sending` */
    guint connection; /**< which one that is. Under `sending` */
    pthread_mutex_t calling;
    GHashTable *calls; /**< number -> dsb_call that waits for its answer; NULL: none. Under `calling` */
    struct kept kept;
};

/** From any thread: a frame to the service. It waits for a service that is slow, and is nothing without one. */
void tell_service(struct session_process *process, enum frame_type type, const GByteArray *pack);
/** The same with `sending` locked. */
void tell_service_locked(struct session_process *process, enum frame_type type, const GByteArray *pack, const int *fds,
                         guint n_fds);
/** Say what came of it, with `sending` locked. */
void tell_outcome_locked(struct task *task);
void tell_ready_locked(struct session_process *process);
/** Give it to the other thread. */
void task_start(struct session_process *process, struct task *task);
/** Listen to a service that has come. */
void listen_to_service(struct session_process *process);
void task_free(struct task *task);
/** It cannot go on: the service, where there is one, and the log are told why. */
G_NORETURN void leave(const char *why, const char *what);
/** Whom it tells; -1: nobody. */
void last_words_to(int fd);

/** Of FRAME_SETTINGS, FRAME_SESSION and FRAME_TAKEN: what is to be kept. FALSE: that is none. */
gboolean keep_settings(struct kept *kept, struct unpack *unpack);
gboolean keep_session(struct kept *kept, struct unpack *unpack);
gboolean keep_taken(struct kept *kept, struct unpack *unpack, gboolean *arrived);
/** An outcome that has arrived: who lost the answer may ask the next service for it. */
void keep_result(struct kept *kept, const struct task *task);
/** An order has come: there is something to lose from now on, or (JOB_CLOSE) nothing any more. */
void keep_order(struct session_process *process, const struct order *order);
/** Nothing is under way: look after the socket. (Not meanwhile: a backend may have closed what is ours.) */
void keep_rest(struct session_process *process);
/** The service is gone. FALSE: the process ends with it. */
gboolean keep_alone(struct session_process *process);
/** The service is gone, and the sandbox waits for nobody: end in order. */
void keep_nothing(struct session_process *process);
void keep_clear(struct kept *kept);

G_END_DECLS
#endif
