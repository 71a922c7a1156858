/* SPDX-License-Identifier: MIT */
#include "hostdir/uid_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/idfiles.h"
#include "scratch.h"
#include "hostdir/subids.h"

#define FIRST 2100000000u /* outside of the program's own range */

static char *path;
static int top = -1, base = -1;

static struct dsb_uid_pool new_pool(uint32_t first, uint32_t count)
{
    g_autofree char *name = g_strdup_printf("pool%u-%u", first, count);
    assert_true(mkdirat(top, name, 0700) == 0 || errno == EEXIST);
    return (struct dsb_uid_pool){openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), first, count};
}

static int setup(void **state)
{
    (void) state;
    path = scratch_make(g_get_tmp_dir(), &top);
    if (path == NULL || mkdirat(top, "base", 0700) != 0)
        return -1;
    base = openat(top, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return base < 0;
}

static int teardown(void **state)
{
    (void) state;
    close(base);
    return scratch_remove(path, top);
}

static GArray *ranges_of(const char *subordinate, const char *names)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(struct dsb_id_range));
    dsb_subids_add(ranges, subordinate);
    dsb_subids_add_names(ranges, names);
    return ranges;
}

/* The first user of Debian has 100000 to 165535. */
static void free_ids_are_nobodys(void **state)
{
    static const struct {
        const char *subordinate, *names;
        uint32_t first;
    } cases[] = {
        {"", "", 100000},
        {"first:100000:65536\n", "root:x:0:0:root:/root:/bin/sh\n", 165536},
        {"second:165536:65536\nfirst:100000:65536\n", "", 231072},
        {"second:200000:65536\n", "", 100000},
        {"odd:150000:10\n", "", 150010},
        {"", "ldap:x:100007:5:::\n", 100008},
        {"no range\n:::\nx:y:z\n\n", "x\n", 100000},
        {"all:100000:4000000000\n", "", 0},
        {"low:1:4294967295\n", "", 0},
    };
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) ranges = ranges_of(cases[i].subordinate, cases[i].names);
        assert_int_equal(dsb_subids_free(ranges, 65536), cases[i].first);
    }
}

static void ids_of_a_user(void **state)
{
    static const char text[] = "ann:100000:65536\nanna:165536:65536\n1000:300000:10\n1001:x:10\nbob\n\n:400:5\n1002:500:0\n1002:600:2:3\n";
    static const struct {
        const char *user;
        uint32_t uid, n, first;
    } cases[] = {{"ann", 7, 1, 100000}, {"anna", 7, 1, 165536}, {"carl", 1000, 1, 300000}, {"ann", 1000, 2, 100000},
                 {"an", 7, 0, 0},       {"bob", 7, 0, 0},       {"carl", 1001, 0, 0}, {NULL, 7, 0, 0},
                 {NULL, 1000, 1, 300000}, {NULL, 1002, 1, 600}};
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) own = g_array_new(FALSE, FALSE, sizeof(struct dsb_id_range));
        assert_int_equal(dsb_subids_of(text, cases[i].user, cases[i].uid, own), cases[i].n > 0);
        assert_int_equal(own->len, cases[i].n);
        if (cases[i].n > 0)
            assert_int_equal(g_array_index(own, struct dsb_id_range, 0).first, cases[i].first);
    }
    g_autoptr(GArray) taken = ranges_of(text, "");
    assert_true(dsb_subids_is_free(taken, 400000, 65536));
    assert_false(dsb_subids_is_free(taken, 99999, 2));
    assert_false(dsb_subids_is_free(taken, 4294967000u, 65536));
}

/* Images that were copied for a user's own id, and what is beside them. */
static void ids_of_a_storage(void **state)
{
    static const struct {
        const char *name;
        uid_t uid;
    } layers[] = {{"a", 1000}, {"b", 200001}, {"c", 200000}, {"l", 0}};
    (void) state;
    assert_int_equal(dsb_idfiles_of_storage(path, 1000), 0);
    assert_int_equal(mkdirat(base, "storage", 0700), 0);
    assert_int_equal(mkdirat(base, "storage/overlay", 0700), 0);
    g_autofree char *containers = g_build_filename(path, "base", NULL);
    assert_int_equal(dsb_idfiles_of_storage(containers, 1000), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(layers); i++) {
        g_autofree char *name = g_build_filename("storage/overlay", layers[i].name, NULL);
        assert_int_equal(mkdirat(base, name, 0700), 0);
        assert_int_equal(fchownat(base, name, layers[i].uid, layers[i].uid, 0), 0);
    }
    assert_int_equal(dsb_idfiles_of_storage(containers, 1000), 200000);
}

