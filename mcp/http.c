/* SPDX-License-Identifier: MIT */
#include "mcp/http.h"

#include "common/strictjson.h"

#include <string.h>

#define BASE64_BEGIN "=?base64?"
#define BASE64_END "?="

gboolean mcp_http_is_first(const struct mcp_message *message)
{
    return message->kind == MCP_REQUEST && !message->modern && strcmp(message->method, "initialize") == 0;
}

static void differ(struct mcp_message *message, const char *field, const char *what)
{
    mcp_message_refuse(message, MCP_HEADERS_DIFFER,
                       g_strdup_printf("Header mismatch: %s must be there and say %s", field, what));
}

/* What a field says that cannot have any text as it is (g_free); NULL: that is no text. */
static char *decode(const char *value)
{
    gsize size = strlen(value), frame = strlen(BASE64_BEGIN BASE64_END), length = 0;
    if (size < frame || !g_str_has_prefix(value, BASE64_BEGIN) || !g_str_has_suffix(value, BASE64_END))
        return g_strdup(value);
    g_autofree char *base64 = g_strndup(value + strlen(BASE64_BEGIN), size - frame);
    g_autofree guchar *bytes = g_base64_decode(base64, &length);
    gboolean good = length > 0 && g_utf8_validate_len((const char *) bytes, length, NULL);
    return good ? g_strndup((const char *) bytes, length) : NULL;
}

static gboolean names_something(const char *method)
{
    static const char *const methods[] = {"tools/call", "resources/read", "prompts/get", NULL};
    return g_strv_contains(methods, method);
}

static gboolean is_about(const char *field, const char *about)
{
    g_autofree char *text = field != NULL ? decode(field) : NULL;
    return text != NULL && g_strcmp0(text, about) == 0;
}

static void check_modern(struct mcp_message *message, const struct mcp_fields *fields)
{
    const char *said = mcp_message_version(message), *about = mcp_message_about(message);
    if (said != NULL && g_strcmp0(fields->version, said) != 0)
        differ(message, "MCP-Protocol-Version", "the version of params._meta");
    else if (message->kind == MCP_BAD)
        return;
    else if (g_strcmp0(fields->method, message->method) != 0)
        differ(message, "Mcp-Method", "the method");
    else if (names_something(message->method) && about != NULL && !is_about(fields->about, about))
        differ(message, "Mcp-Name", "params.name or params.uri");
}

void mcp_http_check(struct mcp_message *message, const struct mcp_fields *fields)
{
    gboolean modern_field = g_strcmp0(fields->version, MCP_MODERN_VERSION) == 0;
    if (message->method == NULL || message->kind == MCP_RESPONSE)
        return;
    if (message->modern) {
        check_modern(message, fields);
    } else if (modern_field && message->id != NULL) {
        mcp_message_refuse(message, MCP_INVALID_PARAMS,
                           g_strdup("a request of this version needs params._meta with "
                                    "io.modelcontextprotocol/protocolVersion and clientCapabilities"));
    } else if (modern_field) {
        if (fields->method != NULL && strcmp(fields->method, message->method) != 0)
            differ(message, "Mcp-Method", "the method");
    } else if (!mcp_http_is_first(message) && fields->version != NULL && !mcp_is_legacy_version(fields->version)) {
        g_autofree char *shown = dsb_quoted(fields->version);
        mcp_message_refuse(message, MCP_INVALID_REQUEST,
                           g_strdup_printf("MCP-Protocol-Version %s is not known", shown));
    }
}

guint mcp_http_status(enum mcp_sent what, gboolean modern)
{
    if (what == MCP_SENT_BAD)
        return 400;
    return what == MCP_SENT_NO_METHOD && modern ? 404 : 200;
}
