/* SPDX-License-Identifier: MIT */
/* The MCP server without a sandbox: messages, the two eras, arguments, what fits into an answer. */
#include "common/json.h"
#include "common/strictjson.h"
#include "mcp/answer.h"
#include "mcp/server.h"
#include "mcp/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define META                                                                                                           \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"                 \
    "clientCapabilities\":{}}"
#define MODERN(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" META "}}"

static const struct mcp_setup setup = {
    .settings = (char *) "{}",
    .session = (char *) "mcp-own",
    .shown = (char *) "own",
    .temporary = TRUE,
    .timeout = (char *) "30s",
    .memory = (char *) "512MiB",
    .cpus = (char *) "1",
    .disk = (char *) "1GiB",
    .network = (char *) "none",
    .preload = (char *) "none",
    .binds = (char *) "[]",
    .timeout_seconds = 30,
    .image = (char *) "img",
};

/* --- messages ------------------------------------------------------------------- */

static void check_bad(const char *text, enum mcp_code code, const char *id)
{
    struct mcp_message *message = mcp_read(text, strlen(text));
    if (message->kind != MCP_BAD || message->code != code || g_strcmp0(message->id, id) != 0)
        fail_msg("%s: kind %d, code %d, id %s", text, message->kind, message->code, message->id);
    mcp_message_free(message);
}

static void test_bad_messages(void **state)
{
    (void) state;
    check_bad("", MCP_PARSE_ERROR, NULL);
    check_bad("[]", MCP_PARSE_ERROR, NULL); /* batches went with 2025-06-18 */
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", MCP_PARSE_ERROR, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x", MCP_PARSE_ERROR, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":NaN}", MCP_PARSE_ERROR, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", MCP_PARSE_ERROR, NULL);
    check_bad("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", MCP_INVALID_REQUEST, "1");
    check_bad("{\"id\":1,\"method\":\"ping\"}", MCP_INVALID_REQUEST, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999999,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL);
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1}", MCP_INVALID_REQUEST, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", MCP_INVALID_REQUEST, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\\u0000ng\"}", MCP_INVALID_REQUEST, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[1]}", MCP_INVALID_PARAMS, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":3}}", MCP_INVALID_PARAMS, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"progressToken\":[]}}}",
              MCP_INVALID_PARAMS, "1");
    /* Of the modern era both members are needed, and the version must be ours. */
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"m\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
              "protocolVersion\":\"2026-07-28\"}}}",
              MCP_INVALID_PARAMS, "\"a\"");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
              "protocolVersion\":4}}}",
              MCP_INVALID_PARAMS, "1");
    check_bad("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
              "protocolVersion\":\"1900-01-01\"}}}",
              MCP_NO_VERSION, "1");
}

