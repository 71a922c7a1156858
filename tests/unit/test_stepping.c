/* SPDX-License-Identifier: MIT */
/* Executions in a caller's event loop: nothing waits; several at once, cancelled, given up, in a forked child. */
#include "session_fixture.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

/* What an event loop sees of one execution. */
struct seen {
    dsb_execution *execution;
    GString *out;
    unsigned lines;
    GThread *stepper; /* callbacks come in it alone */
    gboolean cancels, done;
};

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    struct seen *seen = data;
    assert_ptr_equal(g_thread_self(), seen->stepper);
    assert_int_equal(stream, 1);
    g_string_append_len(seen->out, bytes, (gssize) size);
    /* No part of it can be used from here but its cancel. */
    assert_false(dsb_execution_step(seen->execution));
    assert_null(dsb_execution_result(seen->execution));
    if (seen->cancels)
        dsb_execution_cancel(seen->execution);
}

static void on_log(void *data, const char *line)
{
    struct seen *seen = data;
    assert_ptr_equal(g_thread_self(), seen->stepper);
    assert_non_null(line);
    seen->lines++;
}

static struct dsb_run_options watched(struct seen *seen)
{
    struct dsb_run_options one = options;
    one.output = on_output;
    one.log = on_log;
    one.data = seen;
    seen->out = g_string_new(NULL);
    seen->stepper = g_thread_self();
    return one;
}

static void start(struct seen *seen, dsb_session *session, const char *code, int stdin_fd)
{
    g_autofree char *copy = g_strdup(code); /* needed during the call only */
    struct dsb_run_options *one = g_new(struct dsb_run_options, 1);
    struct dsb_request *request = g_new(struct dsb_request, 1);
    *one = watched(seen);
    *request = (struct dsb_request) DSB_REQUEST_INIT;
    request->code = copy;
    request->code_size = strlen(code);
    request->stdin_fd = stdin_fd;
    seen->execution = session != NULL ? dsb_session_start(session, one, request) : dsb_run_start(policy, one, request);
    memset(one, 0x5a, sizeof *one);
    memset(request, 0x5a, sizeof *request);
    memset(copy, 'x', strlen(code));
    g_free(one);
    g_free(request);
    assert_non_null(seen->execution);
}

static gboolean step(struct seen *seen)
{
    return seen->done = dsb_execution_step(seen->execution);
}

/* One loop for all, until `enough` of them are over; no step is taken that was not asked for. */
static void loop_until(struct seen *all, gsize n, gsize enough)
{
    gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    for (gsize over = 0; over < enough;) {
        struct pollfd fds[4];
        int wait_ms = -1;
        for (gsize i = 0; i < n; i++) {
            int one_ms = all[i].done ? -1 : dsb_execution_timeout_ms(all[i].execution);
            fds[i] = (struct pollfd){all[i].done ? -1 : dsb_execution_fd(all[i].execution), POLLIN, 0};
            wait_ms = wait_ms < 0 || (one_ms >= 0 && one_ms < wait_ms) ? one_ms : wait_ms;
        }
        poll(fds, n, wait_ms);
        assert_true(g_get_monotonic_time() < give_up);
        for (gsize i = 0; i < n; i++)
            if (!all[i].done && (fds[i].revents != 0 || dsb_execution_timeout_ms(all[i].execution) == 0))
                over += step(&all[i]);
    }
}

static void loop(struct seen *one) { loop_until(one, 1, one->done ? 0 : 1); }

static dsb_result *finish(struct seen *seen)
{
    loop(seen);
    assert_int_equal(dsb_execution_fd(seen->execution), -1);
    dsb_result *result = dsb_execution_result(seen->execution);
    assert_non_null(result);
    assert_null(dsb_execution_result(seen->execution)); /* taken */
    assert_true(dsb_execution_step(seen->execution));
    dsb_execution_cancel(seen->execution);
    dsb_execution_free(seen->execution);
    g_string_free(seen->out, TRUE);
    return result;
}

static void assert_status(struct seen *seen, enum dsb_status status)
{
    g_autoptr(dsb_result) result = finish(seen);
    g_autofree char *text = dsb_result_json(result, FALSE);
    if (dsb_result_status(result) != status)
        fail_msg("not %s: %s", dsb_status_name(status), text);
}

