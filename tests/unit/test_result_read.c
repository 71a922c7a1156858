/* SPDX-License-Identifier: MIT */
/* What programs read of a result, and that its JSON says the same. */
#include "common/objects.h"
#include "run/result.h"
#include "run/user_report.h"

#include <dsandbox/dsandbox.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define REPORT                                                                                                         \
    "{\"result\":{\"text/plain\":\"42\",\"application/json\":{\"a\":[1,null]}},"                                      \
    "\"displays\":[{\"image/png\":\"aGk=\"},{\"application/geo+json\":null}],"                                        \
    "\"omitted\":[{\"count\":3,\"reason\":\"too large\"}],"                                                           \
    "\"error\":{\"name\":\"ValueError\",\"value\":\"bad\",\"traceback\":\"line 1\"},"                                 \
    "\"vars\":{\"created\":[{\"name\":\"x\",\"type\":\"int\"},\"y\"],\"changed\":[\"z\"],\"deleted\":[],"                        \
    "\"truncated\":true}}"

static dsb_result *full(void)
{
    dsb_result *result = dsb_result_new();
    result->status = DSB_STATUS_ERROR;
    result->exit_code = 3;
    g_byte_array_append(result->out.bytes, (const guint8 *) "a\0b", 3);
    result->out.total = 5;
    result->out.truncated = TRUE;
    result->out.tail = g_byte_array_append(g_byte_array_new(), (const guint8 *) "yz", 2);
    result->out.file = g_strdup("dsandbox-output/execution-4.stdout");
    result->out.file_bytes = 5;
    g_byte_array_append(result->err.bytes, (const guint8 *) "e", 1);
    result->err.total = 1;
    result->report = dsb_user_report_parse(REPORT, strlen(REPORT));
    result->background = json_tokener_parse("{\"stdout\":\"late\",\"stderr\":\"\",\"truncated\":true}");
    dsb_result_add_file(result, DSB_CHANGE_CREATED, "new", 7);
    dsb_result_add_file(result, DSB_CHANGE_DELETED, "old", 9);
    dsb_result_set_state(result, DSB_OUTCOME_ROLLED_BACK, "a crash");
    result->state.execution = 4;
    result->state.to = 3;
    result->state.point = g_strdup("taken");
    result->wall_ms = 12;
    result->usage.cpu_us = 4999;
    result->usage.memory_peak_bytes = 1024;
    result->policy_sha256 = g_strdup("abc");
    result->id = g_strdup("dsb-x.4");
    result->session = g_strdup("s1");
    result->workdir = g_strdup("/base/s1");
    result->backend = g_strdup("podman");
    result->plugin_path = g_strdup("/lib/p.so");
    result->plugin_version = g_strdup("1.2");
    result->image = g_strdup("image:1");
    result->image_id = g_strdup("sha256:0");
    dsb_result_add_step(result, "engine_ms", 1.5);
    dsb_result_add_step(result, "answered_ms", 2.5);
    return result;
}

static void how_it_ended(void **state)
{
    (void) state;
    g_autoptr(dsb_result) result = full();
    assert_int_equal(dsb_result_status(result), DSB_STATUS_ERROR);
    assert_int_equal(dsb_result_exit_code(result), 3);
    assert_int_equal(dsb_result_exit_status(result), 3);
    assert_int_equal(dsb_result_signal(result), 0);
    assert_null(dsb_result_failure(result));
    assert_null(dsb_result_failure_code(result));
    dsb_result_fail(result, g_error_new_literal(DSB_ERROR, DSB_ERROR_REFUSED, "no"));
    assert_string_equal(dsb_result_failure_code(result), "refused");
    assert_int_equal(dsb_result_exit_status(result), 126);
}

static void streams(void **state)
{
    (void) state;
    gsize size = 99;
    gboolean truncated = FALSE;
    g_autoptr(dsb_result) result = full();
    assert_memory_equal(dsb_result_output(result, 1, &size), "a\0b", 3);
    assert_int_equal(size, 3);
    assert_int_equal(dsb_result_output_total(result, 1), 5);
    assert_true(dsb_result_output_truncated(result, 1));
    assert_memory_equal(dsb_result_output(result, 2, NULL), "e", 1);
    assert_false(dsb_result_output_truncated(result, 2));
    assert_non_null(dsb_result_output(result, 0, &size)); /* there is no such stream */
    assert_int_equal(size, 0);
    assert_non_null(dsb_result_output(result, 3, NULL));
    uint64_t bytes = 99;
    assert_memory_equal(dsb_result_output_tail(result, 1, &size), "yz", 2);
    assert_int_equal(size, 2);
    assert_string_equal(dsb_result_output_file(result, 1, &bytes), "dsandbox-output/execution-4.stdout");
    assert_int_equal(bytes, 5);
    assert_non_null(dsb_result_output_tail(result, 2, &size));
    assert_int_equal(size, 0);
    assert_null(dsb_result_output_file(result, 2, NULL));
    assert_null(dsb_result_output_file(result, 3, &bytes));
    assert_int_equal(bytes, 0);
    assert_string_equal(dsb_result_background(result, 1, &truncated), "late");
    assert_true(truncated);
    assert_null(dsb_result_background(result, 2, NULL));
    assert_null(dsb_result_background(result, 7, NULL));
}

