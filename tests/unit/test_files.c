/* SPDX-License-Identifier: MIT */
#include "beneath.h"
#include "mapped.h"
#include "scan.h"
#include "tree.h"
#include "walk.h"
#include "workdir.h"

#include <dsandbox/files.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* deeper than any path, and than descriptors allow */
#define DEEP 10000

static char *base, *top, *out_dir, *outside;
static int top_fd;
static dsb_files *files;

static int set_up(void **state)
{
    (void) state;
    base = g_dir_make_tmp("dsb-files-XXXXXX", NULL);
    top = g_build_filename(base, "s1", NULL);
    out_dir = g_build_filename(base, ".out", NULL);
    outside = g_build_filename(out_dir, ".outside", NULL);
    assert_int_equal(g_mkdir(top, 0700), 0);
    assert_int_equal(g_mkdir(out_dir, 0700), 0);
    assert_true(g_file_set_contents(outside, "secret", 6, NULL));
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files = dsb_files_open(base, "s1", NULL);
    assert_non_null(files);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    dsb_files_close(files);
    close(top_fd);
    if (!dsb_files_delete_session(base, "s1", &error))
        fail_msg("%s", error->message);
    assert_false(g_file_test(top, G_FILE_TEST_EXISTS));
    const struct dsb_tree_limits limits = {1000, 10000};
    int out = open(out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dsb_tree_clear(out, &limits), 0);
    close(out);
    g_rmdir(out_dir);
    g_autofree char *locks = g_build_filename(base, ".locks", NULL);
    g_rmdir(locks);
    int left = g_rmdir(base);
    g_free(base);
    g_free(top);
    g_free(out_dir);
    g_free(outside);
    return left;
}

static void assert_failed(GError **error, int code)
{
    assert_non_null(*error);
    if (!g_error_matches(*error, DSB_ERROR, code))
        fail_msg("code %d instead of %d: %s", (*error)->code, code, (*error)->message);
    g_clear_error(error);
}

static void put(const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (!dsb_files_write(files, path, text, strlen(text), 0, &error))
        fail_msg("%s", error->message);
}

static char *text_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    GBytes *bytes = dsb_files_read(files, path, 1 << 20, &error);
    if (bytes == NULL)
        fail_msg("%s", error->message);
    gsize size = 0;
    char *text = g_strndup(g_bytes_get_data(bytes, &size), g_bytes_get_size(bytes));
    g_bytes_unref(bytes);
    return text;
}

