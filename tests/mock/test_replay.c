/* SPDX-License-Identifier: MIT */
/* Answers that end at every byte, come byte by byte, have other status codes, or other types in them. */
#include "replay.h"

#include <string.h>

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
    }
    assert_int_equal(mock_unknown(mock), 0);
}

/* ---- ends of the connection at every byte ---- */

/* Whether the operation may go well although the answer ends after `size` of `all` bytes. */
static gboolean end_is_harmless(const struct mock_exchange *exchange, gsize size, gsize all)
{
    gsize body = g_bytes_get_size(exchange->body);
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

static void cut(enum driver_op op, const struct mock_exchange *exchange) { end_everywhere(op, exchange, MOCK_CUT); }

static void reset(enum driver_op op, const struct mock_exchange *exchange) { end_everywhere(op, exchange, MOCK_RESET); }

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
    gboolean ends = is_named(exchange, "remove");
    if (ends && (status == 404 || status == 409))
        return TRUE;
    if (status == 304)
        return ends || is_named(exchange, "start");
    return status / 100 == 2;
}

static void statuses(enum driver_op op, const struct mock_exchange *exchange)
{
    static const int codes[] = {200, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 400, 401, 403,
                                404, 407, 409, 410, 418, 429, 500, 502, 503, 504, 599, 600, 999};
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
        {OP_PREPARE, "image", 404, DSB_ERROR_NOT_FOUND}, {OP_CREATE, "create", 409, DSB_ERROR_CONFLICT},
        {OP_CREATE, "create", 400, DSB_ERROR_INVALID},   {OP_INSPECT, "inspect", 404, DSB_ERROR_NOT_FOUND},
        {OP_START, "attach", 404, DSB_ERROR_NOT_FOUND},  {OP_START, "attach", 409, DSB_ERROR_CONFLICT},
        {OP_START, "start", 500, DSB_ERROR_FAILED},      {OP_LIST, "list", 403, DSB_ERROR_DENIED},
        {OP_DESTROY, "remove", 500, DSB_ERROR_FAILED},   {OP_OPEN, "ping", 503, DSB_ERROR_UNAVAILABLE},
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
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "0.5",
    "\"\"",
    "\"x\"",
    "\"-1\"",
    "\"\\u0000\"",
    "\"\\n\\u001b\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    "[1]",
    "[\"x\"]",
    "{\"x\":null}",
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
    json_object_object_foreach (node, key, value) {
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
        {OP_PREPARE, "image", "{}"},
        {OP_PREPARE, "image", "{\"Id\":\"x\"}"},
        {OP_PREPARE, "image", "[]"},
        {OP_PREPARE, "image", "{\"Id\":\"sha256:../../x y z 0123456789\"}"},
        {OP_CREATE, "create", "{}"},
        {OP_CREATE, "create", "{\"Id\":\"../../../../etc/passwd\"}"},
        {OP_CREATE, "create", "[]"},
        {OP_CREATE, "create", "{\"Id\":\"0123456789ab\\u0000\"}"},
        {OP_LIST, "list", "{}"},
        {OP_LIST, "list", "[{}]"},
        {OP_LIST, "list", "[{\"Id\":\"a b\"}]"},
        {OP_LIST, "list", "[null]"},
        {OP_INSPECT, "inspect", "[]"},
        {OP_INSPECT, "inspect", "\"x\""},
        {OP_OPEN, "info", "[]"},
        {OP_OPEN, "info", "null"},
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
        cmocka_unit_test(test_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, replay_set_up, replay_tear_down);
}
