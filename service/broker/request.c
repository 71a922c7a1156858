/* SPDX-License-Identifier: MIT */
#include "broker/request.h"

#include "broker/connection.h"
#include "broker/upload.h"
#include "common/names.h"
#include "common/strictjson.h"

#include <string.h>

#define JSON_DEPTH 32
#define EVENT_STREAM "text/event-stream"
#define JSON "application/json"
#define RETRY_AFTER "1" /* seconds */
#define QUIET_MS 15000

static const guint statuses[] = {
    [DSB_ERROR_FAILED] = 500,
    [DSB_ERROR_INVALID] = 400,
    [DSB_ERROR_NOT_FOUND] = 404,
    [DSB_ERROR_UNAVAILABLE] = 503,
    [DSB_ERROR_DENIED] = 403,
    [DSB_ERROR_REFUSED] = 422,
    [DSB_ERROR_PLUGIN] = 500,
    [DSB_ERROR_PROTOCOL] = 500,
    [DSB_ERROR_TIMEOUT] = 504,
    [DSB_ERROR_CANCELLED] = 409,
    [DSB_ERROR_BUSY] = 409,
    [DSB_ERROR_LOST] = 500,
    [DSB_ERROR_LIMIT] = 429,
    [DSB_ERROR_UNSUPPORTED] = 500,
    [DSB_ERROR_CONFLICT] = 409,
    [DSB_ERROR_WOULD_BLOCK] = 500,
};

struct json_object *error_json(const char *code, const char *message)
{
    struct json_object *object = json_object_new_object();
    struct json_object *inner = json_object_new_object();
    json_add(inner, "code", code);
    json_add(inner, "message", message);
    json_object_object_add(object, "error", inner);
    return object;
}

guint request_status(const GError *error)
{
    if (error->domain != DSB_ERROR || error->code < 0 || (gsize) error->code >= G_N_ELEMENTS(statuses))
        return 500;
    return statuses[error->code];
}

static void request_free(struct request *request)
{
    event_source_clear(&request->hangup);
    event_source_clear(&request->quiet);
    upload_free(request->upload);
    httprequest_free(request->http);
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
    connection_answered(request->message);
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
    connection_progress(request->message, (request->answered || request->drained != NULL) && request->pending > 0);
    if (request->drained != NULL && request->pending == 0)
        request->drained(request);
}

static GError *bad_parameter(const char *name, const char *problem)
{
    g_autofree char *quoted = dsb_quoted(name);
    return g_error_new(DSB_ERROR, DSB_ERROR_INVALID, "query parameter %s %s", quoted, problem);
}

static GError *take_parameter(struct request *request, char *text)
{
    g_strdelimit(text, "+", ' ');
    char *equals = strchr(text, '=');
    if (equals != NULL)
        *equals = '\0';
    g_autofree char *name = g_uri_unescape_string(text, NULL);
    g_autofree char *value = g_uri_unescape_string(equals != NULL ? equals + 1 : "", NULL);
    if (name == NULL || value == NULL)
        return bad_parameter(name != NULL ? name : text, "has a wrong escape");
    gboolean label = strcmp(name, "label") == 0;
    if (!label && g_hash_table_contains(request->query, name))
        return bad_parameter(name, "is there twice");
    if (label)
        g_ptr_array_add(request->labels, g_strdup(value));
    g_hash_table_replace(request->query, g_steal_pointer(&name), g_steal_pointer(&value));
    return NULL;
}

static GError *split_query(struct request *request, const char *query)
{
    GError *error = NULL;
    g_auto(GStrv) parts = g_strsplit(query != NULL ? query : "", "&", 0);
    request->query = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    request->labels = g_ptr_array_new_with_free_func(g_free);
    for (char **part = parts; *part != NULL && error == NULL; part++)
        error = (*part)[0] != '\0' ? take_parameter(request, *part) : NULL;
    return error;
}

