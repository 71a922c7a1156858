/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "listen.h"

#include <string.h>

#define JSON_DEPTH 32
#define EVENT_STREAM "text/event-stream"

void json_add(struct json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, text != NULL ? json_object_new_string(text) : NULL);
}

void json_add_int(struct json_object *to, const char *key, gint64 value)
{
    json_object_object_add(to, key, json_object_new_int64(value));
}

void json_add_bool(struct json_object *to, const char *key, gboolean value)
{
    json_object_object_add(to, key, json_object_new_boolean(value));
}

const char *json_text(struct json_object *object)
{
    return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static const struct {
    const char *name;
    guint status;
} errors[] = {
    [DSB_ERROR_FAILED] = {"failed", 500},
    [DSB_ERROR_INVALID] = {"invalid", 400},
    [DSB_ERROR_NOT_FOUND] = {"not_found", 404},
    [DSB_ERROR_UNAVAILABLE] = {"unavailable", 503},
    [DSB_ERROR_DENIED] = {"denied", 403},
    [DSB_ERROR_REFUSED] = {"refused", 422},
    [DSB_ERROR_PLUGIN] = {"plugin", 500},
    [DSB_ERROR_PROTOCOL] = {"protocol", 500},
    [DSB_ERROR_TIMEOUT] = {"engine_timeout", 504},
    [DSB_ERROR_CANCELLED] = {"cancelled", 409},
    [DSB_ERROR_BUSY] = {"busy", 409},
    [DSB_ERROR_LOST] = {"lost", 500},
    [DSB_ERROR_LIMIT] = {"limit", 429},
    [DSB_ERROR_UNSUPPORTED] = {"unsupported", 500},
    [DSB_ERROR_CONFLICT] = {"conflict", 409},
    [DSB_ERROR_WOULD_BLOCK] = {"would_block", 500},
};

const char *error_name(int code)
{
    return code >= 0 && (gsize) code < G_N_ELEMENTS(errors) ? errors[code].name : "failed";
}

static guint error_status(const GError *error)
{
    if (error->domain != DSB_ERROR || error->code < 0 || (gsize) error->code >= G_N_ELEMENTS(errors))
        return 500;
    return errors[error->code].status;
}

static void drop_hangup(struct request *request)
{
    if (request->hangup == NULL)
        return;
    g_source_destroy(request->hangup);
    g_clear_pointer(&request->hangup, g_source_unref);
}

static void request_free(struct request *request)
{
    drop_hangup(request);
    g_strfreev(request->path);
    g_free(request->rest);
    g_clear_pointer(&request->query, g_hash_table_unref);
    g_clear_pointer(&request->labels, g_ptr_array_unref);
    g_clear_pointer(&request->body, g_bytes_unref);
    g_object_unref(request->message);
    g_free(request);
}

static void nobody_waits(struct request *request)
{
    void (*gone)(struct request *) = request->gone;
    request->gone = NULL;
    if (gone != NULL)
        gone(request);
}

static void on_finished(SoupServerMessage *message, gpointer data)
{
    struct request *request = data;
    struct service *service = request->service;
    (void) message;
    nobody_waits(request);
    listener_answered(request->message);
    request_free(request);
    service->requests--;
    service_touch(service);
    service_check_stop(service);
}

static void on_wrote_data(SoupServerMessage *message, guint size, gpointer data)
{
    struct request *request = data;
    (void) message;
    request->pending -= MIN(request->pending, size);
    listener_progress(request->message, request->answered && request->pending > 0);
}

static void split_query(struct request *request, const char *query)
{
    g_auto(GStrv) parts = g_strsplit(query != NULL ? query : "", "&", 256);
    request->query = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    request->labels = g_ptr_array_new_with_free_func(g_free);
    for (char **part = parts; *part != NULL; part++) {
        char *equals = strchr(*part, '=');
        g_strdelimit(*part, "+", ' ');
        char *value = g_uri_unescape_string(equals != NULL ? equals + 1 : "", NULL);
        if (equals != NULL)
            *equals = '\0';
        char *name = g_uri_unescape_string(*part, NULL);
        if (name != NULL && value != NULL && strcmp(name, "label") == 0)
            g_ptr_array_add(request->labels, g_strdup(value));
        if (name != NULL && value != NULL)
            g_hash_table_replace(request->query, g_steal_pointer(&name), g_steal_pointer(&value));
        g_free(name);
        g_free(value);
    }
}

/* "/v1/a/b" to {"a", "b"}. The name of a file is one piece, slashes and all, and need not be UTF-8. */
static gboolean split_path(struct request *request, const char *path)
{
    g_auto(GStrv) raw = g_strsplit(path, "/", 7);
    guint n = g_strv_length(raw);
    if (n < 3 || strcmp(raw[1], "v1") != 0)
        return FALSE;
    gboolean file = n >= 5 && strcmp(raw[2], "sessions") == 0 && strcmp(raw[4], "files") == 0;
    GPtrArray *segments = g_ptr_array_new();
    gboolean good = TRUE;
    for (guint i = 2; i < (file ? 5 : n); i++) {
        char *segment = g_uri_unescape_string(raw[i], NULL);
        good = good && segment != NULL && g_utf8_validate(segment, -1, NULL);
        g_ptr_array_add(segments, segment != NULL ? segment : g_strdup(""));
    }
    g_ptr_array_add(segments, NULL);
    request->path = (char **) g_ptr_array_free(segments, FALSE);
    if (file && n > 5) {
        g_autofree char *rest = n > 6 ? g_strconcat(raw[5], "/", raw[6], NULL) : g_strdup(raw[5]);
        request->rest = g_uri_unescape_string(rest, NULL);
        good = good && request->rest != NULL;
    }
    return good;
}

struct request *request_new(struct service *service, SoupServerMessage *message)
{
    struct request *request = g_new0(struct request, 1);
    GUri *uri = soup_server_message_get_uri(message);
    const char *accept = soup_message_headers_get_one(soup_server_message_get_request_headers(message), "Accept");
    g_autoptr(GBytes) body = soup_message_body_flatten(soup_server_message_get_request_body(message));
    request->service = service;
    request->message = g_object_ref(message);
    request->method = soup_server_message_get_method(message);
    request->body = g_bytes_ref(body);
    request->user = listener_user(message);
    request->events = accept != NULL && strstr(accept, EVENT_STREAM) != NULL;
    service->requests++;
    service_touch(service);
    g_signal_connect(message, "finished", G_CALLBACK(on_finished), request);
    g_signal_connect(message, "wrote-body-data", G_CALLBACK(on_wrote_data), request);
    split_query(request, g_uri_get_query(uri));
    if (split_path(request, g_uri_get_path(uri)))
        return request;
    request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no such path; see /openapi.json"));
    return NULL;
}

struct json_object *request_json(struct request *request, GError **error)
{
    gsize size = 0;
    const char *text = g_bytes_get_data(request->body, &size);
    if (size == 0)
        return json_object_new_object();
    if (!g_utf8_validate_len(text, size, NULL)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the body is not UTF-8");
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int) size);
    enum json_tokener_error problem = json_tokener_get_error(tokener);
    gsize end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    while (end < size && g_ascii_isspace(text[end]))
        end++;
    if (problem == json_tokener_success && end == size && json_object_is_type(object, json_type_object))
        return object;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the body is not one JSON object%s%s",
                problem != json_tokener_success ? ": " : "",
                problem == json_tokener_continue  ? "it ends too early"
                : problem != json_tokener_success ? json_tokener_error_desc(problem)
                                                  : "");
    json_object_put(object);
    return NULL;
}

