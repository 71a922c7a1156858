/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_OPENAT2_H
#define DSB_COMMON_OPENAT2_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * openat2() over no link and no magic link; `beneath` also over no mount, and not out of `dir`. `path` has no "..";
 * where it is not beneath, it may be absolute. O_NOFOLLOW is among the `flags`. Where there is no openat2 (ENOSYS: a kernel
 * before 5.6, valgrind, some sandboxes) it goes component by component, each looked at through a descriptor that cannot
 * be replaced any more, and is as strict; where it cannot know about mounts, it is ENOSYS. No heap, no GLib: also good in
 * a forked child. Returns a descriptor, or -1 with errno: ELOOP a link, EXDEV a mount or a way out.
 */
int dsb_openat2(int dir, const char *path, int flags, mode_t mode, bool beneath);

#endif
