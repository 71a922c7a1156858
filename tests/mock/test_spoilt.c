/* SPDX-License-Identifier: MIT */
/* Nonsense, too much of everything, engines that do not answer, and callers that do not wait. */
#include "replay.h"

#include <string.h>
#include <unistd.h>

#define HASTY_MS 250

/* ---- too much, and nonsense ---- */

static char *long_text(const char *begin, char fill, gsize size, const char *end)
{
    g_autofree char *middle = g_strnfill(size, fill);
    return g_strconcat(begin, middle, end, NULL);
}

static void garbage(enum driver_op op, const struct mock_exchange *exchange)
{
    static const char *const texts[] = {
        "\n",
        "\r\n\r\n",
        "HTTP/1.1",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n{}",
        "HTTP/9.9 200 OK\r\n\r\n{}",
        "{\"Id\":\"0123456789ab\"}",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "+PONG\r\n",
        "220 mail ESMTP\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}",
        "HTTP/1.1 200 OK\n\n{}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        plan_text(exchange, texts[i], -1);
        may_do_anything(op);
    }
    GRand *random = g_rand_new_with_seed(7);
    for (int round = 0; round < 40; round++) {
        char bytes[600];
        gboolean headed = round % 2 == 1;
        for (gsize i = 0; i < sizeof bytes; i++)
            bytes[i] = (char) g_rand_int_range(random, 0, 256);
        if (headed)
            memcpy(bytes, "HTTP/1.1 200 OK\r\n\r\n", 19);
        plan_text(exchange, bytes, sizeof bytes);
        may_do_anything(op);
    }
    g_rand_free(random);
}

static void test_garbage(void **state)
{
    (void) state;
    for_each_exchange(garbage);
}

static void chunks(enum driver_op op, const struct mock_exchange *exchange)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static const char *const bodies[] = {
        "",
        "\r\n",
        "x\r\n",
        "-1\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2;ext=\"x\"\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        "2\r\n{}\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\n{}\n0\n\n",
        "00000000000000000000000000002\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n{}",
        "7fffffffffffffff\r\n{}",
        "10000000000000000\r\n{}",
        "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "0\r\n\r\n{}",
        "2\r\n{}x\r\n0\r\n\r\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autofree char *text = g_strconcat(head, bodies[i], NULL);
        plan_text(exchange, text, -1);
        may_do_anything(op);
    }
    g_autofree char *digits = long_text(head, '0', 200000, "2\r\n{}\r\n0\r\n\r\n");
    plan_text(exchange, digits, -1);
    may_do_anything(op);
}

static void test_chunks(void **state)
{
    (void) state;
    for_each_exchange(chunks);
}

/* Whatever an engine sends there is an end to what is read of it; how the answer goes on does not matter then. */
static void oversized(enum driver_op op, const struct mock_exchange *exchange)
{
    g_autoptr(GString) many = g_string_new("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000; i++)
        g_string_append_printf(many, "X-Header-%d: 0123456789012345678901234567890123456789\r\n", i);
    g_autofree char *line = long_text("HTTP/1.1 200 OK\r\nX: ", 'x', 300000, "\r\n\r\n{}");
    g_autofree char *status = long_text("HTTP/1.1 200 ", 'x', 300000, "\r\n\r\n{}");
    const char *const heads[] = {many->str, line, status};
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++) {
        plan_text(exchange, heads[i], -1);
        must_fail(op, -1, "an oversized head");
    }
    if (is_named(exchange, "start") || is_named(exchange, "remove"))
        return; /* their bodies are not read */
    const gsize size = 17 * 1024 * 1024;
    g_autofree char *big = long_text("{\"x\":\"", 'x', size, "\"}");
    for (int wrong = 0; wrong < 2; wrong++) {
        g_autoptr(GBytes) answer = mock_answer(exchange, wrong ? "HTTP/1.1 500 X" : NULL, big, -1);
        plan(exchange, answer);
        if (is_named(exchange, "attach"))
            may_do_anything(op);
        else
            must_fail(op, -1, "an oversized body");
    }
    g_autofree char *deep = long_text("", '[', 100000, "");
    g_autoptr(GBytes) answer = mock_answer(exchange, NULL, deep, -1);
    plan(exchange, answer);
    if (exchange->json && op != OP_IMPORT)
        must_fail(op, -1, "a deep body");
    else
        may_do_anything(op);
}

