/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_DISPATCH_H
#define DSB_BROKER_DISPATCH_H

#include "broker/session.h"

G_BEGIN_DECLS

/** Jobs of a session to its process, in their order (dispatch.c). A job is dispatch's until session_job_done. */
void dispatch_give(struct session *session, struct job *job);
/** It has this process, which is busy with `job`, or idle (NULL). */
void dispatch_resume(struct session *session, struct process *process, struct job *job);
/** Its process is to keep what the session is now, and what came of the job (NULL: it changed without one). */
void dispatch_keep(struct session *session, const struct job *job);
/** Its process goes on, without us. FALSE: it has none. */
gboolean dispatch_hand_over(struct session *session);
/** The session has nothing to do any more. */
void dispatch_end(struct session *session);
/** A job without a session, until run_done or gc_done. */
void dispatch_give_single(struct job *job);
/** What a process makes a sandbox with that ends with the service. FALSE: as process_try_send. */
gboolean dispatch_send_settings(struct process *process, const struct settings *settings, GError **error);
/** It was cancelled: it may not take long now. */
void dispatch_hurry(struct job *job);

/** The answer to a call of the job's. FALSE: it has ended, or we are short of something. */
gboolean dispatch_return(struct job *job, const GByteArray *pack, GError **error);

G_END_DECLS
#endif