/* What identifies something is text; the name of a file need not be UTF-8, and is one piece, slashes and all. */
static gboolean take_path(struct request *request)
{
    static const char *const file[] = {"v1", "sessions", NULL, "files"};
    gboolean is_file = g_strv_length(request->path) > G_N_ELEMENTS(file);
    for (guint i = 0; is_file && i < G_N_ELEMENTS(file); i++)
        is_file = file[i] == NULL || strcmp(file[i], request->path[i]) == 0;
    if (is_file) {
        char **name = request->path + G_N_ELEMENTS(file);
        request->rest = g_strjoinv("/", name);
        for (char **segment = name; *segment != NULL; segment++)
            g_clear_pointer(segment, g_free);
        *name = request->rest;
    }
    for (char **segment = request->path; *segment != NULL; segment++)
        if (*segment != request->rest && !g_utf8_validate(*segment, -1, NULL))
            return FALSE;
    return TRUE;
}

/* Events for those who would rather have them than JSON. */
static gboolean wants_events(const char *accept)
{
    return httprequest_quality(accept, EVENT_STREAM) > httprequest_quality(accept, JSON);
}

struct request *request_new(struct service *service, SoupServerMessage *message)
{
    struct httprequest *http = connection_take_request(message);
    if (http == NULL) { /* its connection is gone */
        soup_server_message_set_status(message, 500, NULL);
        return NULL;
    }
    struct request *request = g_new0(struct request, 1);
    request->service = service;
    request->message = g_object_ref(message);
    request->http = http;
    request->method = strcmp(http->method, "HEAD") == 0 ? "GET" : http->method;
    request->path = http->path;
    request->body = g_byte_array_free_to_bytes(g_steal_pointer(&http->body));
    request->upload = connection_take_upload(message);
    request->user = connection_user(message);
    request->events = wants_events(http->accept);
    service->requests++;
    service_touch(service);
    g_signal_connect(message, "finished", G_CALLBACK(on_finished), request);
    g_signal_connect(message, "wrote-body-data", G_CALLBACK(on_wrote_data), request);
    GError *error = split_query(request, http->query);
    if (!take_path(request)) {
        g_clear_error(&error);
        error = g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no such path; see /openapi.json");
    }
    if (error == NULL)
        return request;
    request_fail(request, error);
    return NULL;
}

struct json_object *request_json(struct request *request, GError **error)
{
    gsize size = 0;
    const char *text = g_bytes_get_data(request->body, &size);
    if (size == 0)
        return json_object_new_object();
    return dsb_json_parse_request(text, size, JSON_DEPTH, "the request's body", DSB_ERROR_INVALID, error);
}

static gboolean is_true(const char *value) { return strcmp(value, "1") == 0 || strcmp(value, "true") == 0; }
static gboolean is_false(const char *value) { return strcmp(value, "0") == 0 || strcmp(value, "false") == 0; }

gboolean request_takes(struct request *request, enum parameter_kind kind, const char *name)
{
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, request->query);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (g_strcmp0(key, name) != 0) {
            g_autofree char *problem = name != NULL ? g_strdup_printf("is unknown here; there is '%s'", name)
                                                    : g_strdup("is unknown here; there is none");
            request_fail(request, bad_parameter(key, problem));
            return FALSE;
        }
        if (kind == PARAMETER_FLAG && !is_true(value) && !is_false(value)) {
            request_fail(request, bad_parameter(key, "must be 1, true, 0 or false"));
            return FALSE;
        }
    }
    return TRUE;
}

gboolean request_flag(const struct request *request, const char *name)
{
    const char *value = g_hash_table_lookup(request->query, name);
    return value != NULL && is_true(value);
}

static void let_go(struct request *request)
{
    request->answered = TRUE;
    request->gone = NULL;
    /* Before that, a reader may take its time: it may be a person with a pager. */
    connection_progress(request->message, TRUE);
    event_source_clear(&request->hangup);
    event_source_clear(&request->quiet);
    if (request->held)
        soup_server_message_unpause(request->message);
    request->held = FALSE;
}

static void common_headers(struct request *request)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    /* A new connection costs 60 microseconds on a unix socket, and libsoup 3.2 leaks those that are kept alive. */
    soup_message_headers_replace(headers, "Connection", "close");
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

