/* SPDX-License-Identifier: MIT */
/*
 * The plugins docker-api and podman against a recorded engine whose answers are spoilt in every way an answer can be.
 * Whatever comes, an operation ends within its deadline with success or an error of the contract, and leaks nothing.
 * DSB_MOCK_FIXTURE and DSB_MOCK_PLUGIN say what to test.
 */
#include "driver.h"
#include "mock.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENT_MS 10000
#define HASTY_MS 250
#define SLOW_MACHINE_MS 4000 /* on top of any deadline */

static struct mock *mock;
static struct driver *driver;
static int cancel_pipe[2];

/* ---- one operation ---- */

static gboolean ends_well(enum driver_op op, guint within_ms, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    gboolean good = driver_do(driver, op, error);
    gint64 took = (g_get_monotonic_time() - begin) / 1000;
    if (took > within_ms + SLOW_MACHINE_MS)
        fail_msg("%s took %d ms", driver_steps[op].name, (int) took);
    if (good)
        return TRUE;
    if (!*error || (*error)->domain != DSB_ERROR || !*(*error)->message)
        fail_msg("%s: no error of the contract", driver_steps[op].name);
    if ((*error)->code == DSB_ERROR_PLUGIN || (*error)->code == DSB_ERROR_WOULD_BLOCK ||
        (*error)->code == DSB_ERROR_CANCELLED)
        fail_msg("%s: code %d: %s", driver_steps[op].name, (*error)->code, (*error)->message);
    if (!g_utf8_validate((*error)->message, -1, NULL))
        fail_msg("%s: the message is not UTF-8", driver_steps[op].name);
    return FALSE;
}

static void must_work(enum driver_op op)
{
    g_autoptr(GError) error = NULL;
    if (!ends_well(op, PATIENT_MS, &error))
        fail_msg("%s: %s", driver_steps[op].name, error->message);
}

/* -1: any error. */
static void must_fail(enum driver_op op, int code, const char *why)
{
    g_autoptr(GError) error = NULL;
    if (ends_well(op, PATIENT_MS, &error))
        fail_msg("%s: success with %s", driver_steps[op].name, why);
    if (code >= 0 && error->code != code)
        fail_msg("%s with %s: code %d, not %d: %s", driver_steps[op].name, why, error->code, code, error->message);
}

static void may_do_anything(enum driver_op op)
{
    g_autoptr(GError) error = NULL;
    ends_well(op, PATIENT_MS, &error);
}

typedef void (*visit_fn)(enum driver_op op, const struct mock_exchange *exchange);

/* Every exchange of every operation. */
static void for_each_exchange(visit_fn visit)
{
    for (enum driver_op op = 0; op < N_OPS; op++)
        for (const char *const *name = driver_steps[op].exchanges; *name; name++)
            visit(op, mock_exchange(mock, *name));
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
    for (enum driver_op op = 0; op < N_OPS; op++)
        must_work(op);
}

static gboolean is_named(const struct mock_exchange *exchange, const char *name)
{
    return strcmp(exchange->name, name) == 0;
}

static void plan(const struct mock_exchange *exchange, GBytes *answer)
{
    mock_plan(mock, exchange->name, MOCK_PLAIN, 0, answer);
}

/* Plans an answer made of text, and frees nothing of the caller's. */
static void plan_text(const struct mock_exchange *exchange, const char *text, gssize size)
{
    g_autoptr(GBytes) answer = g_bytes_new(text, size < 0 ? strlen(text) : (gsize) size);
    plan(exchange, answer);
}

/* ---- what was recorded ---- */