/* It waits: after what is under way a step leaves neither a readable descriptor nor a time that has come. */
static void assert_waits(struct seen *seen)
{
    struct pollfd fd = {dsb_execution_fd(seen->execution), POLLIN, 0};
    for (int quiet = 0, turns = 0; quiet < 3; turns++) {
        assert_true(turns < 1000);
        assert_false(step(seen));
        int wait_ms = dsb_execution_timeout_ms(seen->execution);
        quiet += wait_ms != 0 && poll(&fd, 1, wait_ms < 0 ? 20 : MIN(wait_ms, 20)) == 0;
    }
}

/* A run's container tells of the directory of a session. */
static void allow_runs(void)
{
    options.session = NULL;
    assert_int_equal(g_mkdir_with_parents(workdir, 0700), 0);
    assert_true(dsb_controls_parse("user,volume", &options.allow_unenforced, NULL));
}

static void assert_failed(dsb_result *result, int code)
{
    if (!g_error_matches(dsb_result_failure(result), DSB_ERROR, code))
        fail_msg("%s", dsb_result_failure(result) != NULL ? dsb_result_failure(result)->message : "no failure");
    dsb_result_free(result);
}

static void an_execution_in_steps(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    struct seen seen = {0};
    start(&seen, session, "vars out hi", DSB_FD_NONE);
    loop(&seen);
    assert_string_equal(seen.out->str, "hi");
    json_object *result = to_json(finish(&seen));
    assert_string_equal(at(result, "status"), "ok");
    assert_string_equal(at(result, "stdout"), "hi");
    assert_string_equal(at(result, "state.outcome"), "kept");
    assert_string_equal(at(result, "state.execution"), "1");
    assert_non_null(strstr(at(result, "state.vars.created"), "\"x\""));
    json_object_put(result);
    assert_run(session, "out hi", "ok", "kept"); /* and the call that waits, in the same session */
    dsb_session_close(session);
}

static void a_run_in_steps(void **state)
{
    (void) state;
    struct seen seen = {0};
    allow_runs();
    g_autofree char *here = g_strdup(base);
    options.base_dir = here;
    start(&seen, NULL, "out hi stateless", DSB_FD_NONE);
    memset(here, 'x', strlen(here));
    loop(&seen);
    assert_string_equal(seen.out->str, "hi");
    assert_true(seen.lines > 0);
    json_object *result = to_json(finish(&seen));
    assert_string_equal(at(result, "status"), "ok");
    assert_string_equal(at(result, "stdout"), "hi");
    json_object_put(result);
}

static gpointer cancel_it(gpointer data)
{
    dsb_execution_cancel(data);
    return NULL;
}

/* In one thread, each with a pid 1 of its own. */
static void two_at_once(void **state)
{
    (void) state;
    struct seen both[2] = {{0}};
    g_autofree char *socket = g_build_filename(base, ".pid2", NULL);
    g_autofree char *second = g_build_filename(base, "s2", NULL);
    g_autofree char *other = g_strconcat("unix:", socket, NULL);
    dsb_session *first = open_session();
    struct fake_pid1 *fake2 = fake_pid1_start(socket, second);
    options.endpoint = other;
    options.session = "s2";
    dsb_session *last = open_session();
    start(&both[0], first, "out one wait", DSB_FD_NONE);
    start(&both[1], last, "out two", DSB_FD_NONE);
    loop_until(both, 2, 1);
    assert_false(both[0].done); /* the other did not wait for it */
    assert_status(&both[1], DSB_STATUS_OK);
    start(&both[1], last, "out three", DSB_FD_NONE);
    both[1].done = FALSE;
    loop(&both[1]);
    assert_status(&both[1], DSB_STATUS_OK);
    assert_waits(&both[0]);
    g_thread_join(g_thread_new("cancel", cancel_it, both[0].execution));
    json_object *result = to_json(finish(&both[0]));
    assert_string_equal(at(result, "status"), "cancelled");
    assert_string_equal(at(result, "stdout"), "one");
    assert_string_equal(at(result, "state.outcome"), "kept");
    json_object_put(result);
    assert_run(first, "out hi", "ok", "kept");
    dsb_session_close(first);
    dsb_session_close(last);
    fake_pid1_stop(fake2);
    assert_true(dsb_files_delete_session(base, "s2", NULL));
}

