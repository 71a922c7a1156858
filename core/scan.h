/* SPDX-License-Identifier: MIT */
#ifndef DSB_SCAN_H
#define DSB_SCAN_H

#include "result.h"
#include "walk.h"

/** A regular file or symbolic link seen by a scan. */
struct dsb_file_entry {
    uint64_t size, ino;
    int64_t mtime_ns, ctime_ns;
};

struct dsb_scan {
    GHashTable *files;    /**< char * relative path -> struct dsb_file_entry *; NULL when only totals were asked */
    GHashTable *dirs;     /**< char * relative path -> int64_t * ctime in ns; "" is the top */
    GHashTable *linked;   /**< inodes with several names, so that they count once */
    uint64_t bytes;       /**< allocated (st_blocks) */
    uint64_t inodes;      /**< names */
    gboolean truncated;   /**< files and dirs are not all */
    gboolean hidden;      /**< something could not be looked into */
    gboolean cut;         /**< hidden, or a bound was reached: totals are a lower bound */
    struct dsb_walk walk; /**< while it goes on */
};

/**
 * Walk a session directory; bounded in entries and time. `max_inodes` 0: the usual bound; it bounds the totals, the
 * list of files has a bound of its own. Directories of ours that are unreadable are made readable for their owner,
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
 * The last word on the limit, from a scan after the code ended: a writer that ends between two looks of the watcher
 * gets no `ok`. Changes the status of a result that is ok or error.
 */
void dsb_scan_settle(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes, struct dsb_result *result);

/** Now, by the clock that file times come from. */
int64_t dsb_scan_clock(void);

/**
 * Write what became of the files into the result. Both scans have files. What happened before `since_ns` (0: all
 * counts) is not this execution's: the host, or a process that an earlier one left behind, did it.
 */
void dsb_scan_compare(const struct dsb_scan *before, const struct dsb_scan *after, int64_t since_ns,
                      struct dsb_result *result);

#endif