static void test_depth_and_size(void **state)
{
    (void) state;
    GString *text = g_string_new("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":");
    for (int i = 0; i < 100; i++)
        g_string_append(text, "{\"a\":");
    g_string_append(text, "1");
    for (int i = 0; i < 101; i++)
        g_string_append(text, "}");
    check_bad(text->str, MCP_PARSE_ERROR, NULL);
    g_string_free(text, TRUE);
    g_autofree char *large = g_malloc0(MCP_MESSAGE_MAX + 1);
    struct mcp_message *message = mcp_read(large, MCP_MESSAGE_MAX + 1);
    assert_int_equal(message->code, MCP_INVALID_REQUEST);
    mcp_message_free(message);
}

static void test_good_messages(void **state)
{
    (void) state;
    static const char request[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0000\\n\",\"method\":\"m\",\"params\":{" META ",\"x\":1}}";
    struct mcp_message *message = mcp_read(request, strlen(request));
    assert_int_equal(message->kind, MCP_REQUEST);
    assert_true(message->modern);
    assert_string_equal(message->id, "\"a\\u0000\\n\"");
    assert_int_equal(json_int(message->params, "x"), 1);
    g_autofree char *line = mcp_write_result(message->id, TRUE, MCP_CACHE_HOUR, json_object_new_object());
    assert_null(strchr(line, '\n'));
    assert_non_null(strstr(line, "\"id\":\"a\\u0000\\n\""));
    assert_non_null(strstr(line, "\"resultType\":\"complete\""));
    assert_non_null(strstr(line, "\"ttlMs\":3600000"));
    mcp_message_free(message);
    static const char note[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}";
    message = mcp_read(note, strlen(note));
    assert_int_equal(message->kind, MCP_NOTIFICATION);
    g_autofree char *id = mcp_cancelled_id(message);
    assert_string_equal(id, "7");
    mcp_message_free(message);
    static const char reply[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
    message = mcp_read(reply, strlen(reply));
    assert_int_equal(message->kind, MCP_RESPONSE);
    mcp_message_free(message);
}

/* --- a server whose calls wait --------------------------------------------------- */

struct fixture {
    struct mcp_server server;
    struct mcp_peer peer;
    GPtrArray *lines, *calls;
};

static void on_send(void *data, void *origin, enum mcp_sent what, char *line)
{
    (void) origin;
    assert_int_equal(what == MCP_SENT_NOTHING, line == NULL);
    if (line != NULL)
        g_ptr_array_add(((struct fixture *) data)->lines, line);
}
static void on_begin(void *data, struct mcp_call *call) { g_ptr_array_add(((struct fixture *) data)->calls, call); }

static int begin(void **state)
{
    struct fixture *fixture = g_new0(struct fixture, 1);
    mcp_server_init(&fixture->server, &setup);
    fixture->server.send = on_send;
    fixture->server.begin = on_begin;
    fixture->server.data = fixture;
    fixture->peer.name = "";
    fixture->lines = g_ptr_array_new_with_free_func(g_free);
    fixture->calls = g_ptr_array_new();
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    mcp_server_clear(&fixture->server);
    g_ptr_array_unref(fixture->lines);
    g_ptr_array_unref(fixture->calls);
    g_free(fixture);
    return 0;
}

static void take(struct fixture *fixture, const char *text)
{
    mcp_server_take(&fixture->server, &fixture->peer, NULL, mcp_read(text, strlen(text)));
}

/* The one line that the message was answered with, as an object. */
static dsb_json *ask(struct fixture *fixture, const char *text)
{
    g_ptr_array_set_size(fixture->lines, 0);
    take(fixture, text);
    assert_int_equal(fixture->lines->len, 1);
    const char *line = fixture->lines->pdata[0];
    dsb_json *answer = dsb_json_parse(line, strlen(line), 64, "answer", DSB_ERROR_INVALID, NULL);
    assert_non_null(answer);
    return answer;
}

static int code_of(struct fixture *fixture, const char *text)
{
    g_autoptr(dsb_json) answer = ask(fixture, text);
    return (int) json_int(json_member(answer, "error"), "code");
}

static void test_eras(void **state)
{
    struct fixture *fixture = *state;
    g_autoptr(dsb_json) found = ask(fixture, MODERN("1", "server/discover"));
    struct json_object *versions = json_member(json_member(found, "result"), "supportedVersions");
    assert_string_equal(json_object_get_string(json_object_array_get_idx(versions, 0)), "2026-07-28");
    assert_int_equal(code_of(fixture, MODERN("2", "tools/list")), 0);
    /* What the modern era does not have any more, and what the other never had. */
    assert_int_equal(code_of(fixture, MODERN("3", "ping")), MCP_NO_METHOD);
    assert_int_equal(code_of(fixture, MODERN("4", "initialize")), MCP_NO_METHOD);
    assert_int_equal(code_of(fixture, MODERN("5", "subscriptions/listen")), MCP_NO_METHOD);
    /* Before `initialize` there is nothing but that and ping. */
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/list\"}"), MCP_INVALID_PARAMS);
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}"), 0);
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"server/discover\"}"), MCP_NO_METHOD);
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"initialize\",\"params\":{}}"),
                     MCP_INVALID_PARAMS);
    g_autoptr(dsb_json) agreed = ask(
        fixture,
        "{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-03-26\"}}");
    assert_string_equal(json_string(json_member(agreed, "result"), "protocolVersion"), "2025-03-26");
    assert_null(json_member(json_member(agreed, "result"), "resultType"));
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":11,\"method\":\"tools/list\"}"), 0);
    assert_int_equal(code_of(fixture, "{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"initialize\",\"params\":{"
                                      "\"protocolVersion\":\"2025-11-25\"}}"),
                     MCP_INVALID_REQUEST);
    /* Both at once. */
    assert_int_equal(code_of(fixture, MODERN("13", "tools/list")), 0);
    assert_string_equal(mcp_legacy_version("2099-01-01"), "2025-11-25");
}

