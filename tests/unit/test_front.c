/* SPDX-License-Identifier: MIT */
/* /mcp: what fields say beside a message, who may ask, what the two processes say to each other, and many clients. */
#include "broker/origin.h"
#include "mcp/http.h"
#include "shared/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define META                                                                                                           \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"                 \
    "clientCapabilities\":{}}"
#define MODERN(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" META "}}"

/* --- fields ------------------------------------------------------------------------- */

#define CALL(params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{" META params "}}"

/* `code` 0: it is taken. */
static void check_fields(const char *text, const char *version, const char *method, const char *about, int code)
{
    const struct mcp_fields fields = {(char *) version, (char *) method, (char *) about, NULL};
    struct mcp_message *message = mcp_read(text, strlen(text));
    mcp_http_check(message, &fields);
    int found = message->kind == MCP_BAD ? (int) message->code : 0;
    if (found != code)
        fail_msg("%s with %s, %s, %s: %d", text, version, method, about, found);
    mcp_message_free(message);
}

static void test_fields(void **state)
{
    (void) state;
    const char *now = MCP_MODERN_VERSION, *call = CALL(",\"name\":\"list_files\""), *any = "tools/call";
    static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}";
    check_fields(call, now, any, "list_files", 0);
    check_fields(call, now, any, "=?base64?bGlzdF9maWxlcw==?=", 0);
    check_fields(call, now, any, "=?base64?bGlzdF9maWxlcg==?=", MCP_HEADERS_DIFFER);
    check_fields(call, now, any, "=?base64?=", MCP_HEADERS_DIFFER); /* shorter than its frame */
    check_fields(call, now, any, NULL, MCP_HEADERS_DIFFER);
    check_fields(call, now, "Tools/call", "list_files", MCP_HEADERS_DIFFER);
    check_fields(call, NULL, any, "list_files", MCP_HEADERS_DIFFER);
    check_fields(call, "2025-11-25", any, "list_files", MCP_HEADERS_DIFFER);
    check_fields(CALL(""), now, any, NULL, 0); /* what is missing there is for the tools to say */
    check_fields(MODERN("1", "tools/list"), now, "tools/list", "x", 0);
    check_fields(list, now, "tools/list", NULL, MCP_INVALID_PARAMS);
    check_fields(list, "2025-06-18", NULL, NULL, 0);
    check_fields(list, "2024-01-01", NULL, NULL, MCP_INVALID_REQUEST);
    check_fields("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}", "2024-01-01", NULL, NULL, 0);
    check_fields("{\"jsonrpc\":\"2.0\",\"method\":\"n\"}", now, "n", NULL, 0);
    check_fields("{\"jsonrpc\":\"2.0\",\"method\":\"n\"}", now, "m", NULL, MCP_HEADERS_DIFFER);
    check_fields("{", now, NULL, NULL, MCP_PARSE_ERROR);
    assert_int_equal(mcp_http_status(MCP_SENT_NO_METHOD, TRUE), 404);
    assert_int_equal(mcp_http_status(MCP_SENT_NO_METHOD, FALSE), 200);
    assert_int_equal(mcp_http_status(MCP_SENT_BAD, FALSE), 400);
    assert_int_equal(mcp_http_status(MCP_SENT_ERROR, TRUE), 200);
}

/* --- who asks ------------------------------------------------------------------------- */

static void test_origin(void **state)
{
    static const struct {
        enum reach reach;
        const char *host, *origin;
        gboolean good;
    } rows[] = {
        {REACH_UNIX, "dsandbox", NULL, TRUE},
        {REACH_UNIX, NULL, NULL, TRUE},
        {REACH_UNIX, "dsandbox", "http://localhost:3000", TRUE},
        {REACH_UNIX, "dsandbox", "http://dsandbox", FALSE},
        {REACH_LOOPBACK, "127.0.0.1:8080", NULL, TRUE},
        {REACH_LOOPBACK, "LocalHost", "http://[::1]:9", TRUE},
        {REACH_LOOPBACK, NULL, NULL, FALSE},
        {REACH_LOOPBACK, "", NULL, FALSE},
        {REACH_LOOPBACK, "example.org", NULL, FALSE},
        {REACH_LOOPBACK, "localhost:", NULL, TRUE},
        {REACH_LOOPBACK, "localhost:8a", NULL, FALSE},
        {REACH_LOOPBACK, "127.0.0.12", NULL, FALSE},
        {REACH_LOOPBACK, "localhost", "null", FALSE},
        {REACH_LOOPBACK, "localhost", "", FALSE},
        {REACH_LOOPBACK, "localhost", "file://", FALSE},
        {REACH_LOOPBACK, "localhost", "http://localhost@example.org", FALSE},
        {REACH_NETWORK, "sandbox.example.org", NULL, TRUE},
        {REACH_NETWORK, "sandbox.example.org:1", "https://Sandbox.example.org:1", TRUE},
        {REACH_NETWORK, "sandbox.example.org", "https://example.org", FALSE},
        {REACH_NETWORK, "sandbox.example.org", "http://localhost", FALSE},
        {REACH_NETWORK, NULL, "http://localhost", FALSE},
    };
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (origin_is_good(rows[i].reach, rows[i].host, rows[i].origin) != rows[i].good)
            fail_msg("%d, %s, %s", rows[i].reach, rows[i].host, rows[i].origin);
}