static void what_is_written_is_read(void **state)
{
    (void) state;
    struct stat st;
    put("a", "one");
    put("sub/dir/b", "two");
    put("a", "three");
    g_autofree char *a = text_of("a");
    g_autofree char *b = text_of("sub/dir/b");
    assert_string_equal(a, "three");
    assert_string_equal(b, "two");
    assert_true(dsb_files_write(files, "empty", NULL, 0, 0600, NULL));
    assert_int_equal(fstatat(top_fd, "empty", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fstatat(top_fd, "a", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_true(dsb_files_mkdir(files, "made/twice", NULL));
    assert_true(dsb_files_mkdir(files, "made/twice", NULL));
    struct dsb_file_info *info = dsb_files_stat(files, "made/twice", NULL);
    assert_string_equal(dsb_file_type_name(info->type), "directory");
    dsb_file_info_free(info);
}

static void a_descriptor_is_written_up_to_its_bound(void **state)
{
    (void) state;
    int pipe_fds[2];
    g_autoptr(GError) error = NULL;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(write(pipe_fds[1], "0123456789", 10), 10);
    close(pipe_fds[1]);
    put("f", "old");
    assert_false(dsb_files_write_fd(files, "f", pipe_fds[0], 9, 0, &error));
    assert_failed(&error, DSB_ERROR_LIMIT);
    close(pipe_fds[0]);
    g_autofree char *old = text_of("f");
    assert_string_equal(old, "old");
    int in = open(outside, O_RDONLY | O_CLOEXEC);
    assert_true(dsb_files_write_fd(files, "f", in, 6, 0, &error));
    close(in);
    g_autofree char *copied = text_of("f");
    assert_string_equal(copied, "secret");
    assert_null(dsb_files_read(files, "f", 5, &error));
    assert_failed(&error, DSB_ERROR_LIMIT);
    g_autoptr(GPtrArray) list = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    assert_int_equal(list->len, 1); /* nothing half-written is left */
}

static void paths_out_of_the_session_are_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {"", "/etc/passwd", "..", ".", "a/../b", "a//b", "a/", "./a", "../.outside"};
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strnfill(256, 'n');
    g_autofree char *path = g_strnfill(5000, 'p');
    for (gsize i = 0; i < G_N_ELEMENTS(bad) + 2; i++) {
        const char *one = i < G_N_ELEMENTS(bad) ? bad[i] : i == G_N_ELEMENTS(bad) ? name : path;
        assert_null(dsb_files_read(files, one, 10, &error));
        assert_failed(&error, DSB_ERROR_INVALID);
        assert_false(dsb_files_write(files, one, "x", 1, 0, &error));
        assert_failed(&error, DSB_ERROR_INVALID);
        assert_false(dsb_files_remove(files, one, TRUE, &error));
        assert_failed(&error, DSB_ERROR_INVALID);
        assert_null(dsb_files_stat(files, one, &error));
        assert_failed(&error, DSB_ERROR_INVALID);
    }
    assert_null(dsb_files_open(base, "../x", &error));
    assert_failed(&error, DSB_ERROR_INVALID);
    assert_null(dsb_files_open(base, NULL, &error));
    assert_failed(&error, DSB_ERROR_INVALID);
    assert_null(dsb_files_open(base, "absent", &error));
    assert_failed(&error, DSB_ERROR_NOT_FOUND);
}

static void links_are_never_followed(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    assert_int_equal(symlinkat(outside, top_fd, "link"), 0);
    assert_int_equal(symlinkat(out_dir, top_fd, "up"), 0);
    put("real/x", "mine");
    assert_int_equal(symlinkat("real", top_fd, "inside"), 0);
    assert_null(dsb_files_read(files, "link", 100, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_null(dsb_files_read(files, "up/.outside", 100, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_null(dsb_files_read(files, "inside/x", 100, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_false(dsb_files_write(files, "up/.outside", "x", 1, 0, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_false(dsb_files_remove(files, "up/.outside", FALSE, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_null(dsb_files_list(files, "up", FALSE, 0, NULL, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    struct dsb_file_info *info = dsb_files_stat(files, "link", &error);
    assert_int_equal(info->type, DSB_FILE_LINK);
    dsb_file_info_free(info);
    put("link", "a file now"); /* replaces the link itself */
    assert_true(dsb_files_remove(files, "up", TRUE, &error));
    g_autofree char *secret = NULL;
    assert_true(g_file_get_contents(outside, &secret, NULL, NULL));
    assert_string_equal(secret, "secret");
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", top, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof address), 0);
    close(fd);
}

static void special_files_do_not_block(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    assert_int_equal(mkfifoat(top_fd, "fifo", 0600), 0);
    make_socket("socket");
    assert_int_equal(mkdirat(top_fd, "dir", 0700), 0);
    static const char *const names[] = {"fifo", "socket", "dir"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_int_equal(dsb_files_open_read(files, names[i], NULL, &error), -1);
        assert_failed(&error, DSB_ERROR_INVALID);
    }
    assert_false(dsb_files_write(files, "dir", "x", 1, 0, &error));
    assert_failed(&error, DSB_ERROR_CONFLICT);
    put("fifo", "a file now");
    int sparse = openat(top_fd, "sparse", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (ftruncate(sparse, (off_t) DSB_FILES_SIZE_MAX + 1) == 0) {
        assert_int_equal(dsb_files_open_read(files, "sparse", NULL, &error), -1);
        g_clear_error(&error);
    }
    close(sparse);
}

static void a_list_is_sorted_and_bounded(void **state)
{
    (void) state;
    gboolean truncated = TRUE;
    g_autoptr(GError) error = NULL;
    put("b", "1");
    put("a/x", "12");
    put("weird \n\"\x1b\xff", "");
    g_autoptr(GPtrArray) all = dsb_files_list(files, NULL, TRUE, 0, &truncated, &error);
    assert_false(truncated);
    assert_int_equal(all->len, 4);
    static const char *const order[] = {"a", "a/x", "b", "weird \n\"\x1b\xff"};
    for (guint i = 0; i < all->len; i++)
        assert_string_equal(((struct dsb_file_info *) all->pdata[i])->path, order[i]);
    assert_int_equal(((struct dsb_file_info *) all->pdata[1])->size, 2);
    g_autoptr(GPtrArray) flat = dsb_files_list(files, "", FALSE, 0, &truncated, NULL);
    assert_int_equal(flat->len, 3);
    assert_false(truncated);
    g_autoptr(GPtrArray) below = dsb_files_list(files, "a", TRUE, 0, NULL, NULL);
    assert_int_equal(below->len, 1);
    assert_string_equal(((struct dsb_file_info *) below->pdata[0])->path, "a/x");
    g_autoptr(GPtrArray) cut = dsb_files_list(files, NULL, TRUE, 2, &truncated, NULL);
    assert_int_equal(cut->len, 2);
    assert_true(truncated);
    assert_null(dsb_files_list(files, "b", TRUE, 0, NULL, &error));
    assert_failed(&error, DSB_ERROR_INVALID);
    assert_null(dsb_files_list(files, "none", TRUE, 0, NULL, &error));
    assert_failed(&error, DSB_ERROR_NOT_FOUND);
}

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

static void count(void *data, const char *path, guint depth, const struct stat *st)
{
    guint *deepest = data;
    (void) path;
    (void) st;
    *deepest = MAX(*deepest, depth);
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
    gint64 began = g_get_monotonic_time();
    assert_true(dsb_files_clear(files, NULL));
    assert_true(g_get_monotonic_time() - began < 30 * G_USEC_PER_SEC);
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
    int made = dsb_mapped_run(leave_foreign, NULL, 10000);
    if (made == ENOTSUP)
        skip();
    assert_int_equal(made, 0);
    const struct dsb_tree_limits limits = {1000, 10000};
    assert_int_equal(dsb_tree_clear(top_fd, &limits), EACCES);
    assert_true(dsb_files_clear(files, NULL));
    assert_int_equal(faccessat(top_fd, "foreign", F_OK, 0), -1);
}

static void removal_has_a_bound(void **state)
{
    (void) state;
    const struct dsb_tree_limits few = {5, 60000};
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("f%d", i);
        put(name, "");
    }
    assert_int_equal(dsb_tree_clear(top_fd, &few), EOVERFLOW);
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
    const struct dsb_tree_limits limits = {100000, 20};
    for (int i = 0; i < 40; i++) {
        struct dsb_scan scan;
        dsb_tree_clear(top_fd, &limits);
        dsb_scan_run(top_fd, TRUE, 0, &scan);
        assert_null(g_hash_table_lookup(scan.files, "x/.outside"));
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
    dsb_scan_compare(before, &after, since_ns, result);
    dsb_scan_clear(&after);
    return result;
}

static void assert_changes(const struct dsb_result *result, guint created, guint modified, guint deleted)
{
    assert_int_equal(result->created->len, created);
    assert_int_equal(result->modified->len, modified);
    assert_int_equal(result->deleted->len, deleted);
}

static void only_this_executions_changes_count(void **state)
{
    (void) state;
    struct dsb_scan before;
    put("old", "1");
    put("gone/early", "1");
    put("gone/late/file", "1");
    dsb_scan_run(top_fd, TRUE, 0, &before);
    put("old", "by the host");
    put("new", "by the host");
    assert_true(dsb_files_remove(files, "gone/early", FALSE, NULL));
    g_usleep(20000);
    int64_t since_ns = dsb_scan_clock();
    struct dsb_result *quiet = changes(&before, since_ns);
    assert_changes(quiet, 0, 0, 0);
    dsb_result_free(quiet);
    struct dsb_result *all = changes(&before, 0);
    assert_changes(all, 1, 1, 1);
    dsb_result_free(all);
    put("old", "by the code");
    assert_true(dsb_files_remove(files, "gone/late", TRUE, NULL));
    struct dsb_result *code = changes(&before, since_ns);
    assert_int_equal(code->created->len, 0);
    assert_int_equal(code->modified->len, 1);
    assert_true(code->deleted->len >= 1);
    dsb_result_free(code);
    dsb_scan_clear(&before);
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

static void sessions_are_listed_and_removed(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) ids = dsb_files_sessions(base, &error);
    assert_int_equal(g_strv_length(ids), 1);
    assert_string_equal(ids[0], "s1");
    assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &dir, NULL));
    assert_false(dsb_files_delete_session(base, "s1", &error));
    assert_failed(&error, DSB_ERROR_BUSY);
    dsb_workdir_close(dir);
    assert_true(dsb_files_delete_session(base, "never", &error));
    g_autofree char *nowhere = g_build_filename(base, "nowhere", NULL);
    g_auto(GStrv) none = dsb_files_sessions(nowhere, &error);
    assert_int_equal(g_strv_length(none), 0);
    assert_true(dsb_files_delete_session(nowhere, "s1", &error));
    g_chmod(base, 0777);
    assert_null(dsb_files_open(base, "s1", &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    assert_null(dsb_files_sessions(base, &error));
    assert_failed(&error, DSB_ERROR_DENIED);
    g_chmod(base, 0700);
}

static void a_locked_session_directory_is_opened(void **state)
{
    (void) state;
    put("f", "x");
    assert_int_equal(fchmod(top_fd, 0), 0);
    dsb_files *again = dsb_files_open(base, "s1", NULL);
    assert_non_null(again);
    g_autoptr(GPtrArray) list = dsb_files_list(again, NULL, TRUE, 0, NULL, NULL);
    assert_int_equal(list->len, 1);
    dsb_files_close(again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(a_descriptor_is_written_up_to_its_bound),
        TEST(paths_out_of_the_session_are_refused),
        TEST(links_are_never_followed),
        TEST(special_files_do_not_block),
        TEST(a_list_is_sorted_and_bounded),
        TEST(removal_asks_before_content),
        TEST(deep_trees_are_counted_and_removed),
        TEST(everything_odd_goes),
        TEST(files_of_subordinate_users_go),
        TEST(removal_has_a_bound),
        TEST(nothing_outside_is_removed_however_it_moves),
        TEST(only_this_executions_changes_count),
        TEST(totals_count_links_once_and_look_everywhere),
        TEST(sessions_are_listed_and_removed),
        TEST(a_locked_session_directory_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
