/* SPDX-License-Identifier: MIT */
/* Counts what a session directory holds, and lists its files. */
#include "hostdir/scan.h"

#include "policy/fields.h"

#include <dsandbox/error.h>
#include <string.h>
#include <time.h>

#define MAX_FILE_DEPTH 64
#define MAX_ENTRIES 200000
#define MAX_US (10 * G_USEC_PER_SEC)
/* Of one list of files: two at a time make the 16 MiB that a session directory may take of our memory. */
#define MAX_LIST_BYTES (8u << 20)
/* Of inodes with several names; what is beyond counts for each name, which is more, not less. */
#define MAX_LINKED 100000
/* File times come in steps of 10 ms at most. */
#define MAX_STEP_NS 20000000
#define WAIT_US 500

static int64_t nanoseconds(const struct timespec *at)
{
    const int64_t limit = G_MAXINT64 / 1000000000 - 1;
    return CLAMP((int64_t) at->tv_sec, -limit, limit) * 1000000000 + at->tv_nsec;
}

static int64_t file_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return nanoseconds(&now);
}

int64_t dsb_scan_wait(const struct dsb_scan *scan)
{
    int64_t now = file_clock();
    /* a time in the future is no change of now */
    while (scan->newest_ns >= now && scan->newest_ns - now < MAX_STEP_NS) {
        g_usleep(WAIT_US);
        now = file_clock();
    }
    return now;
}

const char *dsb_scan_path(const struct dsb_scan *scan, const struct dsb_file_entry *file)
{
    return (const char *) scan->paths->data + file->path;
}

static void note_file(struct dsb_scan *scan, const char *path, const struct stat *st)
{
    gsize size = strlen(path) + 1;
    if (scan->paths->len + size + (scan->files->len + 1) * sizeof(struct dsb_file_entry) > MAX_LIST_BYTES) {
        scan->truncated = TRUE;
        return;
    }
    struct dsb_file_entry file = {.path = scan->paths->len,
                                  .size = (uint64_t) st->st_size,
                                  .ino = st->st_ino,
                                  .mtime_ns = nanoseconds(&st->st_mtim),
                                  .ctime_ns = nanoseconds(&st->st_ctim)};
    g_byte_array_append(scan->paths, (const guint8 *) path, (guint) size);
    g_array_append_val(scan->files, file);
}

static int by_number(gconstpointer a, gconstpointer b) { return a < b ? -1 : a > b; }

/* FALSE: its blocks were counted with another name. */
static gboolean is_first_name(struct dsb_scan *scan, const struct stat *st)
{
    gpointer ino = GSIZE_TO_POINTER((gsize) st->st_ino);
    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return TRUE;
    if (g_tree_lookup_node(scan->linked, ino) != NULL)
        return FALSE;
    if (g_tree_nnodes(scan->linked) < MAX_LINKED)
        g_tree_insert(scan->linked, ino, NULL);
    return TRUE;
}

static gboolean visit(void *data, const char *path, guint depth, const struct stat *st)
{
    struct dsb_scan *scan = data;
    scan->inodes++;
    if (is_first_name(scan, st))
        scan->bytes += (uint64_t) st->st_blocks * 512;
    if (scan->files == NULL)
        return TRUE;
    scan->newest_ns = MAX(scan->newest_ns, nanoseconds(&st->st_ctim));
    if (depth > MAX_FILE_DEPTH)
        scan->truncated = TRUE;
    else if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
        note_file(scan, path, st);
    return TRUE;
}

void dsb_scan_begin(int fd, uint64_t max_inodes, struct dsb_scan *scan)
{
    *scan = (struct dsb_scan){.linked = g_tree_new(by_number)};
    scan->walk = (struct dsb_walk){
        .max_entries = max_inodes != 0 ? (gsize) max_inodes : MAX_ENTRIES, .unlock = TRUE, .visit = visit, .data = scan};
    dsb_walk_begin(&scan->walk, fd);
}

gboolean dsb_scan_go_on(struct dsb_scan *scan, gint64 until_us) { return dsb_walk_go_on(&scan->walk, until_us); }

void dsb_scan_end(struct dsb_scan *scan, gboolean whole)
{
    dsb_walk_end(&scan->walk);
    g_clear_pointer(&scan->linked, g_tree_unref);
    scan->hidden = scan->walk.hidden;
    scan->shortage = scan->walk.shortage;
    scan->cut = scan->hidden || scan->walk.truncated || !whole;
    scan->truncated |= scan->cut;
}

static int by_path(gconstpointer a, gconstpointer b, gpointer paths)
{
    const struct dsb_file_entry *first = a, *second = b;
    return strcmp((const char *) paths + first->path, (const char *) paths + second->path);
}

void dsb_scan_run(int fd, gboolean want_files, uint64_t max_inodes, struct dsb_scan *scan)
{
    struct stat st;
    dsb_scan_begin(fd, max_inodes, scan);
    if (want_files) {
        scan->files = g_array_new(FALSE, FALSE, sizeof(struct dsb_file_entry));
        scan->paths = g_byte_array_new();
    }
    dsb_scan_end(scan, dsb_scan_go_on(scan, g_get_monotonic_time() + MAX_US));
    if (!want_files)
        return;
    g_array_sort_with_data(scan->files, by_path, scan->paths->data);
    if (fstat(fd, &st) == 0) /* what was removed from the top */
        scan->newest_ns = MAX(scan->newest_ns, nanoseconds(&st.st_ctim));
}

char *dsb_scan_over(const struct dsb_scan *scan, uint64_t max_bytes, uint64_t max_inodes)
{
    g_autofree char *bytes = dsb_render_bytes(max_bytes);
    if (scan->bytes > max_bytes)
        return g_strdup_printf("/sandbox held more than the policy's disk of %s", bytes);
    if (scan->inodes > max_inodes)
        return g_strdup_printf("/sandbox held more than the policy's disk_inodes of %" G_GUINT64_FORMAT, max_inodes);
    if (scan->shortage != 0)
        return g_strdup_printf("what /sandbox held could not be counted, so that the policy's disk could not be "
                               "checked: %s",
                               dsb_errno_text(scan->shortage));
    if (scan->hidden)
        return g_strdup("a directory in /sandbox could not be looked into, so that the policy's disk could not be "
                        "checked");
    return scan->cut ? g_strdup("what /sandbox held could not be counted in time, so that the policy's disk could not "
                                "be checked")
                     : NULL;
}

void dsb_scan_clear(struct dsb_scan *scan)
{
    g_clear_pointer(&scan->files, g_array_unref);
    g_clear_pointer(&scan->paths, g_byte_array_unref);
}
