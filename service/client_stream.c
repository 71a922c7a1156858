/* SPDX-License-Identifier: MIT */
#include "client_call.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((gsize) 1 << 30)
#define INPUT_PIECE (64 << 10)
#define POLL_MS 60000

/* One execution that is followed, and the side calls about it. */
struct stream {
    dsb_client *client;
    const struct dsb_client_follow *follow;
    CURLM *multi;
    CURL *main, *side; /* side: an interrupt or a piece of input is on its way */
    struct curl_slist *headers, *side_headers;
    GByteArray *buffer; /* what came and is not a whole event yet, or the body of an error */
    gsize scanned;
    char *event; /* name of the event that is being read */
    char *id;    /* of the execution */
    struct json_object *result, *failure;
    int cancel_fd, input_fd; /* -1: no longer looked at */
    guint cancels;
    gboolean cancel_wanted, started, input_end_wanted, done;
    CURLcode outcome;
    guint8 input[INPUT_PIECE];
};

static void give_output(const struct stream *stream, int number, struct json_object *json)
{
    struct json_object *value = NULL;
    if (stream->follow->output == NULL)
        return;
    if (json_object_object_get_ex(json, "text", &value)) {
        stream->follow->output(stream->follow->data, number, json_object_get_string(value),
                               (gsize) json_object_get_string_len(value));
    } else if (json_object_object_get_ex(json, "base64", &value)) {
        gsize size = 0;
        g_autofree guchar *bytes = g_base64_decode(json_object_get_string(value), &size);
        stream->follow->output(stream->follow->data, number, bytes, size);
    }
}

static void take_event(struct stream *stream, const char *text, gsize size)
{
    struct json_object *json = client_parse(text, size), *id = NULL;
    const char *name = stream->event != NULL ? stream->event : "";
    if (json == NULL)
        return;
    if (stream->follow->event != NULL)
        stream->follow->event(stream->follow->data, name, json);
    if (strcmp(name, "stdout") == 0) {
        give_output(stream, 1, json);
    } else if (strcmp(name, "stderr") == 0) {
        give_output(stream, 2, json);
    } else if (strcmp(name, "accepted") == 0 && json_object_object_get_ex(json, "id", &id)) {
        g_free(stream->id);
        stream->id = g_strdup(json_object_get_string(id));
    } else if (strcmp(name, "started") == 0) {
        stream->started = TRUE;
    } else if (strcmp(name, "result") == 0 && stream->result == NULL) {
        stream->result = json_object_get(json);
    } else if (strcmp(name, "error") == 0 && stream->failure == NULL) {
        stream->failure = json_object_get(json);
    }
    json_object_put(json);
}

static void take_line(struct stream *stream, const char *line, gsize size)
{
    if (size > 6 && memcmp(line, "event:", 6) == 0) {
        g_free(stream->event);
        stream->event = g_strstrip(g_strndup(line + 6, size - 6));
    } else if (size > 5 && memcmp(line, "data:", 5) == 0) {
        take_event(stream, line + 5, size - 5);
    }
}

/* Our service's events have one line of data each. */
static void take_lines(struct stream *stream)
{
    gsize begin = 0;
    const guint8 *newline;
    GByteArray *buffer = stream->buffer;
    while ((newline = memchr(buffer->data + stream->scanned, '\n', buffer->len - stream->scanned)) != NULL) {
        gsize end = (gsize) (newline - buffer->data);
        take_line(stream, (const char *) buffer->data + begin, end - begin);
        begin = stream->scanned = end + 1;
    }
    if (begin > 0)
        g_byte_array_remove_range(buffer, 0, (guint) begin);
    stream->scanned = buffer->len;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
    struct stream *stream = data;
    const char *type = NULL;
    (void) one;
    if (stream->buffer->len + size > LINE_MAX_BYTES)
        return 0;
    g_byte_array_append(stream->buffer, (const guint8 *) bytes, (guint) size);
    curl_easy_getinfo(stream->main, CURLINFO_CONTENT_TYPE, &type);
    if (type != NULL && g_str_has_prefix(type, "text/event-stream"))
        take_lines(stream);
    return size;
}

static size_t drop_body(char *bytes, size_t one, size_t size, void *data)
{
    (void) bytes;
    (void) one;
    (void) data;
    return size;
}

/* --- side calls --------------------------------------------------------------- */

static void side_call(struct stream *stream, const char *what, const void *body, gsize size)
{
    g_autofree char *path = dsb_client_path("/v1/executions/%s/", stream->id);
    g_autofree char *full = g_strconcat(path, what, NULL);
    stream->side = client_handle(stream->client);
    if (stream->side == NULL)
        return;
    client_request(stream->side, "POST", full, body, size);
    curl_easy_setopt(stream->side, CURLOPT_HTTPHEADER, stream->side_headers);
    curl_easy_setopt(stream->side, CURLOPT_WRITEFUNCTION, drop_body);
    curl_multi_add_handle(stream->multi, stream->side);
}

static void read_input(struct stream *stream)
{
    ssize_t n = read(stream->input_fd, stream->input, sizeof stream->input);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        stream->input_fd = -1;
    side_call(stream, n > 0 ? "stdin" : "stdin?end=1", stream->input, n > 0 ? (gsize) n : 0);
}

