/* SPDX-License-Identifier: MIT */
/* What may be the id of a session, and what ids of our own look like. */
#include "common/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void ids_of_sessions(void **state)
{
    (void) state;
    static const char *const good[] = {"a", "Z", "0", "a.b", "a..", "a-_.9"};
    static const char *const bad[] = {"", ".", "..", "-a", "_a", ".run-x", "a/b", "a b", "a\n", "a\xc3\xa9", "\xc3\xa9"};
    char text[66];
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(dsb_session_id_valid(good[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(dsb_session_id_valid(bad[i]));
    assert_false(dsb_session_id_valid(NULL));
    memset(text, 'a', sizeof text);
    text[64] = '\0';
    assert_true(dsb_session_id_valid(text));
    text[64] = 'a', text[65] = '\0';
    assert_false(dsb_session_id_valid(text));
}

/* Also of text that has no end: as much as can be one is looked at, and a byte more. */
static void words(void **state)
{
    (void) state;
    char text[5] = {'a', '/', 'a', 'a', 'a'};
    assert_false(dsb_is_word(text, "/", 4));
    text[4] = '\0';
    assert_true(dsb_is_word(text, "/", 4));
    assert_false(dsb_is_word(text, "/", 3));
    assert_false(dsb_is_word(text, "-", 4));
    assert_false(dsb_is_word(text + 1, "/", 4));
    assert_false(dsb_is_word("", "/", 4));
    assert_false(dsb_is_word(NULL, "/", 4));
}

static void random_ids(void **state)
{
    (void) state;
    g_autofree char *one = dsb_random_id("s-"), *other = dsb_random_id("s-");
    assert_true(g_str_has_prefix(one, "s-") && dsb_session_id_valid(one));
    assert_int_equal(strlen(one), 28);
    assert_int_equal(strspn(one + 2, "abcdefghijklmnopqrstuvwxyz234567"), 26);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_sessions),
        cmocka_unit_test(words),
        cmocka_unit_test(random_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
