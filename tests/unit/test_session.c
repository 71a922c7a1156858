/* SPDX-License-Identifier: MIT */
#include "fake_pid1.h"

#include <dsandbox/dsandbox.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *base, *workdir, *endpoint, *plugin;
static struct fake_pid1 *fake;
static dsb_policy *policy;
static struct dsb_run_options options;

static int set_up(void **state)
{
    (void) state;
    base = g_dir_make_tmp("dsb-session-XXXXXX", NULL);
    workdir = g_build_filename(base, "s1", NULL);
    g_autofree char *socket = g_build_filename(base, ".pid1", NULL);
    endpoint = g_strconcat("unix:", socket, NULL);
    plugin = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    g_setenv("XDG_RUNTIME_DIR", base, TRUE);
    fake = fake_pid1_start(socket, workdir);
    policy = dsb_policy_new();
    options = (struct dsb_run_options){.struct_size = sizeof options,
                                       .plugin_path = plugin,
                                       .endpoint = endpoint,
                                       .base_dir = base,
                                       .session = "s1",
                                       .cancel_fd = -1};
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    fake_pid1_stop(fake);
    dsb_policy_free(policy);
    assert_true(dsb_files_delete_session(base, "s1", NULL));
    g_autofree char *locks = g_build_filename(base, ".locks", NULL);
    g_autofree char *run = g_build_filename(base, "dsandbox", NULL);
    g_rmdir(locks);
    g_rmdir(run);
    int left = g_rmdir(base);
    g_free(base);
    g_free(workdir);
    g_free(endpoint);
    g_free(plugin);
    return left;
}

static dsb_session *open_session(void)
{
    dsb_result *failure = NULL;
    dsb_session *session = dsb_session_open(policy, &options, &failure);
    if (session == NULL)
        fail_msg("%s", dsb_result_failure(failure)->message);
    return session;
}

static json_object *to_json(dsb_result *result)
{
    g_autofree char *text = dsb_result_json(result, FALSE);
    dsb_result_free(result);
    json_object *object = json_tokener_parse(text);
    assert_non_null(object);
    return object;
}

static json_object *execute_request(dsb_session *session, const char *code, uint64_t timeout_ms, const char *const *env)
{
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .code = code,
                                        .code_size = strlen(code),
                                        .stdin_fd = -1,
                                        .timeout_ms = timeout_ms,
                                        .env = env};
    return to_json(dsb_session_execute(session, NULL, &request));
}

static json_object *execute(dsb_session *session, const char *code) { return execute_request(session, code, 0, NULL); }

/* "a.b.c" of a result as text; "null" for what is null. */
static const char *at(json_object *object, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);
    for (guint i = 0; keys[i] != NULL; i++)
        if (!json_object_object_get_ex(object, keys[i], &object))
            return "absent";
    return object != NULL ? json_object_get_string(object) : "null";
}

static void assert_run(dsb_session *session, const char *code, const char *status, const char *outcome)
{
    json_object *result = execute(session, code);
    if (strcmp(at(result, "status"), status) != 0 || strcmp(at(result, "state.outcome"), outcome) != 0)
        fail_msg("%s: not %s and %s: %s", code, status, outcome, json_object_to_json_string(result));
    json_object_put(result);
}

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
    assert_non_null(strstr(configs, "\"session\":true"));
    assert_non_null(strstr(configs, "\"checkpoint\":true"));
    dsb_session_close(session);
    dsb_session_close(NULL);
}

static void crashes_tell_what_became_of_the_variables(void **state)
{
    (void) state;
    options.no_checkpoint = TRUE;
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
    assert_non_null(strstr(configs, "\"checkpoint\":false"));
    dsb_session_close(session);
}

static void the_environment_is_sent_once_or_when_asked(void **state)
{
    (void) state;
    static const char *const env[] = {"A=b", NULL};
    dsb_session *session = open_session();
    json_object *first = execute(session, "echo");
    assert_null(strstr(at(first, "stdout"), "\"env\""));
    json_object *second = execute_request(session, "echo", 0, env);
    assert_non_null(strstr(at(second, "stdout"), "\"A\":\"b\""));
    assert_non_null(strstr(at(second, "stdout"), "\"MPLBACKEND\""));
    json_object_put(first);
    json_object_put(second);
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_non_null(strstr(configs, "\"MPLBACKEND\""));
    assert_non_null(strstr(configs, "\"memory\":536870912"));
    dsb_session_close(session);
}