#define CALL(id, name, arguments)                                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{" META ",\"name\":\"" name               \
    "\",\"arguments\":" arguments "}}"

static gboolean is_refused(struct fixture *fixture, const char *text, const char *words)
{
    g_autoptr(dsb_json) answer = ask(fixture, text);
    struct json_object *result = json_member(answer, "result");
    const char *said = json_string(json_object_array_get_idx(json_member(result, "content"), 0), "text");
    return json_object_get_boolean(json_member(result, "isError")) && said != NULL && strstr(said, words) != NULL;
}

static void test_arguments(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(code_of(fixture, CALL("1", "no_such_tool", "{}")), MCP_INVALID_PARAMS);
    assert_int_equal(code_of(fixture, CALL("1", "read_file", "[]")), MCP_INVALID_PARAMS);
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{}"), "needs the argument code"));
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{\"code\":1}"), "code must be a text"));
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{\"code\":\"\",\"x\":1}"), "no argument \"x\""));
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{\"code\":\"\",\"timeout_s\":31}"), "30s"));
    assert_true(
        is_refused(fixture, CALL("1", "execute_python", "{\"code\":\"\",\"timeout_s\":0}"), "timeout_s must be"));
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{\"code\":\"\",\"session_id\":\"../x\"}"),
                           "session_id must be"));
    assert_true(is_refused(fixture, CALL("1", "execute_python", "{\"code\":\"\",\"session_id\":\"a\\u0000\"}"),
                           "session_id must be"));
    assert_true(is_refused(fixture, CALL("1", "read_file", "{\"path\":\"a\",\"offset\":-1}"), "offset must be"));
    assert_true(is_refused(fixture, CALL("1", "read_file", "{\"path\":\"a\",\"offset\":1.5}"), "offset must be"));
    assert_true(is_refused(fixture, CALL("1", "write_file", "{\"path\":\"a\",\"content\":\"\",\"encoding\":\"x\"}"),
                           "encoding must be"));
    assert_true(is_refused(fixture, CALL("1", "close_session", "{\"delete_files\":1}"), "delete_files must be"));
    assert_int_equal(fixture->calls->len, 0);
}

static void test_sessions_of_clients(void **state)
{
    struct fixture *fixture = *state;
    take(fixture, CALL("1", "execute_python", "{\"code\":\"\"}"));
    take(fixture, CALL("2", "execute_python", "{\"code\":\"\",\"session_id\":\"own\"}"));
    take(fixture, CALL("3", "execute_python", "{\"code\":\"\",\"session_id\":\"secret\"}"));
    static const char *const sessions[] = {"mcp-own", "mcp-own", "mcp-secret"};
    assert_int_equal(fixture->calls->len, 3);
    for (guint i = 0; i < 3; i++) {
        struct mcp_call *call = fixture->calls->pdata[i];
        assert_string_equal(call->work.session, sessions[i]);
        mcp_server_done(&fixture->server, call);
    }
    assert_int_equal(fixture->lines->len, 3);
}

