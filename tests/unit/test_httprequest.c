/* SPDX-License-Identifier: MIT */
/* What the service takes for a request, and how it answers the rest. */
#include "broker/httprequest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"
#define PUT "PUT /f HTTP/1.1\r\n" HOST
#define CHUNKED PUT "Transfer-Encoding: chunked\r\n\r\n"

static struct httprequest *feed(const char *text, gsize size, gsize piece, gboolean *ok)
{
    struct httprequest *request = httprequest_new();
    gsize used = 0;
    *ok = TRUE;
    for (gsize at = 0; *ok && !request->done && at < size; at += used)
        *ok = httprequest_feed(request, (const guint8 *) text + at, MIN(piece, size - at), &used, NULL);
    *ok = *ok && httprequest_end(request, NULL);
    return request;
}

/* `body` when the text is a whole request (status 0); otherwise the status of the refusal. */
static void expect(const char *text, gsize size, guint status, const char *body)
{
    gsize length = strlen(body);
    for (gsize piece = 1; piece <= size; piece += piece < 8 ? 1 : size) {
        gboolean ok;
        struct httprequest *request = feed(text, size, piece, &ok);
        if (ok != (status == 0) || request->status != status)
            fail_msg("%s: taken %d, status %u", text, ok, request->status);
        if (ok && (!request->done || request->body->len != length ||
                   (length > 0 && memcmp(request->body->data, body, length) != 0)))
            fail_msg("%s: another body", text);
        httprequest_free(request);
    }
}

static void takes(const char *text, const char *body) { expect(text, strlen(text), 0, body); }
static void refuses(guint status, const char *text) { expect(text, strlen(text), status, ""); }

