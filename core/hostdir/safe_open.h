/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_SAFE_OPEN_H
#define DSB_HOSTDIR_SAFE_OPEN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The only ways in which the content of a session directory is opened. No heap, no GLib: also good in a forked child.
 */

/**
 * dsb_openat2 beneath `dir`: over no link, magic link or mount. O_CLOEXEC and O_NOFOLLOW are added, and O_NONBLOCK and
 * O_NOCTTY, so that a FIFO or a terminal neither blocks nor binds us. Returns a descriptor, or -1 with errno.
 */
int dsb_open_beneath(int dir, const char *path, int flags, mode_t mode);

/**
 * Open a directory for reading. `unlock`: one of ours whose mode keeps us from reading, searching or changing it gets
 * these rights for its owner first (code may hide files from a count, or from removal, by mode 000).
 */
int dsb_open_dir(int dir, const char *path, bool unlock);

/** Only the unlocking. */
void dsb_unlock_dir(int dir, const char *name);

#endif