static void test_recorded(void **state)
{
    (void) state;
    for (enum driver_op op = 0; op < N_OPS; op++) {
        must_work(op);
        if (op == OP_PREPARE)
            assert_true(strlen(driver->image.id) >= 12);
        if (op == OP_CREATE)
            assert_string_equal(driver->id, DRIVER_ID);
        if (op == OP_INSPECT) {
            assert_true(driver->observed.known & DSB_BIT(DSB_CONTROL_MEMORY));
            assert_int_equal(driver->observed.memory_bytes, driver->resolved->spec.memory_bytes);
            assert_true(driver->observed.volume_present && driver->observed.guest_read_only);
            assert_int_equal(driver->observed.foreign_mounts, 0);
            assert_int_equal(driver->observed.network, DSB_NETWORK_NONE);
            assert_int_equal(driver->observed.capabilities, 0);
        }
        if (op == OP_START) {
            assert_true(driver->stream->len > 200 && driver->stream->data[4] == 1);
            assert_int_equal(driver->stream->len, 9 + driver->stream->data[0] + 256 * driver->stream->data[1]);
            assert_string_equal(driver->diagnostic, "note\n");
        }
        if (op == OP_LIST) {
            assert_int_equal(driver->leftovers->len, 1);
            const struct dsb_leftover *left = driver->leftovers->pdata[0];
            assert_string_equal(left->owner, DRIVER_OWNER);
            assert_string_equal(left->session, "recorded");
            assert_true(left->running);
        }
        if (op == OP_USAGE)
            assert_true(driver->usage.memory_peak_bytes > 0);
    }
    assert_int_equal(mock_unknown(mock), 0);
}

/* ---- ends of the connection at every byte ---- */

/* Whether the operation may go well although the answer ends after `size` of `all` bytes. */
static gboolean end_is_harmless(const struct mock_exchange *exchange, gsize size, gsize all)
{
    gsize body = g_bytes_get_size(exchange->body);
    if (is_named(exchange, "stats"))
        return TRUE; /* no statistics are no failure */
    if (is_named(exchange, "attach"))
        return size >= all - body; /* the stream is short then, which the core notices */
    return strcmp(exchange->framing, "chunked") == 0 && size + 2 >= all;
}

static void end_everywhere(enum driver_op op, const struct mock_exchange *exchange, enum mock_kind kind)
{
    g_autoptr(GBytes) whole = mock_answer(exchange, NULL, NULL, 0);
    gsize all = g_bytes_get_size(whole);
    for (gsize size = 0; size < all; size++) {
        mock_plan(mock, exchange->name, kind, size, NULL);
        g_autoptr(GError) error = NULL;
        gboolean good = ends_well(op, PATIENT_MS, &error);
        if (good && !end_is_harmless(exchange, size, all))
            fail_msg("%s: success although %s ended after %d of %d bytes", driver_steps[op].name, exchange->name,
                     (int) size, (int) all);
        if (good && op == OP_START && is_named(exchange, "attach"))
            assert_true(driver->stream->len < g_bytes_get_size(exchange->body));
    }
}

static void cut(enum driver_op op, const struct mock_exchange *exchange)
{
    end_everywhere(op, exchange, MOCK_CUT);
}

static void reset(enum driver_op op, const struct mock_exchange *exchange)
{
    end_everywhere(op, exchange, MOCK_RESET);
}

static void test_cuts(void **state)
{
    (void) state;
    for_each_exchange(cut);
}

static void test_resets(void **state)
{
    (void) state;
    for_each_exchange(reset);
}

static void trickle(enum driver_op op, const struct mock_exchange *exchange)
{
    mock_plan(mock, exchange->name, MOCK_TRICKLE, 0, NULL);
    must_work(op);
}

static void test_byte_by_byte(void **state)
{
    (void) state;
    for_each_exchange(trickle);
}

/* ---- status codes ---- */

static gboolean status_is_fine(const struct mock_exchange *exchange, int status)
{
    gboolean ends = is_named(exchange, "kill") || is_named(exchange, "remove");
    if (is_named(exchange, "stats") || (ends && (status == 404 || status == 409)))
        return TRUE;
    if (status == 304)
        return ends || is_named(exchange, "start");
    return status / 100 == 2;
}

