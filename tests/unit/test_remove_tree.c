/* SPDX-License-Identifier: MIT */
#include "hostdir/remove_tree.h"

#include "hostdir/workdir.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "scratch.h"

static const struct dsb_remove_limits plenty = {10000000, 60000};
static int top = -1;
static char *path;

static int setup(void **state)
{
    (void) state;
    path = scratch_make(scratch_fast(), &top);
    return path != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void) state;
    return scratch_remove(path, top);
}

static void assert_empty(void)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    assert_non_null(dir);
    const char *left = g_dir_read_name(dir);
    if (left != NULL)
        fail_msg("%s is left", left);
}

static void ten_thousand_levels_with_few_descriptors(void **state)
{
    (void) state;
    struct rlimit before, few;
    close(scratch_deep(top, 10000));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){32, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int problem = dsb_remove_content(top, &plenty);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(problem, 0);
    assert_empty();
}

static void a_hundred_thousand_files(void **state)
{
    (void) state;
    int dir = scratch_deep(top, 3);
    assert_true(scratch_files(dir, 100000));
    close(dir);
    assert_int_equal(dsb_remove_content(top, &plenty), 0);
    assert_empty();
}

static int clear_unreadable(int fd)
{
    for (unsigned mode = 0; mode < 8; mode++) {
        int dir = scratch_deep(fd, 3);
        int middle = openat(dir, "..", O_RDONLY | O_DIRECTORY);
        if (!scratch_file(dir, "f", 1) || fchmod(dir, mode << 6) != 0 || fchmod(middle, mode << 6) != 0)
            return 1;
        close(dir);
        close(middle);
        if (dsb_remove_content(fd, &plenty) != 0)
            return (int) (10 + mode);
    }
    return 0;
}

static void directories_without_any_right(void **state)
{
    (void) state;
    assert_int_equal(fchmod(top, 0777), 0);
    assert_int_equal(scratch_as_nobody(clear_unreadable, top), 0);
    assert_empty();
}

static void a_limit_is_a_limit(void **state)
{
    (void) state;
    const struct dsb_remove_limits small = {100, 60000};
    assert_true(scratch_files(top, 1000));
    assert_int_equal(dsb_remove_content(top, &small), EOVERFLOW);
}

struct mover {
    int top;
    atomic_bool end;
};

/* Swaps a directory with a link to another place, and moves directories, as long as the removal runs. */
static void *swap_around(void *data)
{
    struct mover *mover = data;
    for (unsigned i = 0; !atomic_load(&mover->end) && i < 1000000; i++) {
        renameat2(mover->top, "swap", mover->top, "link", RENAME_EXCHANGE);
        renameat(mover->top, "d", mover->top, "e");
        renameat(mover->top, "e", mover->top, "d");
    }
    return NULL;
}

static void nothing_outside_goes(void **state)
{
    (void) state;
    pthread_t thread;
    g_autofree char *outside = g_dir_make_tmp("dsb-outside-XXXXXX", NULL);
    g_autofree char *precious = g_build_filename(outside, "precious", NULL);
    assert_true(g_file_set_contents(precious, "x", 1, NULL));
    for (unsigned i = 0; i < 50; i++) {
        struct mover mover = {.top = top};
        close(scratch_deep(top, 50));
        assert_int_equal(mkdirat(top, "swap", 0700), 0);
        int inside = openat(top, "swap", O_RDONLY | O_DIRECTORY);
        assert_true(scratch_files(inside, 200));
        close(inside);
        assert_int_equal(symlinkat(outside, top, "link"), 0);
        assert_int_equal(pthread_create(&thread, NULL, swap_around, &mover), 0);
        int problem = dsb_remove_content(top, &plenty);
        atomic_store(&mover.end, TRUE);
        pthread_join(thread, NULL);
        assert_true(problem == 0 || dsb_remove_content(top, &plenty) == 0);
        assert_true(g_file_test(precious, G_FILE_TEST_EXISTS));
    }
    assert_int_equal(g_unlink(precious), 0);
    assert_int_equal(g_rmdir(outside), 0);
}

/* As a run that was killed leaves it: a directory, and a lock that nobody holds. */
static void leave_behind(const char *name, unsigned levels)
{
    g_autofree char *lock = g_strdup_printf(".locks/%s", name);
    mkdirat(top, ".locks", 0700);
    assert_int_equal(mkdirat(top, name, 0700), 0);
    int dir = openat(top, name, O_RDONLY | O_DIRECTORY);
    close(scratch_deep(dir, levels));
    close(dir);
    assert_true(scratch_file(top, lock, 0));
}

static gboolean is_there(const char *name) { return faccessat(top, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

static void gc_counts_what_it_removed(void **state)
{
    (void) state;
    assert_int_equal(fchmod(top, 0700), 0);
    leave_behind(".run-a", 3000);
    leave_behind(".run-b", 1);
    leave_behind("session", 1);
    assert_int_equal(dsb_workdir_gc(path, TRUE), 2);
    assert_true(is_there(".run-a"));
    assert_int_equal(dsb_workdir_gc(path, FALSE), 2);
    assert_false(is_there(".run-a"));
    assert_false(is_there(".locks/.run-a"));
    assert_true(is_there("session"));
    assert_int_equal(dsb_workdir_gc(path, FALSE), 0);
}

/* Only root can hold a directory that cannot be removed: with a mount in it. */
static int gc_of_what_stays(int fd)
{
    (void) fd;
    g_autofree char *inside = g_build_filename(path, ".run-m", "d", NULL);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", inside, "tmpfs", 0, "size=1m") != 0)
        return 77;
    return dsb_workdir_gc(path, FALSE) == 0 && is_there(".run-m/d") ? 0 : 1;
}

static void gc_does_not_count_what_stays(void **state)
{
    (void) state;
    int status = 0;
    assert_int_equal(fchmod(top, 0700), 0);
    leave_behind(".run-m", 1);
    pid_t pid = fork();
    if (pid == 0)
        _exit(gc_of_what_stays(top));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void gc_leaves_no_locks(void **state)
{
    (void) state;
    struct dsb_workdir *dir = NULL;
    assert_int_equal(fchmod(top, 0700), 0);
    leave_behind(".run-a", 1);
    assert_int_equal(unlinkat(top, ".locks/.run-a", 0), 0);
    assert_true(scratch_file(top, ".locks/gone", 0)); /* of a session whose directory was removed by hand */
    assert_true(scratch_file(top, ".locks/.run-gone", 0));
    assert_true(scratch_session(path, "busy", &dir, NULL));
    assert_int_equal(dsb_workdir_gc(path, TRUE), 1);
    assert_false(is_there(".locks/.run-a")); /* a dry run makes none */
    assert_true(is_there(".locks/gone"));    /* and removes none */
    assert_int_equal(dsb_workdir_gc(path, FALSE), 1);
    assert_false(is_there(".locks/.run-a"));
    assert_false(is_there(".locks/gone"));
    assert_false(is_there(".locks/.run-gone"));
    assert_true(is_there(".locks/busy"));
    dsb_workdir_close(dir);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(ten_thousand_levels_with_few_descriptors),
        CASE(a_hundred_thousand_files),
        CASE(directories_without_any_right),
        CASE(a_limit_is_a_limit),
        CASE(nothing_outside_goes),
        CASE(gc_counts_what_it_removed),
        CASE(gc_does_not_count_what_stays),
        CASE(gc_leaves_no_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
