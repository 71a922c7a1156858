/* SPDX-License-Identifier: MIT */
/* Tools through the C API: answered in the callback, by another thread, too late; once, in a session and in a loop. */
#include "live.h"

#include <poll.h>
#include <string.h>

/* Each as JSON {"args": [TEXT], …}: the text says what comes of it. */
struct host {
    GAsyncQueue *later; /* dsb_call, for the other thread */
    dsb_call *kept;     /* one that is not answered while its execution runs */
    guint calls;
};

static json_object *first_of(const dsb_call *call)
{
    json_object *arguments = json_tokener_parse(dsb_call_arguments(call)), *args = NULL;
    json_object_object_get_ex(arguments, "args", &args);
    json_object *first = json_object_get(json_object_array_get_idx(args, 0));
    json_object_put(arguments);
    return first;
}

static void on_call(void *data, dsb_call *call)
{
    struct host *host = data;
    json_object *first = first_of(call);
    const char *word = json_object_get_string(first);
    host->calls++;
    if (g_strcmp0(word, "later") == 0)
        g_async_queue_push(host->later, call);
    else if (g_strcmp0(word, "never") == 0)
        host->kept = call;
    else if (g_strcmp0(word, "raise") == 0)
        dsb_call_raise(call, "KeyError", "from C");
    else if (g_strcmp0(word, "broken") == 0)
        dsb_call_return(call, "{", 1);
    else
        dsb_call_return(call, "[1, \"now\"]", strlen("[1, \"now\"]"));
    json_object_put(first);
}

static gpointer answer_later(gpointer data)
{
    dsb_call *call;
    while ((call = g_async_queue_pop(data)) != data) {
        g_usleep(20000);
        dsb_call_return(call, "\"later\"", strlen("\"later\""));
    }
    return NULL;
}

static const char code[] = "import threading\nout = []\n"
                           "def one(i): out.append(tool('later'))\n"
                           "ts = [threading.Thread(target=one, args=(i,)) for i in range(20)]\n"
                           "for t in ts: t.start()\nfor t in ts: t.join()\n"
                           "print(tool('now'), out == ['later'] * 20)\n"
                           "for word in 'raise', 'broken', 'never':\n"
                           "  try: tool(word)\n  except tool.Error as e: print(type(e).__name__)\n";

static void judge(dsb_result *result, const struct host *host, const char *what)
{
    gsize size = 0;
    const char *text = dsb_result_output(result, 1, &size);
    const struct dsb_call_report *call = dsb_result_call(result, 20), *last = dsb_result_call(result, 23);
    g_autofree char *json = dsb_result_json(result, FALSE);
    const char wanted[] = "[1, 'now'] True\nKeyError\nToolError\nTimeoutError\n";
    check(size == strlen(wanted) && memcmp(text, wanted, size) == 0, what, json);
    check(dsb_result_n_calls(result) == 24 && host->calls == 24 && call != NULL && call->status == DSB_CALL_OK &&
              strcmp(call->tool, "tool") == 0 && last != NULL && last->status == DSB_CALL_TIMEOUT,
          "its calls", json);
    dsb_result_free(result);
}

static dsb_result *in_a_loop(dsb_execution *execution)
{
    while (!dsb_execution_step(execution)) {
        struct pollfd fd = {dsb_execution_fd(execution), POLLIN, 0};
        poll(&fd, 1, dsb_execution_timeout_ms(execution));
    }
    dsb_result *result = dsb_execution_result(execution);
    dsb_execution_free(execution);
    return result;
}

void tools(dsb_session *session)
{
    static const char *const names[] = {"tool", "other", NULL};
    struct host host = {.later = g_async_queue_new()};
    struct dsb_run_options how = options;
    struct dsb_request request = DSB_REQUEST_INIT;
    GThread *thread = g_thread_new("answers", answer_later, host.later);
    how.session = NULL;
    how.call = on_call;
    how.data = &host;
    request.code = code;
    request.code_size = strlen(code);
    request.tools = names;
    request.call_timeout_ms = 2000;
    for (int i = 0; i < 4; i++) {
        host.calls = 0;
        dsb_result *result = i == 0   ? dsb_run(policy, &how, &request)
                             : i == 1 ? dsb_session_execute(session, &how, &request)
                             : i == 2 ? in_a_loop(dsb_session_start(session, &how, &request))
                                      : in_a_loop(dsb_run_start(policy, &how, &request));
        judge(result, &host, i % 3 == 0 ? "tools of a run" : "tools of a session");
        dsb_call_return(host.kept, NULL, 0); /* nobody hears it */
    }
    how.call = NULL;
    dsb_result *result = dsb_session_execute(session, &how, &request);
    check(g_strcmp0(dsb_result_failure_code(result), "invalid") == 0, "tools that nobody hears", "no error");
    dsb_result_free(result);
    g_async_queue_push(host.later, host.later);
    g_thread_join(thread);
    g_async_queue_unref(host.later);
}
