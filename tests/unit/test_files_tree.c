/* SPDX-License-Identifier: MIT */
/* Whole trees of a session: they are removed, compared and counted, whatever is in them. */
#include "files_fixture.h"

#define FAR_FUTURE 11000000000 /* the year 2318 */

static void removal_asks_before_content(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    put("d/e/f", "x");
    put("keep", "x");
    assert_false(dsb_files_remove(files, "d", FALSE, &error));
    assert_failed(&error, DSB_ERROR_CONFLICT);
    assert_true(dsb_files_remove(files, "d", TRUE, &error));
    assert_false(dsb_files_remove(files, "d", TRUE, &error));
    assert_failed(&error, DSB_ERROR_NOT_FOUND);
    assert_true(dsb_files_remove(files, "keep", FALSE, &error));
    g_autoptr(GPtrArray) left = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    assert_int_equal(left->len, 0);
}

/* A chain of directories, each made in the one before; the last one gets a file. */
static void dig(int dir, const char *name, unsigned levels)
{
    int fd = dup(dir);
    for (unsigned i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    int file = openat(fd, "end", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(file, "x", 1), 1);
    close(file);
    close(fd);
}

static gboolean count(void *data, const char *path, guint depth, const struct stat *st)
{
    guint *deepest = data;
    (void) path;
    (void) st;
    *deepest = MAX(*deepest, depth);
    return TRUE;
}

static void deep_trees_are_counted_and_removed(void **state)
{
    (void) state;
    struct rlimit few = {100, 100}, before;
    guint deepest = 0;
    dig(top_fd, "d", DEEP);
    put("d/other", "x");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct dsb_walk walk = {.max_entries = 3 * DEEP,
                            .deadline_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC,
                            .visit = count,
                            .data = &deepest};
    dsb_walk_run(&walk, top_fd);
    assert_false(walk.truncated);
    assert_false(walk.hidden);
    assert_int_equal(walk.entries, DEEP + 2);
    assert_int_equal(deepest, DEEP + 1);
    gboolean truncated = FALSE;
    g_autoptr(GPtrArray) list = dsb_files_list(files, NULL, TRUE, 0, &truncated, NULL);
    assert_true(truncated);
    assert_int_equal(list->len, DSB_FILES_DEPTH_MAX + 2);
    clock_t began = clock(); /* of the processor: a busy machine is no fault */
    assert_true(dsb_files_clear(files, NULL));
    assert_true(clock() - began < 30 * CLOCKS_PER_SEC);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    g_autoptr(GPtrArray) left = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    assert_int_equal(left->len, 0);
}

static void everything_odd_goes(void **state)
{
    (void) state;
    assert_int_equal(mkfifoat(top_fd, "fifo", 0), 0);
    make_socket("socket");
    assert_int_equal(symlinkat(outside, top_fd, "link"), 0);
    assert_int_equal(symlinkat("nowhere", top_fd, "dangling"), 0);
    assert_int_equal(linkat(AT_FDCWD, outside, top_fd, "hard", 0), 0);
    put("locked/in/here", "x");
    put("locked/file", "x");
    put("-rf", "x");
    put("\xff\xfe $(id) \n", "x");
    for (int i = 0; i < 3000; i++) {
        g_autofree char *name = g_strdup_printf("many/%d", i);
        put(name, "");
    }
    assert_int_equal(fchmodat(top_fd, "locked/in", 0, 0), 0);
    assert_int_equal(fchmodat(top_fd, "locked", 0, 0), 0);
    assert_int_equal(fchmodat(top_fd, "-rf", 0, 0), 0);
    assert_true(dsb_files_clear(files, NULL));
    g_autoptr(GPtrArray) left = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    assert_int_equal(left->len, 0);
    assert_true(g_file_test(outside, G_FILE_TEST_EXISTS));
}

/* In the child: what a rootless container with other users than ours would leave. No heap here. */
static int leave_foreign(void *data)
{
    (void) data;
    static const char *const names[] = {"foreign", "foreign/in", "foreign/in/side"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (mkdirat(top_fd, names[i], 0700) < 0 || fchownat(top_fd, names[i], 5, 6, AT_SYMLINK_NOFOLLOW) < 0)
            return errno;
    int file = openat(top_fd, "foreign/in/side/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return file >= 0 && fchown(file, 7, 8) == 0 ? 0 : errno;
}

static void files_of_subordinate_users_go(void **state)
{
    (void) state;
    int made = dsb_userns_run(leave_foreign, NULL, 10000);
    if (made == ENOTSUP)
        skip();
    assert_int_equal(made, 0);
    const struct dsb_remove_limits limits = {1000, 10000};
    assert_int_equal(dsb_remove_content(top_fd, &limits), EACCES);
    assert_true(dsb_files_clear(files, NULL));
    assert_int_equal(faccessat(top_fd, "foreign", F_OK, 0), -1);
}

static void removal_has_a_bound(void **state)
{
    (void) state;
    const struct dsb_remove_limits few = {5, 60000};
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("f%d", i);
        put(name, "");
    }
    assert_int_equal(dsb_remove_content(top_fd, &few), EOVERFLOW);
    assert_true(dsb_files_clear(files, NULL));
}

static gint stop_swapping;

/* Code that does its worst while we remove: directories change place with links that lead out, and come anew. */
static gpointer swap(gpointer data)
{
    (void) data;
    int done = 0; /* how often something worked: any of it may fail */
    unsigned i = 0;
    do {
        done += mkdirat(top_fd, "a", 0700) == 0;
        done += mkdirat(top_fd, "a/b", 0700) == 0;
        done += mkdirat(top_fd, "a/b/c", 0700) == 0;
        done += renameat(top_fd, "a/b", top_fd, "moved") == 0;
        done += symlinkat(out_dir, top_fd, "a/b") == 0;
        done += renameat(top_fd, "moved", top_fd, "a/b") == 0;
        done += fchmodat(top_fd, "a", i % 2 ? 0 : 0700, AT_SYMLINK_NOFOLLOW) == 0;
        done += unlinkat(top_fd, "x", 0) == 0;
        done += symlinkat(out_dir, top_fd, "x") == 0;
        done += renameat2(top_fd, "x", top_fd, "a", RENAME_EXCHANGE) == 0;
        i++;
    } while (!g_atomic_int_get(&stop_swapping));
    return GINT_TO_POINTER(done);
}

static void nothing_outside_is_removed_however_it_moves(void **state)
{
    (void) state;
    g_atomic_int_set(&stop_swapping, 0);
    GThread *hostile = g_thread_new("swap", swap, NULL);
    const struct dsb_remove_limits limits = {100000, 20};
    for (int i = 0; i < 40; i++) {
        struct dsb_scan scan;
        dsb_remove_content(top_fd, &limits);
        dsb_scan_run(top_fd, TRUE, 0, &scan);
        assert_false(scan_has(&scan, "x/.outside"));
        dsb_scan_clear(&scan);
        g_autoptr(GBytes) leaked = dsb_files_read(files, "x/.outside", 100, NULL);
        assert_null(leaked);
        leaked = dsb_files_read(files, "a/.outside", 100, NULL);
        assert_null(leaked);
        dsb_files_write(files, "a/b/.outside", "w", 1, 0, NULL);
    }
    g_atomic_int_set(&stop_swapping, 1);
    assert_true(GPOINTER_TO_INT(g_thread_join(hostile)) > 0);
    g_autofree char *secret = NULL;
    assert_true(g_file_get_contents(outside, &secret, NULL, NULL));
    assert_string_equal(secret, "secret");
}

static struct dsb_result *changes(const struct dsb_scan *before, int64_t since_ns)
{
    struct dsb_scan after;
    struct dsb_result *result = dsb_result_new();
    dsb_scan_run(top_fd, TRUE, 0, &after);
    dsb_file_changes(before, &after, since_ns, dsb_file_changes_end(), result);
    dsb_scan_clear(&after);
    return result;
}

static void assert_changes(const struct dsb_result *result, const char *created, const char *modified,
                           const char *deleted)
{
    const char *const expected[] = {created, modified, deleted};
    for (gsize i = 0; i < DSB_N_CHANGES; i++) {
        g_autoptr(GString) names = g_string_new(NULL);
        for (guint k = 0; k < result->files[i]->len; k++) {
            const struct dsb_changed_file *file = result->files[i]->pdata[k];
            g_string_append_printf(names, "%s%s", k > 0 ? " " : "", file->path);
        }
        assert_string_equal(names->str, expected[i]);
    }
}

/* Right after each other: in the same step of the file system's clock. */
static void only_this_executions_changes_count(void **state)
{
    (void) state;
    for (int i = 0; i < 50; i++) {
        struct dsb_scan before;
        put("old", "1");
        put("same", "1");
        put("gone/early", "1");
        put("gone/late/file", "1");
        put("new", "by the host");
        put("read and removed", "by the host");
        assert_true(dsb_files_remove(files, "gone/early", FALSE, NULL));
        dsb_scan_run(top_fd, TRUE, 0, &before);
        int64_t since_ns = dsb_scan_wait(&before);
        struct dsb_result *quiet = changes(&before, since_ns);
        assert_changes(quiet, "", "", "");
        dsb_result_free(quiet);
        int fd = openat(top_fd, "old", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "2", 1, 0), 1); /* same size, same inode */
        close(fd);
        put("code", "by the code");
        assert_true(dsb_files_remove(files, "read and removed", FALSE, NULL));
        assert_true(dsb_files_remove(files, "gone/late", TRUE, NULL));
        struct dsb_result *code = changes(&before, since_ns);
        assert_changes(code, "code", "old", "gone/late/file read and removed");
        dsb_result_free(code);
        dsb_scan_clear(&before);
        assert_true(dsb_files_clear(files, NULL));
    }
}

/* After the year 2262 nanoseconds do not fit into 64 bits: such a time is the greatest one, and no change by itself. */
static void times_of_the_far_future_are_the_greatest(void **state)
{
    (void) state;
    const struct timespec far[2] = {{.tv_sec = FAR_FUTURE}, {.tv_sec = FAR_FUTURE}};
    struct dsb_scan before;
    struct stat st;
    put("far", "1");
    assert_int_equal(utimensat(top_fd, "far", far, 0), 0);
    assert_int_equal(fstatat(top_fd, "far", &st, 0), 0);
    if (st.st_mtim.tv_sec != FAR_FUTURE)
        skip(); /* this file system ends earlier */
    dsb_scan_run(top_fd, TRUE, 0, &before);
    int64_t since_ns = dsb_scan_wait(&before);
    assert_true(g_array_index(before.files, struct dsb_file_entry, 0).mtime_ns > since_ns);
    g_autoptr(dsb_result) quiet = changes(&before, since_ns);
    assert_changes(quiet, "", "", "");
    put("near", "1");
    assert_int_equal(utimensat(top_fd, "far", NULL, 0), 0);
    g_autoptr(dsb_result) now = changes(&before, since_ns);
    assert_changes(now, "near", "far", "");
    dsb_scan_clear(&before);
    assert_int_equal(utimensat(top_fd, "far", far, 0), 0);
    g_autoptr(GPtrArray) list = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    assert_true(((struct dsb_file_info *) list->pdata[0])->mtime_ns == G_MAXINT64);
}

/* What a list cannot hold is left out, and said. */
static void names_have_a_budget(void **state)
{
    (void) state;
    struct dsb_scan before, after;
    gboolean truncated = FALSE;
    const int n = 500;
    g_autofree char *name = g_strnfill(240, '\x01');
    int fd = fcntl(top_fd, F_DUPFD_CLOEXEC, 3);
    dsb_scan_run(top_fd, TRUE, 0, &before);
    for (int i = 0; i < DSB_FILES_DEPTH_MAX - 1; i++) {
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    for (int i = 0; i < n * 2; i++) { /* twice 500 paths of 15 KB: 15 MB */
        g_autofree char *file = g_strdup_printf("%s%d", name, i);
        close(openat(fd, file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    close(fd);
    dsb_scan_run(top_fd, TRUE, 0, &after);
    assert_true(after.truncated);
    assert_false(after.cut); /* the limit on disk is not concerned */
    assert_int_equal(after.inodes, DSB_FILES_DEPTH_MAX - 1 + 2 * n);
    assert_in_range(after.files->len * sizeof(struct dsb_file_entry) + after.paths->len, 7 << 20, 8 << 20);
    g_autoptr(dsb_result) result = dsb_result_new();
    dsb_file_changes(&before, &after, 0, dsb_file_changes_end(), result);
    assert_true(result->files_truncated);
    g_autofree char *json = dsb_result_json(result, FALSE);
    assert_in_range(strlen(json), 8 << 20, DSB_FILES_BUDGET);
    g_autoptr(GPtrArray) list = dsb_files_list(files, NULL, TRUE, 0, &truncated, NULL);
    assert_true(truncated);
    assert_in_range(list->len, DSB_FILES_DEPTH_MAX, 3 * n);
    dsb_scan_clear(&before);
    dsb_scan_clear(&after);
}

static void comparing_ends_in_time(void **state)
{
    (void) state;
    struct dsb_scan before, after;
    dsb_scan_run(top_fd, TRUE, 0, &before);
    assert_true(dsb_files_write(files, "new", "x", 1, 0, NULL));
    dsb_scan_run(top_fd, TRUE, 0, &after);
    g_autoptr(dsb_result) result = dsb_result_new();
    dsb_file_changes(&before, &after, 0, dsb_file_changes_end(), result);
    assert_changes(result, "new", "", "");
    assert_false(result->files_truncated);
    g_autoptr(dsb_result) late = dsb_result_new();
    dsb_file_changes(&before, &after, 0, g_get_monotonic_time(), late);
    assert_changes(late, "", "", "");
    assert_true(late->files_truncated);
    dsb_scan_clear(&before);
    dsb_scan_clear(&after);
}

static void totals_count_links_once_and_look_everywhere(void **state)
{
    (void) state;
    struct dsb_scan scan;
    g_autofree char *much = g_strnfill(1 << 20, 'x');
    assert_true(dsb_files_write(files, "big", much, 1 << 20, 0, NULL));
    for (int i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("link%d", i);
        assert_int_equal(linkat(top_fd, "big", top_fd, name, 0), 0);
    }
    dsb_scan_run(top_fd, FALSE, 0, &scan);
    assert_int_equal(scan.inodes, 51);
    assert_true(scan.bytes >= 1 << 20 && scan.bytes < 2 << 20);
    dsb_scan_clear(&scan);
    dig(top_fd, "deep", 200);
    dsb_scan_run(top_fd, TRUE, 0, &scan);
    assert_int_equal(scan.inodes, 51 + 201);
    assert_true(scan.truncated); /* of the file names, not of the count */
    assert_false(scan.hidden);
    dsb_scan_clear(&scan);
    assert_int_equal(fchmodat(top_fd, "deep/deep", 0, 0), 0);
    dsb_scan_run(top_fd, FALSE, 0, &scan);
    assert_int_equal(scan.inodes, 51 + 201);
    dsb_scan_clear(&scan);
    dsb_scan_run(top_fd, FALSE, 10, &scan);
    assert_int_equal(scan.inodes, 10);
    assert_true(scan.truncated);
    dsb_scan_clear(&scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(removal_asks_before_content),
        TEST(deep_trees_are_counted_and_removed),
        TEST(everything_odd_goes),
        TEST(files_of_subordinate_users_go),
        TEST(removal_has_a_bound),
        TEST(nothing_outside_is_removed_however_it_moves),
        TEST(only_this_executions_changes_count),
        TEST(times_of_the_far_future_are_the_greatest),
        TEST(names_have_a_budget),
        TEST(comparing_ends_in_time),
        TEST(totals_count_links_once_and_look_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
