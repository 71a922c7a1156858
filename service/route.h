/* SPDX-License-Identifier: MIT */
#ifndef DSB_ROUTE_H
#define DSB_ROUTE_H

#include "request.h"

G_BEGIN_DECLS

/** Handle a request whose body is complete. */
void route(struct service *service, SoupServerMessage *message);
/** Handle it anew: the session in its way is gone. */
void route_again(struct request *request);

/** Files of a session and gc (chores.c): what takes time but needs no session's worker. */
void files_request(struct request *request);
void gc_request(struct request *request);
/** Delete the record, and with ?files=1 the directory, of a session that has ended. */
void past_delete(struct request *request);
/** Remove what dead services left, at the engines of their records and at the default one. */
void gc_at_start(struct service *service);
void chore_run(gpointer chore, gpointer service);

G_END_DECLS
#endif
