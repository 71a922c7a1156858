/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_SERVICE_SOCKET_H
#define DSB_BROKER_SERVICE_SOCKET_H

#include "broker/service.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/** Where programs find a service: its socket and its locks. Cleaners remove what they find; the service lives on. */
struct service_socket;

/**
 * Take the socket's path for this process, while another service ends. INVALID, DENIED (the directory); BUSY: another
 * one answers there, or does not end. With options->stay one that answers is asked to leave once nothing runs there, and
 * waited for without an end; CANCELLED: a signal that is blocked came meanwhile.
 */
struct service_socket *service_socket_take(const struct options *options, GError **error);
/** A new socket that listens there. NULL: *error. */
GSocket *service_socket_bind(struct service_socket *own, GError **error);
/** What programs need to find us is there, and is ours. */
gboolean service_socket_is_good(const struct service_socket *own);
/**
 * Make anew what was removed; *socket gets the new one that listens, NULL where the old one does. FALSE: it is not
 * possible now, or somebody else has it.
 */
gboolean service_socket_repair(struct service_socket *own, GSocket **socket, GError **error);
/** No work is taken any more: programs wait for our end. */
void service_socket_ending(struct service_socket *own);
/** Somebody else may have it. */
void service_socket_free(struct service_socket *own);

G_END_DECLS
#endif
