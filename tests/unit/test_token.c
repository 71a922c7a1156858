/* SPDX-License-Identifier: MIT */
/* The token of a TCP address: which files are taken for one, and who is let in. */
#include "broker/token.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD "0123456789abcdef"

static char *directory, *path;

static int begin(void **state)
{
    (void) state;
    directory = g_dir_make_tmp("dsb-token-XXXXXX", NULL);
    path = g_build_filename(directory, "token", NULL);
    return directory != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void) state;
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    g_free(directory);
    return 0;
}

static void put(const char *text, gsize size)
{
    g_unlink(path);
    assert_true(g_file_set_contents_full(path, text, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void refused(int code, const char *words)
{
    g_autoptr(GError) error = NULL;
    assert_null(token_load(path, &error));
    assert_true(g_error_matches(error, DSB_ERROR, code));
    assert_non_null(strstr(error->message, words));
    assert_null(strstr(error->message, GOOD)); /* it is a secret, also when it is a bad one */
}

static struct token *load(const char *text)
{
    GError *error = NULL;
    put(text, strlen(text));
    struct token *token = token_load(path, &error);
    assert_non_null(token);
    return token;
}

static void who_is_let_in(void **state)
{
    struct token *token = load(GOOD "\n");
    (void) state;
    assert_true(token_accepts(token, "Bearer " GOOD));
    assert_true(token_accepts(token, "bearer   " GOOD));
    const char *others[] = {NULL, "", "Bearer", "Bearer ", GOOD, "Basic " GOOD, "Bearer " GOOD "0",
                            "Bearer 0123456789abcde", "Bearer 0123456789abcdeF", "Bearer " GOOD "\n",
                            "Bearer " GOOD " ", " Bearer " GOOD};
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        assert_false(token_accepts(token, others[i]));
    token_free(token);
    token_free(NULL);
}

/* One word of 16 to 4096 bytes; blanks around it do not count. */
static void what_is_a_token(void **state)
{
    g_autofree char *longest = g_strnfill(4096, 'x');
    g_autofree char *header = g_strconcat("Bearer ", longest, NULL);
    g_autofree char *longer = g_strnfill(4097, 'x');
    (void) state;
    struct token *token = load(longest);
    assert_true(token_accepts(token, header));
    token_free(token);
    token = load("  " GOOD "\t\n");
    assert_true(token_accepts(token, "Bearer " GOOD));
    token_free(token);
    const char *bad[] = {"", "\n", "0123456789abcde", GOOD " x", GOOD "\n" GOOD, GOOD "\x01", GOOD "\xc3\xa4", longer};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        put(bad[i], strlen(bad[i]));
        refused(DSB_ERROR_INVALID, "one word of 16 to 4096 bytes");
    }
    put("0123\0" GOOD, 21); /* what is behind a NUL would not count */
    refused(DSB_ERROR_INVALID, "one word of 16 to 4096 bytes");
}

/* Ours, regular, and nobody else's to read. */
static void which_files_are_taken(void **state)
{
    (void) state;
    const mode_t modes[] = {0640, 0620, 0610, 0604, 0602, 0601};
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        put(GOOD, strlen(GOOD));
        assert_int_equal(chmod(path, modes[i]), 0);
        refused(DSB_ERROR_DENIED, "nobody else can read (chmod 600)");
        assert_false(token_check_file(path, "--tls-key", NULL));
    }
    g_unlink(path);
    refused(DSB_ERROR_INVALID, "cannot open");
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(DSB_ERROR_DENIED, "regular file"); /* and at once */
    g_unlink(path);
    assert_int_equal(g_mkdir(path, 0700), 0);
    refused(DSB_ERROR_DENIED, "regular file");
    g_rmdir(path);
    g_autofree char *real = g_build_filename(directory, "real", NULL);
    assert_true(g_file_set_contents_full(real, GOOD, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    assert_int_equal(symlink(real, path), 0);
    refused(DSB_ERROR_INVALID, "cannot open");
    g_unlink(real);
    g_unlink(path);
    g_autoptr(GError) error = NULL;
    assert_null(token_load(NULL, &error));
    assert_string_equal(error->message, "--listen needs --token-file");
}

static void another_user_s_file(void **state)
{
    (void) state;
    put(GOOD, strlen(GOOD));
    if (geteuid() != 0 || chown(path, 65534, 65534) != 0)
        skip();
    refused(DSB_ERROR_DENIED, "of yours");
}

static void the_option_is_named(void **state)
{
    g_autoptr(GError) error = NULL;
    (void) state;
    put(GOOD, strlen(GOOD));
    assert_true(token_check_file(path, "--tls-key", NULL));
    g_unlink(path);
    assert_false(token_check_file(path, "--tls-key", &error));
    assert_true(g_str_has_prefix(error->message, "--tls-key: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_let_in, begin, end),
        cmocka_unit_test_setup_teardown(what_is_a_token, begin, end),
        cmocka_unit_test_setup_teardown(which_files_are_taken, begin, end),
        cmocka_unit_test_setup_teardown(another_user_s_file, begin, end),
        cmocka_unit_test_setup_teardown(the_option_is_named, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
