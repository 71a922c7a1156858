/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_START_H
#define DSB_CLIENT_START_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/**
 * Start the service that is to listen on a socket, once for all who ask at the same time. `answers` tells whether it
 * answers. UNAVAILABLE: it does not, after 30 s or because it ended; the message has its last words.
 */
gboolean client_start(const char *socket_path, gboolean (*answers)(void *data), void *data, GError **error);

G_END_DECLS
#endif
