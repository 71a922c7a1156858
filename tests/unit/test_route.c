/* SPDX-License-Identifier: MIT */
/* Which request becomes what: paths and methods, sessions that are there or not, and what is said of the others. */
#include "broker_fake.h"

#include "broker/route.h"

#include <string.h>

static SoupMessageHeaders *headers;

/* Of a message, which only a server can make. */
SoupMessageHeaders *__wrap_soup_server_message_get_response_headers(SoupServerMessage *message);
SoupMessageHeaders *__wrap_soup_server_message_get_response_headers(SoupServerMessage *message)
{
    (void) message;
    return headers;
}

static struct fake_request *ask(const char *line, const char *body)
{
    struct fake_request *it = fake_request(line, body);
    route_again(&it->request);
    return it;
}

static void fails(const char *line, const char *body, int code, const char *words)
{
    struct fake_request *it = ask(line, body);
    if (it->code != code || strstr(it->text, words) == NULL)
        fail_msg("%s %s: %d %s", line, body != NULL ? body : "", it->code, it->text != NULL ? it->text : "no answer");
}

/* A session that has a sandbox, and nothing to do. */
static struct session *idle(const char *id)
{
    struct session *session = fake_session(id);
    struct fake_request *it = fake_request("POST /v1/sessions", NULL);
    assert_true(session_submit(session, fake_job(session, JOB_OPEN, it), NULL));
    fake_done(NULL);
    return session;
}

static void no_such_path(void **state)
{
    (void) state;
    const char *lines[] = {"GET /", "GET /v1", "GET /v2/version", "GET /v1/version/x", "GET /v1/sessions/a/nothing",
                           "GET /v1/sessions/a/vars/x", "POST /v1/sessions/a/execute/x", "GET /v1/executions",
                           "GET /v1/runs", "GET /openapi.jso", "GET /v1/sessions/a/execute/events/x"};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++)
        fails(lines[i], NULL, DSB_ERROR_NOT_FOUND, "there is no such path; see /openapi.json");
}