void request_set_tag(struct request *request, const char *tag)
{
    soup_message_headers_replace(soup_server_message_get_response_headers(request->message), "ETag", tag);
}

void request_answer_empty(struct request *request, guint status)
{
    common_headers(request);
    soup_server_message_set_status(request->message, status, NULL);
    let_go(request);
}

void request_answer_bytes(struct request *request, const char *type, GBytes *bytes)
{
    common_headers(request);
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    soup_message_headers_replace(headers, "Content-Type", type);
    soup_server_message_set_status(request->message, 200, NULL);
    if (g_bytes_get_size(bytes) > 0) /* libsoup takes no empty piece */
        soup_message_body_append_bytes(soup_server_message_get_response_body(request->message), bytes);
    request->pending = g_bytes_get_size(bytes);
    let_go(request);
}

gboolean request_is_head(const struct request *request) { return request->method != request->http->method; }

void request_begin_bytes(struct request *request, const char *type, guint64 size, void (*drained)(struct request *),
                         void (*gone)(struct request *))
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    common_headers(request);
    soup_message_headers_replace(headers, "Content-Type", type);
    soup_message_headers_set_content_length(headers, (goffset) size);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(request->message), FALSE);
    soup_server_message_set_status(request->message, 200, NULL);
    request->drained = drained;
    let_go(request);
    request->gone = gone;
}

void request_add_bytes(struct request *request, GBytes *bytes)
{
    request->pending += g_bytes_get_size(bytes);
    soup_message_body_append_bytes(soup_server_message_get_response_body(request->message), bytes);
    connection_progress(request->message, TRUE);
    soup_server_message_unpause(request->message);
}

void request_cut(struct request *request)
{
    static const guint8 nothing[1];
    if (request->drained == NULL)
        return;
    request->drained = NULL;
    connection_cut(request->message);
    /* It finds out when it writes. */
    soup_message_body_append(soup_server_message_get_response_body(request->message), SOUP_MEMORY_STATIC, nothing, 1);
    soup_server_message_unpause(request->message);
}

void request_answer(struct request *request, guint status, struct json_object *object)
{
    const char *text = json_text(object);
    if (text != NULL)
        request_answer_text(request, status, JSON, text, strlen(text));
    else
        request_fail_with(request, 500, g_error_new(DSB_ERROR, DSB_ERROR_LIMIT, "the answer is too large"));
    json_object_put(object);
}

void request_fail(struct request *request, GError *error) { request_fail_with(request, request_status(error), error); }

void request_fail_with(struct request *request, guint status, GError *error)
{
    if (status == 429)
        soup_message_headers_replace(soup_server_message_get_response_headers(request->message), "Retry-After", RETRY_AFTER);
    g_autofree char *message = g_utf8_make_valid(error->message, -1);
    struct json_object *object =
        error_json(dsb_error_code_name(error->domain == DSB_ERROR ? error->code : DSB_ERROR_FAILED), message);
    if (request->streaming) {
        request_event(request, "error", object);
        request_event_end(request);
    } else {
        request_answer(request, status, object);
    }
    g_error_free(error);
}

/*
 * Chunks of our own: libsoup ends those that it makes in another thread, ends the process where GLib can have none, and
 * leaves the stream without an end where there is none later. It knows of a body up to the end of the connection, and
 * has no header that says otherwise; the line goes out behind the status.
 */
static void stream_begin(struct request *request)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    common_headers(request);
    request->streaming = TRUE;
    request->chunked = soup_server_message_get_http_version(request->message) != SOUP_HTTP_1_0;
    soup_message_headers_replace(headers, "Content-Type", EVENT_STREAM);
    soup_message_headers_set_encoding(headers, SOUP_ENCODING_EOF);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(request->message), FALSE);
    soup_server_message_set_status(request->message, 200, request->chunked ? "OK\r\nTransfer-Encoding: chunked" : NULL);
}

