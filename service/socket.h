/* SPDX-License-Identifier: MIT */
#ifndef DSB_SOCKET_H
#define DSB_SOCKET_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/*
 * Where the service's socket and the files beside it are; the client and the service agree on them here.
 * api.sock: the socket. api.lock: held by a client while it starts a service. api.pid: held by the service as long as
 * it lives. api.log: what the service says when a client started it.
 */

/** $XDG_RUNTIME_DIR/dsandbox/api.sock, else /tmp/.dsandbox-UID/api.sock (g_free). */
char *socket_default_path(void);
/** The file beside a socket that ends in `suffix` instead of ".sock" (g_free). */
char *socket_sibling(const char *socket_path, const char *suffix);
/**
 * The directory of the socket is there and nobody else can put a socket into it. The default one is made, mode 0700.
 * DENIED, INVALID (a path that is too long or relative).
 */
gboolean socket_check_dir(const char *socket_path, GError **error);
/** Open a sibling for locking, mode 0600, never through a link. -1: *error. */
int socket_open_lock(const char *path, GError **error);

G_END_DECLS
#endif
