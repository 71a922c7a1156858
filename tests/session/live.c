/* SPDX-License-Identifier: MIT */
/*
 * Sessions through the C API on a real engine. The set-up comes from the environment, as for the other suites:
 * DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_IMAGE, DSB_TEST_WORK (a directory that is ours), DSB_TEST_ALLOW
 * (controls that may be missing). The last line is "N passed, N failed, N skipped". `--bench N` measures instead.
 */
#include "live.h"
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANGS_S 120 /* what does not come within so many seconds does not come */
#define GRACE "5s"  /* on a busy machine code that is interrupted ends in time, too, and keeps its variables */

static unsigned passed, failed, skipped;
static char *base_dir;
dsb_policy *policy;
struct dsb_run_options options;

void check(gboolean good, const char *what, const char *found)
{
    if (good)
        passed++;
    else
        failed++;
    printf("%s %s%s%s\n", good ? "ok  " : "FAIL", what, good ? "" : ": ", good ? "" : found);
    fflush(stdout);
}

static void log_line(void *data, const char *line)
{
    (void) data;
    fprintf(stderr, "     %s\n", line);
}

static dsb_session *open_as(const char *id, const char *lost_reason)
{
    dsb_result *failure = NULL;
    options.session = id;
    options.lost_reason = lost_reason;
    dsb_session *session = dsb_session_open(policy, &options, &failure);
    if (session != NULL)
        return session;
    g_autofree char *text = dsb_result_json(failure, FALSE);
    printf("FAIL cannot open a session: %s\n0 passed, 1 failed, 0 skipped\n", text);
    exit(1);
}

static json_object *run_with(dsb_session *session, const char *code, uint64_t timeout_ms, int cancel_fd)
{
    const struct dsb_run_options one = {.struct_size = sizeof one,
                                        .init = DSB_INIT,
                                        .cancel_fd = cancel_fd >= 0 ? cancel_fd : DSB_FD_NONE,
                                        .output = options.output,
                                        .data = options.data,
                                        .log = log_line};
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = code,
                                        .code_size = strlen(code),
                                        .stdin_fd = DSB_FD_NONE,
                                        .timeout_ms = timeout_ms};
    g_autoptr(dsb_result) result = dsb_session_execute(session, &one, &request);
    g_autofree char *text = dsb_result_json(result, FALSE);
    return json_tokener_parse(text);
}

const char *at(json_object *object, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);
    for (guint i = 0; keys[i] != NULL; i++)
        if (!json_object_object_get_ex(object, keys[i], &object))
            return "absent";
    return object != NULL ? json_object_get_string(object) : "null";
}

static void expect_run(dsb_session *session, const char *what, const char *code, uint64_t timeout_ms,
                       const char *status, const char *outcome, const char *output)
{
    json_object *result = run_with(session, code, timeout_ms, -1);
    gboolean good = g_str_equal(at(result, "status"), status) && g_str_equal(at(result, "state.outcome"), outcome) &&
                    (output == NULL || g_str_equal(at(result, "stdout"), output));
    check(good, what, json_object_to_json_string(result));
    json_object_put(result);
}

static void ok(dsb_session *session, const char *what, const char *code, const char *output)
{
    expect_run(session, what, code, 0, "ok", "kept", output);
}

static void variables_persist(dsb_session *session)
{
    ok(session, "a variable is set", "x = 1; import math", "");
    for (int i = 0; i < 10; i++)
        ok(session, "and changed", "x += 1", "");
    ok(session, "and still there, with the import", "print(x, math.floor(2.5))", "11 2\n");
    expect_run(session, "an error keeps the variables", "y = 5\n1/0", 0, "error", "kept", NULL);
    ok(session, "also those of the failed execution", "print(x, y)", "11 5\n");
    json_object *result = run_with(session, "z = [1]; x = 12; del y; z", 0, -1);
    check(strstr(at(result, "state.vars.created"), "\"z\"") != NULL &&
              strstr(at(result, "state.vars.changed"), "\"x\"") != NULL &&
              strstr(at(result, "state.vars.deleted"), "\"y\"") != NULL,
          "the result names created, changed and deleted variables", json_object_to_json_string(result));
    check(strstr(at(result, "results"), "[1]") != NULL, "and the last value", json_object_to_json_string(result));
    json_object_put(result);
}

