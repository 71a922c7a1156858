/* SPDX-License-Identifier: MIT */
#include "run/command.h"
#include "run/input_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct dsb_run_options usual = DSB_RUN_OPTIONS_INIT;
static const struct dsb_request nothing = {
    .struct_size = sizeof nothing, .init = DSB_INIT, .code = "", .stdin_fd = DSB_FD_NONE};

static void assert_good(const struct dsb_run_options *options, const struct dsb_request *request)
{
    g_autoptr(GError) error = NULL;
    if (!dsb_check_request(options, request, &error))
        fail_msg("%s", error->message);
}

static void assert_bad(const struct dsb_run_options *options, const struct dsb_request *request, const char *word)
{
    g_autoptr(GError) error = NULL;
    assert_false(dsb_check_request(options, request, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    if (strstr(error->message, word) == NULL)
        fail_msg("\"%s\" is not in: %s", word, error->message);
}

static void test_command(void **state)
{
    (void) state;
    static const char *const good[] = {"sh", "-c", "", "\xc3\xa9", NULL}, *const none[] = {NULL}, *const empty[] = {"", "x", NULL},
                            *const bytes[] = {"sh", "\xff", NULL};
    struct dsb_request request = nothing;
    request.code = NULL;
    request.command = good;
    assert_good(&usual, &request);
    static const char *const directories[] = {"data", "/", "../etc", "/sandbox/a b"};
    for (gsize i = 0; i < G_N_ELEMENTS(directories); i++) {
        request.cwd = directories[i];
        assert_good(&usual, &request);
    }
    g_autofree char *longest = g_strnfill(DSB_COMMAND_NAME + 1, 'd');
    const char *const bad[] = {"", "\xff", longest};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        request.cwd = bad[i];
        assert_bad(&usual, &request, "working directory");
    }
    request.cwd = longest + 1;
    assert_good(&usual, &request);
    request.cwd = NULL;
    request.command = none;
    assert_bad(&usual, &request, "no program");
    request.command = empty;
    assert_bad(&usual, &request, "no program");
    request.command = bytes;
    assert_bad(&usual, &request, "UTF-8");
    g_autofree char *large = g_strnfill(16u << 20, 'x');
    const char *const words[] = {"echo", large, NULL};
    request.command = words;
    assert_bad(&usual, &request, "are possible");
}

static void test_env(void **state)
{
    (void) state;
    struct dsb_request request = nothing;
    static const char *const good[] = {"A=1", "EMPTY=", "TWO=a=b", "_x9=\xc3\xa9", "LINES=a\nb", NULL};
    request.env = good;
    assert_good(&usual, &request);
    static const char *const bad[] = {"A", "=1", "1A=1", "A-B=1", "A B=1", "A\xc3\xa9=1", "A=\xff", "", "A\n=1"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *const one[] = {"OK=1", bad[i], NULL};
        request.env = one;
        assert_bad(&usual, &request, "env");
    }
    g_autoptr(GPtrArray) many = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < 257; i++)
        g_ptr_array_add(many, g_strdup_printf("V%u=1", i));
    g_ptr_array_add(many, NULL);
    request.env = (const char *const *) (void *) many->pdata;
    assert_bad(&usual, &request, "at most 256");
}

static void test_code(void **state)
{
    (void) state;
    static const struct {
        const char *code;
        gsize size;
    } bad[] = {{"\xff", 1}, {"a\0\xff", 3}, {"\xc3", 1}, {"\0\xc3\0", 3}};
    struct dsb_request request = nothing;
    assert_good(&usual, &request);
    request.code = "\0a\0\0\xc3\xa4\0"; /* what a NUL means is the interpreter's word */
    request.code_size = 7;
    assert_good(&usual, &request);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        request.code = bad[i].code;
        request.code_size = bad[i].size;
        assert_bad(&usual, &request, "UTF-8");
    }
    const char *const argv[] = {"fine", "\xff", NULL};
    request = nothing;
    request.argv = argv;
    assert_bad(&usual, &request, "argument");
}

static void test_places(void **state)
{
    (void) state;
    static const char *const bases[] = {"", "relative", "./x"};
    static const char *const sessions[] = {"", ".", "..", "a/b", "-x", "a b", "a\nb"};
    static const char *const images[] = {"", "-x", "a b", "a\nb"};
    for (gsize i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct dsb_run_options options = usual;
        options.base_dir = bases[i];
        assert_bad(&options, &nothing, "base directory");
    }
    for (gsize i = 0; i < G_N_ELEMENTS(sessions); i++) {
        struct dsb_run_options options = usual;
        options.session = sessions[i];
        assert_bad(&options, &nothing, "session id");
    }
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        struct dsb_run_options options = usual;
        options.image = images[i];
        assert_bad(&options, &nothing, "image");
    }
}

static void test_size(void **state)
{
    (void) state;
    struct dsb_request request = nothing;
    request.code_size = (16u << 20) - (64u << 10);
    g_autofree char *code = g_strnfill(16u << 20, '\x01'); /* every byte is one byte there */
    request.code = code;
    assert_good(&usual, &request);
    request.code_size++;
    assert_bad(&usual, &request, "files of the session");
    request.code_size = 16u << 20;
    assert_bad(&usual, &request, "files of the session");
    memset(code, '"', 16u << 20);
    request.code_size = 15u << 20;
    assert_good(&usual, &request);
    request = nothing;
    memset(code, 'a', 16u << 20);
    code[(16u << 20) - 1] = '\0';
    const char *const argv[] = {code, NULL};
    request.argv = argv;
    assert_bad(&usual, &request, "files of the session");
}

static void test_arguments(void **state)
{
    (void) state;
    struct dsb_request request = nothing;
    g_autofree const char **argv = g_new0(const char *, DSB_COMMAND_ARGUMENTS + 2);
    for (gsize i = 0; i < DSB_COMMAND_ARGUMENTS; i++)
        argv[i] = "";
    request.argv = argv;
    assert_good(&usual, &request);
    argv[DSB_COMMAND_ARGUMENTS] = "";
    assert_bad(&usual, &request, "at most 65536 arguments");
}

static void test_file_name(void **state)
{
    (void) state;
    struct dsb_request request = nothing;
    g_autofree char *name = g_strnfill(DSB_COMMAND_NAME, 'n');
    request.filename = name;
    assert_good(&usual, &request);
    g_autofree char *longer = g_strconcat(name, "n", NULL);
    request.filename = longer;
    assert_bad(&usual, &request, "file name");
    request.filename = "\xe9.py";
    assert_bad(&usual, &request, "must be UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_file_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