static void statuses(enum driver_op op, const struct mock_exchange *exchange)
{
    static const int codes[] = {200, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 400, 401,
                                403, 404, 407, 409, 410, 418, 429, 500, 502, 503, 504, 599, 600, 999};
    static const char body[] = "{\"message\":\"not \\u0007 \\u001b[31mtoday\",\"cause\":\"x\",\"response\":500}";
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        for (int location = 0; location < 2; location++) {
            g_autofree char *status = g_strdup_printf("HTTP/1.1 %d X%s", codes[i],
                                                      location ? "\r\nLocation: http://127.0.0.1:9/v1.41/info" : "");
            g_autoptr(GBytes) answer = mock_answer(exchange, status, body, -1);
            plan(exchange, answer);
            if (status_is_fine(exchange, codes[i]))
                may_do_anything(op);
            else
                must_fail(op, -1, status);
        }
    }
}

static void test_statuses(void **state)
{
    (void) state;
    for_each_exchange(statuses);
}

static void test_status_codes_have_meaning(void **state)
{
    (void) state;
    static const struct {
        enum driver_op op;
        const char *exchange;
        int status, code;
    } cases[] = {
        {OP_PREPARE, "image", 404, DSB_ERROR_NOT_FOUND},   {OP_CREATE, "create", 409, DSB_ERROR_CONFLICT},
        {OP_CREATE, "create", 400, DSB_ERROR_INVALID},     {OP_INSPECT, "inspect", 404, DSB_ERROR_NOT_FOUND},
        {OP_START, "attach", 404, DSB_ERROR_NOT_FOUND},    {OP_START, "attach", 409, DSB_ERROR_CONFLICT},
        {OP_START, "start", 500, DSB_ERROR_FAILED},        {OP_LIST, "list", 403, DSB_ERROR_DENIED},
        {OP_DESTROY, "remove", 500, DSB_ERROR_FAILED},     {OP_OPEN, "ping", 503, DSB_ERROR_UNAVAILABLE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct mock_exchange *exchange = mock_exchange(mock, cases[i].exchange);
        g_autofree char *status = g_strdup_printf("HTTP/1.1 %d X", cases[i].status);
        for (int chunked = 0; chunked < 2; chunked++) {
            struct mock_exchange other = *exchange;
            other.framing = (char *) (chunked ? "chunked" : "length");
            g_autoptr(GBytes) answer = mock_answer(&other, status, "{\"message\":\"the reason\"}", -1);
            plan(exchange, answer);
            g_autoptr(GError) error = NULL;
            assert_false(ends_well(cases[i].op, PATIENT_MS, &error));
            if (error->code != cases[i].code || !strstr(error->message, "the reason") != (cases[i].op == OP_PREPARE))
                fail_msg("%s, status %d: code %d: %s", cases[i].exchange, cases[i].status, error->code, error->message);
        }
    }
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
}

/* ---- wrong types ---- */

static const char *const strange[] = {
    "null", "true", "false", "0", "-1", "1", "9223372036854775807", "-9223372036854775808", "18446744073709551616",
    "1e308", "0.5", "\"\"", "\"x\"", "\"-1\"", "\"\\u0000\"", "\"\\n\\u001b\"", "[]", "{}", "[null]", "[[]]", "[{}]",
    "[1]", "[\"x\"]", "{\"x\":null}",
};

static void send_json(enum driver_op op, const struct mock_exchange *exchange)
{
    const char *text = json_object_to_json_string_ext(exchange->json, JSON_C_TO_STRING_PLAIN);
    g_autoptr(GBytes) answer = mock_answer(exchange, NULL, text, -1);
    plan(exchange, answer);
    may_do_anything(op);
}

static void mutate(enum driver_op op, const struct mock_exchange *exchange, json_object *node);

static void mutate_member(enum driver_op op, const struct mock_exchange *exchange, json_object *parent, const char *key)
{
    json_object *old = NULL;
    json_object_object_get_ex(parent, key, &old);
    json_object_get(old);
    for (gsize i = 0; i < G_N_ELEMENTS(strange); i++) {
        json_object_object_add(parent, key, json_tokener_parse(strange[i]));
        send_json(op, exchange);
    }
    g_autofree char *big = g_strnfill(5000, 'A');
    json_object_object_add(parent, key, json_object_new_string(big));
    send_json(op, exchange);
    json_object_object_del(parent, key);
    send_json(op, exchange);
    json_object_object_add(parent, key, old);
    mutate(op, exchange, old);
}

static void mutate_element(enum driver_op op, const struct mock_exchange *exchange, json_object *parent, gsize index)
{
    json_object *old = json_object_get(json_object_array_get_idx(parent, index));
    for (gsize i = 0; i < G_N_ELEMENTS(strange); i++) {
        json_object_array_put_idx(parent, index, json_tokener_parse(strange[i]));
        send_json(op, exchange);
    }
    json_object_array_put_idx(parent, index, old);
    mutate(op, exchange, old);
}

static void mutate(enum driver_op op, const struct mock_exchange *exchange, json_object *node)
{
    if (json_object_is_type(node, json_type_array)) {
        for (gsize i = 0; i < MIN(json_object_array_length(node), 2); i++)
            mutate_element(op, exchange, node, i);
        return;
    }
    if (!json_object_is_type(node, json_type_object))
        return;
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    json_object_object_foreach(node, key, value)
    {
        (void) value;
        g_ptr_array_add(keys, g_strdup(key));
    }
    for (guint i = 0; i < keys->len; i++)
        mutate_member(op, exchange, node, keys->pdata[i]);
}

static void wrong_types(enum driver_op op, const struct mock_exchange *exchange)
{
    if (!exchange->json)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(strange); i++) {
        g_autoptr(GBytes) answer = mock_answer(exchange, NULL, strange[i], -1);
        plan(exchange, answer);
        may_do_anything(op);
    }
    mutate(op, exchange, exchange->json);
}

