/* SPDX-License-Identifier: MIT */
#include "arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FILL 0x5a

/* The structure of a newer header. */
struct newer {
    struct dsb_run_options known;
    void *more;
};

static void assert_invalid(GError *error, const char *part)
{
    assert_non_null(error);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    if (strstr(error->message, part) == NULL)
        fail_msg("%s", error->message);
    g_error_free(error);
}

static void only_sizes_that_were(void **state)
{
    (void) state;
    for (uint32_t size = 0; size < 5000; size++) {
        uint8_t from[8192] = {0};
        struct dsb_run_options to;
        GError *error = NULL;
        memcpy(from, &size, sizeof size);
        gboolean known = size == offsetof(struct dsb_run_options, no_checkpoint) ||
                         size == offsetof(struct dsb_run_options, lost_reason) ||
                         (size >= sizeof(struct dsb_run_options) && size <= 4096);
        if (dsb_take_options((const struct dsb_run_options *) (void *) from, &to, &error) != known)
            fail_msg("%u", size);
        if (known)
            assert_int_equal(to.struct_size, sizeof to);
        else
            assert_invalid(error, "struct_size is");
    }
}

/* Nothing beyond its end is read. */
static void an_older_structure(void **state)
{
    (void) state;
    struct dsb_run_options whole = {.struct_size = offsetof(struct dsb_run_options, no_checkpoint)}, to;
    void *old = g_malloc(whole.struct_size);
    whole.data = &to;
    memcpy(old, &whole, whole.struct_size);
    memset(&to, FILL, sizeof to);
    assert_true(dsb_take_options(old, &to, NULL));
    assert_ptr_equal(to.data, &to);
    assert_false(to.no_checkpoint);
    assert_null(to.lost_reason);
    g_free(old);
    struct dsb_request request = {.struct_size = offsetof(struct dsb_request, timeout_ms), .code = "", .timeout_ms = 9},
                       got;
    assert_true(dsb_take_request(&request, &got, NULL));
    assert_int_equal(got.timeout_ms, 0);
}

static void a_newer_structure(void **state)
{
    (void) state;
    struct newer newer = {.known = {.struct_size = sizeof newer, .image = "x"}};
    struct dsb_run_options to;
    GError *error = NULL;
    assert_true(dsb_take_options(&newer.known, &to, NULL));
    assert_string_equal(to.image, "x");
    newer.more = &newer;
    assert_false(dsb_take_options(&newer.known, &to, &error));
    assert_invalid(error, "update libdsandbox");
}

static void every_entry_point(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_run_options options = {.struct_size = 12, .cancel_fd = -1};
    struct dsb_request request = {.struct_size = sizeof request, .code = "", .stdin_fd = -1};
    GError *error = NULL;
    unsigned removed = 0;
    dsb_result *failure = NULL;
    for (unsigned i = 0; i < 4; i++) {
        options.struct_size = i == 0 ? 12 : sizeof options;
        request.struct_size = i == 1 ? 12 : sizeof request;
        request.code = i == 2 ? NULL : "";
        g_autoptr(dsb_result) result = dsb_run(policy, i == 3 ? NULL : &options, &request);
        assert_invalid(g_error_copy(dsb_result_failure(result)), i == 2   ? "code is missing"
                                                                 : i == 3 ? "is missing"
                                                                          : "struct_size is");
        assert_int_equal(dsb_result_status(result), DSB_STATUS_ERROR);
    }
    options.struct_size = 12;
    assert_false(dsb_gc(&options, TRUE, &removed, &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_false(dsb_image_make(&options, "/x", NULL, NULL, "x", &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_null(dsb_backends(&options, FALSE));
    assert_null(dsb_session_open(policy, &options, &failure));
    assert_invalid(g_error_copy(dsb_result_failure(failure)), "struct_size is");
    dsb_result_free(failure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_sizes_that_were),
        cmocka_unit_test(an_older_structure),
        cmocka_unit_test(a_newer_structure),
        cmocka_unit_test(every_entry_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
