/* SPDX-License-Identifier: MIT */
#ifndef DSB_SCAN_H
#define DSB_SCAN_H

#include "result.h"

/** A regular file or symbolic link seen by a scan. */
struct dsb_file_entry {
    uint64_t size, ino;
    int64_t mtime_ns, ctime_ns;
};

struct dsb_scan {
    GHashTable *files;  /**< char * relative path -> struct dsb_file_entry *; NULL when only totals were asked */
    GHashTable *dirs;   /**< char * relative path -> int64_t * ctime in ns; "" is the top */
    GHashTable *linked; /**< inodes with several names, so that they count once */
    uint64_t bytes;     /**< allocated (st_blocks) */
    uint64_t inodes;    /**< names */
    gboolean truncated; /**< a bound was reached; totals are a lower bound */
    gboolean hidden;    /**< something could not be looked into */
};

/**
 * Walk a session directory; bounded in entries and time. `max_inodes` 0: the usual bound. Directories of ours that
 * are unreadable are made readable for their owner, since the limit on disk would not hold otherwise.
 */
void dsb_scan_run(int fd, gboolean want_files, uint64_t max_inodes, struct dsb_scan *scan);
void dsb_scan_clear(struct dsb_scan *scan);

/** Now, by the clock that file times come from. */
int64_t dsb_scan_clock(void);

/**
 * Write what became of the files into the result. Both scans have files. What happened before `since_ns` (0: all
 * counts) is not this execution's: the host, or a process that an earlier one left behind, did it.
 */
void dsb_scan_compare(const struct dsb_scan *before, const struct dsb_scan *after, int64_t since_ns,
                      struct dsb_result *result);

#endif