gboolean request_flag(const struct request *request, const char *name)
{
    const char *value = g_hash_table_lookup(request->query, name);
    return value != NULL && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

static void let_go(struct request *request)
{
    request->answered = TRUE;
    request->gone = NULL;
    /* Before that, a reader may take its time: it may be a person with a pager. */
    listener_progress(request->message, TRUE);
    drop_hangup(request);
    if (request->held)
        soup_server_message_unpause(request->message);
    request->held = FALSE;
}

static void common_headers(struct request *request)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
}

void request_answer_text(struct request *request, guint status, const char *type, const char *text, gsize size)
{
    g_return_if_fail(!request->answered);
    common_headers(request);
    soup_server_message_set_status(request->message, status, NULL);
    soup_server_message_set_response(request->message, type, SOUP_MEMORY_COPY, text, size);
    request->pending = size;
    let_go(request);
}

void request_answer_bytes(struct request *request, const char *type, GBytes *bytes)
{
    common_headers(request);
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    soup_message_headers_replace(headers, "Content-Type", type);
    soup_server_message_set_status(request->message, 200, NULL);
    soup_message_body_append_bytes(soup_server_message_get_response_body(request->message), bytes);
    request->pending = g_bytes_get_size(bytes);
    let_go(request);
}

void request_answer(struct request *request, guint status, struct json_object *object)
{
    const char *text = json_text(object);
    request_answer_text(request, status, "application/json", text, strlen(text));
    json_object_put(object);
}

