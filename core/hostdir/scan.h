/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_SCAN_H
#define DSB_HOSTDIR_SCAN_H

#include "hostdir/walk.h"

#include <stdint.h>

/** A regular file or symbolic link seen by a scan. */
struct dsb_file_entry {
    uint32_t path; /**< where it begins in `paths` */
    uint64_t size, ino;
    int64_t mtime_ns, ctime_ns;
};

struct dsb_scan {
    GArray *files;        /**< struct dsb_file_entry by path; NULL when only totals were asked */
    GByteArray *paths;    /**< relative, each with its NUL */
    int64_t newest_ns;    /**< when what was seen changed last */
    GTree *linked;        /**< inodes with several names, so that they count once */
    uint64_t bytes;       /**< allocated (st_blocks) */
    uint64_t inodes;      /**< names */
    gboolean truncated;   /**< files are not all */
    gboolean hidden;      /**< something could not be looked into */
    int shortage;         /**< hidden, since this process was short of something: errno, or 0 */
    gboolean cut;         /**< hidden, or a bound was reached: totals are a lower bound */
    struct dsb_walk walk; /**< while it goes on */
};

/**
 * Walk a session directory; bounded in entries and time. `max_inodes` 0: the usual bound; it bounds the totals, the
 * list of files has a bound of its own, in bytes. Directories of ours that are unreadable are made readable for their owner,
 * since the limit on disk would not hold otherwise.
 */
void dsb_scan_run(int fd, gboolean want_files, uint64_t max_inodes, struct dsb_scan *scan);
void dsb_scan_clear(struct dsb_scan *scan);

/** The same in pieces, without files; as dsb_walk_begin. Do not move `scan` in between. */
void dsb_scan_begin(int fd, uint64_t max_inodes, struct dsb_scan *scan);
gboolean dsb_scan_go_on(struct dsb_scan *scan, gint64 until_us);
/** `whole`: what dsb_scan_go_on said last. */
void dsb_scan_end(struct dsb_scan *scan, gboolean whole);

/**
 * Why the totals are above a limit, in words (g_free), or NULL. Totals that are a lower bound are above every limit:
 * what cannot be counted is not believed to be small.
 */
char *dsb_scan_over(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes);

/**
 * Wait until file times are later than all that the scan saw: times come in steps of some milliseconds, and a change in
 * the step of another cannot be told from it. Returns the time from which on changes are new.
 */
int64_t dsb_scan_wait(const struct dsb_scan *scan);

/** Of an entry of `files`. */
const char *dsb_scan_path(const struct dsb_scan *scan, const struct dsb_file_entry *file);

#endif