static void test_oversized(void **state)
{
    (void) state;
    for_each_exchange(oversized);
}

static void test_progress_lines(void **state)
{
    (void) state;
    const struct mock_exchange *import = mock_exchange(mock, "import");
    static const char *const fine[] = {"",
                                       "\n\n",
                                       "{}",
                                       "not json\n{}",
                                       "{\"error\":null}",
                                       "{\"error\":7}",
                                       "[]",
                                       "{\"status\":{}}\r\n{\"stream\":[]}"};
    for (gsize i = 0; i < G_N_ELEMENTS(fine); i++) {
        g_autoptr(GBytes) answer = mock_answer(import, NULL, fine[i], -1);
        plan(import, answer);
        must_work(OP_IMPORT);
    }
    static const char *const bad[] = {"{\"error\":\"no space\"}",
                                      "{\"status\":\"x\"}\r\n{\"error\":\"no space\"}\r\n{}"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) answer = mock_answer(import, NULL, bad[i], -1);
        plan(import, answer);
        g_autoptr(GError) error = NULL;
        assert_false(ends_well(OP_IMPORT, PATIENT_MS, &error));
        assert_non_null(strstr(error->message, "no space"));
    }
    g_autofree char *line = long_text("{\"stream\":\"", 'x', 300000, "\"}\n");
    g_autoptr(GBytes) answer = mock_answer(import, NULL, line, -1);
    plan(import, answer);
    must_fail(OP_IMPORT, DSB_ERROR_LIMIT, "a long line");
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
}

/* ---- frames of the stream ---- */

static void stream_of(const guint8 *frames, gsize size)
{
    const struct mock_exchange *attach = mock_exchange(mock, "attach");
    g_autoptr(GBytes) answer = mock_answer(attach, NULL, (const char *) frames, (gssize) size);
    plan(attach, answer);
    must_work(OP_START);
}

static void test_frames(void **state)
{
    (void) state;
    static const guint8 endless[] = {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c'};
    stream_of(endless, sizeof endless);
    assert_int_equal(driver->stream->len, 3);
    assert_false(driver->stream_failed);
    static const guint8 odd[][12] = {{0, 0, 0, 0, 0, 0, 0, 1, 'x'},
                                     {4, 0, 0, 0, 0, 0, 0, 1, 'x'},
                                     {1, 1, 0, 0, 0, 0, 0, 1, 'x'},
                                     {255, 255, 255, 255, 255, 255, 255, 255, 'x'},
                                     {'H', 'T', 'T', 'P', '/', '1', '.', '1', ' '}};
    for (gsize i = 0; i < G_N_ELEMENTS(odd); i++) {
        stream_of(odd[i], sizeof odd[i]);
        assert_int_equal(driver->stream->len, 0);
        assert_true(driver->stream_failed);
    }
    g_autoptr(GByteArray) empty = g_byte_array_new();
    static const guint8 nothing[] = {1, 0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 200000; i++)
        g_byte_array_append(empty, nothing, sizeof nothing);
    stream_of(empty->data, empty->len);
    assert_int_equal(driver->stream->len, 0);
    g_autofree char *noise = g_strnfill(5 * 1024 * 1024, '\033');
    static const guint8 errors[] = {2, 0, 0, 0, 0, 0x50, 0, 0}; /* 5 MiB */
    g_autoptr(GByteArray) flood = g_byte_array_new();
    g_byte_array_append(flood, errors, sizeof errors);
    g_byte_array_append(flood, (const guint8 *) noise, 5 * 1024 * 1024);
    stream_of(flood->data, flood->len);
    assert_int_equal(driver->stream->len, 0);
    assert_true(strlen(driver->diagnostic) <= 4096 && !strchr(driver->diagnostic, '\033'));
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
}

/* ---- engines that do not answer ---- */

static void stall(enum driver_op op, const struct mock_exchange *exchange)
{
    g_autoptr(GBytes) whole = mock_answer(exchange, NULL, NULL, 0);
    gsize body = g_bytes_get_size(exchange->body);
    const gsize sizes[] = {0, g_bytes_get_size(whole) - body - 1, g_bytes_get_size(whole) - (body > 0 ? 1 : 2)};
    gboolean ends = op == OP_DESTROY; /* it takes five seconds at least */
    if (op == OP_IMPORT)
        return; /* it has no deadline */
    for (gsize i = 0; i < (ends ? 1 : G_N_ELEMENTS(sizes)); i++) {
        if (is_named(exchange, "attach") && i == 2)
            continue; /* that is an open stream */
        mock_plan(mock, exchange->name, MOCK_STALL, sizes[i], NULL);
        gint64 begin = g_get_monotonic_time();
        g_autoptr(GError) error = NULL;
        assert_false(ends_well(op, ends ? 5000 : HASTY_MS, &error));
        if (error->code != DSB_ERROR_TIMEOUT)
            fail_msg("%s: code %d: %s", exchange->name, error->code, error->message);
        assert_true(g_get_monotonic_time() - begin >= (ends ? 4900 : HASTY_MS - 50) * 1000);
    }
}

static void test_stalls(void **state)
{
    (void) state;
    open_with(HASTY_MS, -1);
    for_each_exchange(stall);
    open_with(PATIENT_MS, -1);
}

static gpointer cancel_soon(gpointer unused)
{
    (void) unused;
    g_usleep(50000);
    if (write(cancel_pipe[1], "", 1) != 1)
        g_error("write");
    return NULL;
}

static void take_cancel_back(void)
{
    char byte;
    if (read(cancel_pipe[0], &byte, 1) != 1)
        g_error("read");
}

/* What was running ends, in a fraction of its deadline. */
static void cancel_running(enum driver_op op, const struct mock_exchange *exchange)
{
    if (op == OP_DESTROY || op == OP_LIST)
        return;
    mock_plan(mock, exchange->name, MOCK_STALL, 0, NULL);
    GThread *thread = g_thread_new("cancel", cancel_soon, NULL);
    g_autoptr(GError) error = NULL;
    gint64 begin = g_get_monotonic_time();
    gboolean good = driver_do(driver, op, &error);
    gint64 took = (g_get_monotonic_time() - begin) / 1000;
    g_thread_join(thread);
    take_cancel_back();
    /* What `create` makes has to be known, or it could not be removed: it gets some time to answer. */
    gint64 limit = (is_named(exchange, "create") ? 5000 : 2000) + SLOW_MACHINE_MS;
    if (good || !g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED) || took > limit)
        fail_msg("%s: %s after %d ms", exchange->name, error ? error->message : "success", (int) took);
}