static void a_request_has_its_own_timeout_within_the_locked_one(void **state)
{
    (void) state;
    const char *file = "{\"timeout\":\"20s\",\"locked\":[\"timeout\"]}";
    dsb_session *session = open_session();
    json_object *usual = execute(session, "echo");
    json_object *longer = execute_request(session, "echo", 90000, NULL);
    assert_non_null(strstr(at(usual, "stdout"), "\"timeout_ms\":30000"));
    assert_non_null(strstr(at(longer, "stdout"), "\"timeout_ms\":90000"));
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
    assert_non_null(strstr(at(shorter, "stdout"), "\"timeout_ms\":100,"));
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

static void a_cancel_goes_to_the_code(void **state)
{
    (void) state;
    int fds[2];
    struct dsb_run_options one = {.struct_size = sizeof one};
    const struct dsb_request request = {.struct_size = sizeof request, .code = "wait", .code_size = 4, .stdin_fd = -1};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "", 1), 1);
    one.cancel_fd = fds[0];
    dsb_session *session = open_session();
    json_object *result = to_json(dsb_session_execute(session, &one, &request));
    assert_string_equal(at(result, "status"), "cancelled");
    assert_string_equal(at(result, "state.outcome"), "kept");
    json_object_put(result);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
    close(fds[0]);
    close(fds[1]);
}

static void too_much_on_disk_is_killed_at_once(void **state)
{
    (void) state;
    assert_true(dsb_policy_set(policy, "disk", "1MiB", "test", NULL));
    assert_true(dsb_policy_set(policy, "fsize", "1GiB", "test", NULL)); /* what the fake says */
    dsb_session *session = open_session();
    g_autofree char *path = g_build_filename(workdir, "big", NULL);
    g_autofree char *much = g_strnfill(3 << 20, 'x');
    assert_true(g_file_set_contents(path, much, 3 << 20, NULL));
    json_object *result = execute(session, "wait");
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
    for (int i = 0; i < 30 && dsb_session_alive(session); i++)
        g_usleep(100000);
    assert_false(dsb_session_alive(session));
    json_object *result = execute(session, "out hi");
    assert_string_equal(at(result, "status"), "lost");
    assert_non_null(strstr(at(result, "state.reason"), "disk"));
    json_object_put(result);
    dsb_session_close(session);
}

static void files_of_each_execution_are_its_own(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    json_object *first = execute(session, "file a");
    assert_non_null(strstr(at(first, "files.created"), "\"a\""));
    g_autofree char *host = g_build_filename(workdir, "by-host", NULL);
    assert_true(g_file_set_contents(host, "x", 1, NULL));
    g_usleep(20000);
    json_object *second = execute(session, "file b");
    assert_non_null(strstr(at(second, "files.created"), "\"b\""));
    assert_null(strstr(at(second, "files"), "\"a\""));
    assert_null(strstr(at(second, "files"), "by-host"));
    json_object_put(first);
    json_object_put(second);
    dsb_session_close(session);
}

static void control_operations(void **state)
{
    (void) state;
    static const char *const bad[] = {"", "[]", "{}", "{\"op\":1}", "{\"op\":", "no"};
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
    fake_pid1_lie(fake, TRUE);
    assert_no_session("refused", "volume");
    fake_pid1_lie(fake, FALSE);
    dsb_session_close(open_session());
}

static guint open_descriptors(void)
{
    guint n = 0;
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir) != NULL)
        n++;
    g_dir_close(dir);
    return n;
}

static void many_leave_nothing(void **state)
{
    (void) state;
    dsb_session_close(open_session());
    g_usleep(50000); /* the fake closes its side in its own time */
    guint before = open_descriptors();
    for (int i = 0; i < 50; i++) {
        dsb_session *session = open_session();
        assert_run(session, "vars file a", "ok", "kept");
        assert_run(session, i % 2 ? "rolled" : "die", i % 2 ? "signal" : "lost", i % 2 ? "rolled_back" : "lost");
        dsb_session_close(session);
    }
    g_usleep(50000);
    assert_int_equal(open_descriptors(), before);
}

static void one_shot_runs_go_the_same_way(void **state)
{
    (void) state;
    const struct dsb_request request = {
        .struct_size = sizeof request, .code = "file c stateless", .code_size = 16, .stdin_fd = -1, .timeout_ms = 4000};
    json_object *result = to_json(dsb_run(policy, &options, &request));
    assert_string_equal(at(result, "status"), "ok");
    assert_string_equal(at(result, "state"), "null");
    assert_non_null(strstr(at(result, "files.created"), "\"c\""));
    json_object_put(result);
    g_autofree char *configs = fake_pid1_configs(fake);
    assert_null(strstr(configs, "session"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(executions_follow_each_other),
        TEST(crashes_tell_what_became_of_the_variables),
        TEST(the_environment_is_sent_once_or_when_asked),
        TEST(a_request_has_its_own_timeout_within_the_locked_one),
        TEST(what_cannot_run_leaves_the_session_alone),
        TEST(a_container_that_ends_is_lost),
        TEST(a_death_while_idle_is_seen),
        TEST(broken_answers_end_the_session),
        TEST(a_silent_container_is_given_up),
        TEST(a_cancel_goes_to_the_code),
        TEST(too_much_on_disk_is_killed_at_once),
        TEST(the_disk_is_watched_while_idle),
        TEST(files_of_each_execution_are_its_own),
        TEST(control_operations),
        TEST(what_does_not_open_says_why),
        TEST(many_leave_nothing),
        TEST(one_shot_runs_go_the_same_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