void request_fail(struct request *request, GError *error) { request_fail_with(request, error_status(error), error); }

void request_fail_with(struct request *request, guint status, GError *error)
{
    struct json_object *object = json_object_new_object();
    struct json_object *inner = json_object_new_object();
    g_autofree char *message = g_utf8_make_valid(error->message, -1);
    json_add(inner, "code", error_name(error->domain == DSB_ERROR ? error->code : DSB_ERROR_FAILED));
    json_add(inner, "message", message);
    json_object_object_add(object, "error", inner);
    if (request->streaming) {
        request_event(request, "error", object);
        request_event_end(request);
    } else {
        request_answer(request, status, object);
    }
    g_error_free(error);
}

static void stream_begin(struct request *request)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    common_headers(request);
    request->streaming = TRUE;
    soup_message_headers_replace(headers, "Content-Type", EVENT_STREAM);
    soup_message_headers_set_encoding(headers, soup_server_message_get_http_version(request->message) == SOUP_HTTP_1_0
                                                   ? SOUP_ENCODING_EOF
                                                   : SOUP_ENCODING_CHUNKED);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(request->message), FALSE);
    soup_server_message_set_status(request->message, 200, NULL);
}

void request_event_text(struct request *request, const char *name, const char *json)
{
    if (request->answered)
        return;
    if (!request->streaming)
        stream_begin(request);
    g_autofree char *text = g_strconcat("event: ", name, "\ndata: ", json, "\n\n", NULL);
    gsize size = strlen(text);
    request->pending += size;
    soup_message_body_append_take(soup_server_message_get_response_body(request->message),
                                  (guchar *) g_steal_pointer(&text), size);
    soup_server_message_unpause(request->message);
}

void request_event(struct request *request, const char *name, struct json_object *object)
{
    request_event_text(request, name, json_text(object));
    json_object_put(object);
}

void request_event_end(struct request *request)
{
    soup_message_body_complete(soup_server_message_get_response_body(request->message));
    request->held = TRUE; /* libsoup pauses a stream by itself whenever it has nothing to write */
    let_go(request);
}

static gboolean on_hangup(GSocket *socket, GIOCondition condition, gpointer data)
{
    struct request *request = data;
    (void) socket;
    (void) condition;
    g_clear_pointer(&request->hangup, g_source_unref);
    nobody_waits(request);
    /* libsoup looks at a connection only when it reads or writes: it has to try, to find out that it is over. */
    if (!request->answered)
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_CANCELLED, "the client went away"));
    return G_SOURCE_REMOVE;
}

void request_hold(struct request *request, void (*gone)(struct request *request))
{
    request->gone = gone;
    if (request->held)
        return;
    request->held = TRUE;
    soup_server_message_pause(request->message);
    request->hangup = listener_hangup_source(request->message);
    if (request->hangup == NULL)
        return;
    g_source_set_callback(request->hangup, G_SOURCE_FUNC(on_hangup), request, NULL);
    g_source_attach(request->hangup, NULL);
}
