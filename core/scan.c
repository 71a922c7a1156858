/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include "fields.h"

#include <string.h>
#include <time.h>

#define MAX_FILE_DEPTH 64
#define MAX_FILES 200000
#define MAX_US (10 * G_USEC_PER_SEC)

static int64_t nanoseconds(const struct timespec *at) { return (int64_t) at->tv_sec * 1000000000 + at->tv_nsec; }

int64_t dsb_scan_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return nanoseconds(&now);
}

static void note_dir(struct dsb_scan *scan, const char *path, const struct stat *st)
{
    int64_t *changed = g_new(int64_t, 1);
    *changed = nanoseconds(&st->st_ctim);
    g_hash_table_insert(scan->dirs, g_strdup(path), changed);
}

static void note_file(struct dsb_scan *scan, const char *path, const struct stat *st)
{
    struct dsb_file_entry *file = g_new(struct dsb_file_entry, 1);
    *file = (struct dsb_file_entry){.size = (uint64_t) st->st_size,
                                    .ino = st->st_ino,
                                    .mtime_ns = nanoseconds(&st->st_mtim),
                                    .ctime_ns = nanoseconds(&st->st_ctim)};
    g_hash_table_insert(scan->files, g_strdup(path), file);
}

static void visit(void *data, const char *path, guint depth, const struct stat *st)
{
    struct dsb_scan *scan = data;
    scan->inodes++;
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2 ||
        g_hash_table_add(scan->linked, GSIZE_TO_POINTER((gsize) st->st_ino)))
        scan->bytes += (uint64_t) st->st_blocks * 512;
    if (scan->files == NULL)
        return;
    if (depth > MAX_FILE_DEPTH || scan->inodes > MAX_FILES)
        scan->truncated = TRUE;
    else if (S_ISDIR(st->st_mode))
        note_dir(scan, path, st);
    else if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
        note_file(scan, path, st);
}

void dsb_scan_begin(int fd, uint64_t max_inodes, struct dsb_scan *scan)
{
    *scan = (struct dsb_scan){.linked = g_hash_table_new(NULL, NULL)};
    scan->walk = (struct dsb_walk){
        .max_entries = max_inodes != 0 ? (gsize) max_inodes : MAX_FILES, .unlock = TRUE, .visit = visit, .data = scan};
    dsb_walk_begin(&scan->walk, fd);
}

gboolean dsb_scan_go_on(struct dsb_scan *scan, gint64 until_us) { return dsb_walk_go_on(&scan->walk, until_us); }

void dsb_scan_end(struct dsb_scan *scan, gboolean whole)
{
    dsb_walk_end(&scan->walk);
    g_clear_pointer(&scan->linked, g_hash_table_unref);
    scan->hidden = scan->walk.hidden;
    scan->cut = scan->hidden || scan->walk.truncated || !whole;
    scan->truncated |= scan->cut;
}

void dsb_scan_run(int fd, gboolean want_files, uint64_t max_inodes, struct dsb_scan *scan)
{
    struct stat st;
    dsb_scan_begin(fd, max_inodes, scan);
    if (want_files) {
        scan->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        scan->dirs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    }
    dsb_scan_end(scan, dsb_scan_go_on(scan, g_get_monotonic_time() + MAX_US));
    if (want_files && fstat(fd, &st) == 0)
        note_dir(scan, "", &st);
}

char *dsb_scan_over(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes)
{
    g_autofree char *bytes = dsb_render_bytes(max_bytes);
    if (scan->bytes > max_bytes)
        return g_strdup_printf("/sandbox held more than the policy's disk of %s", bytes);
    if (scan->inodes > max_inodes)
        return g_strdup_printf("/sandbox held more than the policy's disk_inodes of %" G_GUINT64_FORMAT, max_inodes);
    if (scan->hidden)
        return g_strdup("a directory in /sandbox could not be looked into, so that the policy's disk could not be "
                        "checked");
    return scan->cut ? g_strdup("what /sandbox held could not be counted in time, so that the policy's disk could not "
                                "be checked")
                     : NULL;
}

void dsb_scan_settle(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes, struct dsb_result *result)
{
    if (!result->ran || result->failure != NULL ||
        (result->status != DSB_STATUS_OK && result->status != DSB_STATUS_ERROR))
        return;
    char *reason = dsb_scan_over(scan, max_bytes, max_inodes);
    if (reason != NULL)
        dsb_result_over_disk(result, reason);
}

void dsb_scan_clear(struct dsb_scan *scan)
{
    g_clear_pointer(&scan->files, g_hash_table_unref);
    g_clear_pointer(&scan->dirs, g_hash_table_unref);
}

static void compare_one(const struct dsb_scan *before, const char *path, const struct dsb_file_entry *now,
                        int64_t since_ns, struct dsb_result *result)
{
    const struct dsb_file_entry *old = g_hash_table_lookup(before->files, path);
    if (now->ctime_ns < since_ns)
        return;
    if (old == NULL)
        dsb_result_add_file(result->created, path, now->size);
    else if (old->mtime_ns != now->mtime_ns || old->ctime_ns != now->ctime_ns || old->ino != now->ino ||
             old->size != now->size)
        dsb_result_add_file(result->modified, path, now->size);
}

/* When the nearest directory that is still there last changed: no later than that, the file went. */
static int64_t gone_at(const struct dsb_scan *after, const char *path)
{
    g_autofree char *dir = g_strdup(path);
    for (;;) {
        char *slash = strrchr(dir, '/');
        *(slash != NULL ? slash : dir) = '\0';
        const int64_t *changed = g_hash_table_lookup(after->dirs, dir);
        if (changed != NULL)
            return *changed;
        if (dir[0] == '\0')
            return G_MAXINT64;
    }
}

void dsb_scan_compare(const struct dsb_scan *before, const struct dsb_scan *after, int64_t since_ns,
                      struct dsb_result *result)
{
    GHashTableIter iter;
    gpointer path, entry;
    result->files_truncated = before->truncated || after->truncated;
    g_hash_table_iter_init(&iter, after->files);
    while (g_hash_table_iter_next(&iter, &path, &entry))
        compare_one(before, path, entry, since_ns, result);
    if (after->truncated)
        return;
    g_hash_table_iter_init(&iter, before->files);
    while (g_hash_table_iter_next(&iter, &path, &entry)) {
        const struct dsb_file_entry *old = entry;
        if (g_hash_table_lookup(after->files, path) == NULL && gone_at(after, path) >= since_ns)
            dsb_result_add_file(result->deleted, path, old->size);
    }
}
