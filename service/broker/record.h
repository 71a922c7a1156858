/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_RECORD_H
#define DSB_BROKER_RECORD_H

#include "broker/session.h"

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
    char *image;                /**< the image of its last sandbox, in full; NULL: there was none */
    gint64 ended;               /**< real time, about */
};

/** Read all records into service->past, but for those of living services. Returns their distinct engines for gc. */
void records_load(struct service *service);
/** The session has a sandbox. */
void record_write(struct session *session);
/** The same, when the last one could not be written. */
void record_again(struct session *session);
/**
 * It ended for session->end_reason (NULL: deleted): keep it in service->past, or forget it. `kept`, or NULL: why its
 * files could not be deleted, so that they can be found, and deleted, again.
 */
void record_end(struct session *session, const GError *kept);
/** The past of an id, and forget it in memory; NULL: none. The file stays until the next record_write or _end. */
struct record *record_take(struct service *service, const char *id);
/** Delete the record of a session that ended. FALSE: there is none. */
gboolean record_forget(struct service *service, const char *id);
void record_free(struct record *record);

G_END_DECLS
#endif
