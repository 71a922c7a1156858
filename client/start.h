/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_START_H
#define DSB_CLIENT_START_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/**
 * Start the service that is to listen on a socket, once for all who ask at the same time. `answers` tells whether it
 * answers. UNAVAILABLE: it does not, after 30 s or because it ended; the message has its last words. CANCELLED:
 * `cancel_fd` (-1: none) became readable.
 */
gboolean client_start(const char *socket_path, int cancel_fd, gboolean (*answers)(void *data), void *data,
                      GError **error);

/**
 * What the service gets of our environment (g_strfreev), and its plugins of it; the rest is none of its business for all
 * the time that it lives.
 */
char **client_environment(void);

G_END_DECLS
#endif
