/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_DISK_WATCH_H
#define DSB_HOSTDIR_DISK_WATCH_H

#include "hostdir/scan.h"

/**
 * The limit on disk while code runs: a watcher, since no engine limits a bind mount. It counts in small pieces of time
 * and takes at most about a tenth of it, so that a large tree is looked at less often.
 */
struct dsb_watch {
    int fd; /**< the session directory */
    uint64_t max_bytes, max_inodes;
    gint64 slice_us, spend_max_us; /**< of one piece; of one whole count */
    gint64 next_us;                /**< when to look again, monotonic */
    char *reason;                  /**< over: why */
    /* private */
    struct dsb_scan scan;
    gboolean counting;
    gint64 spent_us, counted_at_us;
    uint64_t counted_bytes;
    guint hidden; /**< counts in a row that did not see everything */
};

void dsb_watch_init(struct dsb_watch *watch, int fd, uint64_t max_bytes, uint64_t max_inodes);
/** Look, for a short time. FALSE: over the limit, `reason` says which. */
gboolean dsb_watch_look(struct dsb_watch *watch);
void dsb_watch_clear(struct dsb_watch *watch);

/**
 * What must stay free on the host's file system: 256 MiB, or 1 % of it where that is less; and of its inodes 10 000,
 * or 1 %. FALSE: it is not, *reason (g_free) says so.
 */
gboolean dsb_watch_room(int fd, char **reason);

#endif