static void test_bodies(void **state)
{
    (void) state;
    takes("GET / HTTP/1.1\r\n" HOST "\r\n", "");
    takes("\r\nGET / HTTP/1.1\r\n" HOST "\r\nGET /second HTTP/1.1\r\n", "");
    takes("GET / HTTP/1.0\r\n\r\n", "");
    takes(PUT "Content-Length: 5\r\n\r\nhello, and more", "hello");
    takes(PUT "content-length:\t005 \r\n\r\nhello", "hello");
    takes(PUT "Content-Length: 0\r\n\r\n", "");
    takes(CHUNKED "3\r\nabc\r\n0C ; x=\"y\"\r\n0123456789\r\n\r\n000\r\nTrailer: x\r\n\r\n", "abc0123456789\r\n");
    takes(PUT "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "");
    takes(PUT "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", "x");
}

/* The end of the stream is not the end of the request, wherever it comes. */
static void test_cut(void **state)
{
    (void) state;
    static const char *const whole[] = {PUT "Content-Length: 5\r\n\r\nhello",
                                        CHUNKED "3\r\nabc\r\n2;x\r\nde\r\n0\r\nA: b\r\n\r\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(whole); i++) {
        for (gsize size = 1; size < strlen(whole[i]); size++)
            expect(whole[i], size, 400, "");
        gboolean ok;
        struct httprequest *request = feed(whole[i], strlen(whole[i]), 7, &ok);
        assert_true(ok && request->done);
        httprequest_free(request);
    }
    gboolean ok;
    struct httprequest *nothing = feed("", 0, 1, &ok);
    assert_true(ok && !nothing->done);
    httprequest_free(nothing);
}

static void test_framing(void **state)
{
    (void) state;
    static const char *const lengths[] = {"+5", "-1", "0x5", "5,5", "5 5", "", "5.0", "\"5\""};
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autofree char *text = g_strdup_printf(PUT "Content-Length: %s\r\n\r\nhello", lengths[i]);
        refuses(400, text);
    }
    static const char *const sizes[] = {"+5", "-1", "0x5", "", "g", "5 ", " 5", "5,", ";x", "5 x"};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strdup_printf(CHUNKED "%s\r\nhello\r\n0\r\n\r\n", sizes[i]);
        refuses(400, text);
    }
    refuses(400, PUT "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello");
    refuses(400, PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    refuses(400, PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    refuses(400, PUT "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n");
    refuses(400, PUT "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n");
    refuses(400, "PUT /f HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    refuses(501, PUT "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    refuses(501, PUT "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n");
    refuses(400, CHUNKED "2\r\nabc\r\n0\r\n\r\n");
    refuses(400, CHUNKED "2\nab\n0\n\n");
    refuses(413, PUT "Content-Length: 33554433\r\n\r\n");
    refuses(413, PUT "Content-Length: 99999999999999999999999999\r\n\r\n");
    refuses(413, CHUNKED "2000001\r\n");
    refuses(413, CHUNKED "1\r\na\r\n2000000\r\n");
    refuses(413, CHUNKED "ffffffffffffffffffffff\r\n");
}

static void test_heads(void **state)
{
    (void) state;
    refuses(400, "GET / HTTP/1.1\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n");
    refuses(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST "A: b\1\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n");
    refuses(400, "GET / HTTP/1.1\nHost: a\n\n");
    refuses(400, "GET  / HTTP/1.1\r\n" HOST "\r\n");
    refuses(400, "GET /\r\n\r\n");
    refuses(400, "GET / http/1.1\r\n" HOST "\r\n");
    refuses(400, "GET / HTTP/1.10\r\n" HOST "\r\n");
    refuses(400, "G(T / HTTP/1.1\r\n" HOST "\r\n");
    refuses(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
    refuses(501, "get / HTTP/1.1\r\n" HOST "\r\n");
    refuses(501, "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n");
    refuses(417, PUT "Expect: gold\r\n\r\n");
    refuses(415, PUT "Content-Encoding: gzip\r\n\r\n");
    expect("GET / HTTP/1.1\r\n" HOST "A: \0\r\n\r\n", 32, 400, "");
}

static void test_limits(void **state)
{
    (void) state;
    g_autofree char *long_value = g_strnfill(HTTPREQUEST_HEAD_MAX, 'a');
    g_autofree char *long_target = g_strdup_printf("GET /%s HTTP/1.1\r\n" HOST "\r\n", long_value);
    g_autofree char *long_field = g_strdup_printf("GET / HTTP/1.1\r\n" HOST "A: %s\r\n\r\n", long_value);
    g_autofree char *long_chunk = g_strdup_printf(CHUNKED "1;%s\r\na\r\n0\r\n\r\n", long_value);
    g_autofree char *long_trailer = g_strdup_printf(CHUNKED "0\r\nA: %s\r\n\r\n", long_value);
    g_autoptr(GString) fields = g_string_new("GET / HTTP/1.1\r\n" HOST);
    g_autoptr(GString) chunks = g_string_new(CHUNKED);
    for (guint i = 0; i < HTTPREQUEST_FIELDS_MAX; i++)
        g_string_append(fields, "A: b\r\n");
    for (guint i = 0; i < HTTPREQUEST_HEAD_MAX / 4; i++)
        g_string_append(chunks, "1;123456\r\na\r\n");
    refuses(431, long_target);
    refuses(431, long_field);
    refuses(431, long_chunk);
    refuses(431, long_trailer);
    refuses(431, fields->str);
    refuses(431, chunks->str);
}

static void check_path(const char *text, const char *joined)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) path = httprequest_path(text, strlen(text), &error);
    g_autofree char *found = path != NULL ? g_strjoinv("|", path) : NULL;
    if (g_strcmp0(found, joined) != 0)
        fail_msg("%s: %s", text, found != NULL ? found : "refused");
}

static void test_paths(void **state)
{
    (void) state;
    check_path("/", "");
    check_path("/v1/sessions/a/files/b/c%20d", "v1|sessions|a|files|b|c d");
    check_path("/%252e%252e/%25", "%2e%2e|%");
    check_path("/%e9/...", "\xe9|...");
    static const char *const bad[] = {"",      "a",     "//",       "/a/",     "/a//b",  "/.",    "/..",    "/a/../b",
                                      "/%2e",  "/%2E.", "/.%2e/a",  "/a%2fb",  "/a%2F",  "/%00",  "/a%0",   "/%zz",
                                      "/a%",   "/\xc3\xa9", "/a b", "/a\\b",   "/a\"",   "/a#b",  "/{a}",   "/a\x7f"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        check_path(bad[i], NULL);
}

static void test_targets(void **state)
{
    (void) state;
    static const struct {
        const char *target, *path, *query;
    } good[] = {{"/a?b=c&d", "a", "b=c&d"}, {"/a?", "a", ""}, {"http://h:1/a/b?q", "a|b", "q"}, {"HTTPS://[::1]/a", "a", NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        gboolean ok;
        g_autofree char *text = g_strdup_printf("GET %s HTTP/1.1\r\n" HOST "\r\n", good[i].target);
        struct httprequest *request = feed(text, strlen(text), strlen(text), &ok);
        g_autofree char *path = ok ? g_strjoinv("|", request->path) : NULL;
        if (g_strcmp0(path, good[i].path) != 0 || g_strcmp0(request->query, good[i].query) != 0)
            fail_msg("%s: %s", good[i].target, path);
        httprequest_free(request);
    }
    static const char *const bad[] = {"*", "a", "http:///a", "http://h", "http://h h/a", "http://u\"/a", "ftp://h/a", "/a?b c", "/a?\"", "/a?b#c"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("GET %s HTTP/1.1\r\n" HOST "\r\n", bad[i]);
        refuses(400, text);
    }
}

/* The content of a file may be large, and is taken away as it comes. */
static void test_uploads(void **state)
{
    (void) state;
    static const struct {
        const char *head;
        gboolean upload;
    } rows[] = {
        {"PUT /v1/sessions/a/files/b HTTP/1.1\r\n", TRUE},       {"PUT /v1/sessions/a/files/b/c? HTTP/1.1\r\n", TRUE},
        {"PUT /v1/sessions/a/files/b?x=1 HTTP/1.1\r\n", FALSE},  {"PUT /v1/sessions/a/files HTTP/1.1\r\n", FALSE},
        {"POST /v1/sessions/a/files/b HTTP/1.1\r\n", FALSE},     {"PUT /v1/sessions/a/vars/b HTTP/1.1\r\n", FALSE},
        {"PUT /v1/sessions/a%2Ffiles/b HTTP/1.1\r\n", FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strconcat(rows[i].head, HOST, "Content-Length: 100000000\r\n\r\n", NULL);
        gboolean ok;
        struct httprequest *request = feed(text, strlen(text), strlen(text), &ok);
        assert_false(ok); /* it is not whole */
        assert_int_equal(request->status, rows[i].upload || request->path == NULL ? 400 : 413);
        assert_true(request->path == NULL || httprequest_is_upload(request) == rows[i].upload);
        httprequest_free(request);
    }
    refuses(413, "PUT /v1/sessions/a/files/b HTTP/1.1\r\n" HOST "Content-Length: 1099511627777\r\n\r\n");
    refuses(413, "PUT /v1/sessions/a/files/b HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10000000001\r\n");
    takes("PUT /v1/sessions/a/files/b HTTP/1.1\r\n" HOST "Idempotency-Key: !~\r\nContent-Length: 1\r\n\r\nx", "x");
    refuses(400, PUT "Idempotency-Key: a\r\nIdempotency-Key: a\r\nContent-Length: 0\r\n\r\n");
    refuses(400, PUT "Idempotency-Key: a b\r\nContent-Length: 0\r\n\r\n");
}

static void test_accept(void **state)
{
    (void) state;
    static const struct {
        const char *accept;
        guint events, json;
    } rows[] = {
        {NULL, 1000, 1000},
        {"text/event-stream", 1000, 0},
        {"TEXT/Event-Stream ; q=0.5", 500, 0},
        {"*/*", 1000, 1000},
        {"text/*;q=0.3, application/json", 300, 1000},
        {"text/event-stream;q=0, */*", 0, 1000},
        {"*/*, text/event-stream;q=0.1", 100, 1000},
        {"application/json;charset=utf-8;q=0.25, text/event-stream", 1000, 250},
        {"text/event-stream;q=x", 0, 0},
        {"text/plain;a=\", text/event-stream, \";q=0.5, application/json", 0, 1000},
        {"text/event-stream;a=\"\\\";q=0.1\";q=0.5", 500, 0},
        {"text/event-stream;a=\"", 1000, 0},
        {"text/event-streams, xtext/event-stream", 0, 0},
        {"", 0, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint events = httprequest_quality(rows[i].accept, "text/event-stream");
        guint json = httprequest_quality(rows[i].accept, "application/json");
        if (events != rows[i].events || json != rows[i].json)
            fail_msg("%s: %u, %u", rows[i].accept, events, json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies), cmocka_unit_test(test_cut),     cmocka_unit_test(test_framing),
        cmocka_unit_test(test_heads),  cmocka_unit_test(test_limits),  cmocka_unit_test(test_paths),
        cmocka_unit_test(test_targets), cmocka_unit_test(test_accept), cmocka_unit_test(test_uploads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
