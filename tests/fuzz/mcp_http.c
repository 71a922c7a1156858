/* SPDX-License-Identifier: MIT */
/* A message to /mcp with the fields beside it, a line each and in this order: version, method, name; then the body. */
#include "fuzz.h"
#include "mcp/http.h"

#include <string.h>

/* NULL: the line is "-". */
static char *line(const char **at, const char *end)
{
    const char *newline = memchr(*at, '\n', (gsize) (end - *at)), *stop = newline != NULL ? newline : end;
    char *text = g_strndup(*at, (gsize) (stop - *at));
    *at = newline != NULL ? newline + 1 : end;
    if (strcmp(text, "-") == 0)
        g_clear_pointer(&text, g_free);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *) data, *end = at + size;
    g_autofree char *version = line(&at, end), *method = line(&at, end), *about = line(&at, end);
    const struct mcp_fields fields = {version, method, about, NULL};
    g_autofree char *body = g_strndup(at, (gsize) (end - at));
    struct mcp_message *message = mcp_read(body, (gsize) (end - at));
    gboolean was_bad = message->kind == MCP_BAD;
    mcp_http_check(message, &fields);
    PROMISE(!was_bad || message->kind == MCP_BAD);
    PROMISE(message->kind != MCP_BAD || message->problem != NULL);
    if (message->kind == MCP_REQUEST && message->modern)
        PROMISE(g_strcmp0(version, MCP_MODERN_VERSION) == 0 && g_strcmp0(method, message->method) == 0);
    mcp_message_free(message);
    return 0;
}
