/* SPDX-License-Identifier: MIT */
/* Executions of a session, one after the other: results, time and disk limits, what became of the variables. */
#include "session_fixture.h"

static void executions_follow_each_other(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    assert_true(dsb_session_alive(session));
    assert_true(dsb_session_fd(session) >= 0);
    assert_string_equal(dsb_session_id(session), "s1");
    assert_string_equal(dsb_session_workdir(session), workdir);
    for (int i = 1; i <= 3; i++) {
        json_object *result = execute(session, "vars out hi");
        assert_string_equal(at(result, "status"), "ok");
        assert_string_equal(at(result, "stdout"), "hi");
        assert_string_equal(at(result, "session"), "s1");
        assert_string_equal(at(result, "state.outcome"), "kept");
        assert_string_equal(at(result, "state.reason"), "null");
        assert_string_equal(at(result, "state.to"), "null");
        assert_string_equal(at(result, "state.point"), "taken");
        assert_int_equal(atoi(at(result, "state.execution")), i);
        assert_non_null(strstr(at(result, "state.vars.created"), "\"x\""));
        assert_string_equal(at(result, "workdir"), workdir);
        assert_non_null(strstr(at(result, "policy.controls"), "seccomp"));
        json_object_put(result);
    }
    g_autofree char *info = dsb_session_info(session);
    json_object *facts = json_tokener_parse(info);
    assert_string_equal(at(facts, "id"), "s1");
    assert_string_equal(at(facts, "backend"), "memory");
    assert_string_equal(at(facts, "container"), "00000001");
    json_object_put(facts);
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_true(g_str_has_prefix(configs, "flags 7;")); /* a session, with rollback points in quiet */
    dsb_session_close(session);
    dsb_session_close(NULL);
}

static void a_point_after_each_execution_is_asked_for(void **state)
{
    (void) state;
    options.checkpoint = DSB_CHECKPOINT_ALWAYS;
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_true(g_str_has_prefix(configs, "flags 3;"));
    dsb_session_close(session);
}

static void crashes_tell_what_became_of_the_variables(void **state)
{
    (void) state;
    options.checkpoint = DSB_CHECKPOINT_OFF;
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    json_object *result = execute(session, "rolled");
    assert_string_equal(at(result, "status"), "signal");
    assert_string_equal(at(result, "state.outcome"), "rolled_back");
    assert_string_equal(at(result, "state.reason"), "killed by signal 11");
    assert_string_equal(at(result, "state.to"), "1");
    assert_string_equal(at(result, "state.vars"), "null");
    json_object_put(result);
    assert_run(session, "lost", "oom", "lost");
    assert_run(session, "out hi", "ok", "kept");
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_true(g_str_has_prefix(configs, "flags 1;"));
    dsb_session_close(session);
}

static void the_environment_is_sent_once_and_what_an_execution_has_besides(void **state)
{
    (void) state;
    static const char *const env[] = {"A=b", NULL};
    dsb_session *session = open_session();
    json_object *first = execute(session, "echo");
    assert_non_null(strstr(at(first, "stdout"), ", 0 variables;"));
    json_object *second = execute_request(session, "echo", 0, env);
    assert_non_null(strstr(at(second, "stdout"), ", 1 variables;"));
    assert_true(g_str_has_suffix(at(second, "stdout"), " A    b"));
    assert_null(strstr(at(second, "stdout"), "MPLBACKEND"));
    json_object_put(first);
    json_object_put(second);
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_non_null(strstr(configs, "MPLBACKEND    Agg"));
    assert_non_null(strstr(configs, " 536870912; 0 arguments"));
    dsb_session_close(session);
}