static void out_of_memory(dsb_session *session)
{
    uint64_t memory = 0;
    if (dsb_controls_parse("memory", &memory, NULL) && (options.allow_unenforced & memory) != 0) {
        printf("SKIP out of memory: this engine cannot limit memory here\n");
        skipped++;
        return;
    }
    expect_run(session, "out of memory rolls back", "b = bytearray(2 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1",
               0, "oom", "rolled_back", NULL);
    ok(session, "x after out of memory", "print(x)", "12\n");
}

static void failures_are_survived(dsb_session *session)
{
    expect_run(session, "a timeout keeps the variables", "import time\nfor i in range(1000): time.sleep(0.01)", 300,
               "timeout", "kept", NULL);
    ok(session, "x after the timeout", "print(x)", "12\n");
    expect_run(session, "a segmentation fault rolls back", "x = 'wrong'\nimport ctypes\nctypes.string_at(0)", 0,
               "signal", "rolled_back", NULL);
    ok(session, "x after the segmentation fault", "print(x)", "12\n");
    expect_run(session, "os._exit rolls back", "x = 'wrong'\nimport os\nos._exit(3)", 0, "error", "rolled_back", NULL);
    ok(session, "x after os._exit", "print(x)", "12\n");
    out_of_memory(session);
    expect_run(
        session, "what ignores the interrupt is killed and rolled back",
        "x = 'wrong'\nimport signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        300, "timeout", "rolled_back", NULL);
    ok(session, "x after the kill", "print(x)", "12\n");
}

static void files_and_streams(dsb_session *session)
{
    json_object *result =
        run_with(session, "import sys\nopen('made', 'w').write('hi')\nprint('err', file=sys.stderr)", 0, -1);
    check(strstr(at(result, "files.created"), "\"made\"") != NULL && g_str_equal(at(result, "stderr"), "err\n"),
          "files and both streams", json_object_to_json_string(result));
    json_object_put(result);
    result = run_with(session, "pass", 0, -1);
    check(strstr(at(result, "files"), "made") == NULL, "the next execution does not claim them",
          json_object_to_json_string(result));
    json_object_put(result);
}

static gpointer write_later(gpointer data)
{
    g_usleep(300000);
    return GINT_TO_POINTER((int) write(GPOINTER_TO_INT(data), "", 1));
}

static void cancel(dsb_session *session)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    GThread *later = g_thread_new("cancel", write_later, GINT_TO_POINTER(fds[1]));
    json_object *result = run_with(session, "import time\nwhile True: time.sleep(0.01)", 0, fds[0]);
    check(g_str_equal(at(result, "status"), "cancelled") && g_str_equal(at(result, "state.outcome"), "kept"),
          "a cancel keeps the variables", json_object_to_json_string(result));
    json_object_put(result);
    g_thread_join(later);
    ok(session, "x after the cancel", "print(x)", "12\n");
    result = run_with(session, "import time\nwhile True: time.sleep(0.01)", 0, fds[0]);
    check(g_str_equal(at(result, "status"), "cancelled"), "a cancel that was there before the code",
          json_object_to_json_string(result));
    json_object_put(result);
    close(fds[0]);
    close(fds[1]);
    ok(session, "x after that", "print(x)", "12\n");
}

static void control_operations(dsb_session *session)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *vars = dsb_session_control(session, "{\"op\":\"vars\"}", 0, &error);
    check(vars != NULL && strstr(vars, "\"x\"") != NULL, "vars", vars != NULL ? vars : error->message);
    g_clear_error(&error);
    g_autofree char *saved = dsb_session_control(session, "{\"op\":\"save\"}", 0, &error);
    check(saved != NULL && strstr(saved, "\"x\"") != NULL, "save", saved != NULL ? saved : error->message);
    g_clear_error(&error);
    g_autofree char *reset = dsb_session_control(session, "{\"op\":\"reset\"}", 0, &error);
    check(reset != NULL, "reset", reset != NULL ? reset : error->message);
    g_clear_error(&error);
    ok(session, "nothing is there after a reset", "print('x' in globals())", "False\n");
    g_autofree char *restored = dsb_session_control(session, "{\"op\":\"restore\"}", 0, &error);
    check(restored != NULL && strstr(restored, "\"x\"") != NULL, "restore",
          restored != NULL ? restored : error->message);
    g_clear_error(&error);
    ok(session, "x after restore", "print(x)", "12\n");
    g_autofree char *none = dsb_session_control(session, "{\"op\":\"nonsense\"}", 0, &error);
    check(none == NULL && g_error_matches(error, DSB_ERROR, DSB_ERROR_FAILED), "an unknown operation is an error",
          none != NULL ? none : error->message);
    g_clear_error(&error);
    ok(session, "and the session goes on", "print(x)", "12\n");
}

