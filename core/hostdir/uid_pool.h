/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_UID_POOL_H
#define DSB_HOSTDIR_UID_POOL_H

#include <dsandbox/error.h>
#include <stdint.h>

/*
 * Users of their own for the sandboxes of root on a rootful engine: the kernel counts many things per user, and one
 * sandbox could take all of them from the others. A uid (and the gid of the same number) belongs to a session
 * directory for as long as that is there; the directory's owner says which. A pool is one directory for the whole
 * machine with a file for each uid that is taken: it is locked while a sandbox lives, and names the directory.
 */
struct dsb_uid_pool {
    int fd; /**< of its directory; -1: none */
    uint32_t first, count;
};

/** The machine's pool, for root only. FALSE: DENIED, or REFUSED when no range of uids can be used here. */
gboolean dsb_uids_open(struct dsb_uid_pool *pool, GError **error);
void dsb_uids_close(struct dsb_uid_pool *pool);

/** Whether a uid is one that this program gives to sandboxes. */
gboolean dsb_uids_ours(uint32_t uid);

/**
 * Take a uid for the session directory `path` in the directory `base`: `owner` when that is one of the pool's, else a
 * fresh one. Returns the locked claim, for dsb_uids_release; -1: BUSY another sandbox lives with it, LIMIT all are
 * taken, DENIED.
 */
int dsb_uids_claim(const struct dsb_uid_pool *pool, int base, const char *path, uint32_t owner, uint32_t *uid,
                   GError **error);
/** The directory of this claim has another path now. */
void dsb_uids_moved(int claim, const char *path);
/** The sandbox is gone; `keep`: the directory is still there and keeps its uid. */
void dsb_uids_release(const struct dsb_uid_pool *pool, int claim, uint32_t uid, gboolean keep);

/** The uid's directory was removed. It stays taken while a process has it; then dsb_uids_gc is for it. */
void dsb_uids_give_back(const struct dsb_uid_pool *pool, uint32_t uid);
/** Give back all whose directory is gone and that no process has. */
void dsb_uids_gc(const struct dsb_uid_pool *pool);

#endif
