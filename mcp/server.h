/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_SERVER_H
#define DSB_MCP_SERVER_H

#include "mcp/tools.h"

G_BEGIN_DECLS

/** Calls at once; further ones are refused until one is over. */
#define MCP_CALLS_MAX 32

/** What is sent, for a transport that says more about an answer than its bytes. */
enum mcp_sent {
    MCP_SENT_PROGRESS,
    MCP_SENT_RESULT,
    MCP_SENT_ERROR,
    MCP_SENT_NO_METHOD, /**< an error: there is no such method, or not in the request's era */
    MCP_SENT_BAD,       /**< an error: that is no request */
    MCP_SENT_NOTHING,   /**< no line: a cancelled request has no answer */
};

/** A request that takes time: a tool, or a resource out of a session. */
struct mcp_call {
    struct mcp_message *message;
    struct mcp_work work;
    void (*run)(struct mcp_work *work);
    char *key;         /**< its id among those of all peers */
    char *name, *path; /**< of a resource; name: also of a session that has no other */
    gboolean is_tool, cancelled;
    int cancel_write;       /**< a byte into it cancels; -1: not begun */
    gint64 began, progress; /**< monotonic, in microseconds; of the last message about it */
};

/**
 * What clients and we have said to each other, and what is under way. Of one thread. The transport gives it messages;
 * it gives lines to be sent, and calls to be done.
 */
struct mcp_server {
    const struct mcp_setup *setup;
    guint calls_max;   /**< MCP_CALLS_MAX */
    GHashTable *calls; /**< key: struct mcp_call */
    GQueue kept;       /**< of struct mcp_kept: output that was too long, oldest first */
    gsize kept_bytes;
    GHashTable *known;     /**< ids of sessions that calls have used */
    gboolean used_default; /**< a call was about the default session */
    /** Takes a message without its newline. `origin` is that of the message it is about. */
    void (*send)(void *data, void *origin, enum mcp_sent what, char *line);
    void (*begin)(void *data, struct mcp_call *call); /**< do call->run, elsewhere, then mcp_server_done() */
    void *data;
};

void mcp_server_init(struct mcp_server *server, const struct mcp_setup *setup);
void mcp_server_clear(struct mcp_server *server);
/** Takes a message of a client. */
void mcp_server_take(struct mcp_server *server, struct mcp_peer *peer, void *origin, struct mcp_message *message);
/**
 * Nobody is at this origin any more: what is sent about its calls has NULL for it. `cancel`: they are not wanted, either.
 */
void mcp_server_left(struct mcp_server *server, void *origin, gboolean cancel);
/** All calls are cancelled, and their end is not waited for. */
void mcp_server_cancel_all(struct mcp_server *server);
/** A call is over: answers, and frees it. */
void mcp_server_done(struct mcp_server *server, struct mcp_call *call);
/** Tells clients that want it how far calls are. `now`: monotonic, in microseconds. */
void mcp_server_progress(struct mcp_server *server, gint64 now);
/** Somebody listens: mcp_server_progress() is to be called a few times a second. */
gboolean mcp_server_has_listeners(const struct mcp_server *server);

G_END_DECLS
#endif
