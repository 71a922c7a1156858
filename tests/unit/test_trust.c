/* SPDX-License-Identifier: MIT */
/* Whose files and directories are believed, by owner and mode. */
#include "common/runtime_dir.h"
#include "common/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OTHER 12345

static void by_owner_and_mode(void **state)
{
    (void) state;
    const uid_t self = geteuid();
    const struct {
        uid_t uid;
        mode_t mode;
        gboolean own, private, closed, trusted;
    } cases[] = {
        {self, S_IFDIR | 0700, TRUE, TRUE, TRUE, TRUE},
        {self, S_IFDIR | 0500, TRUE, TRUE, TRUE, TRUE},
        {self, S_IFDIR | 0710, TRUE, FALSE, TRUE, TRUE},
        {self, S_IFDIR | 0704, TRUE, FALSE, TRUE, TRUE},
        {self, S_IFDIR | 0755, TRUE, FALSE, TRUE, TRUE},
        {self, S_IFDIR | 0720, FALSE, FALSE, FALSE, FALSE},
        {self, S_IFDIR | 0702, FALSE, FALSE, FALSE, FALSE},
        {self, S_IFDIR | 01777, FALSE, FALSE, FALSE, TRUE},
        {self, S_IFREG | 0700, FALSE, FALSE, TRUE, TRUE},
        {self, S_IFREG | 01777, FALSE, FALSE, FALSE, FALSE}, /* no directory: it is written to all the same */
        {self, S_IFLNK | 0777, FALSE, FALSE, FALSE, FALSE},
        {OTHER, S_IFDIR | 0700, FALSE, FALSE, FALSE, FALSE},
        {OTHER, S_IFDIR | 01755, FALSE, FALSE, FALSE, FALSE},
        {0, S_IFDIR | 01777, FALSE, FALSE, FALSE, TRUE},
        {0, S_IFDIR | 0755, self == 0, FALSE, TRUE, TRUE},
        {0, S_IFREG | 0775, FALSE, FALSE, FALSE, FALSE},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct stat st = {.st_uid = cases[i].uid, .st_mode = cases[i].mode};
        if (dsb_is_own_dir(&st) != cases[i].own || dsb_is_private_dir(&st) != cases[i].private ||
            dsb_is_closed(&st) != cases[i].closed || dsb_is_trusted(&st) != cases[i].trusted)
            fail_msg("uid %u mode %o: own %d, private %d, closed %d, trusted %d", cases[i].uid, cases[i].mode,
                     dsb_is_own_dir(&st), dsb_is_private_dir(&st), dsb_is_closed(&st), dsb_is_trusted(&st));
    }
}

/* What is no directory of ours alone counts as none, with the way out of there being none. */
static void runtime_directory(void **state)
{
    (void) state;
    g_autofree char *dir = g_strdup("/tmp/dsb-runtime-XXXXXX");
    assert_non_null(g_mkdtemp(dir));
    g_autofree char *file = g_build_filename(dir, "file", NULL), *below = g_build_filename(dir, "dsandbox", NULL);
    assert_true(g_file_set_contents(file, "", 0, NULL));
    g_setenv("XDG_RUNTIME_DIR", dir, TRUE);
    g_autofree char *own = dsb_runtime_dir();
    assert_string_equal(own, below);
    assert_int_equal(chmod(dir, 0770), 0);
    g_autofree char *shared = dsb_runtime_dir();
    const char *const bad[] = {file, "relative", "", "/nothing/here"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_setenv("XDG_RUNTIME_DIR", bad[i], TRUE);
        g_autofree char *other = dsb_runtime_dir();
        assert_string_equal(other, shared);
    }
    assert_true(g_str_has_suffix(shared, "/dsandbox") || strstr(shared, ".dsandbox-") != NULL);
    assert_string_not_equal(shared, below);
    g_unsetenv("XDG_RUNTIME_DIR");
    unlink(file);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_owner_and_mode),
        cmocka_unit_test(runtime_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