static void test_wrong_types(void **state)
{
    (void) state;
    for_each_exchange(wrong_types);
}

/* What the core builds on must not be made of nothing. */
static void test_answers_without_what_matters(void **state)
{
    (void) state;
    static const struct {
        enum driver_op op;
        const char *exchange, *body;
    } cases[] = {
        {OP_PREPARE, "image", "{}"},         {OP_PREPARE, "image", "{\"Id\":\"x\"}"},
        {OP_PREPARE, "image", "[]"},         {OP_PREPARE, "image", "{\"Id\":\"sha256:../../x y z 0123456789\"}"},
        {OP_CREATE, "create", "{}"},         {OP_CREATE, "create", "{\"Id\":\"../../../../etc/passwd\"}"},
        {OP_CREATE, "create", "[]"},         {OP_CREATE, "create", "{\"Id\":\"0123456789ab\\u0000\"}"},
        {OP_LIST, "list", "{}"},             {OP_LIST, "list", "[{}]"},
        {OP_LIST, "list", "[{\"Id\":\"a b\"}]"}, {OP_LIST, "list", "[null]"},
        {OP_INSPECT, "inspect", "[]"},       {OP_INSPECT, "inspect", "\"x\""},
        {OP_OPEN, "info", "[]"},             {OP_OPEN, "info", "null"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct mock_exchange *exchange = mock_exchange(mock, cases[i].exchange);
        g_autoptr(GBytes) answer = mock_answer(exchange, NULL, cases[i].body, -1);
        plan(exchange, answer);
        must_fail(cases[i].op, DSB_ERROR_PROTOCOL, cases[i].body);
    }
    const struct mock_exchange *inspect = mock_exchange(mock, "inspect");
    g_autoptr(GBytes) nothing = mock_answer(inspect, NULL, "{}", -1);
    plan(inspect, nothing);
    must_work(OP_INSPECT);
    assert_int_equal(driver->observed.known, 0);
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
}

/* ---- too much, and nonsense ---- */

static char *long_text(const char *begin, char fill, gsize size, const char *end)
{
    g_autofree char *middle = g_strnfill(size, fill);
    return g_strconcat(begin, middle, end, NULL);
}

static void garbage(enum driver_op op, const struct mock_exchange *exchange)
{
    static const char *const texts[] = {
        "\n", "\r\n\r\n", "HTTP/1.1", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 OK\r\n\r\n{}", "HTTP/9.9 200 OK\r\n\r\n{}", "{\"Id\":\"0123456789ab\"}",
        "SSH-2.0-OpenSSH_9.2p1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "+PONG\r\n", "220 mail ESMTP\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n{}", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}", "HTTP/1.1 200 OK\n\n{}",
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
        "", "\r\n", "x\r\n", "-1\r\n{}\r\n0\r\n\r\n", "0x2\r\n{}\r\n0\r\n\r\n", " 2\r\n{}\r\n0\r\n\r\n",
        "2;ext=\"x\"\r\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n", "2\r\n{}\r\n", "2\r\n{}0\r\n\r\n",
        "2\n{}\n0\n\n", "00000000000000000000000000002\r\n{}\r\n0\r\n\r\n", "ffffffffffffffff\r\n{}",
        "7fffffffffffffff\r\n{}", "10000000000000000\r\n{}", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\n\r\n{}",
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
    gboolean optional = is_named(exchange, "stats");
    g_autoptr(GString) many = g_string_new("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000; i++)
        g_string_append_printf(many, "X-Header-%d: 0123456789012345678901234567890123456789\r\n", i);
    g_autofree char *line = long_text("HTTP/1.1 200 OK\r\nX: ", 'x', 300000, "\r\n\r\n{}");
    g_autofree char *status = long_text("HTTP/1.1 200 ", 'x', 300000, "\r\n\r\n{}");
    const char *const heads[] = {many->str, line, status};
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++) {
        plan_text(exchange, heads[i], -1);
        if (optional)
            may_do_anything(op);
        else
            must_fail(op, -1, "an oversized head");
    }
    if (is_named(exchange, "start") || is_named(exchange, "kill") || is_named(exchange, "remove"))
        return; /* their bodies are not read */
    const gsize size = 17 * 1024 * 1024;
    g_autofree char *big = long_text("{\"x\":\"", 'x', size, "\"}");
    for (int wrong = 0; wrong < 2; wrong++) {
        g_autoptr(GBytes) answer = mock_answer(exchange, wrong ? "HTTP/1.1 500 X" : NULL, big, -1);
        plan(exchange, answer);
        if (optional || is_named(exchange, "attach"))
            may_do_anything(op);
        else
            must_fail(op, -1, "an oversized body");
    }
    g_autofree char *deep = long_text("", '[', 100000, "");
    g_autoptr(GBytes) answer = mock_answer(exchange, NULL, deep, -1);
    plan(exchange, answer);
    if (exchange->json && !optional && op != OP_IMPORT)
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
    static const char *const fine[] = {"", "\n\n", "{}", "not json\n{}", "{\"error\":null}", "{\"error\":7}", "[]",
                                       "{\"status\":{}}\r\n{\"stream\":[]}"};
    for (gsize i = 0; i < G_N_ELEMENTS(fine); i++) {
        g_autoptr(GBytes) answer = mock_answer(import, NULL, fine[i], -1);
        plan(import, answer);
        must_work(OP_IMPORT);
    }
    static const char *const bad[] = {"{\"error\":\"no space\"}", "{\"status\":\"x\"}\r\n{\"error\":\"no space\"}\r\n{}"};
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
    static const guint8 odd[][12] = {{0, 0, 0, 0, 0, 0, 0, 1, 'x'}, {4, 0, 0, 0, 0, 0, 0, 1, 'x'},
                                     {1, 1, 0, 0, 0, 0, 0, 1, 'x'}, {255, 255, 255, 255, 255, 255, 255, 255, 'x'},
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
    gboolean ends = op == OP_KILL || op == OP_DESTROY; /* they take five seconds at least */
    if (op == OP_IMPORT || is_named(exchange, "stats"))
        return; /* the first has no deadline, the other is no failure */
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

static void open_with(guint timeout_ms, int cancel_fd)
{
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
    driver->params.call_timeout_ms = timeout_ms;
    driver->params.cancel_fd = cancel_fd;
    must_work(OP_OPEN);
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
    if (op == OP_KILL || op == OP_DESTROY || op == OP_LIST || is_named(exchange, "stats"))
        return;
    mock_plan(mock, exchange->name, MOCK_STALL, 0, NULL);
    GThread *thread = g_thread_new("cancel", cancel_soon, NULL);
    g_autoptr(GError) error = NULL;
    gint64 begin = g_get_monotonic_time();
    gboolean good = driver_do(driver, op, &error);
    gint64 took = (g_get_monotonic_time() - begin) / 1000;
    g_thread_join(thread);
    take_cancel_back();
    if (good || !g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED) || took > 2000)
        fail_msg("%s: %s after %d ms", exchange->name, error ? error->message : "success", (int) took);
}

static void test_cancel(void **state)
{
    (void) state;
    open_with(PATIENT_MS, cancel_pipe[0]);
    for_each_exchange(cancel_running);
    cancel_soon(NULL);
    static const enum driver_op no[] = {OP_OPEN, OP_PREPARE, OP_CREATE, OP_INSPECT, OP_START, OP_USAGE, OP_IMPORT};
    for (gsize i = 0; i < G_N_ELEMENTS(no); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(driver_do(driver, no[i], &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED));
    }
    must_work(OP_KILL);
    must_work(OP_DESTROY);
    must_work(OP_LIST);
    assert_int_equal(driver->leftovers->len, 1);
    mock_plan(mock, NULL, MOCK_STALL, 0, NULL); /* an engine that is gone is not waited for */
    gint64 begin = g_get_monotonic_time();
    must_fail(OP_DESTROY, DSB_ERROR_TIMEOUT, "a dead engine");
    assert_true(g_get_monotonic_time() - begin < 1800000);
    take_cancel_back();
    open_with(PATIENT_MS, -1);
}

/* A caller of ABI 1.0 has no cancel_fd; what is behind its structure is none either. */
static void test_old_caller(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    struct dsb_open_params old = driver->params;
    void *backend = NULL;
    old.struct_size = (uint32_t) G_STRUCT_OFFSET(struct dsb_open_params, cancel_fd);
    old.cancel_fd = cancel_pipe[0];
    cancel_soon(NULL);
    assert_true(driver->loaded->plugin.open(&old, &backend, &error));
    driver->loaded->plugin.close(backend);
    take_cancel_back();
}

/* ---- leaks ---- */

static guint count_descriptors(void)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir))
        n++;
    return n;
}

static guint descriptors_before;

/* Last: all that came before left nothing open. */
static void test_no_descriptor_is_left(void **state)
{
    (void) state;
    open_with(PATIENT_MS, -1);
    dsb_backend_close(driver->backend);
    driver->backend = NULL;
    g_usleep(100000);
    assert_int_equal(count_descriptors(), descriptors_before);
}

static char work[] = "/tmp/dsb-replay-XXXXXX";
static char *endpoint;

static int set_up(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    if (!g_mkdtemp(work) || !g_unix_open_pipe(cancel_pipe, FD_CLOEXEC, NULL))
        return -1;
    g_autofree char *path = g_build_filename(work, "engine.sock", NULL);
    endpoint = g_strconcat("unix://", path, NULL);
    mock = mock_new(g_getenv("DSB_MOCK_FIXTURE"), path);
    driver = driver_new(g_getenv("DSB_MOCK_PLUGIN"), endpoint, work, "/srv/session", "/srv/guest", FALSE);
    driver->id = g_strdup(DRIVER_ID);
    descriptors_before = count_descriptors();
    return driver_do(driver, OP_OPEN, &error) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void) state;
    driver_free(driver);
    mock_free(mock);
    close(cancel_pipe[0]);
    close(cancel_pipe[1]);
    g_free(endpoint);
    return rmdir(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_status_codes_have_meaning),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_answers_without_what_matters),
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
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
