/* SPDX-License-Identifier: MIT */
#ifndef DSB_WORKDIR_H
#define DSB_WORKDIR_H

#include <dsandbox/error.h>
#include <stdint.h>
#include <sys/types.h>

#define DSB_DEFAULT_BASE_DIR "/tmp/sandboxes"

/**
 * One session's directory on the host, opened and locked. Its content is hostile: everything here works on
 * descriptors, never follows a link, and every walk is bounded.
 */
struct dsb_workdir {
    char *path; /**< absolute; for the engine's bind mount only */
    char *name;
    int base_fd, fd, lock_fd;
    gboolean ephemeral; /**< removed by close */
    gboolean stale;     /**< the last holder did not close it: its container may still be there. Close keeps it so */
    uint64_t dev, ino;
};

/** [A-Za-z0-9][A-Za-z0-9_.-]{0,63} */
gboolean dsb_session_id_valid(const char *id);

/**
 * Names the directory of a session, a fresh ephemeral one for NULL, without touching anything. Returns its path, and
 * *name (g_free both); NULL: INVALID. `base` NULL: DSB_DEFAULT_BASE_DIR.
 */
char *dsb_workdir_plan(const char *base, const char *session, char **name, GError **error);

/**
 * Open (create when absent) BASE/NAME for files of uid:gid, under an exclusive lock. `name` is from dsb_workdir_plan.
 * DENIED: the base directory is not ours or others can write it. BUSY: another process has the session.
 */
gboolean dsb_workdir_open(const char *base, const char *name, uid_t uid, gid_t gid, struct dsb_workdir **out,
                          GError **error);
/** Remove an ephemeral directory, unlock, free. */
void dsb_workdir_close(struct dsb_workdir *dir);

/** The base directory (NULL: the default), made when `make`; -1: DENIED when it is not ours alone, NOT_FOUND. */
int dsb_workdir_open_base(const char *base, gboolean make, GError **error);
/** Take the lock of BASE/NAME; close to unlock. -1: BUSY, DENIED. */
int dsb_workdir_lock(int base, const char *name, GError **error);
/** Remove the lock's file; the caller holds the lock. */
void dsb_workdir_drop_lock(int base, const char *name);
/** Remove BASE/NAME with all content. Returns 0, or an errno as dsb_mapped_clear. The caller holds the lock. */
int dsb_workdir_remove(int base, const char *name);

/**
 * Remove ephemeral directories whose owner is gone, and locks without a directory. Returns how many directories went
 * (would go, when dry_run, which changes nothing).
 */
unsigned dsb_workdir_gc(const char *base, gboolean dry_run);

#endif
