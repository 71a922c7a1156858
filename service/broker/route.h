/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_ROUTE_H
#define DSB_BROKER_ROUTE_H

#include "broker/request.h"

G_BEGIN_DECLS

/** Handle a request whose body is complete. */
void route(struct service *service, SoupServerMessage *message);
/** Handle it anew: the session in its way is gone. */
void route_again(struct request *request);

G_END_DECLS
#endif