static void read_cancel(struct stream *stream)
{
    char byte;
    ssize_t n = read(stream->cancel_fd, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        stream->cancel_fd = -1;
    stream->cancels++;
    stream->cancel_wanted = TRUE;
}

/* One side call at a time; an interrupt goes before the next piece of input. */
static void next_side_call(struct stream *stream)
{
    if (stream->side != NULL || stream->id == NULL)
        return;
    if (stream->cancel_wanted) {
        stream->cancel_wanted = FALSE;
        side_call(stream, "interrupt", "", 0);
    }
}

static void reap(struct stream *stream)
{
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(stream->multi, &left)) != NULL) {
        CURL *curl = message->easy_handle;
        CURLcode outcome = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        if (curl == stream->main) {
            stream->done = TRUE;
            stream->outcome = outcome;
        } else {
            long status = 0;
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
            /* The code reads no more: neither do we. */
            if (status == 409 || status == 404)
                stream->input_fd = -1;
            curl_multi_remove_handle(stream->multi, curl);
            curl_easy_cleanup(curl);
            stream->side = NULL;
        }
    }
}

static gboolean turn(struct stream *stream, GError **error)
{
    int running = 0;
    curl_multi_perform(stream->multi, &running);
    reap(stream);
    if (stream->done)
        return TRUE;
    next_side_call(stream);
    gboolean hungry = stream->input_fd >= 0 && stream->started && stream->side == NULL;
    struct curl_waitfd fds[2];
    unsigned n = 0;
    int cancel_at = -1, input_at = -1;
    if (stream->cancel_fd >= 0) {
        cancel_at = (int) n;
        fds[n++] = (struct curl_waitfd){ stream->cancel_fd, CURL_WAIT_POLLIN, 0 };
    }
    if (hungry) {
        input_at = (int) n;
        fds[n++] = (struct curl_waitfd){ stream->input_fd, CURL_WAIT_POLLIN, 0 };
    }
    curl_multi_poll(stream->multi, fds, n, stream->side != NULL && running < 2 ? 0 : POLL_MS, NULL);
    if (cancel_at >= 0 && fds[cancel_at].revents != 0)
        read_cancel(stream);
    if (input_at >= 0 && fds[input_at].revents != 0)
        read_input(stream);
    if (stream->cancels < 2)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled; the execution's end was not waited for");
    return FALSE;
}

static gboolean outcome(struct stream *stream, struct json_object **result, GError **error)
{
    long status = 0;
    if (stream->result != NULL) {
        *result = json_object_get(stream->result);
        return TRUE;
    }
    curl_easy_getinfo(stream->main, CURLINFO_RESPONSE_CODE, &status);
    if (stream->failure != NULL)
        return client_error_of(stream->failure, status, error);
    if (stream->outcome != CURLE_OK)
        return client_curl_error(stream->client, stream->outcome, error);
    struct json_object *answer = client_parse(stream->buffer->data, stream->buffer->len);
    client_error_of(answer, status, error);
    json_object_put(answer);
    return FALSE;
}

static void stream_clear(struct stream *stream)
{
    if (stream->side != NULL) {
        curl_multi_remove_handle(stream->multi, stream->side);
        curl_easy_cleanup(stream->side);
    }
    curl_multi_remove_handle(stream->multi, stream->main);
    curl_easy_setopt(stream->main, CURLOPT_HTTPHEADER, NULL);
    curl_multi_cleanup(stream->multi);
    /* The connection of a call that was given up is not to be used again. */
    if (!stream->done) {
        curl_easy_cleanup(stream->client->curl);
        stream->client->curl = client_handle(stream->client);
    }
    curl_slist_free_all(stream->headers);
    curl_slist_free_all(stream->side_headers);
    g_byte_array_unref(stream->buffer);
    json_object_put(stream->result);
    json_object_put(stream->failure);
    g_free(stream->event);
    g_free(stream->id);
    g_free(stream);
}

static struct curl_slist *slist(const char *first, ...)
{
    struct curl_slist *list = NULL;
    va_list args;
    va_start(args, first);
    for (const char *text = first; text != NULL; text = va_arg(args, const char *))
        list = curl_slist_append(list, text);
    va_end(args);
    return list;
}

gboolean dsb_client_stream(dsb_client *client, const char *path, struct json_object *body,
                           const struct dsb_client_follow *follow, struct json_object **result, GError **error)
{
    struct stream *stream = g_new0(struct stream, 1);
    size_t size = 0;
    gboolean ok = TRUE;
    if (follow->stdin_fd >= 0)
        json_object_object_add(body, "stdin_open", json_object_new_boolean(TRUE));
    const char *text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    stream->client = client;
    stream->follow = follow;
    stream->multi = curl_multi_init();
    stream->main = client->curl;
    stream->headers = slist("Content-Type: application/json", "Accept: text/event-stream", "Expect:", NULL);
    stream->side_headers = slist("Content-Type: application/octet-stream", "Expect:", NULL);
    stream->buffer = g_byte_array_new();
    stream->cancel_fd = follow->cancel_fd;
    stream->input_fd = follow->stdin_fd;
    client->problem[0] = '\0';
    client_request(client->curl, "POST", path, text, size);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, stream->headers);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, stream);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, 0L);
    curl_multi_add_handle(stream->multi, client->curl);
    while (ok && !stream->done)
        ok = turn(stream, error);
    ok = ok && outcome(stream, result, error);
    stream_clear(stream);
    return ok;
}
