/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_SESSION_SOCKET_H
#define DSB_CLIENT_SESSION_SOCKET_H

#include <dsandbox/error.h>
#include <sys/types.h>

G_BEGIN_DECLS

/*
 * Where the processes of sessions wait for a service when theirs is gone: sockets SESSION@PID in the directory
 * api.sessions beside the service's own socket. It is the user's alone, mode 0700, and the service of that socket is the
 * only one that looks into it: it has the lock.
 */
struct session_socket;

/** A socket of this process for that session, which listens. NULL: *error. */
struct session_socket *session_socket_new(const char *socket_path, const char *session, GError **error);
/** The descriptor that listens, of the kind of frames.h. */
int session_socket_fd(const struct session_socket *own);
/** Make it again where a cleaner has removed it. FALSE: not possible now. *again: it is another descriptor now. */
gboolean session_socket_repair(struct session_socket *own, gboolean *again);
/** Removes the socket, if it is still its own; `own` may be NULL. */
void session_socket_free(struct session_socket *own);

/** The directory, opened. -1: it is not there (errno ENOENT), or not the user's alone (EPERM). */
int session_socket_open(const char *socket_path);
/** Session and process (0: unknown) of a name in it (g_free). NULL: that is no such name. */
char *session_socket_parse(const char *name, pid_t *pid);
/** Connect to a socket of it. -1: errno; ECONNREFUSED: nobody listens any more. Only what is a socket of the user's. */
int session_socket_connect(int dir, const char *name);
/** Remove the socket of a process that is dead. FALSE: we are short of what it takes to look; ask again. */
gboolean session_socket_forget(const char *socket_path, pid_t dead);
/** There may be sessions that wait for a service. */
gboolean session_socket_any(const char *socket_path);
/** The process at the other end, when it is the user's; else -1. */
pid_t session_socket_peer(int fd);

G_END_DECLS
#endif
