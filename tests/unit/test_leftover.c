/* SPDX-License-Identifier: MIT */
/* A backend that cannot remove a container: whoever ends a sandbox is told, once, wherever there is a place for it. */
#include "session_fixture.h"

#define LEFT "could not be removed: injected fault in destroy"

/* The engine in memory, behind a plugin that fails to remove. */
static int set_up_fault(void **state)
{
    if (set_up(state) != 0)
        return -1;
    g_setenv("DSB_TEST_INNER", plugin, TRUE);
    g_setenv("DSB_TEST_FAULT", "destroy:0", TRUE);
    g_free(plugin);
    plugin = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-fault.so", NULL);
    options.plugin_path = plugin;
    return 0;
}

static int tear_down_fault(void **state)
{
    unsigned removed = 0;
    g_setenv("DSB_TEST_FAULT", "", TRUE);
    options.session = NULL;
    assert_true(dsb_gc(&options, FALSE, &removed, NULL));
    return tear_down(state);
}

static void the_end_of_a_session_says_it(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    assert_false(dsb_session_end(session, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE));
    assert_true(g_str_has_prefix(error->message, "container dsb-"));
    assert_true(g_str_has_suffix(error->message, LEFT));
    g_setenv("DSB_TEST_FAULT", "", TRUE);
    assert_true(dsb_session_end(open_session(), NULL));
    assert_true(dsb_session_end(NULL, NULL));
}

static dsb_session *in_use;

static void end_it(void *data, int stream, const void *bytes, gsize size)
{
    (void) stream;
    (void) bytes;
    (void) size;
    assert_false(dsb_session_end(in_use, data));
}

static void the_end_of_one_in_use_is_not_known(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    one.output = end_it;
    one.data = &error;
    request.code = "out hi";
    request.code_size = strlen(request.code);
    in_use = open_session();
    g_autoptr(dsb_result) result = dsb_session_execute(in_use, &one, &request);
    assert_int_equal(dsb_result_status(result), DSB_STATUS_OK);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
}

/* Nobody hears of a removal that was not made. */
static void a_silent_one_is_not_said_to_be_removed(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "grace", "0s", "test", NULL));
    dsb_session *session = open_session();
    json_object *result = execute_request(session, "mute", 10, NULL);
    assert_string_equal(at(result, "state.outcome"), "lost");
    assert_true(g_str_has_prefix(at(result, "state.reason"), "the sandbox did not answer, and was ended; its container may still be there"));
    json_object_put(result);
    assert_true(dsb_session_end(session, NULL)); /* said already */
}

static void one_that_dies_says_it_twice(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    json_object *result = execute(session, "die");
    assert_string_equal(at(result, "status"), "lost");
    assert_non_null(strstr(at(result, "failure.message"), "its container may still be there"));
    assert_string_equal(at(result, "state.reason"), at(result, "failure.message"));
    json_object_put(result);
    dsb_session_close(session);
}

static dsb_result *run_once(const char *code, uint64_t timeout_ms)
{
    struct dsb_request request = DSB_REQUEST_INIT;
    request.code = code;
    request.code_size = strlen(code);
    request.timeout_ms = timeout_ms;
    options.session = NULL;
    dsb_controls_parse("user,volume", &options.allow_unenforced, NULL); /* fake_pid1 tells of the session's */
    return dsb_run(policy, &options, &request);
}

static void a_run_says_it_beside_its_own_status(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "grace", "0s", "test", NULL));
    assert_int_equal(g_mkdir(workdir, 0700), 0); /* fake_pid1 wants one */
    g_autoptr(dsb_result) result = run_once("mute", 10);
    if (dsb_result_failure(result) != NULL)
        fail_msg("%s", dsb_result_failure(result)->message);
    assert_int_equal(dsb_result_status(result), DSB_STATUS_TIMEOUT);
    assert_null(dsb_result_failure(result));
    assert_non_null(dsb_result_leftover(result));
    assert_true(g_str_has_suffix(dsb_result_leftover(result), LEFT "; 'dsandbox gc' tries again"));
    g_autofree char *text = dsb_result_json(result, FALSE);
    assert_non_null(strstr(text, "\"leftover\":\"container dsb-"));
}

/* `destroy` is left to an engine that says that it removes what has ended, and to no other. */
static void what_was_answered_is_removed(void **state)
{
    (void) state;
    assert_int_equal(g_mkdir(workdir, 0700), 0);
    g_autoptr(dsb_result) tried = run_once("out hi stateless", 4000);
    assert_int_equal(dsb_result_status(tried), DSB_STATUS_OK);
    assert_true(g_str_has_suffix(dsb_result_leftover(tried), LEFT "; 'dsandbox gc' tries again"));
    g_setenv("DSB_TEST_FAULT", "describe:0:claims,destroy:0", TRUE);
    g_autoptr(dsb_result) left = run_once("out hi stateless", 4000);
    assert_int_equal(dsb_result_status(left), DSB_STATUS_OK);
    assert_null(dsb_result_leftover(left));
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_fault, tear_down_fault)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(the_end_of_a_session_says_it),
        FAULT_TEST(the_end_of_one_in_use_is_not_known),
        FAULT_TEST(a_silent_one_is_not_said_to_be_removed),
        FAULT_TEST(one_that_dies_says_it_twice),
        FAULT_TEST(a_run_says_it_beside_its_own_status),
        FAULT_TEST(what_was_answered_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
