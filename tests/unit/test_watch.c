/* SPDX-License-Identifier: MIT */
#include "hostdir/disk_watch.h"
#include "run/file_changes.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "scratch.h"

#define MIB (1u << 20)

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

/* Looks as often as a run of a minute would; the reason, or NULL. */
static char *reason_of(struct dsb_watch *watch)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (!dsb_watch_look(watch))
            break;
        if (!watch->counting && i > 50)
            break;
    }
    char *reason = g_strdup(watch->reason);
    dsb_watch_clear(watch);
    return reason;
}

static void expect(struct dsb_watch *watch, const char *part)
{
    g_autofree char *reason = reason_of(watch);
    if (part == NULL)
        assert_null(reason);
    else if (reason == NULL || strstr(reason, part) == NULL)
        fail_msg("\"%s\" is not in the reason: %s", part, reason);
}

static void what_is_small_is_not_over(void **state)
{
    (void) state;
    struct dsb_watch watch;
    assert_true(scratch_file(top, "a", 4096));
    dsb_watch_init(&watch, top, MIB, 16);
    expect(&watch, NULL);
}

static void depth_hides_nothing(void **state)
{
    (void) state;
    struct dsb_watch watch;
    int deepest = scratch_deep(top, 300);
    assert_true(scratch_file(deepest, "big", 2 * MIB));
    close(deepest);
    dsb_watch_init(&watch, top, MIB, 1000);
    expect(&watch, "disk of 1MiB");
    dsb_watch_init(&watch, top, 8 * MIB, 100);
    expect(&watch, "disk_inodes of 100");
    dsb_watch_init(&watch, top, 8 * MIB, 1000);
    expect(&watch, NULL);
}

static int hide_in_mode_000(int fd)
{
    struct dsb_watch watch;
    int own = scratch_deep(fd, 1);
    int dir = scratch_deep(own, 1);
    if (!scratch_file(dir, "big", 2 * MIB) || fchmod(dir, 0) != 0 || fchmod(own, 0) != 0)
        return 1;
    dsb_watch_init(&watch, own, MIB, 1000);
    g_autofree char *reason = reason_of(&watch);
    return reason != NULL && strstr(reason, "disk of 1MiB") != NULL ? 0 : 2;
}

static void an_unreadable_directory_hides_nothing(void **state)
{
    (void) state;
    assert_int_equal(fchmod(top, 0777), 0);
    assert_int_equal(scratch_as_nobody(hide_in_mode_000, top), 0);
}

static int look_at_foreign(int fd)
{
    struct dsb_watch watch;
    dsb_watch_init(&watch, fd, MIB, 1000);
    for (unsigned i = 0; i < 4; i++) /* a directory that moves may do this once */
        if (!dsb_watch_look(&watch))
            return 1;
    g_autofree char *reason = reason_of(&watch);
    return reason != NULL && strstr(reason, "looked into") != NULL ? 0 : 2;
}

static void what_cannot_be_looked_into_is_over(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(fchmod(top, 0755), 0);
    assert_int_equal(mkdirat(top, "closed", 0700), 0);
    assert_int_equal(scratch_as_nobody(look_at_foreign, top), 0);
}

static void above_two_hundred_thousand_inodes(void **state)
{
    (void) state;
    struct dsb_watch watch;
    struct dsb_scan scan;
    if (access("/dev/shm", W_OK) != 0)
        skip();
    assert_true(scratch_files(top, 210001));
    dsb_watch_init(&watch, top, 1024 * (uint64_t) MIB, 210000);
    expect(&watch, "disk_inodes of 210000");
    dsb_watch_init(&watch, top, 1024 * (uint64_t) MIB, 300000);
    watch.slice_us = 1000; /* many pieces, and every one goes on where the last one ended */
    expect(&watch, NULL);
    dsb_scan_run(top, TRUE, 210001, &scan);
    assert_int_equal(scan.inodes, 210001);
    assert_true(scan.truncated); /* the list has its own bound */
    g_autofree char *over = dsb_scan_over(&scan, 1024 * (uint64_t) MIB, 210000);
    assert_non_null(over);
    dsb_scan_clear(&scan);
}

static void what_cannot_be_counted_in_time_is_over(void **state)
{
    (void) state;
    struct dsb_watch watch;
    assert_true(scratch_files(top, 5000));
    dsb_watch_init(&watch, top, 1024 * (uint64_t) MIB, 100000);
    watch.slice_us = watch.spend_max_us = 0;
    expect(&watch, "counted in time");
}

/* In a mount namespace of its own, on a file system of 1 MiB: the floor is 1 % of it. 77: not possible here. */
static int on_a_small_disk(int fd)
{
    (void) fd;
    char *reason = NULL;
    struct dsb_watch watch;
    struct dsb_scan scan;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", path, "tmpfs", 0, "size=1m,nr_inodes=500") != 0)
        return 77;
    int small = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dsb_watch_init(&watch, small, 1024 * (uint64_t) MIB, 100000);
    if (!dsb_watch_room(small, &reason) || !dsb_watch_look(&watch))
        return 1;
    scratch_file(small, "all", MIB);
    if (dsb_watch_room(small, &reason) || strstr(reason, "must stay free") == NULL)
        return 2;
    if (dsb_watch_look(&watch) || strstr(watch.reason, "must stay free") == NULL)
        return 3;
    dsb_watch_clear(&watch);
    unlinkat(small, "all", 0);
    scratch_files(small, 498);
    g_free(reason);
    if (dsb_watch_room(small, &reason) || strstr(reason, "inodes") == NULL)
        return 4;
    g_free(reason);
    dsb_scan_run(small, FALSE, 0, &scan);
    dsb_scan_clear(&scan);
    close(small);
    return 0;
}

static void a_floor_of_free_space_stays(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(on_a_small_disk(top));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A writer that ends between two looks. */
static void the_last_check_takes_ok_back(void **state)
{
    (void) state;
    static const enum dsb_status kept[] = {DSB_STATUS_TIMEOUT, DSB_STATUS_OOM, DSB_STATUS_SIGNAL, DSB_STATUS_CANCELLED};
    struct dsb_scan scan;
    assert_true(scratch_file(top, "big", 2 * MIB));
    dsb_scan_run(top, TRUE, 1000, &scan);
    g_autoptr(dsb_result) result = dsb_result_new();
    result->status = DSB_STATUS_OK;
    result->ran = TRUE;
    dsb_disk_settle(&scan, 4 * MIB, 999, result);
    assert_int_equal(result->status, DSB_STATUS_OK);
    dsb_disk_settle(&scan, MIB, 999, result);
    assert_int_equal(result->status, DSB_STATUS_DISK_LIMIT);
    assert_non_null(strstr(result->reason, "disk of 1MiB"));
    g_autofree char *json = dsb_result_json(result, FALSE);
    assert_non_null(strstr(json, "\"reason\":\"/sandbox held more than"));
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        result->status = kept[i];
        dsb_disk_settle(&scan, MIB, 999, result);
        assert_int_equal(result->status, kept[i]);
    }
    dsb_scan_clear(&scan);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_small_is_not_over),
        CASE(depth_hides_nothing),
        CASE(an_unreadable_directory_hides_nothing),
        CASE(what_cannot_be_looked_into_is_over),
        CASE(above_two_hundred_thousand_inodes),
        CASE(what_cannot_be_counted_in_time_is_over),
        CASE(a_floor_of_free_space_stays),
        CASE(the_last_check_takes_ok_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
