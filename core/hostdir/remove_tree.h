/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_REMOVE_TREE_H
#define DSB_HOSTDIR_REMOVE_TREE_H

#include <stdint.h>

/** How far a removal goes. */
struct dsb_remove_limits {
    uint64_t entries;
    unsigned ms;
};

/**
 * Remove everything in the directory `fd`, which may be deep, unreadable, or changed by others meanwhile: what is
 * removed was inside it at that moment, and no link or mount is crossed. Constant stack, memory and descriptors;
 * directories with content are moved up into `fd` on their way. No heap, no GLib.
 * Returns 0 when it is empty, EOVERFLOW when a limit was passed, else the errno of what could not be removed.
 */
int dsb_remove_content(int fd, const struct dsb_remove_limits *limits);

#endif
