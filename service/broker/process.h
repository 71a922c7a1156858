/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_PROCESS_H
#define DSB_BROKER_PROCESS_H

#include "shared/order.h"

#include <sys/types.h>

G_BEGIN_DECLS

struct service;

/**
 * A process of dsandbox-session, as the service sees it. One waits ready, so that its start costs nobody anything. Main
 * thread only.
 */
struct process;

/** Who has a process. Both are called from the main loop, and never again after process_release or `gone`. */
struct process_user {
    /** A frame; process_fail when it is none that may come. */
    void (*frame)(gpointer owner, struct frame *frame);
    /** It crashed, ended, broke the protocol or was too late, and is no more: why, for people. */
    void (*gone)(gpointer owner, const char *why);
};

/**
 * Start a program of ours, with `their_end` as its descriptor 3, in a session of its own: what a terminal sends to the
 * service is for the service to pass on. 0, or an errno.
 */
int process_start(const char *name, int their_end, pid_t *pid);

/** NULL: this one cannot be started; the reason says what the machine is short of. */
struct process *process_take(struct service *service, const struct process_user *user, gpointer owner, GError **error);
/**
 * One that another service had, at the other end of `fd`, which it takes. Its frames come to `user`, the first of them
 * FRAME_HELD. NULL: it is not the user's, or gone.
 */
struct process *process_adopt(struct service *service, int fd, const struct process_user *user, gpointer owner,
                              GError **error);
/** Read what it says now, or within `ms`. */
void process_await(struct process *process, guint ms);
/** It belongs to files that were replaced: what it has goes on, but it begins nothing new. */
gboolean process_is_other(const struct process *process);
/** It has not ended. */
gboolean process_lives(const struct process *process);
/** It may still say something. */
gboolean process_is_open(const struct process *process);
/** Somebody else has it from now on. */
void process_pass(struct process *process, const struct process_user *user, gpointer owner);
pid_t process_pid(const struct process *process);
/** Let it go without a word, to the next service. */
void process_forget(struct process *process);
/** Send; what does not get through ends in `gone`. The descriptors stay the caller's. */
void process_send(struct process *process, enum frame_type type, const GByteArray *pack, const int *fds, guint n_fds);
/**
 * The same. FALSE: we are short of what a large frame takes, and nothing was sent; nothing else has come of it.
 */
gboolean process_try_send(struct process *process, enum frame_type type, const GByteArray *pack, const int *fds,
                          guint n_fds, GError **error);
/** It must answer within `ms`, else it is killed; 0: it has nothing to do. The phase goes into every reason. */
void process_expect(struct process *process, enum phase phase, guint64 ms);
/** Within `ms` at the latest. */
void process_hurry(struct process *process, guint64 ms);
/** It sent what it may not send, and is killed. */
void process_fail(struct process *process, const char *what);
/** Not needed any more: it ends by itself. */
void process_release(struct process *process);
/** The same for one that has something to end first, which takes no longer than this. */
void process_release_within(struct process *process, guint ms);
/** End it: it has nothing that is worth keeping. */
void process_discard(struct process *process);

/** Have one ready soon. */
void processes_prepare(struct service *service);
/** None will be needed any more. */
void processes_stop(struct service *service);
/** At the end: kill what is left. */
void processes_clear(struct service *service);

G_END_DECLS
#endif