static char *directory(const char *name) { return g_build_filename(path, "base", name, NULL); }

/* The directory of a session, given to the user. */
static void make(const char *name, uint32_t uid)
{
    assert_int_equal(mkdirat(base, name, 0700), 0);
    assert_int_equal(fchownat(base, name, uid, uid, 0), 0);
}

static int claim(const struct dsb_uid_pool *pool, const char *name, uint32_t owner, uint32_t *uid)
{
    g_autofree char *where = directory(name);
    return dsb_uids_claim(pool, base, where, owner, uid, NULL);
}

static void refused(const struct dsb_uid_pool *pool, const char *name, uint32_t owner, enum dsb_error_code code)
{
    uint32_t uid = 0;
    g_autoptr(GError) error = NULL;
    g_autofree char *where = directory(name);
    assert_int_equal(dsb_uids_claim(pool, base, where, owner, &uid, &error), -1);
    assert_non_null(error);
    assert_true(g_error_matches(error, DSB_ERROR, (int) code));
}

static void each_has_its_own_until_none_is_left(void **state)
{
    (void) state;
    uint32_t uids[3], again = 0;
    int claims[3];
    struct dsb_uid_pool pool = new_pool(FIRST, 3);
    for (unsigned i = 0; i < 3; i++) {
        claims[i] = claim(&pool, ".run-x", 0, &uids[i]);
        assert_true(claims[i] >= 0 && uids[i] >= FIRST && uids[i] < FIRST + 3);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(uids[i], uids[k]);
    }
    refused(&pool, "x", 0, DSB_ERROR_LIMIT);
    dsb_uids_release(&pool, claims[1], uids[1], FALSE);
    claims[1] = claim(&pool, ".run-x", 0, &again);
    assert_int_equal(again, uids[1]);
    for (unsigned i = 0; i < 3; i++)
        dsb_uids_release(&pool, claims[i], uids[i], FALSE);
    dsb_uids_close(&pool);
}

static void a_directory_keeps_its_uid(void **state)
{
    (void) state;
    uint32_t uid = 0, other = 0;
    struct dsb_uid_pool pool = new_pool(FIRST, 2);
    int held = claim(&pool, "a", 0, &uid);
    make("a", uid);
    refused(&pool, "copy-of-a", uid, DSB_ERROR_BUSY);
    dsb_uids_release(&pool, held, uid, TRUE);
    held = claim(&pool, ".run-1", 0, &other); /* the only one that is left */
    assert_int_not_equal(other, uid);
    refused(&pool, ".run-2", 0, DSB_ERROR_LIMIT);
    dsb_uids_release(&pool, held, other, FALSE);
    held = claim(&pool, "a", uid, &other);
    assert_int_equal(other, uid);
    dsb_uids_release(&pool, held, uid, TRUE);
    /* Removed by hand: it is given back when it is needed. */
    assert_int_equal(unlinkat(base, "a", AT_REMOVEDIR), 0);
    int claims[2];
    uint32_t uids[2];
    for (unsigned i = 0; i < 2; i++)
        assert_true((claims[i] = claim(&pool, ".run-3", 0, &uids[i])) >= 0);
    for (unsigned i = 0; i < 2; i++)
        dsb_uids_release(&pool, claims[i], uids[i], FALSE);
    dsb_uids_close(&pool);
}

static void directories_from_before_the_boot_keep_theirs(void **state)
{
    (void) state;
    uint32_t uid = 0;
    struct dsb_uid_pool pool = new_pool(FIRST, 2);
    make("old", FIRST);
    int held = claim(&pool, ".run-1", 0, &uid);
    assert_int_equal(uid, FIRST + 1);
    refused(&pool, ".run-2", 0, DSB_ERROR_LIMIT);
    dsb_uids_release(&pool, held, uid, FALSE);
    dsb_uids_close(&pool);
}