static void disk_limit(void)
{
    dsb_policy *small = dsb_policy_copy(policy);
    dsb_policy *usual = policy;
    dsb_policy_set(small, "disk", "8MiB", "test", NULL);
    policy = small;
    dsb_session *session = open_as("disk", NULL);
    policy = usual;
    ok(session, "x before the disk is full", "x = 12", "");
    expect_run(session, "the disk limit kills and rolls back",
               "import time\nfor i in range(12):\n  open(f'f{i}', 'w').write('x' * (1 << 20))\ntime.sleep(20)", 0,
               "disk_limit", "rolled_back", NULL);
    ok(session, "the code can clean up", "import glob, os\nfor f in glob.glob('f*'): os.remove(f)\nprint(x)", "12\n");
    dsb_session_close(session);
    dsb_policy_free(small);
}

/* The session is gone, by itself. */
static void expect_end(dsb_session *session, const char *what)
{
    gint64 deadline = g_get_monotonic_time() + HANGS_S * G_USEC_PER_SEC;
    struct pollfd fd = {dsb_session_fd(session), POLLIN, 0};
    while (dsb_session_alive(session) && g_get_monotonic_time() < deadline)
        poll(&fd, 1, 1000);
    check(!dsb_session_alive(session), what, "it lives");
    expect_run(session, "and says so", "print(x)", 0, "lost", "lost", "");
}

static void expect_return(const char *id)
{
    dsb_session *session = open_as(id, "the container ended: killed; files were kept");
    expect_run(session, "it comes back with its files, and says what was lost",
               "import os\nprint(os.listdir('.'), 'x' in globals())", 0, "ok", "lost", "['kept'] False\n");
    ok(session, "once", "pass", "");
    dsb_session_close(session);
}

static void killed_while_idle(void)
{
    dsb_session *session = open_as("outside", NULL);
    ok(session, "x before the kill", "x = 12; open('kept', 'w').close()", "");
    g_autofree char *info = dsb_session_info(session);
    json_object *facts = json_tokener_parse(info);
    check(outside_kill(&options, at(facts, "container")), "the container is killed from outside", info);
    json_object_put(facts);
    expect_end(session, "a killed session ends");
    dsb_session_close(session);
    expect_return("outside");
}

/* Whom to kill when the code has printed, and whether that was done. */
struct victim {
    const char *container;
    gboolean killed;
};

static void kill_at_output(void *data, int stream, const void *text, gsize size)
{
    struct victim *victim = data;
    (void) stream;
    (void) text;
    if (size > 0 && !victim->killed)
        victim->killed = outside_kill(&options, victim->container);
}

static void killed_while_running(void)
{
    dsb_session *session = open_as("outside", NULL);
    g_autofree char *info = dsb_session_info(session);
    json_object *facts = json_tokener_parse(info);
    struct victim victim = {.container = at(facts, "container")};
    struct dsb_run_options before = options;
    options.output = kill_at_output;
    options.data = &victim;
    expect_run(session, "a container killed under the code is lost",
               "import time\nprint('before', flush=True)\ntime.sleep(600)", 600000, "lost", "lost", "before\n");
    options = before;
    check(victim.killed, "the engine killed it", "no");
    json_object_put(facts);
    dsb_session_close(session);
    expect_return("outside");
}

static void idle_too_long(void)
{
    dsb_policy *usual = policy;
    policy = dsb_policy_copy(usual);
    dsb_policy_set(policy, "idle_timeout", "1s", "test", NULL);
    dsb_session *session = open_as("outside", NULL);
    ok(session, "x before the idle time", "x = 12", "");
    expect_end(session, "an idle session ends");
    dsb_session_close(session);
    dsb_policy_free(policy);
    policy = usual;
}

