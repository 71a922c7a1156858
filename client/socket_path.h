/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_SOCKET_PATH_H
#define DSB_CLIENT_SOCKET_PATH_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/*
 * Where the service's socket and the files beside it are; the client and the service agree on them here.
 * api.sock: the socket. api.lock: held by a client while it starts a service. api.pid: held by the service as long as
 * it lives; see service_lock.h. api.log: what the service says when a client started it.
 */

/** How an answer begins that says that nothing was done, and that another service can do it. */
#define SERVICE_ENDING "the service is ending"
/** Nothing was done here, either, and another service can come only when this one is idle, or told to end. */
#define SERVICE_REPLACED "the files of this installation changed since the service started"

/** api.sock in common/runtime_dir.h (g_free). */
char *socket_default_path(void);
/** Where records, the audit log and the lasting lock are: $XDG_STATE_HOME/dsandbox (g_free). */
char *socket_state_dir(void);
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
