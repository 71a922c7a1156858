/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_FILES_H
#define DSB_BROKER_FILES_H

#include "broker/request.h"

G_BEGIN_DECLS

/** Requests about files of a session, on the pool's threads, since a disk may take its time. */
void files_request(struct request *request);
/** Delete the record, and with ?files=1 the directory, of a session that has ended. */
void past_delete(struct request *request);
/** The session ends (NULL: the service does), and so does what is on its way from it or to it. */
void transfers_end(const char *id);
gboolean transfers_has(const char *id);

G_END_DECLS
#endif
