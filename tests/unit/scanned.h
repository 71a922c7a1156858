/* SPDX-License-Identifier: MIT */
#ifndef DSB_TEST_SCANNED_H
#define DSB_TEST_SCANNED_H

#include "hostdir/scan.h"

#include <string.h>

/* The scan's list has this file. */
static inline gboolean scan_has(const struct dsb_scan *scan, const char *path)
{
    const char *paths = (const char *) scan->paths->data;
    for (guint i = 0; i < scan->files->len; i++)
        if (strcmp(paths + g_array_index(scan->files, struct dsb_file_entry, i).path, path) == 0)
            return TRUE;
    return FALSE;
}

#endif