#define AT_ONCE 8

/* Returns how many answers were wrong. */
static gpointer use_one(gpointer data)
{
    int nonce = GPOINTER_TO_INT(data), wrong = 0;
    g_autofree char *id = g_strdup_printf("at-once-%d", nonce);
    struct dsb_run_options mine = options;
    dsb_result *failure = NULL;
    mine.session = id;
    dsb_session *session = dsb_session_open(policy, &mine, &failure);
    if (session == NULL) {
        g_autofree char *text = dsb_result_json(failure, FALSE);
        fprintf(stderr, "     %s\n", text);
        dsb_result_free(failure);
        return GINT_TO_POINTER(1000);
    }
    g_autofree char *start = g_strdup_printf("x = %d", nonce * 1000);
    json_object_put(run_with(session, start, 0, -1));
    for (int i = 1; i <= 20; i++) {
        g_autofree char *expected = g_strdup_printf("%d\n", nonce * 1000 + i);
        json_object *result = run_with(session, "x += 1; print(x)", 0, -1);
        wrong += !g_str_equal(at(result, "stdout"), expected);
        json_object_put(result);
    }
    dsb_session_close(session);
    wrong += !dsb_files_delete_session(base_dir, id, NULL);
    return GINT_TO_POINTER(wrong);
}

static void several_at_once(void)
{
    GThread *threads[AT_ONCE];
    int wrong = 0;
    options.lost_reason = NULL;
    for (int i = 0; i < AT_ONCE; i++)
        threads[i] = g_thread_new("session", use_one, GINT_TO_POINTER(i + 1));
    for (int i = 0; i < AT_ONCE; i++)
        wrong += GPOINTER_TO_INT(g_thread_join(threads[i]));
    g_autofree char *found = g_strdup_printf("%d wrong", wrong);
    check(wrong == 0, "sessions at once, each with its own answers", found);
}

static guint count_entries(const char *path)
{
    guint n = 0;
    GDir *dir = g_dir_open(path, 0, NULL);
    while (dir != NULL && g_dir_read_name(dir) != NULL)
        n++;
    if (dir != NULL)
        g_dir_close(dir);
    return n;
}

static long resident_kib(void)
{
    g_autofree char *text = NULL;
    const char *line = g_file_get_contents("/proc/self/status", &text, NULL, NULL) ? strstr(text, "VmRSS:") : NULL;
    return line != NULL ? atol(line + 6) : 0;
}

static void many_leave_no_growth(void)
{
    dsb_session_close(open_as("many", NULL)); /* what is opened once */
    guint descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    dsb_session *session = open_as("many", NULL);
    json_object_put(run_with(session, "import os, gc\nx = 0", 0, -1));
    for (int i = 0; i < 50; i++)
        json_object_put(run_with(session, "x += 1; print('x' * 100)", 0, -1));
    guint open_then = count_entries("/proc/self/fd");
    long before = resident_kib();
    json_object *inside = run_with(session, "print(len(os.listdir('/proc/self/fd')))", 0, -1);
    for (int i = 0; i < 200; i++)
        json_object_put(run_with(session, "x += 1; print('x' * 100)", 0, -1));
    long grown = resident_kib() - before;
    g_autofree char *kib = g_strdup_printf("%ld KiB", grown);
    check(grown < 1024, "200 executions: no growth of memory here", kib);
    check(count_entries("/proc/self/fd") == open_then, "nor of descriptors", "more");
    json_object *after = run_with(session, "print(len(os.listdir('/proc/self/fd')))", 0, -1);
    check(g_str_equal(at(inside, "stdout"), at(after, "stdout")), "nor inside", at(after, "stdout"));
    ok(session, "x has the right value", "print(x)", "250\n");
    json_object_put(inside);
    json_object_put(after);
    dsb_session_close(session);
    gint64 deadline = g_get_monotonic_time() + HANGS_S * G_USEC_PER_SEC; /* a thread that was joined may be listed yet */
    while (count_entries("/proc/self/task") > threads && g_get_monotonic_time() < deadline)
        g_usleep(1000);
    g_autofree char *found =
        g_strdup_printf("%u descriptors, %u threads", count_entries("/proc/self/fd"), count_entries("/proc/self/task"));
    check(count_entries("/proc/self/fd") == descriptors && count_entries("/proc/self/task") == threads,
          "a closed session leaves no descriptor and no thread", found);
}