static void test_cancel(void **state)
{
    (void) state;
    open_with(PATIENT_MS, cancel_pipe[0]);
    for_each_exchange(cancel_running);
    cancel_soon(NULL);
    static const enum driver_op no[] = {OP_OPEN, OP_PREPARE, OP_CREATE, OP_INSPECT, OP_START, OP_IMPORT};
    for (gsize i = 0; i < G_N_ELEMENTS(no); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(driver_do(driver, no[i], &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED));
    }
    must_work(OP_DESTROY);
    must_work(OP_LIST);
    assert_int_equal(driver->leftovers->len, 1);
    mock_plan(mock, NULL, MOCK_STALL, 0, NULL); /* an engine that is gone is not waited for */
    gint64 begin = g_get_monotonic_time();
    must_fail(OP_DESTROY, DSB_ERROR_TIMEOUT, "a dead engine");
    assert_true(g_get_monotonic_time() - begin < INT64_C(1800000) + SLOW_MACHINE_MS * INT64_C(1000));
    take_cancel_back();
    open_with(PATIENT_MS, -1);
}

/* A caller with a shorter structure has no cancel_fd; what is behind it is none either. */
static void test_old_caller(void **state)
{
    (void) state;
    struct dsb_plugin_error error;
    dsb_plugin_error_init(&error);
    struct dsb_open_params old = driver->params;
    void *backend = NULL;
    old.struct_size = (uint32_t) G_STRUCT_OFFSET(struct dsb_open_params, cancel_fd);
    old.cancel_fd = cancel_pipe[0];
    cancel_soon(NULL);
    assert_true(driver->loaded->plugin.open(&old, &backend, &error));
    driver->loaded->plugin.close(backend);
    take_cancel_back();
}

/* `long`: what waits for deadlines all the time; `short`: the rest. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "long") == 0)
        cmocka_set_test_filter("test_stalls");
    else if (argc > 1)
        cmocka_set_skip_filter("test_stalls");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_oversized),
        cmocka_unit_test(test_progress_lines),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_stalls),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_old_caller),
        cmocka_unit_test(test_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, replay_set_up, replay_tear_down);
}
