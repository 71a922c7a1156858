/* SPDX-License-Identifier: MIT */
/* A result is good only when pid 1 said so; a failure always has its reason. */
#include "run/result.h"
#include "run/error_rule.h"

#include <dsandbox/dsandbox.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *guest;

const char *__wrap_dsb_guest_dir(void);
const char *__wrap_dsb_guest_dir(void) { return guest; }

static void a_new_result_is_lost(void **state)
{
    (void) state;
    g_autoptr(dsb_result) result = dsb_result_new();
    assert_int_equal(dsb_result_status(result), DSB_STATUS_LOST);
    assert_int_equal(dsb_result_exit_status(result), 125);
}

static int too_large;

const char *__real_json_object_to_json_string_length(struct json_object *object, int flags, size_t *size);
const char *__wrap_json_object_to_json_string_length(struct json_object *object, int flags, size_t *size);
const char *__wrap_json_object_to_json_string_length(struct json_object *object, int flags, size_t *size)
{
    return too_large-- > 0 ? NULL : __real_json_object_to_json_string_length(object, flags, size);
}

/* json-c gives NULL for it. */
static void more_than_two_gibibytes_are_left_out(void **state)
{
    (void) state;
    g_autoptr(dsb_result) result = dsb_result_new();
    result->status = DSB_STATUS_OK;
    result->out.total = 3;
    g_byte_array_append(result->out.bytes, (const guint8 *) "all", 3);
    dsb_result_add_file(result, DSB_CHANGE_CREATED, "name", 1);
    too_large = 1;
    g_autofree char *text = dsb_result_json(result, FALSE);
    assert_non_null(text);
    static const char *const words[] = {"\"status\":\"ok\"", "\"stdout\":\"\"", "\"stdout_truncated\":true",
                                        "\"stdout_bytes\":3", "\"created\":[]", "left out"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        assert_non_null(strstr(text, words[i]));
}

/* Readable with a replacement for each byte that is no text, and the bytes beside it. */
static void streams_are_text_and_bytes(void **state)
{
    (void) state;
    static const struct {
        const char *bytes;
        gsize size;
        gboolean truncated;
        const char *text, *base64;
    } rows[] = {
        {"", 0, FALSE, "", NULL},
        {"a\0b\xe2\x98\x83", 6, FALSE, "a\\u0000b\xe2\x98\x83", NULL},
        {"a\xff\xfe\0z\n", 6, FALSE, "a\xef\xbf\xbd\xef\xbf\xbd\\u0000z\\n", "Yf/+AHoK"},
        {"a\xe2\x98", 3, FALSE, "a\xef\xbf\xbd\xef\xbf\xbd", "YeKY"},
        {"a\xe2\x98", 3, TRUE, "a", NULL}, /* the limit cut a character */
        {"\xff\xe2\x98", 3, TRUE, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "/+KY"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(dsb_result) result = dsb_result_new();
        g_byte_array_append(result->err.bytes, (const guint8 *) rows[i].bytes, (guint) rows[i].size);
        result->err.truncated = rows[i].truncated;
        g_autofree char *text = dsb_result_json(result, FALSE);
        g_autofree char *quoted = rows[i].base64 != NULL ? g_strdup_printf("\"%s\"", rows[i].base64) : g_strdup("null");
        g_autofree char *expected = g_strdup_printf(
            "\"stderr\":\"%s\",\"stderr_encoding\":\"utf-8\",\"stderr_base64\":%s,", rows[i].text, quoted);
        if (strstr(text, expected) == NULL)
            fail_msg("%s is not in %s", expected, text);
    }
}

static char *said;

static void keep(const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
    (void) domain;
    (void) level;
    (void) data;
    g_free(said);
    said = g_strdup(message);
}

static gboolean fails_silently(void) { return FALSE; }

static void failures_have_a_reason(void **state)
{
    (void) state;
    GError *error = NULL;
    assert_true(DSB_KEEPS_RULE(TRUE, &error));
    GLogFunc before = g_log_set_default_handler(keep, NULL);
    assert_false(DSB_KEEPS_RULE(fails_silently(), &error));
    assert_string_equal(said, "fails_silently failed without an error");
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_FAILED));
    assert_false(DSB_KEEPS_RULE(TRUE, &error)); /* an error is there: it cannot be a success */
    assert_string_equal(said, "TRUE succeeded and set an error");
    g_clear_pointer(&said, g_free);
    assert_false(DSB_KEEPS_RULE(fails_silently(), &error)); /* as it should be */
    assert_null(said);
    g_log_set_default_handler(before, NULL);
    g_error_free(error);
}

static void assert_broken_profile(gsize size, const char *words)
{
    g_autofree char *base = g_dir_make_tmp("dsb-result-XXXXXX", NULL);
    g_autofree char *profile = g_build_filename(base, "seccomp.json", NULL);
    g_autofree char *plugin = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    g_autofree char *text = g_strnfill(size, ' ');
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    guest = base;
    if (size > 0)
        assert_true(g_file_set_contents(profile, text, (gssize) size, NULL));
    const struct dsb_run_options options = {
        .struct_size = sizeof options,
        .init = DSB_INIT,
        .plugin_path = plugin,
        .base_dir = base,
        .cancel_fd = DSB_FD_NONE};
    const struct dsb_request request = {
        .struct_size = sizeof request, .init = DSB_INIT, .code = "pass", .code_size = 4, .stdin_fd = DSB_FD_NONE};
    g_autoptr(dsb_result) result = dsb_run(policy, &options, &request);
    assert_int_equal(dsb_result_status(result), DSB_STATUS_ERROR);
    assert_int_equal(dsb_result_exit_status(result), 125);
    assert_non_null(dsb_result_failure(result));
    if (strstr(dsb_result_failure(result)->message, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, dsb_result_failure(result)->message);
    g_unlink(profile);
    g_rmdir(base);
}

static void a_broken_installation_is_an_error(void **state)
{
    (void) state;
    assert_broken_profile(0, "No such file");
    assert_broken_profile((1u << 20) + 1, "has more than 1048576 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_result_is_lost),
        cmocka_unit_test(failures_have_a_reason),
        cmocka_unit_test(more_than_two_gibibytes_are_left_out),
        cmocka_unit_test(streams_are_text_and_bytes),
        cmocka_unit_test(a_broken_installation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
