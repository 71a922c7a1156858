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


/** A regular file or symbolic link seen by a scan. */
struct dsb_file_entry {
    uint64_t size, ino;
    int64_t mtime_ns, ctime_ns;
};
struct dsb_scan {
    GHashTable *files; /**< char * relative path -> struct dsb_file_entry *; NULL when only totals were asked */
    uint64_t bytes;    /**< allocated (st_blocks) */
    uint64_t inodes;
    gboolean truncated; /**< a bound was reached; totals are a lower bound */
};
/** Walk the directory; bounded in entries, depth and time. */
void dsb_workdir_scan(const struct dsb_workdir *dir, gboolean want_files, struct dsb_scan *scan);
void dsb_scan_clear(struct dsb_scan *scan);

/** Remove ephemeral directories whose owner is gone. Returns how many (would be, when dry_run). */
unsigned dsb_workdir_gc(const char *base, gboolean dry_run);

#endif
