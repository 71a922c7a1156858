/* SPDX-License-Identifier: MIT */
#include "hostdir/basedir.h"
#include "scanned.h"
#include "hostdir/unfinished.h"
#include "hostdir/workdir.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
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
    g_autofree char *name = NULL;
    assert_null(dsb_workdir_plan("relative", NULL, &name, NULL));
    assert_null(dsb_workdir_plan("/tmp", "../etc", &name, NULL));
    assert_null(name);
}

static void an_ephemeral_directory_goes_with_everything_in_it(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    struct dsb_scan scan;
    assert_true(scratch_session(base, NULL, &dir, NULL));
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
    assert_true(scan_has(&scan, "sub/file"));
    assert_true(scan_has(&scan, "link"));
    assert_false(scan.truncated);
    dsb_scan_clear(&scan);
    assert_int_equal(g_chmod(sub, 0), 0);
    dsb_workdir_close(dir);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(g_file_test(outside, G_FILE_TEST_EXISTS));
    g_unlink(outside);
}

/* It keeps its inode, which a container has mounted; nobody else gets the name, and the old one is free. */
static void one_that_waits_becomes_a_sessions(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL, *other = NULL;
    struct stat before, after;
    g_autoptr(GError) error = NULL;
    assert_true(dsb_workdir_open_pooled(base, &dir, NULL));
    assert_true(dsb_workdir_enter(dir, geteuid(), getegid(), NULL));
    assert_true(g_str_has_prefix(dir->name, ".pool-"));
    assert_true(dir->ephemeral);
    g_autofree char *old = g_strdup(dir->path);
    g_autofree char *old_lock = g_strconcat(base, "/.locks/", dir->name, NULL);
    assert_int_equal(fstat(dir->fd, &before), 0);
    assert_false(dsb_workdir_become(dir, "../s1", &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    assert_true(dsb_workdir_become(dir, "s1", NULL));
    assert_int_equal(g_lstat(dir->path, &after), 0);
    assert_true(g_str_has_suffix(dir->path, "/s1"));
    assert_int_equal(before.st_ino, after.st_ino);
    assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(old_lock, G_FILE_TEST_EXISTS));
    g_clear_error(&error);
    assert_false(scratch_session(base, "s1", &other, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
    dsb_workdir_close(dir);
    assert_true(scratch_session(base, "s1", &other, NULL));
    assert_false(other->stale);
    dsb_workdir_close(other);
}

/* What is the session's already is not touched, and the one that waits is as it was. */
static void one_that_waits_takes_no_place_that_is_taken(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL, *held = NULL;
    g_autofree char *session = g_build_filename(base, "s1", NULL);
    g_autofree char *lock = g_build_filename(base, ".locks/s1", NULL);
    const int codes[] = {DSB_ERROR_BUSY, DSB_ERROR_CONFLICT, DSB_ERROR_CONFLICT};
    assert_true(dsb_workdir_open_pooled(base, &dir, NULL));
    assert_true(dsb_workdir_enter(dir, geteuid(), getegid(), NULL));
    g_autofree char *path = g_strdup(dir->path);
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_autoptr(GError) error = NULL;
        if (i == 0)
            assert_true(scratch_session(base, "s1", &held, NULL)); /* somebody has it */
        if (i == 2)
            assert_true(g_rmdir(session) == 0 && g_file_set_contents(lock, "x", 1, NULL)); /* its holder was killed */
        assert_false(dsb_workdir_become(dir, "s1", &error));
        assert_int_equal(error->code, codes[i]);
        assert_string_equal(dir->path, path);
        assert_true(dir->ephemeral && g_file_test(path, G_FILE_TEST_IS_DIR));
        if (i == 0)
            dsb_workdir_close(held); /* its directory stays */
    }
    dsb_workdir_close(dir);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* One that waited has another label; who comes after a holder that was killed has to look for that, too. */
static void the_label_of_a_killed_holder_is_found(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL, *next = NULL;
    assert_true(dsb_workdir_open_pooled(base, &dir, NULL));
    assert_true(dsb_workdir_enter(dir, geteuid(), getegid(), NULL));
    assert_true(dsb_workdir_become(dir, "s1", NULL));
    dsb_unfinished_note(dir, DSB_UNFINISHED_CREATED, "dsb-label", "an engine");
    close(dir->lock_fd); /* as its end would */
    assert_true(scratch_session(base, "s1", &next, NULL));
    assert_true(next->stale);
    assert_string_equal(next->former, "dsb-label");
    next->stale = FALSE;
    dsb_workdir_close(next);
    dir->lock_fd = -1;
    dsb_workdir_close(dir);
}

static void a_session_is_kept_and_locked(void **state)
{
    (void) state;
    struct dsb_workdir *first = NULL, *second = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(scratch_session(base, "s1", &first, NULL));
    g_autofree char *file = g_build_filename(first->path, "kept", NULL);
    assert_true(g_file_set_contents(file, "x", 1, NULL));
    assert_false(scratch_session(base, "s1", &second, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
    dsb_workdir_close(first);
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    assert_true(scratch_session(base, "s1", &second, NULL));
    dsb_workdir_close(second);
}

static void a_session_that_did_not_come_to_be_leaves_nothing(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    g_autofree char *lock = g_build_filename(base, ".locks", "s1", NULL);
    g_autofree char *file = g_build_filename(base, "s1", "kept", NULL);
    g_autofree char *path = g_path_get_dirname(file);
    for (int with_file = 0; with_file < 2; with_file++) {
        assert_true(scratch_session(base, "s1", &dir, NULL));
        assert_true(!with_file || g_file_set_contents(file, "x", 1, NULL));
        dir->unused = TRUE;
        dsb_workdir_close(dir);
        assert_int_equal(g_file_test(path, G_FILE_TEST_EXISTS), with_file);
        assert_int_equal(g_file_test(lock, G_FILE_TEST_EXISTS), with_file);
    }
    assert_int_equal(g_unlink(file), 0); /* one that was there before stays, also an empty one */
    assert_true(scratch_session(base, "s1", &dir, NULL));
    dir->unused = TRUE;
    dsb_workdir_close(dir);
    assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
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
        if (!scratch_session(mine, "s1", &dir, NULL))
            return 1;
        dsb_workdir_close(dir);
        if (chmod(session, modes[i]) != 0 || !scratch_session(mine, "s1", &dir, NULL))
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
    const struct dsb_remove_limits limits = {100, 10000};
    assert_int_equal(dsb_remove_content(top, &limits), 0);
    close(top);
}

static void a_killed_holder_is_noticed(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    assert_true(scratch_session(base, "s1", &dir, NULL));
    assert_false(dir->stale);
    dsb_workdir_close(dir);
    pid_t pid = fork();
    if (pid == 0)
        _exit(scratch_session(base, "s1", &dir, NULL) && !dir->stale ? 0 : 1); /* no close */
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (unsigned i = 0; i < 2; i++) { /* until somebody has looked after it */
        assert_true(scratch_session(base, "s1", &dir, NULL));
        assert_true(dir->stale);
        dir->stale = i == 0;
        dsb_workdir_close(dir);
    }
    assert_true(scratch_session(base, "s1", &dir, NULL));
    assert_false(dir->stale);
    dsb_workdir_close(dir);
}

/* One that is killed between the creation of its container and its start is found by whoever uses the same engine. */
static void what_a_killed_holder_began_is_told(void **state)
{
    static const struct {
        enum dsb_unfinished_step step;
        guint found;
    } cases[] = {{DSB_UNFINISHED_NONE, 0}, {DSB_UNFINISHED_ASKED, 1}, {DSB_UNFINISHED_CREATED, 1}};
    (void) state;
    struct dsb_workdir *dir = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_true(scratch_session(base, "s1", &dir, NULL));
        dsb_unfinished_note(dir, DSB_UNFINISHED_CREATED, "s1", "engine unix:///a b");
        g_autoptr(GPtrArray) alive = dsb_unfinished_list(dir->base_fd, "engine unix:///a b");
        assert_int_equal(alive->len, 0);
        dsb_workdir_close(dir);
        pid_t pid = fork();
        if (pid == 0) {
            if (!scratch_session(base, "s1", &dir, NULL))
                _exit(1);
            dsb_unfinished_note(dir, DSB_UNFINISHED_ASKED, "s1", "engine unix:///a b");
            dsb_unfinished_note(dir, cases[i].step, "s1", "engine unix:///a b");
            _exit(0); /* no close */
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        int top = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(dsb_workdir_gc(base, FALSE), 0);
        g_autoptr(GPtrArray) other = dsb_unfinished_list(top, "engine unix:///a");
        g_autoptr(GPtrArray) found = dsb_unfinished_list(top, "engine unix:///a b");
        assert_int_equal(other->len, 0);
        assert_int_equal(found->len, cases[i].found);
        if (found->len > 0) {
            const struct dsb_unfinished *one = found->pdata[0];
            assert_int_equal(one->step, cases[i].step);
            assert_string_equal(one->name, "s1");
            assert_string_equal(one->session, "s1");
            assert_in_range(one->age_ms, 0, 600000);
            dsb_unfinished_forget(top, one);
        }
        g_autoptr(GPtrArray) gone = dsb_unfinished_list(top, "engine unix:///a b");
        assert_int_equal(gone->len, 0);
        close(top);
        assert_true(scratch_session(base, "s1", &dir, NULL));
        assert_true(dir->stale);
        dir->stale = FALSE;
        dsb_workdir_close(dir);
    }
}

/* What a crash of the machine may leave in a lock is of nobody. */
static void what_a_lock_cannot_say_is_passed_over(void **state)
{
    static const struct {
        const char *bytes;
        gssize size;
    } contents[] = {{"\0\0\0\0", 4}, {" a b", 4}, {"c", 1}, {"c s1", 4}, {"q s1 engine", 11}, {"cc s1 engine", 12}, {"x s1 engine", 11}};
    (void) state;
    struct dsb_workdir *dir = NULL;
    assert_true(scratch_session(base, "s1", &dir, NULL));
    dsb_workdir_close(dir);
    g_autofree char *path = g_build_filename(base, ".locks", "s1", NULL);
    int top = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(top, "s1", AT_REMOVEDIR), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(contents); i++) {
        assert_true(g_file_set_contents(path, contents[i].bytes, contents[i].size, NULL));
        g_autoptr(GPtrArray) found = dsb_unfinished_list(top, "engine");
        assert_int_equal(found->len, 0);
        dsb_workdir_gc(base, FALSE);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_true(g_file_set_contents(path, "c s1 engine", 11, NULL));
    dsb_workdir_gc(base, FALSE);
    assert_int_equal(access(path, F_OK), 0);
    close(top);
}

static void denied(const char *where)
{
    struct dsb_workdir *dir = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(scratch_session(where, "s1", &dir, &error));
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

/* Runs as another user; `fd` is not used. */
static int choose_as_second(int fd)
{
    (void) fd;
    g_autofree char *shared = g_build_filename(base, "shared", NULL);
    g_autofree char *own = g_strdup_printf("%s-%u", shared, (unsigned) geteuid());
    g_autofree char *before = dsb_base_choose(shared);
    g_autofree char *problem = dsb_base_problem(shared);
    if (strcmp(before, own) != 0 || problem == NULL || strstr(problem, "belongs to uid 0") == NULL)
        return 1;
    int made = dsb_base_open(own, TRUE, NULL);
    if (made < 0)
        return 2;
    close(made);
    return 0;
}

static int choose_when_the_first_is_gone(int fd)
{
    (void) fd;
    g_autofree char *shared = g_build_filename(base, "shared", NULL);
    g_autofree char *chosen = dsb_base_choose(shared);
    return g_str_has_prefix(chosen, shared) && chosen[strlen(shared)] == '-' ? 0 : 1;
}

static void a_second_user_has_a_base_of_his_own(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    g_autofree char *shared = g_build_filename(base, "shared", NULL);
    g_autofree char *first = dsb_base_choose(shared);
    assert_string_equal(first, shared); /* nobody has it */
    int fd = dsb_base_open(shared, TRUE, NULL);
    assert_true(fd >= 0);
    g_autofree char *again = dsb_base_choose(shared);
    assert_string_equal(again, shared);
    assert_int_equal(g_chmod(base, 01777), 0);
    assert_int_equal(scratch_as_nobody(choose_as_second, -1), 0);
    close(fd);
    assert_int_equal(g_rmdir(shared), 0);
    assert_int_equal(scratch_as_nobody(choose_when_the_first_is_gone, -1), 0); /* his sessions are in his own */
    g_autofree char *others = g_strdup_printf("%s-%u", shared, NOBODY);
    denied(others); /* laid ready by somebody else */
    assert_int_equal(g_rmdir(others), 0);
}

/* systemd-tmpfiles tries to lock a directory for itself, and leaves one alone that somebody has locked. */
static void a_base_in_use_is_locked_for_the_cleaner(void **state)
{
    (void) state;
    struct dsb_workdir *one = NULL, *two = NULL;
    int cleaner = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch_session(base, NULL, &one, NULL));
    assert_true(scratch_session(base, NULL, &two, NULL));
    assert_int_equal(flock(cleaner, LOCK_EX | LOCK_NB), -1);
    dsb_workdir_close(one);
    assert_int_equal(flock(cleaner, LOCK_EX | LOCK_NB), -1);
    dsb_workdir_close(two);
    assert_int_equal(flock(cleaner, LOCK_EX | LOCK_NB), 0);
    assert_true(scratch_session(base, NULL, &one, NULL)); /* nobody can keep us out by it */
    dsb_workdir_close(one);
    close(cleaner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),
        cmocka_unit_test_setup_teardown(an_ephemeral_directory_goes_with_everything_in_it, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_session_is_kept_and_locked, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_session_that_did_not_come_to_be_leaves_nothing, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_killed_holder_is_noticed, make_base, remove_base),
        cmocka_unit_test_setup_teardown(what_a_killed_holder_began_is_told, make_base, remove_base),
        cmocka_unit_test_setup_teardown(what_a_lock_cannot_say_is_passed_over, make_base, remove_base),
        cmocka_unit_test_setup_teardown(what_code_did_to_the_mode_is_repaired, make_base, remove_base),
        cmocka_unit_test_setup_teardown(one_that_waits_becomes_a_sessions, make_base, remove_base),
        cmocka_unit_test_setup_teardown(one_that_waits_takes_no_place_that_is_taken, make_base, remove_base),
        cmocka_unit_test_setup_teardown(the_label_of_a_killed_holder_is_found, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_base_that_is_not_ours_alone_is_refused, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_second_user_has_a_base_of_his_own, make_base, remove_base),
        cmocka_unit_test_setup_teardown(a_base_in_use_is_locked_for_the_cleaner, make_base, remove_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
