/* SPDX-License-Identifier: MIT */
/* One HTTP request and its answer. */
#include "front/front.h"

#include "common/json.h"
#include "mcp/http.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#define QUIET_MS 10000         /* without a word: what is between us and the client may close the connection */
#define OUTPUT_BUSY (1u << 20) /* that the client has not read: then progress is not worth a message */

struct exchange {
    struct front *front;
    int fd;
    struct mcp_peer peer; /* of the modern era, where a request is all that we know of its client */
    char *name;
    struct visitor *visitor; /* of one whose `initialize` this is */
    gboolean modern, json, events;
    gboolean streaming, ended; /* the head has gone out, for events; all of the answer is there */
    GString *output;
    gsize written;
    struct event_source io, quiet;
};

void exchange_free(struct exchange *exchange)
{
    event_source_clear(&exchange->io);
    event_source_clear(&exchange->quiet);
    g_queue_remove(&exchange->front->open, exchange);
    /* In the modern era who leaves wants no more of it; in the legacy one that may have been the network. */
    mcp_server_left(&exchange->front->server, exchange, exchange->modern);
    visitor_free(exchange->visitor);
    close(exchange->fd);
    g_string_free(exchange->output, TRUE);
    g_free(exchange->name);
    g_free(exchange);
}

/* --- bytes ------------------------------------------------------------------------- */

static gboolean on_over(void *data)
{
    exchange_free(data);
    return G_SOURCE_REMOVE;
}

static gboolean on_io(int fd, GIOCondition condition, void *data);

static void watch(struct exchange *exchange, GIOCondition condition)
{
    event_source_set(&exchange->io, g_unix_fd_source_new(exchange->fd, condition | G_IO_HUP | G_IO_ERR),
                     G_SOURCE_FUNC(on_io), exchange);
}

/* Not at once: whoever has it may still need it. */
static void end_soon(struct exchange *exchange)
{
    event_source_set(&exchange->io, g_idle_source_new(), on_over, exchange);
}

static void flush(struct exchange *exchange)
{
    GString *output = exchange->output;
    ssize_t n = 1;
    while (exchange->written < output->len && n > 0) {
        n = write(exchange->fd, output->str + exchange->written, output->len - exchange->written);
        exchange->written += n > 0 ? (gsize) n : 0;
    }
    if (n < 0 && errno == EAGAIN) {
        watch(exchange, G_IO_OUT);
        return;
    }
    g_string_truncate(output, 0);
    exchange->written = 0;
    if (n < 0 || exchange->ended)
        end_soon(exchange);
    else
        watch(exchange, 0);
}

static gboolean on_io(int fd, GIOCondition condition, void *data)
{
    struct exchange *exchange = data;
    (void) fd;
    if ((condition & (G_IO_HUP | G_IO_ERR)) != 0)
        exchange_free(exchange);
    else
        flush(exchange);
    return G_SOURCE_CONTINUE;
}

static void add_head(struct exchange *exchange, guint status, enum ask_kind kind, gsize size)
{
    struct ask_head head = {.status = status, .kind = kind, .size = size};
    gboolean agreed = exchange->visitor != NULL && exchange->visitor->peer.version != NULL;
    if (agreed) {
        g_strlcpy(head.session, exchange->visitor->id, sizeof head.session);
        visitor_keep(exchange->front, g_steal_pointer(&exchange->visitor));
    }
    g_string_append_len(exchange->output, (const char *) &head, sizeof head);
}

static gboolean on_quiet(void *data);

static void begin_events(struct exchange *exchange)
{
    if (exchange->streaming)
        return;
    exchange->streaming = TRUE;
    add_head(exchange, 200, ASK_EVENTS, 0);
}

static void quiet_later(struct exchange *exchange)
{
    if (exchange->events && !exchange->ended)
        event_source_timeout(&exchange->quiet, QUIET_MS, on_quiet, exchange);
}

static gboolean on_quiet(void *data)
{
    struct exchange *exchange = data;
    begin_events(exchange);
    if (exchange->output->len - exchange->written < OUTPUT_BUSY)
        g_string_append(exchange->output, ": quiet\n\n");
    flush(exchange);
    quiet_later(exchange);
    return G_SOURCE_REMOVE;
}

static void end(struct exchange *exchange)
{
    exchange->ended = TRUE;
    event_source_clear(&exchange->quiet);
    flush(exchange);
}

static void answer_empty(struct exchange *exchange, guint status)
{
    add_head(exchange, status, ASK_EMPTY, 0);
    end(exchange);
}

static void answer_json(struct exchange *exchange, guint status, const char *text)
{
    add_head(exchange, status, ASK_JSON, strlen(text));
    g_string_append(exchange->output, text);
    end(exchange);
}

static void answer_error(struct exchange *exchange, guint status, const char *id, const char *problem)
{
    g_autofree char *text = mcp_write_error(id, MCP_INVALID_REQUEST, problem, NULL);
    answer_json(exchange, status, text);
}

