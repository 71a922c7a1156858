/* SPDX-License-Identifier: MIT */
/* Messages of the Model Context Protocol, read and written. */
#include "mcp/codec.h"

#include "common/json.h"
#include "common/strictjson.h"

#include <dsandbox/dsandbox.h>
#include <string.h>

#define ID_BYTES_MAX 256
#define ID_NUMBER_MAX ((INT64_C(1) << 53) - 1) /* what every reader has exactly */
#define META_VERSION "io.modelcontextprotocol/protocolVersion"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define META_SERVER "io.modelcontextprotocol/serverInfo"
#define HOUR_MS 3600000

/* The newest first. */
static const char *const legacy_versions[] = {"2025-11-25", "2025-06-18", "2025-03-26"};

/* --- read ----------------------------------------------------------------------- */

/* Takes the texts. */
static void set_bad(struct mcp_message *message, enum mcp_code code, char *problem)
{
    message->kind = MCP_BAD;
    message->code = code;
    g_free(message->problem);
    message->problem = problem;
}

/* A text or a whole number, of which a copy as JSON is the same in every reader; NULL: it is neither. */
static char *id_text(struct json_object *id)
{
    gboolean good = FALSE;
    if (json_object_is_type(id, json_type_string))
        good = json_object_get_string_len(id) <= ID_BYTES_MAX;
    else if (json_object_is_type(id, json_type_int))
        good = json_object_get_int64(id) >= -ID_NUMBER_MAX && json_object_get_int64(id) <= ID_NUMBER_MAX;
    return good ? g_strdup(json_text(id)) : NULL;
}

static void check_version(struct mcp_message *message, struct json_object *meta)
{
    struct json_object *version = json_member(meta, META_VERSION);
    if (!json_object_is_type(version, json_type_string)) {
        set_bad(message, MCP_INVALID_PARAMS, g_strdup("params._meta." META_VERSION " must be a text"));
    } else if (strcmp(json_object_get_string(version), MCP_MODERN_VERSION) != 0) {
        struct json_object *supported = json_object_new_array();
        json_object_array_add(supported, json_object_new_string(MCP_MODERN_VERSION));
        message->data = json_object_new_object();
        json_object_object_add(message->data, "supported", supported);
        json_object_object_add(message->data, "requested", json_object_get(version));
        set_bad(message, MCP_NO_VERSION, g_strdup("Unsupported protocol version"));
    } else if (!json_object_is_type(json_member(meta, META_CAPABILITIES), json_type_object)) {
        set_bad(message, MCP_INVALID_PARAMS, g_strdup("params._meta." META_CAPABILITIES " must be an object"));
    }
}

static void read_meta(struct mcp_message *message)
{
    struct json_object *meta = json_member(message->params, "_meta"), *token = json_member(meta, "progressToken");
    if (meta != NULL && !json_object_is_type(meta, json_type_object)) {
        set_bad(message, MCP_INVALID_PARAMS, g_strdup("params._meta must be an object"));
        return;
    }
    message->modern = meta != NULL && json_object_object_get_ex(meta, META_VERSION, NULL);
    if (message->modern)
        check_version(message, meta);
    if (message->kind == MCP_BAD || token == NULL)
        return;
    message->token = id_text(token);
    if (message->token == NULL)
        set_bad(message, MCP_INVALID_PARAMS, g_strdup("params._meta.progressToken must be a text or a whole number"));
}

static void read_request(struct mcp_message *message)
{
    struct json_object *root = message->root, *method = json_member(root, "method"), *params = NULL;
    gboolean has_params = json_object_object_get_ex(root, "params", &params);
    message->kind = message->id != NULL ? MCP_REQUEST : MCP_NOTIFICATION;
    if (!json_object_is_type(method, json_type_string) || json_object_get_string_len(method) == 0 ||
        strlen(json_object_get_string(method)) != (size_t) json_object_get_string_len(method)) {
        set_bad(message, MCP_INVALID_REQUEST, g_strdup("method must be a text"));
        return;
    }
    message->method = json_object_get_string(method);
    if (has_params && !json_object_is_type(params, json_type_object)) {
        set_bad(message, MCP_INVALID_PARAMS, g_strdup("params must be an object"));
        return;
    }
    message->params = params;
    if (message->kind == MCP_REQUEST)
        read_meta(message);
}

struct mcp_message *mcp_read(const char *text, gsize size)
{
    struct mcp_message *message = g_new0(struct mcp_message, 1);
    struct json_object *id = NULL;
    g_autoptr(GError) error = NULL;
    if (size > MCP_MESSAGE_MAX) {
        mcp_message_free(message);
        return mcp_too_long();
    }
    message->root = dsb_json_parse_request(text, size, MCP_DEPTH_MAX, "message", DSB_ERROR_INVALID, &error);
    if (message->root == NULL) {
        set_bad(message, MCP_PARSE_ERROR, g_strdup(error->message));
        return message;
    }
    gboolean has_id = json_object_object_get_ex(message->root, "id", &id);
    message->id = has_id ? id_text(id) : NULL;
    if (g_strcmp0(json_string(message->root, "jsonrpc"), "2.0") != 0)
        set_bad(message, MCP_INVALID_REQUEST, g_strdup("jsonrpc must be \"2.0\""));
    else if (json_object_object_get_ex(message->root, "result", NULL) ||
             json_object_object_get_ex(message->root, "error", NULL))
        message->kind = MCP_RESPONSE;
    else if (has_id && message->id == NULL)
        set_bad(message, MCP_INVALID_REQUEST, g_strdup("id must be a whole number, or a text of at most 256 bytes"));
    else
        read_request(message);
    return message;
}

