/* SPDX-License-Identifier: MIT */
/* The limit on disk while code runs: counts again and again, for a short time each. */
#include "hostdir/disk_watch.h"

#include "policy/fields.h"

#include <sys/statvfs.h>

#define FLOOR_BYTES (UINT64_C(256) << 20)
#define FLOOR_INODES UINT64_C(10000)
#define FLOOR_PART 100
/* The usual step, and the shortest one, when the limit is near. */
#define LOOK_US 25000
#define LOOK_SOON_US 5000
#define SLICE_US 20000
/* Of a count's time, the pause after it is this many times as long. */
#define PAUSE 10
#define HIDDEN_MAX 5
#define SPEND_US (20 * G_USEC_PER_SEC)
#define SPEND_PER_INODE_US 50

static gint64 now(void) { return g_get_monotonic_time(); }

void dsb_watch_init(struct dsb_watch *watch, int fd, uint64_t max_bytes, uint64_t max_inodes)
{
    *watch = (struct dsb_watch){.fd = fd,
                                .max_bytes = max_bytes,
                                .max_inodes = max_inodes,
                                .slice_us = SLICE_US,
                                .spend_max_us = SPEND_US + (gint64) MIN(max_inodes, G_MAXUINT32) * SPEND_PER_INODE_US,
                                .next_us = now() + LOOK_SOON_US};
}

void dsb_watch_clear(struct dsb_watch *watch)
{
    if (watch->counting)
        dsb_scan_end(&watch->scan, FALSE);
    watch->counting = FALSE;
    g_clear_pointer(&watch->reason, g_free);
}

/* GLib's has a space that terminals without UTF-8 show as "?". */
static char *size_text(uint64_t bytes)
{
    g_autofree char *text = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_auto(GStrv) words = g_strsplit(text, "\u00a0", -1);
    return g_strjoinv(" ", words);
}

gboolean dsb_watch_room(int fd, char **reason)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) < 0) {
        *reason = g_strdup("the free space of the host's file system could not be read");
        return FALSE;
    }
    uint64_t left = (uint64_t) fs.f_bavail * fs.f_frsize;
    uint64_t floor = MIN(FLOOR_BYTES, (uint64_t) fs.f_blocks * fs.f_frsize / FLOOR_PART);
    if (left < floor) {
        g_autofree char *have = size_text(left);
        g_autofree char *want = size_text(floor);
        *reason = g_strdup_printf("the host's file system has only %s free, and %s must stay free", have, want);
        return FALSE;
    }
    /* some file systems have no fixed number of inodes, and state 0 */
    if (fs.f_files == 0 || (uint64_t) fs.f_favail >= CLAMP((uint64_t) fs.f_files / FLOOR_PART, 1, FLOOR_INODES))
        return TRUE;
    *reason =
        g_strdup_printf("the host's file system has only %" G_GUINT64_FORMAT " free inodes", (uint64_t) fs.f_favail);
    return FALSE;
}

/* Half of the time in which the rest of the limit would be written at the speed seen last. */
static gint64 step(struct dsb_watch *watch)
{
    gint64 since = watch->counted_at_us != 0 ? now() - watch->counted_at_us : 0;
    uint64_t bytes = watch->scan.bytes;
    uint64_t grown = bytes > watch->counted_bytes ? bytes - watch->counted_bytes : 0;
    watch->counted_at_us = now();
    watch->counted_bytes = bytes;
    if (since <= 0 || grown == 0 || bytes >= watch->max_bytes)
        return LOOK_US;
    double left_us = (double) (watch->max_bytes - bytes) / (double) grown * (double) since;
    return left_us / 2 >= LOOK_US ? LOOK_US : MAX((gint64) (left_us / 2), LOOK_SOON_US);
}

static gboolean over(struct dsb_watch *watch, char *reason)
{
    watch->reason = reason;
    return FALSE;
}

static gboolean judge(struct dsb_watch *watch)
{
    struct dsb_scan *scan = &watch->scan;
    watch->counting = FALSE;
    dsb_scan_end(scan, TRUE);
    watch->hidden = scan->hidden ? watch->hidden + 1 : 0;
    /* Directories that move while we look hide for once what is in them; those that hide every time do so on purpose.
     */
    if (scan->hidden && watch->hidden < HIDDEN_MAX)
        scan->hidden = scan->cut = FALSE, scan->shortage = 0;
    watch->reason = dsb_scan_over(scan, watch->max_bytes, watch->max_inodes);
    watch->next_us = now() + MAX(step(watch), watch->spent_us * PAUSE);
    return watch->reason == NULL;
}

gboolean dsb_watch_look(struct dsb_watch *watch)
{
    struct dsb_scan *scan = &watch->scan;
    char *reason = NULL;
    gint64 began = now();
    if (!dsb_watch_room(watch->fd, &reason))
        return over(watch, reason);
    if (!watch->counting) {
        dsb_scan_begin(watch->fd, watch->max_inodes + 1, scan);
        watch->counting = TRUE;
        watch->spent_us = 0;
    }
    gboolean whole = dsb_scan_go_on(scan, began + watch->slice_us);
    watch->spent_us += now() - began;
    if (whole || scan->bytes > watch->max_bytes || scan->inodes > watch->max_inodes)
        return judge(watch);
    if (watch->spent_us > watch->spend_max_us) {
        watch->counting = FALSE;
        dsb_scan_end(scan, FALSE);
        return over(watch, dsb_scan_over(scan, watch->max_bytes, watch->max_inodes));
    }
    watch->next_us = now() + 2 * watch->slice_us;
    return TRUE;
}
