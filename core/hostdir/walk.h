/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_WALK_H
#define DSB_HOSTDIR_WALK_H

#include <glib.h>
#include <sys/stat.h>

/** Paths are known down to this level; what is deeper is visited without one. */
#define DSB_WALK_NAMED 65

/**
 * One walk through a session directory: no link, no mount, no recursion on the stack, at most 64 descriptors however
 * deep the tree is, and a bound in bytes on the names that it remembers. Set the limits, `visit` and `data`; the rest
 * starts as 0.
 */
struct dsb_walk {
    gsize max_entries;
    guint max_depth;  /**< levels below the top that are entered; 0: all */
    gboolean shallow; /**< only what is directly in it */
    gint64 deadline_us;
    gboolean unlock; /**< look into unreadable directories of ours, too: dsb_open_dir */
    /**
     * `path` is relative, until the next call, NULL below DSB_WALK_NAMED; `depth` 1 is directly below the top. FALSE
     * ends the walk, which is truncated then.
     */
    gboolean (*visit)(void *data, const char *path, guint depth, const struct stat *st);
    void *data;
    /* results */
    gsize entries;
    gboolean truncated;           /**< a limit was reached */
    gboolean hidden;              /**< something could not be looked into: unreadable, a mount, moved away meanwhile */
    int shortage;                 /**< hidden because this process was short of something: errno, or 0 */
    struct dsb_walk_state *state; /**< private */
};

/** `fd` stays the caller's. */
void dsb_walk_run(struct dsb_walk *walk, int fd);

/** The same in pieces, for a caller with other things to do: begin, go on until it returns TRUE, end. */
void dsb_walk_begin(struct dsb_walk *walk, int fd);
/** Work until `until_us` (monotonic), at least a little. TRUE: all was seen, or a limit was reached. */
gboolean dsb_walk_go_on(struct dsb_walk *walk, gint64 until_us);
/** At any time after begin. */
void dsb_walk_end(struct dsb_walk *walk);

#endif