/* --- what the server says ------------------------------------------------------------ */

static void add_event(struct exchange *exchange, const char *line)
{
    begin_events(exchange);
    g_string_append(exchange->output, "event: message\ndata: ");
    g_string_append(exchange->output, line);
    g_string_append(exchange->output, "\n\n");
}

void exchange_send(void *data, void *origin, enum mcp_sent what, char *text)
{
    struct exchange *exchange = origin;
    g_autofree char *line = text;
    (void) data;
    if (exchange == NULL || exchange->ended)
        return;
    if (what == MCP_SENT_PROGRESS) {
        if (!exchange->events || exchange->output->len - exchange->written > OUTPUT_BUSY)
            return;
        add_event(exchange, line);
        flush(exchange);
        quiet_later(exchange);
    } else if (what == MCP_SENT_NOTHING && !exchange->streaming) {
        answer_empty(exchange, 202);
    } else if (what == MCP_SENT_NOTHING) {
        end(exchange);
    } else if (exchange->streaming || !exchange->json) {
        add_event(exchange, line);
        end(exchange);
    } else {
        answer_json(exchange, mcp_http_status(what, exchange->modern), line);
    }
}

/* --- requests -------------------------------------------------------------------------- */

static void take(struct exchange *exchange, struct mcp_peer *peer, struct mcp_message *message)
{
    gboolean silent = message->kind == MCP_NOTIFICATION || message->kind == MCP_RESPONSE;
    mcp_server_take(&exchange->front->server, peer, exchange, message);
    if (!exchange->ended && silent)
        answer_empty(exchange, 202);
    else
        quiet_later(exchange);
}

/* A notification that is wrong: the server has no answer to it, HTTP has. */
static void refuse(struct exchange *exchange, struct mcp_message *message)
{
    g_autofree char *text =
        mcp_write_error(message->id, message->code, message->problem, json_object_get(message->data));
    answer_json(exchange, 400, text);
    mcp_message_free(message);
}

static void take_legacy(struct exchange *exchange, const struct ask *ask, struct mcp_message *message)
{
    struct front *front = exchange->front;
    struct visitor *visitor = ask->session != NULL ? visitor_find(front, ask->session) : NULL;
    if (mcp_http_is_first(message)) {
        exchange->visitor = visitor_new();
        take(exchange, &exchange->visitor->peer, message);
    } else if (visitor != NULL) {
        take(exchange, &visitor->peer, message);
    } else {
        gboolean missing = ask->session == NULL;
        answer_error(exchange, missing ? 400 : 404, message->id,
                     missing ? "a request needs params._meta with io.modelcontextprotocol/protocolVersion and "
                               "clientCapabilities, or the Mcp-Session-Id that 'initialize' gave"
                             : "there is no such Mcp-Session-Id: initialize again");
        mcp_message_free(message);
    }
}

static void post(struct exchange *exchange, const struct ask *ask)
{
    const struct mcp_fields fields = {
        .version = ask->version, .method = ask->mcp_method, .about = ask->mcp_name, .session = ask->session};
    struct mcp_message *message = mcp_read(ask->body, ask->size);
    mcp_http_check(message, &fields);
    exchange->modern = message->modern || g_strcmp0(ask->version, MCP_MODERN_VERSION) == 0;
    if (message->kind == MCP_BAD)
        refuse(exchange, message);
    else if (exchange->modern)
        take(exchange, &exchange->peer, message);
    else
        take_legacy(exchange, ask, message);
}

static void delete(struct exchange *exchange, const struct ask *ask)
{
    if (ask->session == NULL)
        answer_empty(exchange, 405);
    else
        answer_empty(exchange, g_hash_table_remove(exchange->front->visitors, ask->session) ? 204 : 404);
}

static gboolean is_json(const char *type)
{
    g_auto(GStrv) parts = g_strsplit(type != NULL ? type : "", ";", 2);
    return parts[0] != NULL && g_ascii_strcasecmp(g_strstrip(parts[0]), "application/json") == 0;
}

void exchange_begin(struct front *front, const struct ask *ask, int fd)
{
    struct exchange *exchange = g_new0(struct exchange, 1);
    *exchange = (struct exchange){.front = front, .fd = fd, .json = ask->json, .events = ask->events};
    exchange->name = g_strdup_printf("%" G_GUINT64_FORMAT ":", ++front->exchanges);
    exchange->peer.name = exchange->name;
    exchange->output = g_string_new(NULL);
    g_queue_push_tail(&front->open, exchange);
    watch(exchange, 0);
    if (strcmp(ask->method, "DELETE") == 0)
        delete (exchange, ask);
    else if (!is_json(ask->type))
        answer_error(exchange, 415, NULL, "Content-Type must be application/json");
    else if (!ask->json && !ask->events)
        answer_error(exchange, 406, NULL, "Accept must have application/json, or text/event-stream, or both");
    else
        post(exchange, ask);
}
