/* SPDX-License-Identifier: MIT */
/* Framing, HTTP heads, addresses and sizes: everything an engine or a user could send malformed. */
#include "engine/engine.h"

#include "common/strictjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void add_frame(GByteArray *wire, guint8 type, const char *text)
{
    gsize size = strlen(text);
    guint8 head[8] = {type, 0, 0, 0, (guint8) (size >> 24), (guint8) (size >> 16), (guint8) (size >> 8), (guint8) size};
    g_byte_array_append(wire, head, sizeof head);
    g_byte_array_append(wire, (const guint8 *) text, (guint) size);
}

/* Give `wire` in pieces of `step` bytes and take it out through a buffer of `room` bytes. */
static char *run_demux(struct dsbe_demux *demux, const GByteArray *wire, gsize step, gsize room)
{
    GString *out = g_string_new(NULL);
    for (gsize at = 0; at < wire->len; at += step) {
        gsize size = MIN(step, wire->len - at), used = 0;
        while (used < size) {
            guint8 buffer[64];
            gsize consumed = 0, produced = 0;
            assert_true(
                dsbe_demux_run(demux, wire->data + at + used, size - used, &consumed, buffer, room, &produced, NULL));
            assert_true(consumed > 0 || produced > 0);
            g_string_append_len(out, (const char *) buffer, (gssize) produced);
            used += consumed;
        }
    }
    return g_string_free(out, FALSE);
}

static void test_demux_every_split(void **state)
{
    (void) state;
    g_autoptr(GByteArray) wire = g_byte_array_new();
    add_frame(wire, 1, "hello ");
    add_frame(wire, 2, "warning\n");
    add_frame(wire, 1, "");
    add_frame(wire, 1, "world");
    add_frame(wire, 3, "engine says no");
    add_frame(wire, 1, "!");
    for (gsize step = 1; step <= wire->len; step++) {
        for (gsize room = 1; room <= 16; room++) {
            struct dsbe_demux demux = {0};
            g_autofree char *text = run_demux(&demux, wire, step, room);
            assert_string_equal(text, "hello world!");
            assert_string_equal(dsbe_demux_diagnostic(&demux), "warning\nengine says no");
        }
    }
}

static void test_demux_diagnostic_is_bounded(void **state)
{
    (void) state;
    struct dsbe_demux demux = {0};
    g_autofree char *big = g_strnfill(10000, 'x');
    g_autoptr(GByteArray) wire = g_byte_array_new();
    add_frame(wire, 2, big);
    add_frame(wire, 2, "the \033end\001");
    g_autofree char *text = run_demux(&demux, wire, 1000, 8);
    assert_string_equal(text, "");
    const char *diagnostic = dsbe_demux_diagnostic(&demux);
    assert_int_equal(strlen(diagnostic), DSBE_DIAGNOSTIC_MAX);
    assert_true(g_str_has_suffix(diagnostic, "xthe  end "));
}

static void test_demux_refuses(void **state)
{
    (void) state;
    static const guint8 heads[][8] = {
        {0, 0, 0, 0, 0, 0, 0, 1},
        {4, 0, 0, 0, 0, 0, 0, 1},
        {1, 1, 0, 0, 0, 0, 0, 1},
        {1, 0, 0, 9, 0, 0, 0, 1},
        {'H', 'T', 'T', 'P', '/', '1', '.', '1'},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++) {
        struct dsbe_demux demux = {0};
        guint8 out[8];
        gsize consumed = 7, produced = 7;
        g_autoptr(GError) error = NULL;
        assert_false(dsbe_demux_run(&demux, heads[i], 8, &consumed, out, sizeof out, &produced, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL));
        assert_int_equal(consumed, 7);
        assert_int_equal(produced, 7);
    }
}

static void test_head_every_split(void **state)
{
    (void) state;
    static const char text[] = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
                               "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01rest";
    gsize end = (gsize) (strstr(text, "\r\n\r\n") - text) + 4;
    for (gsize size = 0; size < sizeof text; size++) {
        struct dsbe_head head = {.status = -7};
        int verdict = dsbe_head_parse(text, size, &head);
        assert_int_equal(verdict, size >= end);
        assert_int_equal(head.status, size >= end ? 101 : -7);
        if (verdict)
            assert_int_equal(head.size, end);
    }
}

static void test_head_fields(void **state)
{
    (void) state;
    struct dsbe_head head = {0};
    const char *text = "HTTP/1.1 409 Conflict\r\ncontent-LENGTH:  17 \r\n\r\n";
    assert_int_equal(dsbe_head_parse(text, strlen(text), &head), 1);
    assert_int_equal(head.status, 409);
    assert_int_equal(head.content_length, 17);
    assert_false(head.chunked);
    text = "HTTP/1.0 200\r\nTransfer-Encoding: Chunked\r\n\r\n";
    assert_int_equal(dsbe_head_parse(text, strlen(text), &head), 1);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.content_length, -1);
    assert_true(head.chunked);
}

