/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_BASEDIR_H
#define DSB_HOSTDIR_BASEDIR_H

#include <dsandbox/error.h>

/**
 * The base directory (NULL: dsb_default_base_dir), made when `make`. It is locked in shared mode for as long as the
 * descriptor is open: systemd-tmpfiles leaves directories alone that somebody has locked. -1: DENIED when it is not
 * ours alone, NOT_FOUND.
 */
int dsb_base_open(const char *base, gboolean make, GError **error);

/**
 * Why an engine, the code's user or root may be kept out of `path` (FUSE, NFS), and what to do: the end of a message
 * that says that one was. `otherwise`, where the file system does no such thing. Static, or `otherwise`.
 */
const char *dsb_base_keeps_out(const char *path, const char *otherwise);

/** The rule of dsb_default_base_dir: `shared`, or `shared`-UID (g_free). */
char *dsb_base_choose(const char *shared);

/** Why `base` cannot be this user's base directory, or NULL (g_free). */
char *dsb_base_problem(const char *base);

/**
 * The default for a sandbox that is about to be made, so that two users who begin at the same moment do not get the
 * same: /tmp/sandboxes is made when it is nobody's. Static.
 */
const char *dsb_base_take_default(void);

#endif