static void test_cancelled_calls_are_silent(void **state)
{
    struct fixture *fixture = *state;
    take(fixture, CALL("1", "execute_python", "{\"code\":\"\"}"));
    take(fixture, CALL("\"1\"", "execute_python", "{\"code\":\"\"}"));
    /* Another id, one that is none, and a text that is not the number. */
    take(fixture, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":2}}");
    take(fixture, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{}}");
    take(fixture, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
    take(fixture, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/other\"}");
    assert_int_equal(fixture->lines->len, 0);
    mcp_server_done(&fixture->server, fixture->calls->pdata[0]);
    assert_int_equal(fixture->lines->len, 0);
    mcp_server_done(&fixture->server, fixture->calls->pdata[1]);
    assert_int_equal(fixture->lines->len, 1);
}

static void test_too_many_calls(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < MCP_CALLS_MAX; i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{" META ",\"name\":\"list_files\"}}",
            i);
        take(fixture, text);
    }
    assert_int_equal(fixture->calls->len, MCP_CALLS_MAX);
    assert_int_equal(code_of(fixture, CALL("0", "list_files", "{}")), MCP_INVALID_REQUEST);
    assert_true(is_refused(fixture, CALL("99", "list_files", "{}"), "too many"));
    for (guint i = 0; i < MCP_CALLS_MAX; i++)
        mcp_server_done(&fixture->server, fixture->calls->pdata[i]);
    assert_int_equal(fixture->lines->len, MCP_CALLS_MAX + 1);
}

static void test_progress(void **state)
{
    struct fixture *fixture = *state;
    take(fixture, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                  "call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":"
                  "\"2026-07-28\",\"io.modelcontextprotocol/"
                  "clientCapabilities\":{},\"progressToken\":\"t\"},\"name\":\"execute_python\","
                  "\"arguments\":{\"code\":\"\"}}}");
    struct mcp_call *call = fixture->calls->pdata[0];
    assert_true(mcp_server_has_listeners(&fixture->server));
    g_string_append(call->work.fresh, "so far\xff");
    mcp_server_progress(&fixture->server, call->began + 1000);
    assert_int_equal(fixture->lines->len, 0); /* too soon */
    mcp_server_progress(&fixture->server, call->began + 400000);
    assert_int_equal(fixture->lines->len, 1);
    assert_string_equal(
        fixture->lines->pdata[0],
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\","
        "\"progress\":0.400,\"message\":\"so far\xef\xbf\xbd\"}}");
    mcp_server_progress(&fixture->server, call->began + 800000);
    assert_int_equal(fixture->lines->len, 1); /* no news */
    mcp_server_progress(&fixture->server, call->began + 6000000);
    assert_int_equal(fixture->lines->len, 2); /* it is still there */
    mcp_server_done(&fixture->server, call);
    mcp_server_progress(&fixture->server, g_get_monotonic_time() + 60000000);
    assert_int_equal(fixture->lines->len, 3);
    assert_false(mcp_server_has_listeners(&fixture->server));
}

/* --- what fits --------------------------------------------------------------------- */

static void test_share(void **state)
{
    (void) state;
    const gsize sizes[] = {10, 1000, 3000};
    assert_int_equal(mcp_share(sizes, 3, 5000), 5000);
    assert_int_equal(mcp_share(sizes, 3, 2010), 1000);
    assert_int_equal(mcp_share(sizes, 3, 3010), 2000);
    assert_int_equal(mcp_share(sizes, 3, 2), 0);
    g_autofree char *cut = mcp_cut("ääääääää", 16, 5);
    assert_string_equal(cut, "ä\n[… 12 bytes left out …]\nä");
    g_autofree char *nul = mcp_cut("a\0b", 3, 10);
    assert_string_equal(nul, "a\xef\xbf\xbd"
                             "b");
    g_autofree char *whole = mcp_cut("ää", 4, 4);
    assert_string_equal(whole, "ää");
}

#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

static void answer(struct mcp_work *work, const char *text)
{
    g_autoptr(dsb_json) result = dsb_json_parse_request(text, strlen(text), 16, "result", DSB_ERROR_INVALID, NULL);
    *work = (struct mcp_work) {
        .setup = &setup, .shown = "own", .session = g_strdup("mcp-own"), .links = TRUE, .cancel_fd = -1};
    g_mutex_init(&work->lock);
    assert_non_null(result);
    answer_result(work, result, TRUE);
}

static const char *type_at(const struct mcp_work *work, gsize i)
{
    return json_string(json_object_array_get_idx(work->content, i), "type");
}