static gboolean is_listed(const char *containers)
{
    g_autofree char *owner = g_strdup_printf("\"%u.%d.", (unsigned) geteuid(), (int) getpid());
    return strstr(containers, owner) != NULL;
}

static void is_there(void)
{
    g_autofree char *answer = outside_list(&options);
    check(answer != NULL && is_listed(answer), "our container is seen from outside", answer ? answer : "no answer");
}

static void nothing_is_left(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *answer = outside_list(&options);
    gint64 deadline = g_get_monotonic_time() + HANGS_S * G_USEC_PER_SEC;
    while (answer != NULL && is_listed(answer) && g_get_monotonic_time() < deadline) {
        g_usleep(50000);
        g_free(answer);
        answer = outside_list(&options);
    }
    check(answer != NULL && !is_listed(answer), "no container of ours is left", answer ? answer : "no answer");
    static const char *const ids[] = {"main", "disk", "outside", "many", "steps", "steps-2"};
    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++)
        check(dsb_files_delete_session(base_dir, ids[i], &error), "a session's directory is removed",
              error != NULL ? error->message : "");
}

/* One turn of a loop for several executions; returns the longest step so far, in microseconds. */
static gint64 turn(dsb_execution **all, gboolean *over, gsize n, gint64 longest)
{
    struct pollfd fds[3];
    int wait_ms = -1;
    for (gsize i = 0; i < n; i++) {
        gint64 began = g_get_monotonic_time();
        over[i] = over[i] || dsb_execution_step(all[i]);
        longest = MAX(longest, g_get_monotonic_time() - began);
        int at_most = dsb_execution_timeout_ms(all[i]);
        wait_ms = over[i] || at_most < 0 || (wait_ms >= 0 && wait_ms < at_most) ? wait_ms : at_most;
        fds[i] = (struct pollfd){dsb_execution_fd(all[i]), POLLIN, 0};
    }
    poll(fds, n, wait_ms < 0 || wait_ms > 1000 ? 1000 : wait_ms);
    return longest;
}

static void expect_result(dsb_execution *execution, const char *what, const char *output)
{
    g_autoptr(dsb_result) result = dsb_execution_result(execution);
    g_autofree char *text = dsb_result_json(result, FALSE);
    gsize size = 0;
    const char *out = dsb_result_output(result, 1, &size);
    gboolean same = size == strlen(output) && memcmp(out, output, size) == 0;
    check(dsb_result_status(result) == DSB_STATUS_OK && same, what, text);
    dsb_execution_free(execution);
}

static void several_in_one_thread(void)
{
    int fds[2];
    dsb_session *first = open_as("steps", NULL), *second = open_as("steps-2", NULL);
    struct dsb_request waits = DSB_REQUEST_INIT, quick = DSB_REQUEST_INIT;
    waits.code = "import sys\nprint(sys.stdin.read())";
    quick.code = "x = 41\nprint(x + 1)";
    waits.code_size = strlen(waits.code);
    quick.code_size = strlen(quick.code);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    waits.stdin_fd = fds[0];
    options.session = NULL;
    dsb_execution *all[] = {dsb_session_start(first, NULL, &waits), dsb_session_start(second, NULL, &quick),
                            dsb_run_start(policy, &options, &quick)};
    gboolean over[3] = {FALSE};
    gint64 longest = 0, give_up = g_get_monotonic_time() + HANGS_S * G_USEC_PER_SEC;
    while (!(over[1] && over[2]) && g_get_monotonic_time() < give_up)
        longest = turn(all, over, 3, longest);
    check(over[1] && over[2] && !over[0], "a session and a run end while another session waits for its input", "");
    check(write(fds[1], "typed", 5) == 5 && close(fds[1]) == 0, "it is written", "");
    while (!over[0] && g_get_monotonic_time() < give_up)
        longest = turn(all, over, 1, longest);
    expect_result(all[0], "input through a loop", "typed\n");
    expect_result(all[1], "a session in a loop", "42\n");
    expect_result(all[2], "a run in a loop", "42\n");
    printf("     the longest step took %.1f ms\n", (double) longest / 1000.0);
    ok(second, "and the call that waits", "print(x)", "41\n");
    close(fds[0]);
    dsb_session_close(first);
    dsb_session_close(second);
}

