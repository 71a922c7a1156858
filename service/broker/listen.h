/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_LISTEN_H
#define DSB_BROKER_LISTEN_H

#include "broker/service.h"

G_BEGIN_DECLS

/**
 * Take the unix socket (service_socket.h) and, when asked for, the TCP address; accepted connections go to
 * service->server. A socket that is removed is made again. BUSY: a service has this socket already.
 */
struct listener *listener_new(struct service *service, GError **error);
/** The service ends: nobody finds it any more. */
void listener_ending(struct listener *listener);
/** There are connections whose request has not come yet. */
gboolean listener_expects(const struct listener *listener);
void listener_free(struct listener *listener);

G_END_DECLS
#endif
