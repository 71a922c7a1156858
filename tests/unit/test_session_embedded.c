/* SPDX-License-Identifier: MIT */
/* What a host program may do around a session: cancel, callbacks, threads, fork, closed descriptors, many sessions. */
#include "session_fixture.h"

static void a_cancel_goes_to_the_code(void **state)
{
    (void) state;
    int fds[2];
    struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
    const struct dsb_request request = {
        .struct_size = sizeof request, .init = DSB_INIT, .code = "wait", .code_size = 4, .stdin_fd = DSB_FD_NONE};
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

/* Its other end is closed: nobody can cancel, and polling it would never wait. */
static void a_pipe_that_ended_does_not_cancel(void **state)
{
    (void) state;
    int fds[2];
    struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
    const struct dsb_request request = {
        .struct_size = sizeof request, .init = DSB_INIT, .code = "out hi", .code_size = 6, .stdin_fd = DSB_FD_NONE};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[1]);
    one.cancel_fd = options.cancel_fd = fds[0];
    dsb_session *session = open_session();
    json_object *result = to_json(dsb_session_execute(session, &one, &request));
    assert_string_equal(at(result, "status"), "ok");
    json_object_put(result);
    dsb_session_close(session);
    close(fds[0]);
}

/* Neither empty input nor a cancel: it is said, and the session goes on. */
static void bad_descriptors_are_said(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    int closed = fcntl(0, F_DUPFD_CLOEXEC, 500);
    close(closed);
    const int bad[] = {-1, closed};
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(bad); i++) {
        struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
        struct dsb_request request = DSB_REQUEST_INIT;
        request.code = "out hi";
        request.code_size = strlen(request.code);
        *(i % 2 == 0 ? &one.cancel_fd : &request.stdin_fd) = bad[i / 2];
        g_autoptr(dsb_result) result = dsb_session_execute(session, &one, &request);
        assert_true(g_error_matches(dsb_result_failure(result), DSB_ERROR, DSB_ERROR_INVALID));
        assert_non_null(strstr(dsb_result_failure(result)->message, i % 2 == 0 ? "cancel_fd: " : "stdin_fd: "));
        assert_int_equal(dsb_result_status(result), DSB_STATUS_ERROR);
    }
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

/* What a callback, or another thread, sees of a session that is at work. */
struct witness {
    dsb_session *session;
    gboolean closes;
    int calls, said[2];
};

