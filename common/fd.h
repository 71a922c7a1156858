/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_FD_H
#define DSB_COMMON_FD_H

#include <glib.h>
#include <unistd.h>

/** A descriptor that closes itself: g_auto(dsb_fd). -1: none. */
typedef int dsb_fd;

static inline void dsb_fd_clear(dsb_fd *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsb_fd, dsb_fd_clear)

#endif
