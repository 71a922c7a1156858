/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_CALLS_H
#define DSB_MCP_CALLS_H

#include "mcp/server.h"

G_BEGIN_DECLS

/** A thread for each call that takes time. All but the threads are the caller's. */
struct mcp_calls {
    GAsyncQueue *done; /**< of struct mcp_call: from the threads */
    int wake_fd;       /**< readable: mcp_calls_take() has something to do */
    GQueue clients;    /**< of the service, that no call has now */
};

/** FALSE: *error, and nothing is to be freed. */
gboolean mcp_calls_init(struct mcp_calls *calls, GError **error);
/** Only when none is under way: a thread that has not ended has all of it. */
void mcp_calls_clear(struct mcp_calls *calls);
/** The server's `begin`. */
void mcp_calls_begin(struct mcp_calls *calls, struct mcp_call *call);
/** Gives those that are over to the server. */
void mcp_calls_take(struct mcp_calls *calls, struct mcp_server *server);

G_END_DECLS
#endif
