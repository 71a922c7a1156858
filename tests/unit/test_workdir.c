/* SPDX-License-Identifier: MIT */
#include "scan.h"
#include "workdir.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

static char *base;

static int make_base(void **state)
{
    (void) state;
    base = g_dir_make_tmp("dsb-workdir-XXXXXX", NULL);
    return base != NULL ? 0 : -1;
}

static int remove_base(void **state)
{
    (void) state;
    g_autofree char *locks = g_build_filename(base, ".locks", NULL);
    g_autofree char *lock = g_build_filename(locks, "s1", NULL);
    g_autofree char *session = g_build_filename(base, "s1", NULL);
    g_autofree char *file = g_build_filename(session, "kept", NULL);
    g_unlink(file);
    g_rmdir(session);
    g_unlink(lock);
    g_rmdir(locks);
    int left = g_rmdir(base);
    g_free(base);
    return left;
}

static void ids(void **state)
{
    (void) state;
    static const char *const good[] = {"a", "A.b-c_9", "0", "a..b"};
    static const char *const bad[] = {"", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "\xc3\xa9", "_x"};
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(dsb_session_id_valid(good[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(dsb_session_id_valid(bad[i]));
    g_autofree char *name = NULL;
    assert_null(dsb_workdir_plan("relative", NULL, &name, NULL));
    assert_null(dsb_workdir_plan("/tmp", "../etc", &name, NULL));
    assert_null(name);
    g_autofree char *longest = g_strnfill(64, 'a');
    g_autofree char *longer = g_strnfill(65, 'a');
    assert_true(dsb_session_id_valid(longest));
    assert_false(dsb_session_id_valid(longer));
}

static void an_ephemeral_directory_goes_with_everything_in_it(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    struct dsb_scan scan;
    g_autofree char *name = NULL;
    g_autofree char *planned = dsb_workdir_plan(base, NULL, &name, NULL);
    assert_non_null(planned);
    assert_true(dsb_workdir_open(base, name, geteuid(), getegid(), &dir, NULL));
    g_autofree char *outside = g_build_filename(base, "outside", NULL);
    assert_true(g_file_set_contents(outside, "x", 1, NULL));
    g_autofree char *link = g_build_filename(dir->path, "link", NULL);
    g_autofree char *sub = g_build_filename(dir->path, "sub", NULL);
    g_autofree char *file = g_build_filename(sub, "file", NULL);
    g_autofree char *path = g_strdup(dir->path);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(g_mkdir(sub, 0700), 0);
    assert_true(g_file_set_contents(file, "hello", 5, NULL));
    dsb_scan_run(dir->fd, TRUE, 0, &scan);
    assert_int_equal(scan.inodes, 3);
    assert_non_null(g_hash_table_lookup(scan.files, "sub/file"));
    assert_non_null(g_hash_table_lookup(scan.files, "link"));
    assert_false(scan.truncated);
    dsb_scan_clear(&scan);
    assert_int_equal(g_chmod(sub, 0), 0);
    dsb_workdir_close(dir);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(g_file_test(outside, G_FILE_TEST_EXISTS));
    g_unlink(outside);
}

static void a_session_is_kept_and_locked(void **state)
{
    (void) state;
    struct dsb_workdir *first = NULL, *second = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &first, NULL));
    g_autofree char *file = g_build_filename(first->path, "kept", NULL);
    assert_true(g_file_set_contents(file, "x", 1, NULL));
    assert_false(dsb_workdir_open(base, "s1", geteuid(), getegid(), &second, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
    dsb_workdir_close(first);
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &second, NULL));
    dsb_workdir_close(second);
}

static int repair(int fd)
{
    (void) fd;
    static const mode_t modes[] = {0, 0777, 07777, 0300};
    struct dsb_workdir *dir = NULL;
    struct stat st;
    g_autofree char *mine = g_build_filename(base, "mine", NULL);
    g_autofree char *session = g_build_filename(mine, "s1", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (!dsb_workdir_open(mine, "s1", geteuid(), getegid(), &dir, NULL))
            return 1;
        dsb_workdir_close(dir);
        if (chmod(session, modes[i]) != 0 || !dsb_workdir_open(mine, "s1", geteuid(), getegid(), &dir, NULL))
            return 2;
        if (fstat(dir->fd, &st) != 0 || (st.st_mode & 0700) != 0700 || (st.st_mode & 07022) != 0)
            return 3;
        dsb_workdir_close(dir);
    }
    return 0;
}

static void what_code_did_to_the_mode_is_repaired(void **state)
{
    (void) state;
    assert_int_equal(g_chmod(base, 0777), 0);
    assert_int_equal(scratch_as_nobody(repair, -1), 0);
    int top = open(base, O_RDONLY | O_DIRECTORY);
    const struct dsb_tree_limits limits = {100, 10000};
    assert_int_equal(dsb_tree_clear(top, &limits), 0);
    close(top);
}

static void a_killed_holder_is_noticed(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &dir, NULL));
    assert_false(dir->stale);
    dsb_workdir_close(dir);
    pid_t pid = fork();
    if (pid == 0)
        _exit(dsb_workdir_open(base, "s1", geteuid(), getegid(), &dir, NULL) && !dir->stale ? 0 : 1); /* no close */
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (unsigned i = 0; i < 2; i++) { /* until somebody has looked after it */
        assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &dir, NULL));
        assert_true(dir->stale);
        dir->stale = i == 0;
        dsb_workdir_close(dir);
    }
    assert_true(dsb_workdir_open(base, "s1", geteuid(), getegid(), &dir, NULL));
    assert_false(dir->stale);
    dsb_workdir_close(dir);
}

static void denied(const char *where)
{
    struct dsb_workdir *dir = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(dsb_workdir_open(where, "s1", geteuid(), getegid(), &dir, &error));
    assert_non_null(error);
    assert_int_equal(error->domain, DSB_ERROR);
}

static void a_base_that_is_not_ours_alone_is_refused(void **state)
{
    (void) state;
    g_autofree char *open_to_all = g_build_filename(base, "open", NULL);
    g_autofree char *link = g_build_filename(base, "link", NULL);
    assert_int_equal(g_mkdir(open_to_all, 0700), 0);
    assert_int_equal(g_chmod(open_to_all, 0777), 0);
    assert_int_equal(symlink(open_to_all, link), 0);
    denied(open_to_all);
    denied(link);
    denied("/proc/no/such/place");
    g_unlink(link);
    g_rmdir(open_to_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),
        cmocka_unit_test_setup_teardown(an_ephemeral_directory_goes_with_everything_in_it, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_session_is_kept_and_locked, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_killed_holder_is_noticed, make_base, remove_base),
        cmocka_unit_test_setup_teardown(what_code_did_to_the_mode_is_repaired, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_base_that_is_not_ours_alone_is_refused, make_base, remove_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
