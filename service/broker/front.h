/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_FRONT_H
#define DSB_BROKER_FRONT_H

#include "broker/request.h"

G_BEGIN_DECLS

/*
 * /mcp. A process of its own speaks that protocol (service/front/): it is started by the first request, makes nothing
 * before a tool is called, and is a client of this service as any other. Requests go to it, and answers come back piece
 * by piece, unread.
 */

/** POST or DELETE of /mcp. */
void front_request(struct request *request);
/** The service ends: what the process has under way is cancelled. */
void front_stop(struct service *service);
/** At once, with its process. */
void front_clear(struct service *service);

/** What sessions of /mcp are made with: a file with the body of POST /v1/sessions; NULL: defaults (g_free). */
char *front_read_settings(const char *path, GError **error);

G_END_DECLS
#endif