static int by_size(const void *a, const void *b)
{
    double first = *(const double *) a, second = *(const double *) b;
    return first < second ? -1 : first > second;
}

static int bench(unsigned n)
{
    g_autofree double *ms = g_new0(double, n);
    double scan = 0, answered = 0;
    dsb_session *session = open_as("main", NULL);
    json_object_put(run_with(session, "x = 0", 0, -1));
    for (unsigned i = 0; i < n; i++) {
        const struct dsb_request request = {
            .struct_size = sizeof request, .init = DSB_INIT, .code = "x += 1", .code_size = 6, .stdin_fd = DSB_FD_NONE};
        gint64 began = g_get_monotonic_time();
        dsb_result *result = dsb_session_execute(session, NULL, &request);
        ms[i] = (double) (g_get_monotonic_time() - began) / 1000.0;
        g_autofree char *text = dsb_result_json(result, FALSE);
        json_object *json = json_tokener_parse(text);
        answered += atof(at(json, "timing.answered_ms"));
        scan += atof(at(json, "timing.compared_ms")) - atof(at(json, "timing.answered_ms"));
        json_object_put(json);
        dsb_result_free(result);
        g_usleep(3000); /* an agent thinks, too */
    }
    dsb_session_close(session);
    qsort(ms, n, sizeof *ms, by_size);
    printf("x += 1, %u times: median %.3f ms, 90 %% %.3f ms, most %.3f ms; answer %.3f ms, files %.3f ms\n", n,
           ms[n / 2], ms[n * 9 / 10], ms[n - 1], answered / n, scan / n);
    return 0;
}

static gboolean set_up(void)
{
    const char *work = g_getenv("DSB_TEST_WORK"), *allow = g_getenv("DSB_TEST_ALLOW");
    g_autoptr(GError) error = NULL;
    if (g_getenv("DSB_TEST_ENDPOINT") == NULL || work == NULL)
        return FALSE;
    base_dir = g_strconcat(work, "/sessions", NULL);
    if (g_str_equal(g_getenv("DSB_TEST_BACKEND"), "oci"))
        g_setenv("XDG_RUNTIME_DIR", work, TRUE); /* its records are there, which are looked at */
    policy = dsb_policy_new();
    dsb_policy_set(policy, "grace", GRACE, "test", NULL);
    options = (struct dsb_run_options){.struct_size = sizeof options,
                                       .checkpoint = DSB_CHECKPOINT_ALWAYS,
                                       .init = DSB_INIT,
                                       .backend = g_getenv("DSB_TEST_BACKEND"),
                                       .endpoint = g_getenv("DSB_TEST_ENDPOINT"),
                                       .image = g_getenv("DSB_TEST_IMAGE"),
                                       .base_dir = base_dir,
                                       .cancel_fd = DSB_FD_NONE,
                                       .log = log_line};
    if (allow != NULL && *allow != '\0' && !dsb_controls_parse(allow, &options.allow_unenforced, &error)) {
        printf("%s\n", error->message);
        return FALSE;
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    if (!set_up()) {
        printf("SKIP no engine is named in DSB_TEST_ENDPOINT and DSB_TEST_WORK\n0 passed, 0 failed, 1 skipped\n");
        return 77;
    }
    if (argc == 3 && g_str_equal(argv[1], "--bench"))
        return bench((unsigned) atoi(argv[2]));
    dsb_session *session = open_as("main", NULL);
    is_there();
    variables_persist(session);
    failures_are_survived(session);
    files_and_streams(session);
    cancel(session);
    control_operations(session);
    commands(session);
    run_files();
    tools(session);
    dsb_session_close(session);
    disk_limit();
    killed_while_idle();
    killed_while_running();
    idle_too_long();
    several_at_once();
    several_in_one_thread();
    many_leave_no_growth();
    nothing_is_left();
    dsb_policy_free(policy);
    g_free(base_dir);
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed != 0;
}
