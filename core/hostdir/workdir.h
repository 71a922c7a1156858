/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_WORKDIR_H
#define DSB_HOSTDIR_WORKDIR_H

#include "hostdir/uid_pool.h"

#include <dsandbox/error.h>
#include <stdint.h>
#include <sys/types.h>

#define DSB_LOCKS ".locks"     /* in the base directory */
#define DSB_EPHEMERAL ".run-"  /* how directories of runs begin */
#define DSB_POOLED ".pool-"    /* and those of sandboxes that wait for somebody */

/**
 * One session's directory on the host, opened and locked. Its content is hostile: everything here works on
 * descriptors, never follows a link, and every walk is bounded.
 */
struct dsb_workdir {
    char *path; /**< absolute; for the engine's bind mount only */
    char *name;
    int base_fd, fd, lock_fd;
    gboolean ephemeral; /**< removed by close */
    gboolean made;      /**< by dsb_workdir_enter: it was not there before */
    gboolean unused;    /**< set by whoever could not use it: close removes it if it was made and is empty, and the lock */
    char *former;       /**< stale: how the last holder's container is labelled, where that is not by this name; else NULL */
    gboolean stale;     /**< the last holder did not close it: its container may still be there. Close keeps it so */
    uint64_t dev, ino;
    struct dsb_uid_pool uids;
    int uid_fd;       /**< the claim of own_uid, or -1 */
    uint32_t own_uid; /**< of this directory alone; also the gid */
};

/**
 * Names the directory of a session, a fresh ephemeral one for NULL, without touching anything. Returns its path, and
 * *name (g_free both); NULL: INVALID. `base` NULL: the default.
 */
char *dsb_workdir_plan(const char *base, const char *session, char **name, GError **error);

/**
 * Take a session, a fresh ephemeral one for NULL, under an exclusive lock; its directory is not touched before
 * dsb_workdir_enter. `base` NULL: the default, made.
 * INVALID: a bad id or base. DENIED: the base directory is not ours alone. BUSY: another process has the session.
 */
gboolean dsb_workdir_open(const char *base, const char *session, struct dsb_workdir **out, GError **error);
/** The same for a sandbox that waits for somebody: a fresh directory of its own, which is ephemeral. */
gboolean dsb_workdir_open_pooled(const char *base, struct dsb_workdir **out, GError **error);
/**
 * It is the directory of this session from now on, and keeps its inode. FALSE, and nothing has changed: INVALID; BUSY;
 * CONFLICT: there is something of the session's already, which is not to be touched.
 */
gboolean dsb_workdir_become(struct dsb_workdir *dir, const char *session, GError **error);
/** A directory of this name belongs to one process, and goes with it. */
gboolean dsb_workdir_is_ephemeral(const char *name);
/** Take a uid that no other sandbox has, the directory's if it has one: own_uid. For root. Errors of dsb_uids_claim. */
gboolean dsb_workdir_claim(struct dsb_workdir *dir, GError **error);
/** Open (create when absent) its directory for files of uid:gid. DENIED: it is another's. */
gboolean dsb_workdir_enter(struct dsb_workdir *dir, uid_t uid, gid_t gid, GError **error);
/** Remove an ephemeral directory, and one that a dead run left, unlock, free. */
void dsb_workdir_close(struct dsb_workdir *dir);

/** Take the lock of BASE/NAME; close to unlock. -1: BUSY, DENIED. */
int dsb_workdir_lock(int base, const char *name, GError **error);
/** Remove the lock's file; the caller holds the lock. */
void dsb_workdir_drop_lock(int base, const char *name);
/** Remove BASE/NAME with all content. Returns 0, or an errno as dsb_userns_remove_content. The caller holds the lock. */
int dsb_workdir_remove(int base, const char *name);

/**
 * Remove ephemeral directories whose owner is gone, and locks and uids without a directory. Returns how many directories went
 * (would go, when dry_run, which changes nothing).
 */
unsigned dsb_workdir_gc(const char *base, gboolean dry_run);

#endif