static void a_request_has_its_own_timeout_within_the_locked_one(void **state)
{
    (void) state;
    const char *file = "{\"timeout\":\"20s\",\"locked\":[\"timeout\"]}";
    dsb_session *session = open_session();
    json_object *usual = execute(session, "echo");
    json_object *longer = execute_request(session, "echo", 90000, NULL);
    assert_non_null(strstr(at(usual, "stdout"), "numbers 30000 "));
    assert_non_null(strstr(at(longer, "stdout"), "numbers 90000 "));
    json_object_put(usual);
    json_object_put(longer);
    json_object *never = execute_request(session, "echo", UINT64_MAX / 2, NULL);
    assert_string_equal(at(never, "failure.code"), "invalid");
    json_object_put(never);
    dsb_session_close(session);
    assert_true(dsb_policy_load(policy, file, strlen(file), "site.json", NULL));
    session = open_session();
    json_object *refused = execute_request(session, "echo", 20001, NULL);
    assert_string_equal(at(refused, "status"), "refused");
    assert_string_equal(at(refused, "state.outcome"), "kept");
    assert_non_null(strstr(at(refused, "failure.message"), "site.json"));
    json_object *shorter = execute_request(session, "echo", 100, NULL);
    assert_non_null(strstr(at(shorter, "stdout"), "numbers 100 "));
    json_object_put(refused);
    json_object_put(shorter);
    dsb_session_close(session);
}

static void what_cannot_run_leaves_the_session_alone(void **state)
{
    (void) state;
    static const char *const bad_env[] = {"no equals", NULL};
    dsb_session *session = open_session();
    json_object *latin = execute(session, "\xe9");
    assert_string_equal(at(latin, "status"), "error");
    assert_string_equal(at(latin, "failure.code"), "invalid");
    assert_string_equal(at(latin, "state.outcome"), "kept");
    json_object *env = execute_request(session, "out hi", 0, bad_env);
    assert_string_equal(at(env, "failure.code"), "invalid");
    json_object_put(latin);
    json_object_put(env);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void a_container_that_ends_is_lost(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    json_object *result = execute(session, "out half die");
    assert_string_equal(at(result, "status"), "lost");
    assert_string_equal(at(result, "failure.code"), "lost");
    assert_string_equal(at(result, "stdout"), "half");
    assert_string_equal(at(result, "state.outcome"), "lost");
    json_object_put(result);
    assert_false(dsb_session_alive(session));
    assert_int_equal(dsb_session_fd(session), -1);
    assert_run(session, "out hi", "lost", "lost");
    dsb_session_close(session);

    options.lost_reason = "the container ended: killed; files were kept";
    session = open_session();
    json_object *again = execute(session, "out hi");
    assert_string_equal(at(again, "status"), "ok");
    assert_string_equal(at(again, "state.outcome"), "lost");
    assert_string_equal(at(again, "state.reason"), options.lost_reason);
    json_object_put(again);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void a_death_while_idle_is_seen(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    fake_pid1_kill(fake);
    struct pollfd fd = {dsb_session_fd(session), POLLIN, 0};
    assert_int_equal(poll(&fd, 1, 10000), 1);
    while (dsb_session_alive(session))
        g_usleep(1000);
    assert_run(session, "out hi", "lost", "lost");
    dsb_session_close(session);
}

static void broken_answers_end_the_session(void **state)
{
    (void) state;
    static const char *const codes[] = {"stateless", "foreign", "garbage"};
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        dsb_session *session = open_session();
        json_object *result = execute(session, codes[i]);
        assert_string_equal(at(result, "status"), "lost");
        assert_string_equal(at(result, "failure.code"), "protocol");
        assert_string_equal(at(result, "state.outcome"), "lost");
        json_object_put(result);
        assert_false(dsb_session_alive(session));
        dsb_session_close(session);
    }
}

static void a_silent_container_is_given_up(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "grace", "0s", "test", NULL));
    dsb_session *session = open_session();
    json_object *result = execute_request(session, "mute", 10, NULL);
    assert_string_equal(at(result, "status"), "timeout");
    assert_string_equal(at(result, "state.outcome"), "lost");
    json_object_put(result);
    assert_false(dsb_session_alive(session));
    dsb_session_close(session);
}

