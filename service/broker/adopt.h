/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_ADOPT_H
#define DSB_BROKER_ADOPT_H

#include "broker/service.h"

G_BEGIN_DECLS

/**
 * Sessions whose service ended without them: their processes are found by their sockets (session_socket.h), and each that answers
 * is a session of ours as it was of the former service. It waits a moment for all of them; one that answers later is
 * taken then. Before the first request.
 */
void adopt_all(struct service *service);
/** Those that have not answered are left to the next service. */
void adopt_end(struct service *service);

G_END_DECLS
#endif
