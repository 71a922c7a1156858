/* SPDX-License-Identifier: MIT */
/* What the session directory says when the code has ended. */
#include "run/file_changes.h"

#include <string.h>

#define COMPARED_AT_ONCE 1024
#define COMPARE_US (2 * G_USEC_PER_SEC)

static gboolean differs(const struct dsb_file_entry *old, const struct dsb_file_entry *new)
{
    return old->mtime_ns != new->mtime_ns || old->ctime_ns != new->ctime_ns || old->ino != new->ino ||
           old->size != new->size;
}

/* NULL behind the last one. */
static const struct dsb_file_entry *entry_at(const struct dsb_scan *scan, guint i)
{
    return i < scan->files->len ? &g_array_index(scan->files, struct dsb_file_entry, i) : NULL;
}

gint64 dsb_file_changes_end(void) { return g_get_monotonic_time() + COMPARE_US; }

void dsb_file_changes(const struct dsb_scan *before, const struct dsb_scan *after, int64_t since_ns, gint64 until_us,
                      struct dsb_result *result)
{
    guint i = 0, k = 0, looks = 0;
    result->files_truncated |= before->truncated || after->truncated;
    while (i < before->files->len || k < after->files->len) {
        if (looks++ % COMPARED_AT_ONCE == 0 && g_get_monotonic_time() >= until_us) {
            result->files_truncated = TRUE;
            return;
        }
        const struct dsb_file_entry *old = entry_at(before, i);
        const struct dsb_file_entry *new = entry_at(after, k);
        int order = old == NULL ? 1 : new == NULL ? -1 : strcmp(dsb_scan_path(before, old), dsb_scan_path(after, new));
        if (order < 0 && !after->truncated)
            dsb_result_add_file(result, DSB_CHANGE_DELETED, dsb_scan_path(before, old), old->size);
        else if (order > 0 && (!before->truncated || new->ctime_ns >= since_ns))
            dsb_result_add_file(result, DSB_CHANGE_CREATED, dsb_scan_path(after, new), new->size);
        else if (order == 0 && differs(old, new))
            dsb_result_add_file(result, DSB_CHANGE_MODIFIED, dsb_scan_path(after, new), new->size);
        i += order <= 0;
        k += order >= 0;
    }
}

void dsb_disk_settle(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes, struct dsb_result *result)
{
    if (!result->ran || result->failure != NULL ||
        (result->status != DSB_STATUS_OK && result->status != DSB_STATUS_ERROR))
        return;
    char *reason = dsb_scan_over(scan, max_bytes, max_inodes);
    if (reason != NULL)
        dsb_result_over_disk(result, reason, scan->shortage != 0);
}
