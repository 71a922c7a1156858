/* SPDX-License-Identifier: MIT */
/* One execution, from its request by its events to its result. */
#include "client/alive.h"
#include "client/internal.h"
#include "client/service_lock.h"
#include "client/socket_path.h"
#include "common/json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((gsize) 1 << 30)
#define INPUT_PIECE (64 << 10)
#define INPUT "stdin"
#define WINDOW "window"
#define WINDOWS_AT_ONCE 256
#define CANCEL_MS 15000      /* for the result of what was cancelled */
#define CANCEL_PROBE_MS 3000 /* for a word of the service, when somebody waits for the end */

/* One execution that is followed, and the side calls about it. */
struct stream {
    dsb_client *client;
    const struct dsb_client_follow *follow;
    struct http side; /* an interrupt or a piece of input */
    struct watch watch;
    gboolean side_busy, side_feeds;
    GByteArray *buffer; /* what came and is not a whole event yet, or the body of an error */
    gsize scanned;
    char *event; /* name of the event that is being read */
    char *id;    /* of the execution */
    struct json_object *result, *failure;
    int cancel_fd, input_fd, window_fd; /* -1: no longer looked at */
    guint cancels;
    gint64 give_up; /* monotonic; 0: nobody wants the end yet */
    gboolean cancel_wanted, started;
    gsize given[2];    /* bytes of stdout and stderr that went on */
    gint64 dropped[2]; /* what the service left out: we were too slow. What follows it comes with the result */
    guint8 input[INPUT_PIECE];
};

static gboolean has_terminal(const struct stream *stream) { return stream->follow->window_fd >= 0; }

/* Bytes that are in the object as they are, or in base64; NULL: neither. */
static GBytes *bytes_of(struct json_object *json, const char *plain, const char *encoded)
{
    gsize size = 0;
    if (json_string(json, encoded) != NULL) {
        guchar *bytes = g_base64_decode(json_string(json, encoded), &size);
        return g_bytes_new_take(bytes, size);
    }
    const char *text = json_string(json, plain);
    return text != NULL ? g_bytes_new(text, (gsize) json_object_get_string_len(json_member(json, plain))) : NULL;
}

/* From byte `from` on. */
static void give(struct stream *stream, int number, GBytes *bytes, gsize from)
{
    gsize size = 0;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    if (from >= size)
        return;
    stream->given[number - 1] += size - from;
    stream->follow->output(stream->follow->data, number, data + from, size - from);
}

static void give_output(struct stream *stream, int number, struct json_object *json)
{
    /* A terminal shows what comes now, also behind a gap. */
    if (stream->follow->output == NULL || (stream->dropped[number - 1] > 0 && !has_terminal(stream)))
        return;
    g_autoptr(GBytes) bytes = bytes_of(json, "text", "base64");
    if (bytes != NULL)
        give(stream, number, bytes, 0);
}

static void take_dropped(struct stream *stream, struct json_object *json)
{
    int number = g_strcmp0(json_string(json, "stream"), "stderr") == 0 ? 2 : 1;
    stream->dropped[number - 1] += MAX(json_int(json, "bytes"), 1);
}

/* The result has all that was kept: what was left out on the way is made up for, in its order. */
static void give_rest(struct stream *stream, int number)
{
    const char *name = number == 1 ? "stdout" : "stderr";
    g_autofree char *encoded = g_strconcat(name, "_base64", NULL);
    if (stream->dropped[number - 1] == 0 || has_terminal(stream))
        return;
    g_autoptr(GBytes) kept = bytes_of(stream->result, name, encoded);
    if (kept != NULL && stream->follow->output != NULL)
        give(stream, number, kept, stream->given[number - 1]);
    if (kept != NULL)
        stream->dropped[number - 1] = 0;
}

