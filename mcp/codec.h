/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_CODEC_H
#define DSB_MCP_CODEC_H

#include <glib.h>
#include <json-c/json.h>

G_BEGIN_DECLS

/*
 * The Model Context Protocol as bytes: JSON-RPC 2.0, and what of the protocol's revisions is seen in messages. Pure:
 * nothing here knows a transport, a tool or a sandbox.
 *
 * There are two eras. In the modern one (2026-07-28) each request says its version in params._meta. In the legacy one
 * (2025-11-25 and before) `initialize` agrees on a version for all that follows. A request belongs to the modern era if
 * it says so itself; hence both are served at once.
 */

/** Bytes of one message that are taken, and how deep it may be. */
#define MCP_MESSAGE_MAX (16u << 20)
#define MCP_DEPTH_MAX 32

enum mcp_kind {
    MCP_REQUEST,
    MCP_NOTIFICATION,
    MCP_RESPONSE, /**< to a request of ours: there are none */
    MCP_BAD,      /**< `code` and `problem` are the answer */
};

/** Errors of JSON-RPC and of the protocol; others are not sent. */
enum mcp_code {
    MCP_PARSE_ERROR = -32700,
    MCP_INVALID_REQUEST = -32600,
    MCP_NO_METHOD = -32601,
    MCP_INVALID_PARAMS = -32602,
    MCP_INTERNAL = -32603,
    MCP_NO_VERSION = -32022,
    MCP_HEADERS_DIFFER = -32020,
};

/** Who speaks: what was agreed on with it. */
struct mcp_peer {
    const char *version; /**< legacy: by `initialize` (static); NULL: nothing yet */
    const char *name;    /**< so that ids of one's requests are not taken for another's; "" where there is one alone */
};

struct mcp_message {
    enum mcp_kind kind;
    gboolean modern;
    char *id;    /**< as JSON; NULL: a notification, or not known */
    char *token; /**< of params._meta.progressToken, as JSON; NULL: no progress is wanted */
    const char *method;
    struct json_object *params; /**< an object; NULL: none */
    enum mcp_code code;
    char *problem;
    struct json_object *data; /**< of the error, or NULL */
    struct json_object *root; /**< what `method` and `params` are in */
    struct mcp_peer *peer;    /**< while the server takes it */
    void *origin;             /**< the transport's: where the answer goes */
};

/** One message without its newline. Never NULL; mcp_message_free. */
struct mcp_message *mcp_read(const char *text, gsize size);
/** A message that is too long to be read. */
struct mcp_message *mcp_too_long(void);
void mcp_message_free(struct mcp_message *message);

/** Makes a request one that is answered with this error; takes the text. */
void mcp_message_refuse(struct mcp_message *message, enum mcp_code code, char *problem);
/** Of the modern era: the version that it says; what params.name or params.uri says that it is about. NULL: nothing. */
const char *mcp_message_version(const struct mcp_message *message);
const char *mcp_message_about(const struct mcp_message *message);

/** An id as it is in params.requestId of notifications/cancelled, as JSON (g_free); NULL: it is none. */
char *mcp_cancelled_id(const struct mcp_message *message);

/** The legacy version that is agreed on when a client asks for `asked` (static). */
const char *mcp_legacy_version(const char *asked);
gboolean mcp_is_legacy_version(const char *version);
/** In this version a tool's content can have links to resources. */
gboolean mcp_version_has_links(const char *version);
#define MCP_MODERN_VERSION "2026-07-28"

/** How long a result may be kept by the modern client; where that is no part of it, MCP_NO_CACHE. */
enum mcp_cache { MCP_NO_CACHE, MCP_CACHE_NOTHING, MCP_CACHE_HOUR };

/** Takes `result`. Gives a message without its newline (g_free). */
char *mcp_write_result(const char *id, gboolean modern, enum mcp_cache cache, struct json_object *result);
/** `id` NULL: it is not known. Takes `data`, which may be NULL. */
char *mcp_write_error(const char *id, enum mcp_code code, const char *problem, struct json_object *data);
/** `seconds` must be more than in the message before. */
char *mcp_write_progress(const char *token, double seconds, const char *text);

/** The results of server/discover and initialize: what the server can do, and what it is for. */
struct json_object *mcp_discover_result(const char *instructions);
struct json_object *mcp_initialize_result(const char *version, const char *instructions);

G_END_DECLS
#endif