/* The methods of a path are said, and HEAD wherever there is GET. */
static void no_such_method(void **state)
{
    (void) state;
    const struct {
        const char *line, *allow;
    } rows[] = {
        {"POST /v1/version", "GET, HEAD"},
        {"DELETE /openapi.json", "GET, HEAD"},
        {"PUT /v1/sessions", "GET, HEAD, POST"},
        {"GET /v1/run", "POST"},
        {"GET /v1/run/events", "POST"},
        {"GET /v1/gc", "POST"},
        {"POST /v1/sessions/a", "GET, HEAD, DELETE"},
        {"GET /v1/sessions/a/reset", "POST"},
        {"POST /v1/sessions/a/vars", "GET, HEAD"},
        {"GET /v1/sessions/a/execute", "POST"},
        {"POST /v1/sessions/a/files", "GET, HEAD"},
        {"POST /v1/sessions/a/files/f", "GET, HEAD, PUT, DELETE"},
        {"DELETE /v1/executions/x-1", "GET, HEAD"},
        {"GET /v1/executions/x-1/stdin", "POST"},
        {"OPTIONS /v1/executions/x-1/interrupt", "POST"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        headers = soup_message_headers_new(SOUP_MESSAGE_HEADERS_RESPONSE);
        struct fake_request *it = ask(rows[i].line, NULL);
        assert_int_equal(it->status, 405);
        assert_string_equal(soup_message_headers_get_one(headers, "Allow"), rows[i].allow);
        assert_int_equal(it->code, DSB_ERROR_UNSUPPORTED);
        soup_message_headers_unref(headers);
    }
}

/* Each path with the handler of its own, and the one parameter that its query may have. */
static void who_handles_what(void **state)
{
    (void) state;
    const struct {
        const char *line, *called, *parameter;
    } rows[] = {
        {"POST /v1/gc", "gc", NULL},
        {"GET /v1/sessions/a/files", "files", "path"},
        {"GET /v1/sessions/a/files/dir", "files", NULL},
        {"PUT /v1/sessions/a/files/f", "files", NULL},
        {"DELETE /v1/sessions/a/files/f", "files", "recursive"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        fake.called = NULL;
        assert_int_equal(ask(rows[i].line, NULL)->status, 200);
        assert_string_equal(fake.called, rows[i].called);
        if (rows[i].parameter != NULL)
            assert_string_equal(fake.parameter, rows[i].parameter);
        else
            assert_null(fake.parameter);
    }
    ask("GET /v1/sessions", NULL);
    assert_string_equal(fake.parameter, "label");
    ask("DELETE /v1/sessions/a", NULL);
    assert_string_equal(fake.parameter, "files");
    ask("POST /v1/sessions/a/stdin", NULL);
    assert_string_equal(fake.parameter, "end");
    ask("GET /v1/sessions/a/history", NULL);
    assert_null(fake.parameter);
}

static void the_service_itself(void **state)
{
    struct fake_request *it = ask("GET /v1/version", NULL);
    (void) state;
    assert_int_equal(it->status, 200);
    assert_non_null(
        strstr(it->text, "\"sessions\":0,\"executing\":0,\"queued\":0,\"replaced\":false,\"unrecorded\":0"));
    idle("b");
    idle("a");
    it = ask("GET /v1/sessions", NULL);
    const char *a = strstr(it->text, "\"id\":\"a\""), *b = strstr(it->text, "\"id\":\"b\"");
    assert_true(a != NULL && b != NULL && a < b); /* by their ids */
    it = fake_request("GET /v1/sessions", NULL);
    g_ptr_array_add(it->request.labels, (char *) "owner=me");
    route_again(&it->request);
    assert_string_equal(it->text, "{\"sessions\":[]}");
    session_end(session_find(&fake.service, "a"), NULL, NULL);
    assert_null(strstr(ask("GET /v1/sessions", NULL)->text, "\"id\":\"a\"")); /* it is ending */
}

static void no_such_session(void **state)
{
    (void) state;
    const char *lines[] = {"GET /v1/sessions/a", "DELETE /v1/sessions/a", "GET /v1/sessions/a/vars",
                           "GET /v1/sessions/a/history", "POST /v1/sessions/a/reset",
                           "POST /v1/sessions/a/save", "POST /v1/sessions/a/restore",
                           "POST /v1/sessions/a/complete", "POST /v1/sessions/a/inspect",
                           "POST /v1/sessions/a/stdin", "POST /v1/sessions/a/interrupt"};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++)
        fails(lines[i], NULL, DSB_ERROR_NOT_FOUND, "there is no session 'a'");
    fails("POST /v1/sessions/a/execute", "{\"code\":\"1\"}", DSB_ERROR_NOT_FOUND, "there is no session 'a'");
    static const struct {
        const char *body, *words;
    } bad[] = {{"{}", "'code' is missing"},
               {"{\"code\":\"1\",\"shell\":\"ls\"}", "'code' and 'shell' exclude"},
               {"{\"code\":\"1\",\"cwd\":\"/\"}", "'cwd' is for a command"},
               {"{\"argv\":[\"ls\"],\"shell\":\"ls\"}", "'argv' and 'shell' exclude"},
               {"{\"argv\":[\"ls\"],\"filename\":\"a.py\"}", "'filename' is for code"},
               {"{\"argv\":[]}", "has no program"},
               {"{\"argv\":[\"\"]}", "has no program"},
               {"{\"argv\":\"ls\"}", "'argv'"},
               {"{\"shell\":1}", "'shell'"},
               {"{\"shell\":\"ls\",\"cwd\":\"\"}", "working directory"},
               {"{\"code\":\"1\",\"terminal\":{\"rows\":1,\"columns\":1}}", "'terminal' is for a command"},
               {"{\"shell\":\"ls\",\"terminal\":true}", "'terminal' must be an object"},
               {"{\"shell\":\"ls\",\"terminal\":{\"rows\":1}}", "'columns' of a terminal"},
               {"{\"shell\":\"ls\",\"terminal\":{\"rows\":0,\"columns\":1}}", "'rows' of a terminal"},
               {"{\"shell\":\"ls\",\"terminal\":{\"rows\":1,\"columns\":65536}}", "'columns' of a terminal"},
               {"{\"shell\":\"ls\",\"terminal\":{\"rows\":1,\"columns\":1,\"x\":1}}", "unknown member 'x'"},
               {"{\"cwd\":\"/\"}", "'code' is missing"}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        fails("POST /v1/sessions/a/execute", bad[i].body, DSB_ERROR_INVALID, bad[i].words);
    fails("POST /v1/sessions/a/execute", "{\"shell\":\"ls\",\"cwd\":\"data\"}", DSB_ERROR_NOT_FOUND, "there is no session 'a'");
    fails("POST /v1/sessions/-a/execute", "{\"code\":\"1\"}", DSB_ERROR_INVALID, "a session's id has 1 to 64 letters");
    const char *executions[] = {"GET /v1/executions/x-9", "POST /v1/executions/x-9/interrupt",
                                "POST /v1/executions/x-9/stdin", "POST /v1/executions/x-9/window"};
    for (gsize i = 0; i < G_N_ELEMENTS(executions); i++)
        fails(executions[i], NULL, DSB_ERROR_NOT_FOUND, "there is no execution 'x-9'");
}

static void create(void **state)
{
    struct fake_request *it = ask("POST /v1/sessions", "{\"id\":\"a\",\"image\":\"i\"}");
    (void) state;
    assert_int_equal(it->status, 0);
    fake_done(NULL);
    assert_int_equal(it->status, 201);
    fails("POST /v1/sessions", "{\"id\":\"a\"}", DSB_ERROR_CONFLICT, "session a exists");
    assert_int_equal(ask("POST /v1/sessions", "{\"id\":\"a\",\"exist_ok\":true}")->status, 200);
    fails("POST /v1/sessions", "{\"id\":\"a\",\"exist_ok\":true,\"image\":\"j\"}", DSB_ERROR_CONFLICT,
          "session a exists with other settings: image is i, not j; end it, or take another id");
    fails("POST /v1/sessions", "{\"id\":\"../a\"}", DSB_ERROR_INVALID, "id");
    fails("POST /v1/sessions", "{\"frobnicate\":1}", DSB_ERROR_INVALID, "frobnicate");
    fails("POST /v1/sessions", "{", DSB_ERROR_INVALID, "no JSON");
    it = ask("POST /v1/sessions", NULL); /* without an id: one is made up */
    fake_done(NULL);
    assert_int_equal(it->status, 201);
    assert_non_null(strstr(it->text, "\"id\":\"s-"));
}

static void execute(void **state)
{
    struct session *session = idle("a");
    (void) state;
    struct fake_request *it = ask("POST /v1/sessions/a/execute", "{\"code\":\"1\"}");
    assert_non_null(it->request.job);
    assert_false(it->request.events);
    g_autofree char *path = g_strconcat("GET /v1/executions/", it->request.job->id, NULL);
    struct fake_request *look = ask(path, NULL);
    assert_int_equal(look->status, 202);
    assert_non_null(strstr(look->text, "\"state\":\"waiting\"")); /* it has no process yet */
    fails("POST /v1/sessions/a/execute", "{\"code\":\"1\",\"wait\":false}", DSB_ERROR_BUSY, "session a is busy");
    fails("POST /v1/sessions/a/stdin", "x", DSB_ERROR_CONFLICT, "\"stdin_open\"");
    assert_string_equal(ask("POST /v1/sessions/a/interrupt", NULL)->text, "{\"interrupted\":true}");
    assert_int_equal(fake.hurried, 1);
    fake_done(NULL);
    assert_int_equal(it->status, 200);
    assert_string_equal(ask("POST /v1/sessions/a/interrupt", NULL)->text, "{\"interrupted\":false}");
    fails("POST /v1/sessions/a/stdin", "x", DSB_ERROR_CONFLICT, "no code is running that could read it");
    fails("POST /v1/sessions/a/interrupt", "{\"x\":1}", DSB_ERROR_INVALID, "x");
    assert_non_null(strstr(ask("GET /v1/sessions/a/history", NULL)->text, "\"n\":1"));
    it = ask("POST /v1/sessions/a/execute/events", "{\"code\":\"1\"}");
    assert_true(it->request.events);
    fake_done(NULL);
    assert_string_equal(it->events->str, "accepted started result ");
    fails("POST /v1/sessions/a/execute", "{\"code\":\"1\",\"create\":{\"image\":\"j\"}}", DSB_ERROR_CONFLICT, "image");
    it = ask("POST /v1/sessions/b/execute", "{\"code\":\"1\",\"create\":{}}");
    assert_non_null(session_find(&fake.service, "b"));
    fake_done(NULL);
    assert_int_equal(it->status, 200);
    assert_int_equal(session->executions, 2);
}

/* What an editor asks becomes an operation of the session, whatever is in the code. */
static void lookup(void **state)
{
    struct session *session = idle("a");
    (void) state;
    static const struct {
        const char *body, *words;
    } bad[] = {{"{}", "'cursor'"},
               {"{\"cursor\":0}", "'code' is missing"},
               {"{\"code\":1,\"cursor\":0}", "'code' must be a text"},
               {"{\"code\":\"\\u0000\",\"cursor\":0}", "'code' must be a text"},
               {"{\"code\":\"a\"}", "'cursor' must be a number"},
               {"{\"code\":\"a\",\"cursor\":-1}", "'cursor' must be a number"},
               {"{\"code\":\"a\",\"cursor\":32769}", "'cursor' must be a number"},
               {"{\"code\":\"a\",\"cursor\":\"1\"}", "'cursor' must be a number"},
               {"{\"code\":\"a\",\"cursor\":1,\"detail\":1}", "'detail' must be true or false"},
               {"{\"code\":\"a\",\"cursor\":1,\"op\":\"reset\"}", "unknown member 'op'"}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        fails("POST /v1/sessions/a/complete", bad[i].body, DSB_ERROR_INVALID, bad[i].words);
    g_autofree char *code = g_strnfill(32769, 'a');
    g_autofree char *large = g_strdup_printf("{\"code\":\"%s\",\"cursor\":1}", code);
    fails("POST /v1/sessions/a/inspect", large, DSB_ERROR_INVALID, "'code' can have 32 KiB at most");
    struct fake_request *it = ask("POST /v1/sessions/a/complete", "{\"code\":\"\\\"op\\\":\\\"reset\\\"\",\"cursor\":3}");
    assert_string_equal(it->request.job->op,
                        "{\"op\":\"complete\",\"code\":\"\\\"op\\\":\\\"reset\\\"\",\"cursor\":\"3\",\"detail\":\"0\"}");
    fake_done(NULL);
    it = ask("POST /v1/sessions/a/inspect", "{\"code\":\"len\",\"cursor\":3,\"detail\":true}");
    assert_string_equal(it->request.job->op, "{\"op\":\"inspect\",\"code\":\"len\",\"cursor\":\"3\",\"detail\":\"1\"}");
    fake_done(NULL);
    assert_int_equal(session->executions, 0);
}

static void run_once(void **state)
{
    struct fake_request *one = ask("POST /v1/run", "{\"code\":\"1\"}");
    struct fake_request *two = ask("POST /v1/run/events", "{\"code\":\"1\"}");
    (void) state;
    assert_string_equal(two->events->str, "accepted started ");
    fails("POST /v1/run", "{\"code\":\"1\",\"wait\":false}", DSB_ERROR_BUSY, "2 executions run already");
    fails("POST /v1/run", "{\"code\":\"1\",\"id\":\"a\"}", DSB_ERROR_INVALID, "id");
    fails("POST /v1/run", "{}", DSB_ERROR_INVALID, "code");
    struct fake_request *three = ask("POST /v1/run", "{\"code\":\"1\"}");
    two->request.gone(&two->request);
    fake_done(NULL);
    fake_done(NULL);
    fake_done(NULL);
    assert_int_equal(one->status, 200);
    assert_int_equal(two->status, 0);
    assert_int_equal(three->status, 200);
}

static void what_was_there(void **state)
{
    (void) state;
    session_end(idle("a"), "over", NULL);
    fake_done(NULL);
    assert_null(session_find(&fake.service, "a"));
    fails("GET /v1/sessions/a", NULL, DSB_ERROR_NOT_FOUND, "there is no session 'a'");
    assert_int_equal(ask("DELETE /v1/sessions/a", NULL)->status, 200);
    assert_string_equal(fake.called, "past");
    struct fake_request *it = ask("POST /v1/sessions/a/execute", "{\"code\":\"1\"}"); /* it comes back */
    assert_non_null(session_find(&fake.service, "a"));
    assert_string_equal(it->request.job->lost, "over");
    fake_done(NULL);
    assert_int_equal(it->status, 200);
}

/* Whoever comes while it ends waits until it is gone. */
static void while_it_ends(void **state)
{
    struct session *session = idle("a");
    (void) state;
    struct fake_request *end = ask("DELETE /v1/sessions/a", NULL), *look = ask("GET /v1/sessions/a", NULL);
    struct fake_request *make = ask("POST /v1/sessions", "{\"id\":\"a\"}"), *again = ask("DELETE /v1/sessions/a", NULL);
    assert_true(session->ending);
    assert_int_equal(look->status + make->status + end->status + again->status, 0);
    fake_done(NULL);
    assert_int_equal(end->status, 200);
    assert_int_equal(again->status, 200);
    assert_int_equal(look->code, DSB_ERROR_NOT_FOUND);
    assert_int_equal(make->status, 0);
    fake_done(NULL);
    assert_int_equal(make->status, 201);
}

static void while_the_service_ends(void **state)
{
    (void) state;
    fake.service.stopping = TRUE;
    fails("GET /v1/version", NULL, DSB_ERROR_UNAVAILABLE, "the service is ending; nothing was done");
    fails("POST /v1/run", "{\"code\":\"1\"}", DSB_ERROR_UNAVAILABLE, "the service is ending; nothing was done");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)
    const struct CMUnitTest tests[] = {
        CASE(no_such_path),
        CASE(no_such_method),
        CASE(who_handles_what),
        CASE(the_service_itself),
        CASE(no_such_session),
        CASE(create),
        CASE(execute),
        CASE(lookup),
        CASE(run_once),
        CASE(what_was_there),
        CASE(while_it_ends),
        CASE(while_the_service_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