/* What is lost is said, whatever the outcome. */
static void tell_lost(struct stream *stream, int number)
{
    if (stream->dropped[number - 1] == 0 || stream->follow->event == NULL)
        return;
    struct json_object *gap = json_object_new_object();
    json_add(gap, "stream", number == 1 ? "stdout" : "stderr");
    json_add_int(gap, "bytes", stream->dropped[number - 1]);
    stream->follow->event(stream->follow->data, "dropped", gap);
    json_object_put(gap);
}

static void take_event(struct stream *stream, const char *text, gsize size)
{
    struct json_object *json = client_parse(text, size), *id = NULL;
    const char *name = stream->event != NULL ? stream->event : "";
    if (json == NULL)
        return;
    if (strcmp(name, "dropped") == 0)
        take_dropped(stream, json);
    else if (stream->follow->event != NULL)
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
        give_rest(stream, 1);
        give_rest(stream, 2);
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
    const char *type = size == 0 ? NULL : strcmp(what, WINDOW) == 0 ? CLIENT_JSON : CLIENT_BYTES;
    stream->side_busy = http_send(&stream->side, "POST", full, type, FALSE, body, size, NULL);
    stream->side_feeds = g_str_has_prefix(what, INPUT);
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
    if (!ok || (stream->side_feeds && (status == 409 || status == 404)))
        stream->input_fd = -1;
}

static void read_input(struct stream *stream)
{
    ssize_t n = read(stream->input_fd, stream->input, sizeof stream->input);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        stream->input_fd = -1;
    side_call(stream, n > 0 ? INPUT : INPUT "?end=1", stream->input, n > 0 ? (gsize) n : 0);
}