static void values_and_error(void **state)
{
    (void) state;
    gsize size = 0;
    const char *reason = NULL;
    g_autoptr(dsb_result) result = full();
    assert_string_equal(dsb_result_error_name(result), "ValueError");
    assert_string_equal(dsb_result_error_value(result), "bad");
    assert_string_equal(dsb_result_error_traceback(result), "line 1");
    assert_int_equal(dsb_result_n_values(result), 3);
    assert_string_equal(dsb_result_value_type(result, 0, 0), "image/png");
    assert_null(dsb_result_value_type(result, 0, 1));
    assert_string_equal(dsb_result_value(result, 0, "image/png", &size), "aGk=");
    assert_int_equal(size, 4);
    assert_null(dsb_result_value(result, 0, "text/plain", &size));
    assert_int_equal(size, 0);
    assert_string_equal(dsb_result_value(result, 1, "application/geo+json", &size), "null");
    assert_string_equal(dsb_result_value_type(result, 2, 1), "application/json");
    assert_string_equal(dsb_result_value(result, 2, "text/plain", NULL), "42");
    assert_string_equal(dsb_result_value(result, 2, "application/json", &size), "{\"a\":[1,null]}");
    assert_int_equal(size, 14);
    assert_null(dsb_result_value(result, 3, "text/plain", NULL));
    assert_null(dsb_result_value(result, 2, NULL, NULL));
    assert_int_equal(dsb_result_values_omitted(result, 0, &reason), 3);
    assert_string_equal(reason, "too large");
    assert_int_equal(dsb_result_values_omitted(result, 1, &reason), 0);
    assert_null(reason);
}

static void files_and_usage(void **state)
{
    (void) state;
    uint64_t size = 0;
    g_autoptr(dsb_result) result = full();
    assert_int_equal(dsb_result_n_files(result, DSB_CHANGE_CREATED), 1);
    assert_int_equal(dsb_result_n_files(result, DSB_CHANGE_MODIFIED), 0);
    assert_string_equal(dsb_result_file(result, DSB_CHANGE_CREATED, 0, &size), "new");
    assert_int_equal(size, 7);
    assert_string_equal(dsb_result_file(result, DSB_CHANGE_DELETED, 0, NULL), "old");
    assert_null(dsb_result_file(result, DSB_CHANGE_CREATED, 1, NULL));
    assert_int_equal(dsb_result_n_files(result, DSB_N_CHANGES), 0);
    assert_false(dsb_result_files_truncated(result));
    assert_string_equal(dsb_change_name(DSB_CHANGE_MODIFIED), "modified");
    assert_int_equal(dsb_result_wall_ms(result), 12);
    assert_int_equal(dsb_result_cpu_ms(result), 4);
    assert_int_equal(dsb_result_memory_peak(result), 1024);
    assert_int_equal(dsb_result_pids_peak(result), -1);
    assert_int_equal(dsb_result_oom_kills(result), -1);
}

static void state_of_a_session(void **state)
{
    (void) state;
    const char *type = NULL;
    g_autoptr(dsb_result) result = full();
    assert_int_equal(dsb_result_state(result), DSB_OUTCOME_ROLLED_BACK);
    assert_string_equal(dsb_outcome_name(dsb_result_state(result)), "rolled_back");
    assert_string_equal(dsb_result_state_reason(result), "a crash");
    assert_int_equal(dsb_result_execution(result), 4);
    assert_int_equal(dsb_result_rolled_back_to(result), 3);
    assert_string_equal(dsb_result_rollback_point(result), "taken");
    assert_int_equal(dsb_result_n_variables(result, DSB_CHANGE_CREATED), 2);
    assert_string_equal(dsb_result_variable(result, DSB_CHANGE_CREATED, 0, &type), "x");
    assert_string_equal(type, "int");
    assert_string_equal(dsb_result_variable(result, DSB_CHANGE_CREATED, 1, &type), "y");
    assert_null(type);
    assert_string_equal(dsb_result_variable(result, DSB_CHANGE_MODIFIED, 0, NULL), "z");
    assert_null(dsb_result_variable(result, DSB_CHANGE_DELETED, 0, NULL));
    assert_true(dsb_result_variables_truncated(result));
}