struct mcp_message *mcp_too_long(void)
{
    struct mcp_message *message = g_new0(struct mcp_message, 1);
    set_bad(message, MCP_INVALID_REQUEST,
            g_strdup_printf("message: it has more than %u bytes; send a large file in parts", MCP_MESSAGE_MAX));
    return message;
}

void mcp_message_free(struct mcp_message *message)
{
    if (message == NULL)
        return;
    g_free(message->id);
    g_free(message->token);
    g_free(message->problem);
    json_object_put(message->data);
    json_object_put(message->root);
    g_free(message);
}

void mcp_message_refuse(struct mcp_message *message, enum mcp_code code, char *problem)
{
    json_object_put(message->data);
    message->data = NULL;
    set_bad(message, code, problem);
}

const char *mcp_message_version(const struct mcp_message *message)
{
    return json_string(json_member(message->params, "_meta"), META_VERSION);
}

const char *mcp_message_about(const struct mcp_message *message)
{
    const char *name = json_string(message->params, "name");
    return name != NULL ? name : json_string(message->params, "uri");
}

char *mcp_cancelled_id(const struct mcp_message *message) { return id_text(json_member(message->params, "requestId")); }

const char *mcp_legacy_version(const char *asked)
{
    for (gsize i = 0; i < G_N_ELEMENTS(legacy_versions); i++)
        if (g_strcmp0(asked, legacy_versions[i]) == 0)
            return legacy_versions[i];
    return legacy_versions[0];
}

gboolean mcp_is_legacy_version(const char *version)
{
    return g_strcmp0(mcp_legacy_version(version), version) == 0;
}

/* Versions are dates. */
gboolean mcp_version_has_links(const char *version) { return strcmp(version, "2025-06-18") >= 0; }

/* --- write ---------------------------------------------------------------------- */

static struct json_object *envelope(const char *id)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "jsonrpc", "2.0");
    if (id != NULL)
        json_add_raw(object, "id", id);
    return object;
}

static struct json_object *server_info(void)
{
    struct json_object *info = json_object_new_object();
    json_add(info, "name", "dsandbox");
    json_add(info, "version", dsb_version());
    return info;
}

static void add_modern(struct json_object *result, enum mcp_cache cache)
{
    struct json_object *meta = json_object_new_object();
    json_add(result, "resultType", "complete");
    json_object_object_add(meta, META_SERVER, server_info());
    json_object_object_add(result, "_meta", meta);
    if (cache == MCP_NO_CACHE)
        return;
    json_add_int(result, "ttlMs", cache == MCP_CACHE_HOUR ? HOUR_MS : 0);
    json_add(result, "cacheScope", "private");
}

char *mcp_write_result(const char *id, gboolean modern, enum mcp_cache cache, struct json_object *result)
{
    struct json_object *object = envelope(id);
    if (modern)
        add_modern(result, cache);
    json_object_object_add(object, "result", result);
    return json_take_text(object);
}

char *mcp_write_error(const char *id, enum mcp_code code, const char *problem, struct json_object *data)
{
    struct json_object *object = envelope(id), *error = json_object_new_object();
    json_add_int(error, "code", code);
    json_add(error, "message", problem);
    if (data != NULL)
        json_object_object_add(error, "data", data);
    json_object_object_add(object, "error", error);
    return json_take_text(object);
}

char *mcp_write_progress(const char *token, double seconds, const char *text)
{
    struct json_object *object = envelope(NULL), *params = json_object_new_object();
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    json_add_raw(params, "progressToken", token);
    json_add_raw(params, "progress", g_ascii_formatd(number, sizeof number, "%.3f", seconds));
    json_add(params, "message", text);
    json_add(object, "method", "notifications/progress");
    json_object_object_add(object, "params", params);
    return json_take_text(object);
}

static struct json_object *capabilities(void)
{
    struct json_object *all = json_object_new_object();
    json_object_object_add(all, "tools", json_object_new_object());
    json_object_object_add(all, "resources", json_object_new_object());
    return all;
}

struct json_object *mcp_discover_result(const char *instructions)
{
    struct json_object *result = json_object_new_object(), *versions = json_object_new_array();
    json_object_array_add(versions, json_object_new_string(MCP_MODERN_VERSION));
    json_object_object_add(result, "supportedVersions", versions);
    json_object_object_add(result, "capabilities", capabilities());
    json_add(result, "instructions", instructions);
    return result;
}

struct json_object *mcp_initialize_result(const char *version, const char *instructions)
{
    struct json_object *result = json_object_new_object();
    json_add(result, "protocolVersion", version);
    json_object_object_add(result, "capabilities", capabilities());
    json_object_object_add(result, "serverInfo", server_info());
    json_add(result, "instructions", instructions);
    return result;
}