static void test_head_refuses(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "X",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20x OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999999\r\n\r\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct dsbe_head head;
        if (dsbe_head_parse(bad[i], strlen(bad[i]), &head) != -1)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_endpoint(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        gboolean tls;
        int code; /* -1: fine */
        enum dsbe_scheme scheme;
        const char *url, *socket;
    } cases[] = {
        {"unix:///run/x.sock", FALSE, -1, DSBE_UNIX, "http://localhost", "/run/x.sock"},
        {"/run/x.sock", TRUE, -1, DSBE_UNIX, "http://localhost", "/run/x.sock"},
        {"tcp://h:2375", FALSE, -1, DSBE_HTTP, "http://h:2375", NULL},
        {"tcp://h:2376/base/", TRUE, -1, DSBE_HTTPS, "https://h:2376/base", NULL},
        {"http://[::1]:2375", TRUE, -1, DSBE_HTTP, "http://[::1]:2375", NULL},
        {"https://h", FALSE, -1, DSBE_HTTPS, "https://h", NULL},
        {"ssh://u@h", FALSE, DSB_ERROR_UNSUPPORTED, 0, NULL, NULL},
        {"npipe:////./pipe/docker", FALSE, DSB_ERROR_UNSUPPORTED, 0, NULL, NULL},
        {"", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"unix://x.sock", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"tcp://", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"tcp://u:p@h", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"tcp://h h", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"tcp://h?x", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
        {"ftp://h", FALSE, DSB_ERROR_INVALID, 0, NULL, NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(dsbe_endpoint) endpoint = dsbe_endpoint_parse(cases[i].text, cases[i].tls, &error);
        assert_int_equal(error ? error->code : -1, cases[i].code);
        assert_int_equal(endpoint != NULL, cases[i].code < 0);
        if (!endpoint)
            continue;
        assert_int_equal(endpoint->scheme, cases[i].scheme);
        assert_string_equal(endpoint->base_url, cases[i].url);
        assert_string_equal(endpoint->socket_path ? endpoint->socket_path : "", cases[i].socket ? cases[i].socket : "");
    }
    g_autofree char *name = g_strnfill(104, 'a');
    g_autofree char *longest = g_strconcat("unix:///x/", name, NULL); /* 107 characters of path */
    g_autoptr(dsbe_endpoint) fits = dsbe_endpoint_parse(longest, FALSE, NULL);
    assert_non_null(fits);
    g_autofree char *longer = g_strconcat(longest, "a", NULL);
    g_autoptr(GError) error = NULL;
    assert_null(dsbe_endpoint_parse(longer, FALSE, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
}

static void test_local_addresses(void **state)
{
    (void) state;
    static const char *const here[] = {"/run/x.sock",         "unix:///run/x.sock", "tcp://127.0.0.1:2375",
                                       "tcp://127.8.9.10",    "http://[::1]:2375",  "https://localhost:2376/base",
                                       "tcp://LOCALHOST:2376"};
    static const char *const elsewhere[] = {"tcp://10.0.0.1:2375",
                                            "tcp://localhost.example.org:2375",
                                            "http://[::2]:1",
                                            "tcp://0.0.0.0:2375",
                                            "https://127.0.0.1.nip.io",
                                            "ssh://localhost",
                                            "context:x",
                                            "tcp://1270.0.0.1",
                                            ""};
    for (gsize i = 0; i < G_N_ELEMENTS(here); i++)
        if (!dsbe_address_is_local(here[i]))
            fail_msg("not local: %s", here[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(elsewhere); i++)
        if (dsbe_address_is_local(elsewhere[i]))
            fail_msg("local: %s", elsewhere[i]);
}

static void test_sizes(void **state)
{
    (void) state;
    assert_int_equal(dsbe_parse_size("65536"), 65536);
    assert_int_equal(dsbe_parse_size("64k"), 65536);
    assert_int_equal(dsbe_parse_size("1G"), 1 << 30);
    static const char *const bad[] = {"", "x", "-1", "1kk", "1.5m", " 1", "99999999999999999999", "99999999999t"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        if (dsbe_parse_size(bad[i]) != DSB_UNLIMITED)
            fail_msg("accepted: \"%s\"", bad[i]);
}

static void test_messages(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        {"{\"message\":\"no such\\nthing\"}", "no such thing"},
        {"{\"cause\":\"c\",\"message\":\"m\",\"response\":500}", "m"},
        {"plain text\r\n", "plain text"},
        {"", "no reason given"},
        {"{\"message\":17}", "{\"message\":17}"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *text = dsbe_http_message(pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
    }
    g_autoptr(GError) error = NULL;
    assert_null(dsbe_json_parse("{} x", 4, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL));
    g_autofree char *deep = g_strnfill(100, '[');
    assert_null(dsbe_json_parse(deep, 100, NULL));
    /* Before json-c has it: what is behind such a key would not be counted. */
    g_clear_error(&error);
    assert_null(dsbe_json_parse("{'\"':[1,1", 10, &error));
    assert_non_null(strstr(error->message, "single quotes"));
    g_clear_error(&error);
    g_autoptr(GString) many = g_string_new("[");
    for (unsigned i = 0; i < DSB_JSON_ENGINE_ITEMS; i++)
        g_string_append(many, "1,");
    g_string_append(many, "1]");
    assert_null(dsbe_json_parse(many->str, many->len, &error));
    assert_non_null(strstr(error->message, "more than"));
    /* What engines may do, and policies not. */
    json_object *twice = dsbe_json_parse("{\"a\":1,\"a\":\"\xff\"}\r\n", 17, NULL);
    assert_string_equal(dsbe_json_string(twice, "a", ""), "\xff");
    json_object_put(twice);
    json_object *list = dsbe_json_parse("[]", 2, NULL);
    assert_true(json_object_is_type(list, json_type_array));
    json_object_put(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demux_every_split), cmocka_unit_test(test_demux_diagnostic_is_bounded),
        cmocka_unit_test(test_demux_refuses),     cmocka_unit_test(test_head_every_split),
        cmocka_unit_test(test_head_fields),       cmocka_unit_test(test_head_refuses),
        cmocka_unit_test(test_endpoint),          cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_messages),          cmocka_unit_test(test_local_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