/* U+0085, U+2028 and U+2029 end a line for some readers of events; in JSON they can be escaped. */
static void append_json(GString *text, const char *json)
{
    static const struct {
        const char *bytes, *escape;
    } breaks[] = {{"\xc2\x85", "\\u0085"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}};
    for (gsize plain = strcspn(json, "\xc2\xe2"); *json != '\0'; plain = strcspn(json, "\xc2\xe2")) {
        g_string_append_len(text, json, (gssize) plain);
        json += plain;
        gsize i = 0;
        while (i < G_N_ELEMENTS(breaks) && !g_str_has_prefix(json, breaks[i].bytes))
            i++;
        if (i < G_N_ELEMENTS(breaks)) {
            g_string_append(text, breaks[i].escape);
            json += strlen(breaks[i].bytes);
        } else if (*json != '\0') {
            g_string_append_c(text, *json++);
        }
    }
}

/* Takes the text. */
static void stream_text(struct request *request, GString *text)
{
    char head[24];
    if (request->chunked) {
        g_snprintf(head, sizeof head, "%zx\r\n", text->len);
        g_string_prepend(text, head);
        g_string_append(text, "\r\n");
    }
    gsize size = text->len;
    request->pending += size;
    soup_message_body_append_take(soup_server_message_get_response_body(request->message),
                                  (guchar *) g_string_free(text, FALSE), size);
    soup_server_message_unpause(request->message);
}

/* Something between us and the client may close a connection on which nothing comes. */
static gboolean on_quiet(gpointer data)
{
    struct request *request = data;
    if (request->pending == 0)
        stream_text(request, g_string_new(": quiet\n\n"));
    event_source_timeout(&request->quiet, QUIET_MS, on_quiet, request);
    return G_SOURCE_REMOVE;
}

static GString *event_head(struct request *request, const char *name, gsize room)
{
    if (!request->streaming)
        stream_begin(request);
    GString *text = g_string_sized_new(room + 64);
    g_string_append_printf(text, "id: %" G_GUINT64_FORMAT "\nevent: %s\ndata: ", ++request->event, name);
    return text;
}

void request_event_text(struct request *request, const char *name, const char *json)
{
    if (request->answered)
        return;
    GString *text = event_head(request, name, strlen(json));
    append_json(text, json);
    g_string_append(text, "\n\n");
    stream_text(request, text);
    event_source_timeout(&request->quiet, QUIET_MS, on_quiet, request);
}

void request_event(struct request *request, const char *name, struct json_object *object)
{
    request_event_text(request, name, json_text(object));
    json_object_put(object);
}

void request_event_open(struct request *request, const char *name, void (*drained)(struct request *),
                        void (*gone)(struct request *))
{
    event_source_clear(&request->quiet);
    request->drained = drained;
    request->gone = gone;
    stream_text(request, event_head(request, name, 0));
}

void request_event_part(struct request *request, const char *json)
{
    GString *text = g_string_sized_new(strlen(json) + 64);
    append_json(text, json);
    stream_text(request, text);
    connection_progress(request->message, TRUE);
}

void request_event_close(struct request *request)
{
    request->drained = NULL;
    stream_text(request, g_string_new("\n\n"));
    request_event_end(request);
}

void request_stream_open(struct request *request, void (*drained)(struct request *))
{
    stream_begin(request);
    soup_message_headers_replace(soup_server_message_get_response_headers(request->message), "X-Accel-Buffering", "no");
    request->drained = drained;
}

void request_stream_add(struct request *request, const char *bytes, gsize size)
{
    stream_text(request, g_string_new_len(bytes, (gssize) size));
}

void request_event_end(struct request *request)
{
    static const char last[] = "0\r\n\r\n";
    if (request->chunked)
        soup_message_body_append(soup_server_message_get_response_body(request->message), SOUP_MEMORY_STATIC, last,
                                 strlen(last));
    soup_message_body_complete(soup_server_message_get_response_body(request->message));
    request->held = TRUE; /* libsoup pauses a stream by itself whenever it has nothing to write */
    let_go(request);
}

static gboolean on_hangup(GSocket *socket, GIOCondition condition, gpointer data)
{
    struct request *request = data;
    (void) socket;
    (void) condition;
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
    GSource *hangup = connection_hangup_source(request->message);
    if (hangup != NULL)
        event_source_set(&request->hangup, hangup, G_SOURCE_FUNC(on_hangup), request);
}