static void what_somebody_has_is_left_alone(void **state)
{
    (void) state;
    g_autofree char *text = NULL;
    struct dsb_uid_pool pool = new_pool(1, 2); /* daemon, bin */
    refused(&pool, ".run-1", 0, DSB_ERROR_LIMIT);
    dsb_uids_close(&pool);
    unsigned first = 0, count = 0;
    if (!g_file_get_contents("/etc/subuid", &text, NULL, NULL) || sscanf(text, "%*[^:]:%u:%u", &first, &count) != 2)
        return; /* no rootless engine here */
    pool = new_pool(first, MIN(count, 3));
    refused(&pool, ".run-1", 0, DSB_ERROR_LIMIT);
    dsb_uids_close(&pool);
    assert_false(dsb_uids_ours(0) || dsb_uids_ours(1000) || dsb_uids_ours(65534) || dsb_uids_ours(100000));
}

static void a_uid_with_a_process_is_not_given_back(void **state)
{
    (void) state;
    uint32_t uid = 0;
    int ready[2];
    char byte;
    struct dsb_uid_pool pool = new_pool(FIRST, 1);
    int held = claim(&pool, ".run-1", 0, &uid);
    dsb_uids_release(&pool, held, uid, TRUE); /* as when its container could not be removed */
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(uid, uid, uid) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    dsb_uids_gc(&pool);
    refused(&pool, ".run-2", 0, DSB_ERROR_LIMIT);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    dsb_uids_gc(&pool);
    held = claim(&pool, ".run-2", 0, &uid);
    assert_int_equal(uid, FIRST);
    dsb_uids_release(&pool, held, uid, FALSE);
    close(ready[0]);
    close(ready[1]);
    dsb_uids_close(&pool);
}

#define PROCESSES 8
#define EACH 25

/* Claims some, says which, and holds them until its standard input ends. */
static int compete(int in, int out)
{
    char byte;
    struct dsb_uid_pool pool = new_pool(FIRST, PROCESSES * EACH);
    for (unsigned i = 0; i < EACH; i++) {
        uint32_t uid = 0;
        if (claim(&pool, ".run-x", 0, &uid) < 0 || write(out, &uid, sizeof uid) != sizeof uid)
            return 1;
    }
    return read(in, &byte, 1) == 0 ? 0 : 1;
}

static void processes_that_compete_get_different_ones(void **state)
{
    (void) state;
    int go[2], said[2];
    pid_t pids[PROCESSES];
    gboolean seen[PROCESSES * EACH] = {FALSE};
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(said), 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        close(go[1]);
        _exit(compete(go[0], said[1]));
    }
    for (unsigned i = 0; i < PROCESSES * EACH; i++) {
        uint32_t uid = 0;
        assert_int_equal(read(said[0], &uid, sizeof uid), sizeof uid);
        assert_true(uid >= FIRST && uid - FIRST < PROCESSES * EACH);
        assert_false(seen[uid - FIRST]);
        seen[uid - FIRST] = TRUE;
    }
    struct dsb_uid_pool pool = new_pool(FIRST, PROCESSES * EACH);
    refused(&pool, ".run-x", 0, DSB_ERROR_LIMIT);
    close(go[1]);
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    uint32_t uid = 0;
    int held = claim(&pool, ".run-x", 0, &uid); /* they are dead, their directories never were */
    assert_true(held >= 0);
    dsb_uids_release(&pool, held, uid, FALSE);
    close(go[0]);
    close(said[0]);
    close(said[1]);
    dsb_uids_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_ids_are_nobodys),
        cmocka_unit_test(ids_of_a_user),
        cmocka_unit_test_setup_teardown(ids_of_a_storage, setup, teardown),
        cmocka_unit_test_setup_teardown(each_has_its_own_until_none_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_keeps_its_uid, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_from_before_the_boot_keep_theirs, setup, teardown),
        cmocka_unit_test_setup_teardown(what_somebody_has_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_uid_with_a_process_is_not_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(processes_that_compete_get_different_ones, setup, teardown),
    };
    if (geteuid() != 0)
        return 77; /* only root has sandboxes with other uids */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
