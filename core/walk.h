/* SPDX-License-Identifier: MIT */
#ifndef DSB_WALK_H
#define DSB_WALK_H

#include <glib.h>
#include <sys/stat.h>

/**
 * One walk through a session directory: no link, no mount, no recursion on the stack, at most 64 descriptors however
 * deep the tree is. Set the limits, `visit` and `data`; the rest starts as 0.
 */
struct dsb_walk {
    gsize max_entries;
    guint max_depth;  /**< levels below the top that are entered; 0: all */
    gboolean shallow; /**< only what is directly in it */
    gint64 deadline_us;
    gboolean unlock; /**< look into unreadable directories of ours, too: dsb_open_dir */
    /** `path` is relative, until the next call; `depth` 1 is directly below the top. */
    void (*visit)(void *data, const char *path, guint depth, const struct stat *st);
    void *data;
    /* results */
    gsize entries;
    gboolean truncated; /**< a limit was reached */
    gboolean hidden;    /**< something could not be looked into: unreadable, a mount, moved away meanwhile */
};

/** `fd` stays the caller's. */
void dsb_walk_run(struct dsb_walk *walk, int fd);

#endif