static void test_figures_and_links(void **state)
{
    (void) state;
    struct mcp_work work;
    answer(&work, "{\"status\":\"ok\",\"exit_code\":0,\"stdout\":\"hi\\n\",\"results\":[{\"text/plain\":\"one\"},"
                  "{\"image/png\":\"" PNG "\",\"text/plain\":\"<Figure>\"},{\"image/png\":\"" PNG
                  "\"},{\"text/html\":\"<b>\"},"
                  "{\"image/png\":\"AAAA\"},{\"image/png\":\"no base64\",\"text/plain\":\"a picture\"}],"
                  "\"files\":{\"created\":[{\"path\":\"a b.csv\",\"size\":3}],\"modified\":[],\"deleted\":[]},"
                  "\"state\":{\"outcome\":\"kept\"},\"usage\":{\"wall_ms\":4}}");
    static const char *const types[] = {"text", "text", "image", "image", "text", "text", "text", "resource_link"};
    assert_int_equal(json_length(work.content), G_N_ELEMENTS(types));
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        assert_string_equal(type_at(&work, i), types[i]);
    assert_int_equal(json_int(work.structured, "figures"), 2);
    assert_non_null(strstr(json_string(work.structured, "message"), "2 of the displayed objects"));
    assert_string_equal(json_string(json_object_array_get_idx(work.content, 7), "uri"),
                        "dsandbox://session/own/files/a%20b.csv");
    assert_false(work.is_error);
    mcp_work_clear(&work);
}

static void test_long_output(void **state)
{
    (void) state;
    struct mcp_work work;
    g_autofree char *many = g_strnfill(100000, 'x');
    g_autofree char *text = g_strdup_printf(
        "{\"id\":\"e.1\",\"status\":\"timeout\",\"stdout\":\"first%slast\",\"stderr\":\"short\",\"results\":[],"
        "\"state\":{\"outcome\":\"kept\"}}",
        many);
    answer(&work, text);
    const char *shown = json_string(json_object_array_get_idx(work.content, 0), "text");
    assert_true(strlen(shown) < 20100 && g_str_has_prefix(shown, "firstx") && g_str_has_suffix(shown, "xlast"));
    assert_string_equal(json_string(work.structured, "message"),
                        "Stopped after 30 s; variables kept; printed so far: see above.");
    assert_true(work.is_error);
    assert_int_equal(work.kept->len, 1);
    const struct mcp_kept *kept = work.kept->pdata[0];
    assert_string_equal(kept->uri, "dsandbox://output/e.1/stdout");
    assert_int_equal(g_bytes_get_size(kept->bytes), 100009);
    mcp_work_clear(&work);
}

/* However odd it is, the answer has its bounds. */
static void test_odd_results(void **state)
{
    (void) state;
    static const char *const odd[] = {
        "{}",
        "{\"status\":3,\"results\":{},\"files\":[],\"usage\":1,\"state\":[]}",
        "{\"status\":\"error\",\"error\":{\"name\":1},\"results\":[1,null,{\"text/plain\":7}]}",
        "{\"status\":\"signal\",\"signal\":9,\"state\":{\"outcome\":\"rolled_back\",\"to\":2,\"reason\":\"died\"}}",
        "{\"status\":\"ok\",\"files\":{\"created\":[{},{\"path\":\"\"}]},\"results_omitted\":[{}]}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(odd); i++) {
        struct mcp_work work;
        answer(&work, odd[i]);
        assert_true(json_length(work.content) > 0);
        mcp_work_clear(&work);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_depth_and_size),
        cmocka_unit_test(test_good_messages),
        cmocka_unit_test_setup_teardown(test_eras, begin, end),
        cmocka_unit_test_setup_teardown(test_arguments, begin, end),
        cmocka_unit_test_setup_teardown(test_sessions_of_clients, begin, end),
        cmocka_unit_test_setup_teardown(test_cancelled_calls_are_silent, begin, end),
        cmocka_unit_test_setup_teardown(test_too_many_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_progress, begin, end),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_figures_and_links),
        cmocka_unit_test(test_long_output),
        cmocka_unit_test(test_odd_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
