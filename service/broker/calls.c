/* SPDX-License-Identifier: MIT */
/* Calls of tools on their way to the client of an execution, and its answers on theirs. */
#include "broker/calls.h"

#include "broker/dispatch.h"

#include <string.h>

static gboolean send_return(struct job *job, const struct call_return *answer, GError **error)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    call_return_pack(answer, pack);
    return dispatch_return(job, pack, error);
}

void calls_event(struct job *job, guint32 number, const char *event)
{
    static char nobody[] = "nobody follows the events of this execution";
    const struct call_return answer = {.call = number, .message = nobody};
    if (job->request == NULL || job->request->answered) {
        send_return(job, &answer, NULL); /* where it does not arrive, the call's time runs out */
        return;
    }
    if (job->calls == NULL)
        job->calls = g_hash_table_new(NULL, NULL);
    g_hash_table_add(job->calls, GUINT_TO_POINTER(number));
    request_event_text(job->request, "call", event);
}

static gboolean invalid(GError **error, const char *what)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, what);
    return FALSE;
}

static gboolean read_error(struct json_object *error, struct call_return *answer, GError **failure)
{
    static const char *const members[] = {"type", "message", NULL};
    const char *type = NULL, *message = NULL;
    if (!json_object_is_type(error, json_type_object))
        return invalid(failure, "'error' must be an object with 'message' and 'type'");
    if (!body_only(error, "'error'", members, failure) || !body_text(error, "type", &type, failure) ||
        !body_text(error, "message", &message, failure))
        return FALSE;
    if (message == NULL)
        return invalid(failure, "'error' has no 'message'");
    answer->type = (char *) type;
    answer->message = (char *) message;
    return TRUE;
}

/* The one member of the body: its value as it stands there; a number that is read and written may be another one. */
static gboolean read_answer(GBytes *bytes, struct json_object *body, struct call_return *answer, GError **error)
{
    gsize size = 0;
    const char *text = g_bytes_get_data(bytes, &size);
    struct json_object *failure = json_member(body, "error");
    gboolean one = json_object_object_length(body) == 1;
    if (one && failure != NULL)
        return read_error(failure, answer, error);
    if (!one || !json_object_object_get_ex(body, "result", NULL))
        return invalid(error, "the answer to a call has either 'result' or 'error'");
    const char *colon = memchr(text, ':', size), *end = memrchr(text, '}', size);
    answer->value = colon + 1;
    answer->size = (gsize) (end - answer->value);
    return TRUE;
}

static guint32 number_of(const char *text)
{
    guint64 number = 0;
    return g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT32, &number, NULL) ? (guint32) number : 0;
}

static gboolean give(struct job *job, struct request *request, struct json_object *body, GError **error)
{
    guint32 number = number_of(request->path[4]);
    struct call_return answer = {.call = number};
    if (!read_answer(request->body, body, &answer, error))
        return FALSE;
    if (job == NULL || job->calls == NULL || !g_hash_table_remove(job->calls, GUINT_TO_POINTER(number))) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_NOT_FOUND,
                            "there is no such call that waits for an answer: it has one, or its execution has ended");
        return FALSE;
    }
    return send_return(job, &answer, error);
}

void calls_request(struct request *request)
{
    GError *error = NULL;
    struct job *job = g_hash_table_lookup(request->service->jobs, request->path[2]);
    struct json_object *body = request_json(request, &error);
    if (body == NULL || !give(job, request, body, &error)) {
        request_fail(request, error);
    } else {
        struct json_object *answer = json_object_new_object();
        json_add_bool(answer, "taken", TRUE);
        request_answer(request, 200, answer);
    }
    json_object_put(body);
}
