/* SPDX-License-Identifier: MIT */
/* What the session directory says when the code has ended: which files changed, and whether the limit on disk held. */
#ifndef DSB_RUN_FILE_CHANGES_H
#define DSB_RUN_FILE_CHANGES_H

#include "hostdir/scan.h"
#include "run/result.h"

/**
 * Write what became of the files into the result: `before` was made just before the code started, `after` when it had
 * ended, both have files. Where `before` is truncated, `since_ns` (from dsb_scan_wait) tells what is new. What is not
 * compared by `until_us` (monotonic) is missing, and the result says so.
 */
void dsb_file_changes(const struct dsb_scan *before, const struct dsb_scan *after, int64_t since_ns, gint64 until_us,
                      struct dsb_result *result);
/** The usual time for it. */
gint64 dsb_file_changes_end(void);

/**
 * The last word on the limit, from a scan after the code ended: a writer that ends between two looks of the watcher
 * gets no `ok`. Changes the status of a result that is ok or error.
 */
void dsb_disk_settle(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes, struct dsb_result *result);

#endif
