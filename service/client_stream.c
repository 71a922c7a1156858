/* SPDX-License-Identifier: MIT */
#include "client_call.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((gsize) 1 << 30)
#define INPUT_PIECE (64 << 10)

/* One execution that is followed, and the side calls about it. */
struct stream {
    dsb_client *client;
    const struct dsb_client_follow *follow;
    struct http side; /* an interrupt or a piece of input */
    gboolean side_busy;
    GByteArray *buffer; /* what came and is not a whole event yet, or the body of an error */
    gsize scanned;
    char *event; /* name of the event that is being read */
    char *id;    /* of the execution */
    struct json_object *result, *failure;
    int cancel_fd, input_fd; /* -1: no longer looked at */
    guint cancels;
    gboolean cancel_wanted, started;
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

static gboolean on_body(void *data, const guint8 *bytes, gsize size)
{
    struct stream *stream = data;
    if (stream->buffer->len + size > LINE_MAX_BYTES)
        return FALSE;
    g_byte_array_append(stream->buffer, bytes, (guint) size);
    if (stream->client->http.answer.events)
        take_lines(stream);
    return TRUE;
}

static gboolean drop_body(void *data, const guint8 *bytes, gsize size)
{
    (void) data;
    (void) bytes;
    (void) size;
    return TRUE;
}

/* --- side calls --------------------------------------------------------------- */

/* What cannot be said any more need not be: the answer of the execution itself tells what happened. */
static void side_call(struct stream *stream, const char *what, const void *body, gsize size)
{
    g_autofree char *path = dsb_client_path("/v1/executions/%s/", stream->id);
    g_autofree char *full = g_strconcat(path, what, NULL);
    stream->side_busy = http_send(&stream->side, "POST", full, size > 0 ? CLIENT_BYTES : NULL, FALSE, body, size, NULL);
    if (!stream->side_busy)
        stream->input_fd = -1;
}

static void read_side(struct stream *stream)
{
    gboolean ok = http_read(&stream->side, NULL);
    int status = stream->side.answer.status;
    if (ok && !stream->side.answer.done)
        return;
    stream->side_busy = FALSE;
    /* The code reads no more: neither do we. */
    if (!ok || status == 409 || status == 404)
        stream->input_fd = -1;
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
    if (stream->side_busy || stream->id == NULL || !stream->cancel_wanted)
        return;
    stream->cancel_wanted = FALSE;
    side_call(stream, "interrupt", "", 0);
}

static gboolean turn(struct stream *stream, GError **error)
{
    struct http *http = &stream->client->http;
    next_side_call(stream);
    gboolean hungry = stream->input_fd >= 0 && stream->started && !stream->side_busy;
    struct pollfd fds[] = {
        {http->fd, POLLIN, 0},
        {stream->side_busy ? stream->side.fd : -1, POLLIN, 0},
        {stream->cancel_fd, POLLIN, 0},
        {hungry ? stream->input_fd : -1, POLLIN, 0},
    };
    if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
        return TRUE;
    if (fds[0].revents != 0 && !http_read(http, error))
        return FALSE;
    if (fds[1].revents != 0)
        read_side(stream);
    if (fds[2].revents != 0)
        read_cancel(stream);
    if (fds[3].revents != 0)
        read_input(stream);
    if (stream->cancels < 2)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled; the execution's end was not waited for");
    return FALSE;
}

static gboolean outcome(struct stream *stream, struct json_object **result, GError **error)
{
    int status = stream->client->http.answer.status;
    if (stream->result != NULL) {
        *result = json_object_get(stream->result);
        return TRUE;
    }
    if (stream->failure != NULL)
        return client_error_of(stream->failure, status, error);
    struct json_object *answer = client_parse(stream->buffer->data, stream->buffer->len);
    client_error_of(answer, status, error);
    json_object_put(answer);
    return FALSE;
}

static void stream_clear(struct stream *stream)
{
    /* The connection of a call that was given up is not to be used again. */
    if (!stream->client->http.answer.done)
        http_close(&stream->client->http);
    http_close(&stream->side);
    g_byte_array_unref(stream->buffer);
    json_object_put(stream->result);
    json_object_put(stream->failure);
    g_free(stream->event);
    g_free(stream->id);
    g_free(stream);
}

gboolean dsb_client_stream(dsb_client *client, const char *path, struct json_object *body,
                           const struct dsb_client_follow *follow, struct json_object **result, GError **error)
{
    struct stream *stream = g_new0(struct stream, 1);
    size_t size = 0;
    if (follow->stdin_fd >= 0)
        json_object_object_add(body, "stdin_open", json_object_new_boolean(TRUE));
    const char *text =
        json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    stream->client = client;
    stream->follow = follow;
    stream->buffer = g_byte_array_new();
    stream->cancel_fd = follow->cancel_fd;
    stream->input_fd = follow->stdin_fd;
    stream->side = (struct http){.path = client->socket, .fd = -1, .answer = {.body = drop_body}};
    client->http.answer.body = on_body;
    client->http.answer.data = stream;
    gboolean ok = http_send(&client->http, "POST", path, CLIENT_JSON, TRUE, text, size, error);
    while (ok && !client->http.answer.done)
        ok = turn(stream, error);
    ok = ok && outcome(stream, result, error);
    stream_clear(stream);
    return ok;
}
