/* SPDX-License-Identifier: MIT */
/* Single files of a session: written, read and listed, and nothing outside of it. */
#include "files_fixture.h"

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

static guint names(void)
{
    g_autoptr(GPtrArray) list = dsb_files_list(files, NULL, TRUE, 0, NULL, NULL);
    return list->len;
}

static void nobody_sees_a_part_of_a_file(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    uint64_t bytes = 0, inodes = 0, more = 0;
    put("f", "old");
    assert_true(dsb_files_usage(files, 10, &bytes, &inodes, NULL));
    assert_int_equal(inodes, 1);
    dsb_file_put *cut = dsb_files_put_begin(files, "sub/g", &error);
    assert_true(dsb_files_put_add(cut, "new", 3, &error));
    assert_int_equal(names(), 1);
    dsb_files_put_free(cut);
    assert_int_equal(names(), 1); /* no directory either */
    dsb_file_put *whole = dsb_files_put_begin(files, "f", &error), *other = dsb_files_put_begin(files, "f", &error);
    assert_true(dsb_files_put_add(whole, "ne", 2, &error) && dsb_files_put_add(other, "other", 5, &error));
    assert_true(dsb_files_put_add(whole, "w", 1, &error));
    g_autofree char *old = text_of("f");
    assert_string_equal(old, "old");
    assert_true(dsb_files_put_end(whole, 0, &error));
    dsb_files_put_free(whole);
    dsb_files_put_free(other);
    g_autofree char *new = text_of("f");
    assert_string_equal(new, "new");
    assert_int_equal(names(), 1);
    assert_true(dsb_files_mkdir(files, "d", NULL));
    dsb_file_put *wrong = dsb_files_put_begin(files, "d", &error);
    assert_false(dsb_files_put_end(wrong, 0, &error));
    assert_failed(&error, DSB_ERROR_CONFLICT);
    dsb_files_put_free(wrong);
    assert_int_equal(names(), 2);
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("n%d", i);
        put(name, "x");
    }
    assert_true(dsb_files_usage(files, 10, &more, &inodes, NULL));
    assert_true(inodes > 10); /* it stops there */
    assert_true(dsb_files_usage(files, 1000, &more, &inodes, NULL));
    assert_int_equal(inodes, 22);
    assert_true(more >= bytes);
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
    int none[] = {-1, DSB_FD_NONE, fcntl(0, F_DUPFD_CLOEXEC, 500), open("/dev/null", O_WRONLY | O_CLOEXEC), open("/", O_PATH | O_CLOEXEC)};
    close(none[2]);
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++) { /* not an empty file */
        assert_false(dsb_files_write_fd(files, "new", none[i], 9, 0, &error));
        assert_failed(&error, DSB_ERROR_INVALID);
        assert_null(dsb_files_stat(files, "new", NULL));
    }
    close(none[3]);
    close(none[4]);
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

static void sessions_are_listed_and_removed(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) ids = dsb_files_sessions(base, &error);
    assert_int_equal(g_strv_length(ids), 1);
    assert_string_equal(ids[0], "s1");
    assert_true(scratch_session(base, "s1", &dir, NULL));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(nobody_sees_a_part_of_a_file),
        TEST(a_descriptor_is_written_up_to_its_bound),
        TEST(paths_out_of_the_session_are_refused),
        TEST(links_are_never_followed),
        TEST(special_files_do_not_block),
        TEST(a_list_is_sorted_and_bounded),
        TEST(sessions_are_listed_and_removed),
        TEST(a_locked_session_directory_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
