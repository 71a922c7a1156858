/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_QUEUE_H
#define DSB_BROKER_QUEUE_H

#include "broker/session.h"

G_BEGIN_DECLS

/*
 * Jobs wait for their turn: those of a session one after the other, and those that take a place of the service's
 * `max_running` for one of them.
 */

/** Queue a job of a session. LIMIT: the queue is full (the job is still the caller's then). */
gboolean session_submit(struct session *session, struct job *job, GError **error);
/** An execution would start at once. */
gboolean session_is_free(const struct session *session);
/** Start a one-shot job; it waits in the run queue like others. LIMIT: the queue is full. */
gboolean run_submit(struct job *job, GError **error);
/** Drop a job whose client is gone: out of its queue, or interrupted. */
void job_abandon(struct request *request);
/** Cancel an execution, running or waiting. */
void job_interrupt(struct job *job);

/* --- for session.c ------------------------------------------------------------ */

/** Something runs or waits. */
gboolean queue_is_working(const struct session *session);
/** A job that another service began takes its place, however many there are. */
void queue_place_take(struct job *job);
/** It is over: the next ones begin. */
void queue_place_end(struct job *job);
/** Begin the next job, if its turn has come; without one the session rests. */
void queue_go_on(struct session *session);
/** What waits will not run, and its clients are told why. */
void queue_drop(struct session *session, const char *why);

G_END_DECLS
#endif