/* --- between the processes -------------------------------------------------------------- */

static void test_ask(void **state)
{
    int fds[2];
    struct frame frame;
    struct ask here, there = {.method = (char *) "POST", .mcp_name = (char *) "n", .events = TRUE, .body = "{}", .size = 2};
    g_autoptr(GByteArray) pack = g_byte_array_new();
    (void) state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ask_pack(pack, &there);
    assert_true(frame_send(fds[0], FRAME_ASK, pack, NULL, 0));
    assert_int_equal(frame_receive(fds[1], &frame), 1);
    assert_true(ask_unpack(&frame, &here));
    assert_string_equal(here.method, "POST");
    assert_string_equal(here.mcp_name, "n");
    assert_null(here.session);
    assert_true(here.events && !here.json);
    assert_memory_equal(here.body, "{}", 2);
    ask_clear(&here);
    for (gsize size = frame.size; size > 0; frame.size = --size) { /* cut anywhere */
        frame.size = size - 1;
        assert_false(ask_unpack(&frame, &here));
        ask_clear(&here);
    }
    frame_clear(&frame);
    close(fds[0]);
    close(fds[1]);
}

static void test_head(void **state)
{
    struct ask_head good = {.status = 200, .kind = ASK_JSON, .size = 2, .session = "abc"}, head = good;
    (void) state;
    assert_true(ask_head_is_good(&head));
    head.status = 301;
    assert_false(ask_head_is_good(&head));
    head = good, head.size = 0;
    assert_false(ask_head_is_good(&head));
    head = good, head.size = G_MAXUINT64;
    assert_false(ask_head_is_good(&head));
    head = good, head.kind = 9;
    assert_false(ask_head_is_good(&head));
    head = good, head.kind = ASK_EVENTS;
    assert_false(ask_head_is_good(&head));
    head = good, strcpy(head.session, "a\r\nb");
    assert_false(ask_head_is_good(&head));
    head = good, memset(head.session, 'a', sizeof head.session);
    assert_false(ask_head_is_good(&head));
    head = (struct ask_head){.status = 202, .kind = ASK_EMPTY};
    assert_true(ask_head_is_good(&head));
}

/* --- many clients of one server ------------------------------------------------------------ */

static struct mcp_call *begun[4];
static guint n_begun, n_sent;
static void *last_origin;
static enum mcp_sent last_what;

static void on_begin(void *data, struct mcp_call *call)
{
    (void) data;
    begun[n_begun++] = call;
}

static void on_send(void *data, void *origin, enum mcp_sent what, char *line)
{
    (void) data;
    n_sent++;
    last_origin = origin;
    last_what = what;
    g_free(line);
}

static void take(struct mcp_server *server, struct mcp_peer *peer, void *origin, const char *text)
{
    mcp_server_take(server, peer, origin, mcp_read(text, strlen(text)));
}

static void test_peers(void **state)
{
    static const char call[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{" META
                               ",\"name\":\"execute_python\",\"arguments\":{\"code\":\"\"}}}",
                      needs[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{" META
                                ",\"name\":\"list_files\",\"arguments\":{}}}",
                      cancel[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                                 "\"params\":{\"requestId\":1}}";
    static const struct mcp_setup setup = {.timeout = (char *) "30s", .timeout_seconds = 30};
    struct mcp_peer one = {.name = "1:"}, two = {.name = "2:"};
    struct mcp_server server;
    char a, b;
    (void) state;
    mcp_server_init(&server, &setup);
    server.begin = on_begin;
    server.send = on_send;
    take(&server, &one, &a, needs); /* there is no session that it could be about */
    assert_int_equal(n_sent, 1);
    take(&server, &one, &a, call);
    take(&server, &two, &b, call);
    assert_int_equal(n_begun, 2);
    assert_true(strcmp(begun[0]->work.session, begun[1]->work.session) != 0);
    take(&server, &two, &b, cancel);
    assert_true(!begun[0]->cancelled && begun[1]->cancelled);
    mcp_server_done(&server, begun[1]);
    assert_true(last_what == MCP_SENT_NOTHING && last_origin == &b);
    mcp_server_left(&server, &b, TRUE);
    assert_false(begun[0]->cancelled);
    mcp_server_left(&server, &a, FALSE);
    assert_false(begun[0]->cancelled);
    mcp_server_done(&server, begun[0]);
    assert_true(last_what == MCP_SENT_RESULT && last_origin == NULL);
    take(&server, &one, &a, call);
    mcp_server_left(&server, &a, TRUE);
    assert_true(begun[2]->cancelled);
    mcp_server_done(&server, begun[2]);
    mcp_server_clear(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_origin), cmocka_unit_test(test_ask),
        cmocka_unit_test(test_head),   cmocka_unit_test(test_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