static void ways_to_cancel(void **state)
{
    (void) state;
    dsb_session *session = open_session();
    struct seen from_callback = {.cancels = TRUE}, by_fd = {0}, before = {0};
    start(&from_callback, session, "out hi wait", DSB_FD_NONE);
    assert_status(&from_callback, DSB_STATUS_CANCELLED);
    options.cancel_fd = eventfd(0, EFD_CLOEXEC);
    start(&by_fd, session, "wait", DSB_FD_NONE);
    assert_waits(&by_fd);
    assert_int_equal(eventfd_write(options.cancel_fd, 1), 0);
    assert_status(&by_fd, DSB_STATUS_CANCELLED);
    close(options.cancel_fd);
    options.cancel_fd = DSB_FD_NONE;
    start(&before, session, "wait", DSB_FD_NONE);
    dsb_execution_cancel(before.execution);
    dsb_execution_cancel(before.execution);
    assert_status(&before, DSB_STATUS_CANCELLED);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void assert_input(dsb_session *session, int fd, int then_close, const char *size)
{
    struct seen seen = {0};
    start(&seen, session, "input", fd);
    if (then_close >= 0) {
        assert_waits(&seen); /* for a pipe in which nothing is */
        assert_int_equal(write(then_close, "abc", 3), 3);
        close(then_close);
    }
    loop(&seen);
    assert_string_equal(seen.out->str, size);
    assert_status(&seen, DSB_STATUS_OK);
    close(fd);
}

/* The kernel watches pipes, but no regular files. */
static void input_of_every_kind(void **state)
{
    (void) state;
    int fds[2], ended[2];
    struct seen seen = {0};
    dsb_session *session = open_session();
    g_autofree char *path = g_build_filename(base, ".input", NULL), *much = g_strnfill(1 << 20, 'x');
    assert_true(g_file_set_contents(path, much, 1 << 20, NULL));
    assert_input(session, open(path, O_RDONLY | O_CLOEXEC), -1, "1048576");
    assert_input(session, open("/dev/null", O_RDONLY | O_CLOEXEC), -1, "0");
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_input(session, fds[0], fds[1], "3");
    g_unlink(path);
    /* One that has ended is not asked about again. */
    assert_int_equal(pipe2(ended, O_CLOEXEC), 0);
    close(ended[1]);
    start(&seen, session, "wait", ended[0]);
    assert_waits(&seen);
    dsb_execution_cancel(seen.execution);
    assert_status(&seen, DSB_STATUS_CANCELLED);
    close(ended[0]);
    dsb_session_close(session);
}

/* --- an engine that takes its time --- */

static char *released, *held;

static int set_up_slow(void **state)
{
    if (set_up(state) != 0)
        return -1;
    released = g_build_filename(base, ".released", NULL);
    held = g_strconcat(released, ".held", NULL);
    g_setenv("DSB_TEST_INNER", plugin, TRUE);
    g_setenv("DSB_TEST_HOLD", released, TRUE);
    g_free(plugin);
    plugin = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-fault.so", NULL);
    options.plugin_path = plugin;
    return 0;
}

static int tear_down_slow(void **state)
{
    g_setenv("DSB_TEST_FAULT", "", TRUE);
    g_unlink(released);
    g_unlink(held);
    g_free(released);
    g_free(held);
    return tear_down(state);
}

/* Until the engine is at it, and no step waits for that. */
static void assert_held(struct seen *seen)
{
    for (int turns = 0; !g_file_test(held, G_FILE_TEST_EXISTS); turns++) {
        struct pollfd fd = {dsb_execution_fd(seen->execution), POLLIN, 0};
        poll(&fd, 1, 10);
        assert_true(turns < 6000);
        assert_false(step(seen));
    }
    g_unlink(held);
    assert_waits(seen);
}

static void release(void) { assert_true(g_file_set_contents(released, "", 0, NULL)); }

static void a_slow_engine_holds_nobody_up(void **state)
{
    (void) state;
    struct seen made = {0}, unwanted = {0};
    allow_runs();
    g_setenv("DSB_TEST_FAULT", "create:0:hold", TRUE);
    start(&made, NULL, "out hi stateless", DSB_FD_NONE);
    assert_held(&made);
    release();
    assert_status(&made, DSB_STATUS_OK);
    g_unlink(released);
    start(&unwanted, NULL, "out hi stateless", DSB_FD_NONE);
    assert_held(&unwanted);
    dsb_execution_cancel(unwanted.execution);
    release();
    assert_status(&unwanted, DSB_STATUS_CANCELLED);
}

static void a_slow_removal_holds_nobody_up(void **state)
{
    (void) state;
    struct seen lost = {0}, closed = {0};
    dsb_session *session = open_session();
    g_setenv("DSB_TEST_FAULT", "destroy:0:hold", TRUE);
    start(&lost, session, "out hi die", DSB_FD_NONE);
    assert_held(&lost);
    assert_string_equal(lost.out->str, "hi");
    release();
    json_object *result = to_json(finish(&lost));
    assert_string_equal(at(result, "status"), "lost");
    assert_string_equal(at(result, "state.outcome"), "lost");
    json_object_put(result);
    g_unlink(released);
    dsb_session_close(session);
    session = open_session();
    start(&closed, session, "out hi", DSB_FD_NONE);
    dsb_session_close(session); /* at the end of what is under way */
    assert_held(&closed);
    release();
    assert_status(&closed, DSB_STATUS_OK);
    dsb_session_close(open_session()); /* its lock is free */
}

/* --- who may not --- */

static void a_session_has_one_at_a_time(void **state)
{
    (void) state;
    struct dsb_request request = DSB_REQUEST_INIT;
    g_autoptr(GError) error = NULL;
    struct seen seen = {0};
    dsb_session *session = open_session();
    request.code = "";
    start(&seen, session, "wait", DSB_FD_NONE);
    assert_failed(dsb_session_execute(session, NULL, &request), DSB_ERROR_BUSY);
    dsb_execution *second = dsb_session_start(session, NULL, &request);
    assert_int_equal(dsb_execution_fd(second), -1);
    assert_int_equal(dsb_execution_timeout_ms(second), 0);
    assert_true(dsb_execution_step(second));
    dsb_execution_cancel(second);
    assert_failed(dsb_execution_result(second), DSB_ERROR_BUSY);
    dsb_execution_free(second);
    assert_null(dsb_session_control(session, "{\"op\":\"vars\"}", 0, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
    assert_true(dsb_session_alive(session));
    dsb_execution_cancel(seen.execution);
    assert_status(&seen, DSB_STATUS_CANCELLED);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void one_is_given_up(void **state)
{
    (void) state;
    struct seen seen = {0}, run = {0}, over = {0};
    dsb_session *session = open_session();
    start(&seen, session, "wait", DSB_FD_NONE);
    assert_waits(&seen);
    dsb_execution_free(seen.execution); /* what was cancelled says "" on its output, to nobody any more */
    assert_run(session, "out hi", "ok", "kept");
    start(&over, session, "out hi", DSB_FD_NONE);
    loop(&over);
    dsb_execution_free(over.execution); /* its result was not taken */
    dsb_session_close(session);
    fake_pid1_await_end(fake);
    allow_runs();
    start(&run, NULL, "out hi stateless", DSB_FD_NONE);
    dsb_execution_free(run.execution);
    assert_int_equal(run.out->len, 0);
    g_string_free(seen.out, TRUE);
    g_string_free(run.out, TRUE);
    g_string_free(over.out, TRUE);
}

static int in_child(dsb_execution *execution)
{
    gboolean over = dsb_execution_step(execution);
    dsb_result *result = dsb_execution_result(execution);
    gboolean refused = g_error_matches(dsb_result_failure(result), DSB_ERROR, DSB_ERROR_INVALID);
    dsb_execution_cancel(execution);
    dsb_execution_free(execution);
    return over && refused ? 0 : 1;
}

static void assert_nothing_for_a_child(struct seen *seen)
{
    int status = -1;
    assert_waits(seen);
    pid_t child = fork();
    if (child == 0)
        _exit(in_child(seen->execution));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_waits(seen); /* it was not cancelled */
    dsb_execution_cancel(seen->execution);
    assert_status(seen, DSB_STATUS_CANCELLED);
}

static void a_forked_child_has_no_part_in_it(void **state)
{
    (void) state;
    struct seen seen = {0}, run = {0};
    dsb_session *session = open_session();
    start(&seen, session, "wait", DSB_FD_NONE);
    assert_nothing_for_a_child(&seen);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
    fake_pid1_await_end(fake);
    allow_runs();
    start(&run, NULL, "out hi wait", DSB_FD_NONE);
    while (run.out->len == 0) { /* until no thread of ours is in it */
        struct pollfd fd = {dsb_execution_fd(run.execution), POLLIN, 0};
        poll(&fd, 1, dsb_execution_timeout_ms(run.execution));
        assert_false(step(&run));
    }
    assert_nothing_for_a_child(&run);
}

static void what_is_wrong_is_said_in_the_result(void **state)
{
    (void) state;
    struct dsb_run_options zeros = {0}, good = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    request.code = "\xff";
    request.code_size = 1;
    dsb_session *session = open_session();
    dsb_execution *wrong[] = {dsb_session_start(NULL, NULL, &request),   dsb_session_start(session, NULL, NULL),
                              dsb_session_start(session, &zeros, &request), dsb_session_start(session, NULL, &request),
                              dsb_run_start(NULL, NULL, &request),       dsb_run_start(NULL, &zeros, &request),
                              dsb_run_start(NULL, &good, NULL)};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct seen seen = {.execution = wrong[i]};
        loop(&seen);
        assert_failed(dsb_execution_result(wrong[i]), DSB_ERROR_INVALID);
        dsb_execution_free(wrong[i]);
    }
    assert_true(dsb_execution_step(NULL));
    assert_int_equal(dsb_execution_fd(NULL), -1);
    assert_int_equal(dsb_execution_timeout_ms(NULL), 0);
    assert_null(dsb_execution_result(NULL));
    dsb_execution_cancel(NULL);
    dsb_execution_free(NULL);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
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

/* Each of the descriptors that it needs can be the one too many. */
static void short_of_descriptors(void **state)
{
    (void) state;
    struct rlimit before, few;
    dsb_session *session = open_session();
    int last = fcntl(0, F_DUPFD_CLOEXEC, 0); /* below it nothing is free */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int more = 0; more < 3; more++) {
        struct seen seen = {0};
        few = (struct rlimit){(rlim_t) (last + more), before.rlim_max};
        close(last);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        start(&seen, session, "out hi", DSB_FD_NONE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_failed(finish(&seen), DSB_ERROR_FAILED);
        assert_int_equal(fcntl(0, F_DUPFD_CLOEXEC, 0), last);
    }
    close(last);
    assert_run(session, "out hi", "ok", "kept");
    dsb_session_close(session);
}

static void many_leave_nothing(void **state)
{
    (void) state;
    guint before = 0;
    for (int i = 0; i < 30; i++) {
        struct seen seen = {0};
        dsb_session *session = open_session();
        start(&seen, session, i % 2 ? "vars file a" : "die", DSB_FD_NONE);
        assert_status(&seen, i % 2 ? DSB_STATUS_OK : DSB_STATUS_LOST);
        dsb_session_close(session);
        fake_pid1_await_end(fake);
        before = i == 0 ? open_descriptors() : before;
    }
    assert_int_equal(open_descriptors(), before);
}

#define SLOW_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down_slow)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_execution_in_steps),
        TEST(a_run_in_steps),
        TEST(two_at_once),
        TEST(ways_to_cancel),
        TEST(input_of_every_kind),
        SLOW_TEST(a_slow_engine_holds_nobody_up),
        SLOW_TEST(a_slow_removal_holds_nobody_up),
        TEST(a_session_has_one_at_a_time),
        TEST(one_is_given_up),
        TEST(a_forked_child_has_no_part_in_it),
        TEST(what_is_wrong_is_said_in_the_result),
        TEST(short_of_descriptors),
        TEST(many_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