static void read_window(struct stream *stream)
{
    guint16 sizes[WINDOWS_AT_ONCE][2];
    ssize_t n = read(stream->window_fd, sizes, sizeof sizes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0 || (gsize) n % sizeof *sizes != 0) {
        stream->window_fd = -1;
        return;
    }
    const guint16 *last = sizes[(gsize) n / sizeof *sizes - 1]; /* while it is dragged there are many */
    g_autofree char *body = g_strdup_printf("{\"rows\":%u,\"columns\":%u}", last[0], last[1]);
    side_call(stream, WINDOW, body, strlen(body));
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

static int ms_left(const struct stream *stream)
{
    int ms = watch_ms(&stream->watch);
    if (stream->give_up == 0)
        return ms;
    return (int) MIN(ms, MAX(0, stream->give_up - g_get_monotonic_time()) / 1000 + 1);
}

static gboolean cancelled(const char *how, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled; %s", how);
    return FALSE;
}

/* The first one asks, and waits for what the code says to it. */
static gboolean take_cancel(struct stream *stream, GError **error)
{
    read_cancel(stream);
    if (stream->cancels == 0)
        return TRUE;
    if (stream->cancels > 1)
        return cancelled("the execution's end was not waited for", error);
    if (stream->id == NULL) /* who goes away cancels what waits */
        return cancelled("the service had not taken the code yet", error);
    stream->give_up = g_get_monotonic_time() + CANCEL_MS * INT64_C(1000);
    watch_hurry(&stream->watch, CANCEL_PROBE_MS);
    return TRUE;
}

/* It is over with the result: what may come after it tells nothing, and may never come. */
static gboolean is_over(const struct stream *stream)
{
    return stream->client->http.answer.done || stream->result != NULL || stream->failure != NULL;
}

static gboolean turn(struct stream *stream, GError **error)
{
    struct http *http = &stream->client->http;
    next_side_call(stream);
    gboolean can_feed = stream->started && !stream->side_busy;
    struct pollfd fds[] = {
        {http->fd, POLLIN, 0},
        {stream->side_busy ? stream->side.fd : -1, POLLIN, 0},
        {stream->cancel_fd, POLLIN, 0},
        {can_feed ? stream->input_fd : -1, POLLIN, 0},
        {watch_fd(&stream->watch), POLLIN, 0},
        {can_feed ? stream->window_fd : -1, POLLIN, 0},
    };
    if (poll(fds, G_N_ELEMENTS(fds), ms_left(stream)) < 0)
        return TRUE;
    if (fds[0].revents != 0) {
        watch_heard(&stream->watch);
        if (!http_read(http, error))
            return FALSE;
        if (is_over(stream))
            return TRUE;
    }
    /* Not in the place of what goes there: what comes may never end. */
    if (fds[1].revents != 0)
        read_side(stream);
    if (fds[5].revents != 0)
        read_window(stream);
    else if (fds[3].revents != 0)
        read_input(stream);
    if (fds[2].revents != 0 && !take_cancel(stream, error))
        return FALSE;
    if (stream->give_up != 0 && g_get_monotonic_time() > stream->give_up)
        return cancelled("its end took too long to be waited for", error);
    return watch_turn(&stream->watch, fds[4].revents != 0, error);
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

/* Nothing ran: the service was told to end before the sandbox was there. It has nothing to do with us. */
static gboolean was_ended(const struct stream *stream)
{
    struct lock_holder holder;
    if (stream->cancels > 0 || g_strcmp0(json_string(stream->result, "status"), "cancelled") != 0)
        return FALSE;
    return g_strcmp0(json_string(json_member(stream->result, "failure"), "code"), "cancelled") == 0 &&
           lock_holder(stream->client->socket, &holder, NULL) && (holder.pid < 0 || holder.ending);
}

static gboolean result_of(struct stream *stream, struct json_object **result, GError **error)
{
    if (!was_ended(stream))
        return outcome(stream, result, error);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, SERVICE_ENDING "; the code was not run");
    return FALSE;
}

static void stream_clear(struct stream *stream)
{
    /* The connection of a call that was given up is not to be used again. */
    if (!stream->client->http.answer.done)
        http_close(&stream->client->http);
    stream->client->http.cancel_fd = -1;
    http_close(&stream->side);
    watch_end(&stream->watch);
    g_byte_array_unref(stream->buffer);
    json_object_put(stream->result);
    json_object_put(stream->failure);
    g_free(stream->event);
    g_free(stream->id);
    g_free(stream);
}

static struct stream *stream_new(dsb_client *client, const struct dsb_client_follow *follow)
{
    struct stream *stream = g_new0(struct stream, 1);
    stream->client = client;
    stream->follow = follow;
    stream->buffer = g_byte_array_new();
    stream->cancel_fd = follow->cancel_fd;
    stream->input_fd = follow->stdin_fd;
    stream->window_fd = follow->window_fd;
    stream->side = (struct http){.path = client->socket, .fd = -1, .cancel_fd = -1, .answer = {.body = drop_body}};
    client->http.answer.body = on_body;
    client->http.answer.data = stream;
    client->http.cancel_fd = follow->cancel_fd;
    watch_begin(&stream->watch, client->socket);
    return stream;
}

static gboolean follow_once(dsb_client *client, const char *path, struct json_object *body,
                            const struct dsb_client_follow *follow, struct json_object **result, GError **error)
{
    size_t size = 0;
    const char *text =
        json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    struct stream *stream = stream_new(client, follow);
    gboolean ok = http_send(&client->http, "POST", path, CLIENT_JSON, TRUE, text, size, error);
    while (ok && !is_over(stream))
        ok = turn(stream, error);
    tell_lost(stream, 1);
    tell_lost(stream, 2);
    ok = ok && result_of(stream, result, error);
    stream_clear(stream);
    return ok;
}

gboolean dsb_client_stream(dsb_client *client, const char *path, struct json_object *body,
                           const struct dsb_client_follow *follow, struct json_object **result, GError **error)
{
    guint tries = CLIENT_TRIES;
    GError *local = NULL;
    gboolean ok;
    if (follow->stdin_fd >= 0)
        json_add_bool(body, "stdin_open", TRUE);
    do
        ok = follow_once(client, path, body, follow, result, &local);
    while (!ok && client_again(client, &tries, &local));
    if (!ok)
        g_propagate_error(error, local);
    return ok;
}
