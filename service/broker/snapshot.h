/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_SNAPSHOT_H
#define DSB_BROKER_SNAPSHOT_H

#include "broker/session.h"

G_BEGIN_DECLS

/*
 * What the service gives to the process of a session to keep, and what the next service makes a session of. The process
 * does not read it; frames.h has the frames.
 */

/** All of FRAME_SETTINGS, for a process that is this session's from now on. */
void snapshot_pack_settings(const struct session *session, GByteArray *pack);
/** FRAME_SESSION: what changes with a new sandbox alone. */
void snapshot_pack_session(const struct session *session, GByteArray *pack);
/** FRAME_TAKEN: what changes with each execution. `arrived`: the outcome; `ran`: an execution, the last in history. */
void snapshot_pack_taken(const struct session *session, gboolean arrived, gboolean ran, GByteArray *pack);

/** What a process has kept. */
struct held {
    struct session *session; /**< in the table of the service; without its process, and its times do not run */
    struct job *job;         /**< its current one, whose outcome is still to come; NULL: it is idle */
};
/** Of FRAME_HELD: the process, as of common/owner.h (g_free). NULL: it does not say. */
char *snapshot_owner(const struct frame *frame);
/** Of FRAME_HELD, whose descriptor it takes. FALSE: *error; a CONFLICT when there is a session of that id. */
gboolean snapshot_unpack(struct service *service, struct frame *frame, struct held *held, GError **error);

G_END_DECLS
#endif
