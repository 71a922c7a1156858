/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_HTTP_H
#define DSB_MCP_HTTP_H

#include "mcp/server.h"

G_BEGIN_DECLS

/*
 * The protocol's HTTP transport, as far as it is a matter of messages: what header fields say beside them, and
 * statuses. Pure.
 */

/** Fields of a request; NULL: it is not there. */
struct mcp_fields {
    char *version; /**< MCP-Protocol-Version */
    char *method;  /**< Mcp-Method */
    char *about;   /**< Mcp-Name */
    char *session; /**< Mcp-Session-Id */
};

/**
 * Compares a message with the fields that came with it; one that is not as they say is refused
 * (mcp_message_refuse). In the modern era they must be there.
 */
void mcp_http_check(struct mcp_message *message, const struct mcp_fields *fields);
/** The legacy era's `initialize`, which has no session yet. */
gboolean mcp_http_is_first(const struct mcp_message *message);
/** The status of an answer. */
guint mcp_http_status(enum mcp_sent what, gboolean modern);

G_END_DECLS
#endif
