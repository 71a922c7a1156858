/* SPDX-License-Identifier: MIT */
#ifndef DSB_RECORD_H
#define DSB_RECORD_H

#include "session.h"

G_BEGIN_DECLS

/**
 * A small file of each session in STATE_DIR/sessions, so that a session whose service or sandbox ended can come back
 * under its id with its files, and say what was lost. Only deleting a session deletes its record; else the newest 1 000
 * of the last 7 days are kept.
 */
struct record {
    char *path;
    char *id;
    char *reason;               /**< why its interpreter is gone */
    struct json_object *create; /**< what it was made with */
    gint64 ended;               /**< real time, about */
};

/** Read all records into service->past, but for those of living services. Returns their distinct engines for gc. */
void records_load(struct service *service);
/** The session has a sandbox. */
void record_write(const struct session *session);
/** It ended for session->end_reason (NULL: deleted): keep it in service->past, or forget it. */
void record_end(const struct session *session);
/** The past of an id, and forget it in memory; NULL: none. The file stays until the next record_write or _end. */
struct record *record_take(struct service *service, const char *id);
/** Delete the record of a session that ended. FALSE: there is none. */
gboolean record_forget(struct service *service, const char *id);
void record_free(struct record *record);

/** UID.PID.START of this process, as on our containers' labels (g_free), and whether such an owner is dead. */
char *owner_self(void);
gboolean owner_is_dead(const char *owner);

G_END_DECLS
#endif
