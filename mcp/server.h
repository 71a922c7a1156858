/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_SERVER_H
#define DSB_MCP_SERVER_H

#include "mcp/tools.h"

G_BEGIN_DECLS

/** Calls at once; further ones are refused until one is over. */
#define MCP_CALLS_MAX 32

/** A request that takes time: a tool, or a resource out of a session. */
struct mcp_call {
    struct mcp_message *message;
    struct mcp_work work;
    void (*run)(struct mcp_work *work);
    char *name, *path; /**< of a resource */
    gboolean is_tool, cancelled;
    int cancel_write;       /**< a byte into it cancels; -1: not begun */
    gint64 began, progress; /**< monotonic, in microseconds; of the last message about it */
};

/**
 * What a client and we have said to each other, and what is under way. Of one thread. The transport gives it messages;
 * it gives lines to be sent, and calls to be done.
 */
struct mcp_server {
    const struct mcp_setup *setup;
    const char *version; /**< legacy: what was agreed on; NULL: nothing yet */
    GHashTable *calls;   /**< id as JSON: struct mcp_call */
    GQueue kept;         /**< of struct mcp_kept: output that was too long, oldest first */
    gsize kept_bytes;
    GHashTable *known;                                /**< ids of sessions that calls have used */
    gboolean used_default;                            /**< a call was about the default session */
    void (*send)(void *data, char *line);             /**< takes a message without its newline */
    void (*begin)(void *data, struct mcp_call *call); /**< do call->run, elsewhere, then mcp_server_done() */
    void *data;
};

void mcp_server_init(struct mcp_server *server, const struct mcp_setup *setup);
void mcp_server_clear(struct mcp_server *server);
/** Takes a message of the client. */
void mcp_server_take(struct mcp_server *server, struct mcp_message *message);
/** A call is over: answers, and frees it. */
void mcp_server_done(struct mcp_server *server, struct mcp_call *call);
/** Tells clients that want it how far calls are. `now`: monotonic, in microseconds. */
void mcp_server_progress(struct mcp_server *server, gint64 now);
/** Somebody listens: mcp_server_progress() is to be called a few times a second. */
gboolean mcp_server_has_listeners(const struct mcp_server *server);

G_END_DECLS
#endif
