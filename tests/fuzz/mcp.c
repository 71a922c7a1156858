/* SPDX-License-Identifier: MIT */
/* Lines from a client of the MCP server: all that it says before a tool is called, and calls that end at once. */
#include "common/strictjson.h"
#include "fuzz.h"
#include "mcp/server.h"

#include <string.h>

static struct mcp_call *calls[MCP_CALLS_MAX];
static guint n_calls, n_lines;

/* What we say is one message a line, with one of result, error and method. */
static void on_send(void *data, void *origin, enum mcp_sent what, char *line)
{
    (void) data;
    (void) origin;
    PROMISE((what == MCP_SENT_NOTHING) == (line == NULL));
    if (line == NULL)
        return;
    g_autoptr(dsb_json) said = dsb_json_parse_request(line, strlen(line), 64, "line", DSB_ERROR_INVALID, NULL);
    PROMISE(said != NULL && strchr(line, '\n') == NULL);
    int kinds = json_object_object_get_ex(said, "result", NULL) + json_object_object_get_ex(said, "error", NULL) +
                json_object_object_get_ex(said, "method", NULL);
    PROMISE(kinds == 1);
    PROMISE(json_object_object_get_ex(said, "id", NULL) || !json_object_object_get_ex(said, "result", NULL));
    n_lines++;
    g_free(line);
}

static void on_begin(void *data, struct mcp_call *call)
{
    (void) data;
    PROMISE(n_calls < MCP_CALLS_MAX && call->message->id != NULL && call->run != NULL);
    PROMISE(g_str_has_prefix(call->work.session, MCP_SESSION_PREFIX));
    calls[n_calls++] = call;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mcp_setup setup = {
        .settings = (char *) "{}",
        .session = (char *) "mcp-own",
        .shown = (char *) "own",
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
    struct mcp_server server;
    struct mcp_peer peer = {.name = ""};
    const char *at = (const char *) data, *end = at + size;
    mcp_server_init(&server, &setup);
    server.send = on_send;
    server.begin = on_begin;
    n_calls = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (gsize) (end - at));
        const char *stop = newline != NULL ? newline : end;
        guint before = n_lines;
        g_autofree char *line = g_strndup(at, (gsize) (stop - at));
        mcp_server_take(&server, &peer, NULL, mcp_read(line, (gsize) (stop - at)));
        PROMISE(n_lines - before <= 1);
        at = newline != NULL ? newline + 1 : end;
    }
    for (guint i = 0; i < n_calls; i++)
        mcp_server_done(&server, calls[i]);
    PROMISE(g_hash_table_size(server.calls) == 0);
    mcp_server_clear(&server);
    return 0;
}