static void too_much_on_disk_is_killed_at_once(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "disk", "1MiB", "test", NULL));
    assert_true(dsb_policy_set(policy, "fsize", "1GiB", "test", NULL)); /* what the fake says */
    dsb_session *session = open_session();
    g_autofree char *path = g_build_filename(workdir, "big", NULL);
    json_object *result = execute(session, "big big wait");
    assert_string_equal(at(result, "status"), "disk_limit");
    assert_string_equal(at(result, "stdout"), "kill");
    json_object_put(result);
    /* It may run on what it has, to clean up, but not on much more. */
    assert_run(session, "out hi", "ok", "kept");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(posix_fallocate(fd, 0, 80 << 20), 0);
    close(fd);
    json_object *refused = execute(session, "out hi");
    assert_string_equal(at(refused, "failure.code"), "limit");
    assert_string_equal(at(refused, "state.outcome"), "kept");
    json_object_put(refused);
    assert_int_equal(g_unlink(path), 0);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void the_disk_is_watched_while_idle(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "disk", "1MiB", "test", NULL));
    assert_true(dsb_policy_set(policy, "fsize", "1GiB", "test", NULL));
    dsb_session *session = open_session();
    assert_run(session, "out hi", "ok", "kept");
    g_autofree char *path = g_build_filename(workdir, "big", NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 80 << 20), 0);
    close(fd);
    for (int i = 0; i < 600 && dsb_session_alive(session); i++)
        g_usleep(100000);
    assert_false(dsb_session_alive(session));
    json_object *result = execute(session, "out hi");
    assert_string_equal(at(result, "status"), "lost");
    assert_non_null(strstr(at(result, "state.reason"), "disk"));
    json_object_put(result);
    dsb_session_close(session);
}

/* What the host does just before is not the execution's, and what this does to the host's files is. */
static void files_of_each_execution_are_its_own(void **state)
{
    (void) state;
    static const char *const names[] = {"host", "changed", "taken"};
    dsb_session *session = open_session();
    json_object *first = execute(session, "file a");
    assert_string_equal(at(first, "files.created"), "[ { \"path\": \"a\", \"size\": 1 } ]");
    json_object_put(first);
    for (int i = 0; i < 50; i++) {
        for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
            g_autofree char *path = g_build_filename(workdir, names[k], NULL);
            assert_true(g_file_set_contents(path, "h", 1, NULL));
        }
        json_object *result = execute(session, "file b file changed gone taken out hi");
        assert_string_equal(at(result, "files.created"), i == 0 ? "[ { \"path\": \"b\", \"size\": 1 } ]" : "[ ]");
        assert_string_equal(at(result, "files.modified"),
                            i == 0 ? "[ { \"path\": \"changed\", \"size\": 1 } ]"
                                   : "[ { \"path\": \"b\", \"size\": 1 }, { \"path\": \"changed\", \"size\": 1 } ]");
        assert_string_equal(at(result, "files.deleted"), "[ { \"path\": \"taken\", \"size\": 1 } ]");
        json_object_put(result);
    }
    dsb_session_close(session);
}

