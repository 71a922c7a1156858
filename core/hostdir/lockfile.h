/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_LOCKFILE_H
#define DSB_HOSTDIR_LOCKFILE_H

/**
 * Open a file below `dir` and lock it for this process alone, at once or not at all; flags are 0, O_CREAT or
 * O_CREAT | O_EXCL. Whoever removes such a file holds its lock. -1 with errno: EWOULDBLOCK another has it, ENOENT,
 * EEXIST, others of open.
 */
int dsb_lock_file(int dir, const char *path, int flags);
/**
 * The same, but for a moment it waits for another: one that is ending, or that only looks whether the lock is free.
 */
int dsb_await_lock_file(int dir, const char *path, int flags);
/** Unlock and close. A child that another thread is just making may hold a copy until it becomes its program. */
void dsb_unlock_file(int fd);

#endif
