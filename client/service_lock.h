/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_SERVICE_LOCK_H
#define DSB_CLIENT_SERVICE_LOCK_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/*
 * Who has a socket. A service holds two locks as long as it lives: one beside its socket, and one in the state
 * directory, since cleaners empty the directory of the socket, and a service whose files are gone is still there.
 * Both are files that have its number, and behind it "ending" when it takes no more work, or "yields".
 */

/** The lock of a socket in a state directory, of this boot of this machine (g_free). NULL: it cannot be known now. */
char *lock_lasting_path(const char *state_dir, const char *socket_path, GError **error);

/**
 * Lock the file of that path, made when it is not there. -1: BUSY, somebody has it; else *error says why it cannot be
 * opened or locked. The file is closed to let it go.
 */
int lock_take(const char *path, GError **error);
/** The locked file is still the one of that path. */
gboolean lock_is_at(int fd, const char *path);
/** What a service says of itself, for those who want its place. */
enum lock_state {
    LOCK_STAYS,  /**< only a signal ends it */
    LOCK_YIELDS, /**< SIGUSR1 asks it to leave once nothing runs */
    LOCK_ENDING  /**< it takes no more work */
};
/** Say who has it. */
void lock_sign(int fd, enum lock_state state);
/** Remove the files of services of the state directory that have ended. */
void lock_sweep(const char *state_dir);

struct lock_holder {
    gint64 pid; /**< -1: nobody has it; 0: not known */
    gboolean ending;
    gboolean yields;
};
/** Who has the socket. FALSE: it cannot be told. */
gboolean lock_holder(const char *socket_path, struct lock_holder *holder, GError **error);

G_END_DECLS
#endif