static void assert_busy(dsb_session *session)
{
    struct dsb_request request = DSB_REQUEST_INIT;
    g_autoptr(GError) error = NULL;
    request.code = "";
    g_autoptr(dsb_result) result = dsb_session_execute(session, NULL, &request);
    assert_true(g_error_matches(dsb_result_failure(result), DSB_ERROR, DSB_ERROR_BUSY));
    assert_null(dsb_session_control(session, "{\"op\":\"vars\"}", 0, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
    assert_true(dsb_session_alive(session));
    assert_string_equal(dsb_session_id(session), "s1");
}

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    struct witness *witness = data;
    (void) stream;
    (void) bytes;
    (void) size;
    witness->calls++;
    if (witness->said[1] > 0) {
        assert_int_equal(write(witness->said[1], "", 1), 1);
        return;
    }
    assert_busy(witness->session);
    if (witness->closes)
        dsb_session_close(witness->session);
}

static dsb_result *execute_watched(struct witness *witness, const char *code, int cancel_fd)
{
    struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    one.output = on_output;
    one.data = witness;
    one.cancel_fd = cancel_fd;
    request.code = code;
    request.code_size = strlen(code);
    return dsb_session_execute(witness->session, &one, &request);
}

static void a_callback_cannot_use_its_session(void **state)
{
    (void) state;
    struct witness witness = {.session = open_session()};
    g_autoptr(dsb_result) result = execute_watched(&witness, "out hi", DSB_FD_NONE);
    assert_int_equal(dsb_result_status(result), DSB_STATUS_OK);
    assert_int_equal(witness.calls, 1);
    assert_run(witness.session, "out hi", "ok", "kept");
    witness.closes = TRUE; /* then, and the answer comes all the same */
    g_autoptr(dsb_result) last = execute_watched(&witness, "out hi", DSB_FD_NONE);
    assert_int_equal(dsb_result_status(last), DSB_STATUS_OK);
    assert_int_equal(witness.calls, 2);
    dsb_session_close(open_session()); /* its lock is free */
}

struct waiting {
    struct witness *witness;
    int cancel_fd;
};

static void *wait_in_session(void *data)
{
    struct waiting *waiting = data;
    return execute_watched(waiting->witness, "out hi wait", waiting->cancel_fd);
}

static void another_thread_is_told_to_wait(void **state)
{
    (void) state;
    int cancel[2];
    char byte;
    struct witness witness = {.session = open_session()};
    struct waiting waiting = {.witness = &witness};
    assert_int_equal(pipe2(witness.said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(cancel, O_CLOEXEC), 0);
    waiting.cancel_fd = cancel[0];
    GThread *thread = g_thread_new("execution", wait_in_session, &waiting);
    assert_int_equal(read(witness.said[0], &byte, 1), 1);
    assert_busy(witness.session);
    assert_int_equal(write(cancel[1], "", 1), 1);
    g_autoptr(dsb_result) result = g_thread_join(thread);
    assert_int_equal(dsb_result_status(result), DSB_STATUS_CANCELLED);
    assert_run(witness.session, "out hi", "ok", "kept");
    dsb_session_close(witness.session);
    for (int i = 0; i < 2; i++) {
        close(cancel[i]);
        close(witness.said[i]);
    }
}

static void a_forked_child_ends_nothing(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    int status = -1;
    assert_run(session, "out hi", "ok", "kept");
    pid_t child = fork();
    if (child == 0) {
        struct dsb_request request = DSB_REQUEST_INIT;
        request.code = "";
        dsb_result *result = dsb_session_execute(session, NULL, &request);
        gboolean refused = g_error_matches(dsb_result_failure(result), DSB_ERROR, DSB_ERROR_INVALID);
        dsb_session_close(session);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_run(session, "out hi", "ok", "kept");
    dsb_result *failure = NULL;
    assert_null(dsb_session_open(policy, &options, &failure)); /* the lock is still held */
    assert_true(g_error_matches(dsb_result_failure(failure), DSB_ERROR, DSB_ERROR_BUSY));
    dsb_result_free(failure);
    dsb_session_close(session);
}

/* A program without standard input, output and error. */
static void nothing_lands_on_the_standard_descriptors(void **state)
{
    (void) state;
    int kept[3];
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    dsb_result *failure = NULL;
    dsb_session *session = dsb_session_open(policy, &options, &failure);
    int fd = dsb_session_fd(session);
    struct dsb_request request = DSB_REQUEST_INIT;
    request.code = "out hi";
    request.code_size = strlen(request.code);
    request.stdin_fd = 0; /* what holds its place meanwhile is none of the caller's */
    g_autoptr(dsb_result) fed = dsb_session_execute(session, NULL, &request);
    request.stdin_fd = DSB_FD_NONE;
    dsb_execution *execution = dsb_session_start(session, NULL, &request);
    int loop_fd = dsb_execution_fd(execution);
    while (!dsb_execution_step(execution))
        poll(&(struct pollfd){dsb_execution_fd(execution), POLLIN, 0}, 1, dsb_execution_timeout_ms(execution));
    g_autoptr(dsb_result) ran = dsb_execution_result(execution);
    dsb_execution_free(execution);
    gboolean open_fd = FALSE;
    for (int i = 0; i < 3; i++)
        open_fd |= fcntl(i, F_GETFD) >= 0;
    dsb_session_close(session);
    for (int i = 0; i < 3; i++) {
        dup2(kept[i], i);
        close(kept[i]);
    }
    assert_non_null(session);
    assert_true(fd > 2 && loop_fd > 2);
    assert_false(open_fd);
    assert_true(g_error_matches(dsb_result_failure(fed), DSB_ERROR, DSB_ERROR_INVALID));
    assert_int_equal(dsb_result_status(ran), DSB_STATUS_OK);
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

static void *run_by_itself(void *data)
{
    struct dsb_run_options one = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    one.plugin_path = plugin;
    one.base_dir = base;
    request.code = "";
    (void) data;
    return dsb_run(policy, &one, &request);
}

/* For the thread sanitizer: what is found out once is found out by one. */
static void runs_in_several_threads(void **state)
{
    (void) state;
    GThread *threads[4];
    assert_true(dsb_policy_set(policy, "runtime", "nonesuch", "test", NULL)); /* it comes no further than create */
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("run", run_by_itself, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_autoptr(dsb_result) result = g_thread_join(threads[i]);
        assert_string_equal(dsb_result_failure_code(result), "refused");
    }
}

static void many_leave_nothing(void **state)
{
    (void) state;
    dsb_session_close(open_session());
    fake_pid1_await_end(fake);
    guint before = open_descriptors();
    for (int i = 0; i < 50; i++) {
        dsb_session *session = open_session();
        assert_run(session, "vars file a", "ok", "kept");
        assert_run(session, i % 2 ? "rolled" : "die", i % 2 ? "signal" : "lost", i % 2 ? "rolled_back" : "lost");
        dsb_session_close(session);
    }
    fake_pid1_await_end(fake);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_in_several_threads), /* first, while nothing has been found out yet */
        TEST(a_cancel_goes_to_the_code),
        TEST(a_pipe_that_ended_does_not_cancel),
        TEST(bad_descriptors_are_said),
        TEST(a_callback_cannot_use_its_session),
        TEST(another_thread_is_told_to_wait),
        TEST(a_forked_child_ends_nothing),
        TEST(nothing_lands_on_the_standard_descriptors),
        TEST(many_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