static void where_it_ran(void **state)
{
    (void) state;
    double ms = 0;
    g_autoptr(dsb_result) result = full();
    assert_string_equal(dsb_result_id(result), "dsb-x.4");
    assert_string_equal(dsb_result_session(result), "s1");
    assert_string_equal(dsb_result_workdir(result), "/base/s1");
    assert_string_equal(dsb_result_backend(result), "podman");
    assert_string_equal(dsb_result_plugin_path(result), "/lib/p.so");
    assert_string_equal(dsb_result_plugin_version(result), "1.2");
    assert_string_equal(dsb_result_image(result), "image:1");
    assert_string_equal(dsb_result_image_id(result), "sha256:0");
    assert_string_equal(dsb_result_policy_sha256(result), "abc");
    assert_int_equal(dsb_result_n_controls(result), 0);
    assert_null(dsb_result_control(result, 0));
    assert_string_equal(dsb_result_step(result, 1, &ms), "answered_ms");
    assert_true(ms == 2.5);
    assert_null(dsb_result_step(result, 2, &ms));
    g_autofree char *json = dsb_result_json(result, FALSE);
    assert_non_null(strstr(json, "\"timing\":{\"engine_ms\":1.5,\"answered_ms\":2.5}"));
}

/* What is not there is said in the same way by a new result and by none. */
static void nothing_is_said_of_nothing(void **state)
{
    (void) state;
    g_autoptr(dsb_result) empty = dsb_result_new();
    const dsb_result *const both[] = {empty, NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(both); i++) {
        const dsb_result *result = both[i];
        gsize size = 1;
        assert_int_equal(dsb_result_status(result), result != NULL ? DSB_STATUS_LOST : DSB_STATUS_ERROR);
        assert_int_equal(dsb_result_exit_status(result), 125);
        assert_int_equal(dsb_result_exit_code(result), -1);
        assert_int_equal(dsb_result_signal(result), 0);
        assert_null(dsb_result_failure(result));
        assert_null(dsb_result_reason(result));
        assert_non_null(dsb_result_output(result, 1, &size));
        assert_int_equal(size, 0);
        assert_int_equal(dsb_result_output_total(result, 1), 0);
        assert_null(dsb_result_background(result, 1, NULL));
        assert_null(dsb_result_error_name(result));
        assert_null(dsb_result_error_value(result));
        assert_null(dsb_result_error_traceback(result));
        assert_int_equal(dsb_result_n_values(result), 0);
        assert_null(dsb_result_value_type(result, 0, 0));
        assert_null(dsb_result_value(result, 0, "text/plain", NULL));
        assert_int_equal(dsb_result_values_omitted(result, 0, NULL), 0);
        assert_int_equal(dsb_result_n_files(result, DSB_CHANGE_CREATED), 0);
        assert_false(dsb_result_files_truncated(result));
        assert_int_equal(dsb_result_wall_ms(result), -1);
        assert_int_equal(dsb_result_cpu_ms(result), -1);
        assert_int_equal(dsb_result_memory_peak(result), -1);
        assert_int_equal(dsb_result_state(result), DSB_OUTCOME_NONE);
        assert_null(dsb_result_state_reason(result));
        assert_int_equal(dsb_result_execution(result), 0);
        assert_int_equal(dsb_result_rolled_back_to(result), -1);
        assert_null(dsb_result_rollback_point(result));
        assert_int_equal(dsb_result_n_variables(result, DSB_CHANGE_CREATED), 0);
        assert_false(dsb_result_variables_truncated(result));
        assert_null(dsb_result_policy_sha256(result));
        assert_int_equal(dsb_result_n_controls(result), 0);
        assert_null(dsb_result_id(result));
        assert_null(dsb_result_backend(result));
        assert_null(dsb_result_plugin_path(result));
        assert_null(dsb_result_plugin_version(result));
        assert_null(dsb_result_step(result, 0, NULL));
        g_autofree char *json = dsb_result_json(result, FALSE);
        assert_true((json != NULL) == (result != NULL));
    }
    assert_null(dsb_result_object(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_it_ended),
        cmocka_unit_test(streams),
        cmocka_unit_test(values_and_error),
        cmocka_unit_test(files_and_usage),
        cmocka_unit_test(state_of_a_session),
        cmocka_unit_test(where_it_ran),
        cmocka_unit_test(nothing_is_said_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