static void control_operations(void **state)
{
    (void) state;
    static const char *const bad[] = {"", "[]", "{}", "{\"op\":1}", "{\"op\":", "no", "{\"op\":\"get\",\"name\":1}",
                                       "{\"op\":\"get\",\"name\":\"a\\u0000b\"}", "{\"op\":\"get\",\"a=\":\"b\"}",
                                       "{\"op\":\"get\",\"\":\"b\"}"};
    g_autoptr(GError) error = NULL;
    dsb_session *session = open_session();
    g_autofree char *vars = dsb_session_control(session, "{\"op\":\"vars\"}", 0, &error);
    assert_string_equal(vars, "{\"vars\":[{\"name\":\"x\",\"type\":\"int\"}]}");
    assert_null(dsb_session_control(session, "{\"op\":\"bad\"}", 0, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_FAILED));
    assert_string_equal(error->message, "no such operation");
    g_clear_error(&error);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_null(dsb_session_control(session, bad[i], 0, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
        g_clear_error(&error);
    }
    assert_null(dsb_session_control(session, "{\"op\":\"slow\"}", 50, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_TIMEOUT));
    g_clear_error(&error);
    assert_run(session, "out hi", "ok", "kept"); /* the late answer is nobody's */
    g_autofree char *again = dsb_session_control(session, "{\"op\":\"vars\"}", 0, &error);
    assert_non_null(again);
    assert_null(dsb_session_control(session, "{\"op\":\"die\"}", 0, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LOST));
    assert_false(dsb_session_alive(session));
    dsb_session_close(session);
}

static void assert_no_session(const char *code, const char *word)
{
    dsb_result *failure = NULL;
    assert_null(dsb_session_open(policy, &options, &failure));
    json_object *result = to_json(failure);
    if (strcmp(at(result, "failure.code"), code) != 0 || strstr(at(result, "failure.message"), word) == NULL)
        fail_msg("not %s with %s: %s", code, word, json_object_to_json_string(result));
    json_object_put(result);
}

static void what_does_not_open_says_why(void **state)
{
    (void) state;
    options.session = NULL;
    assert_no_session("invalid", "id");
    options.session = "../x";
    assert_no_session("invalid", "../x");
    options.session = "s1";
    dsb_session *first = open_session();
    assert_no_session("busy", "s1");
    dsb_session_close(first);
    options.endpoint = "absent";
    assert_no_session("unavailable", "");
    options.endpoint = endpoint;
    fake_pid1_behave(fake, FAKE_PID1_LIES);
    assert_no_session("refused", "volume");
    fake_pid1_behave(fake, FAKE_PID1_LEAVES);
    assert_no_session("lost", "the container ended");
    fake_pid1_behave(fake, FAKE_PID1_HONEST);
    dsb_session_close(open_session());
}

static void a_runtime_that_is_not_there_is_refused(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "runtime", "nonesuch", "test", NULL));
    dsb_result *failure = NULL;
    assert_null(dsb_session_open(policy, &options, &failure));
    assert_int_equal(dsb_result_status(failure), DSB_STATUS_REFUSED);
    assert_string_equal(dsb_result_failure_code(failure), "refused");
    assert_int_equal(dsb_result_exit_status(failure), 126);
    assert_non_null(strstr(dsb_result_failure(failure)->message, "no runtime \"nonesuch\""));
    dsb_result_free(failure);
}

static void one_shot_runs_go_the_same_way(void **state)
{
    (void) state;
    const struct dsb_request request = {
        .struct_size = sizeof request,
        .init = DSB_INIT,
        .code = "file c stateless",
        .code_size = 16,
        .stdin_fd = DSB_FD_NONE,
        .timeout_ms = 4000};
    json_object *result = to_json(dsb_run(policy, &options, &request));
    assert_string_equal(at(result, "status"), "ok");
    assert_string_equal(at(result, "state"), "null");
    assert_non_null(strstr(at(result, "files.created"), "\"c\""));
    json_object_put(result);
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_true(g_str_has_prefix(configs, "flags 0;"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(executions_follow_each_other),
        TEST(a_point_after_each_execution_is_asked_for),
        TEST(crashes_tell_what_became_of_the_variables),
        TEST(the_environment_is_sent_once_and_what_an_execution_has_besides),
        TEST(a_request_has_its_own_timeout_within_the_locked_one),
        TEST(what_cannot_run_leaves_the_session_alone),
        TEST(a_container_that_ends_is_lost),
        TEST(a_death_while_idle_is_seen),
        TEST(broken_answers_end_the_session),
        TEST(a_silent_container_is_given_up),
        TEST(too_much_on_disk_is_killed_at_once),
        TEST(the_disk_is_watched_while_idle),
        TEST(files_of_each_execution_are_its_own),
        TEST(control_operations),
        TEST(what_does_not_open_says_why),
        TEST(a_runtime_that_is_not_there_is_refused),
        TEST(one_shot_runs_go_the_same_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
