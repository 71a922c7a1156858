/* SPDX-License-Identifier: MIT */
#ifndef DSB_FRONT_FRONT_H
#define DSB_FRONT_FRONT_H

#include "mcp/calls.h"
#include "shared/ask.h"
#include "shared/event_source.h"

G_BEGIN_DECLS

/*
 * The process that answers /mcp. It is a client of the service that started it, and so reads what sandboxes wrote,
 * which the broker never does. One thread has all of this; each call of a tool has one of its own.
 */

/** A client of the legacy era, from its `initialize` on. */
struct visitor {
    char *id, *name; /**< Mcp-Session-Id; that of its peer */
    struct mcp_peer peer;
    guint64 used; /**< a number that grows */
};

struct exchange;

struct front {
    GMainLoop *loop;
    struct mcp_setup *setup;
    struct mcp_server server;
    struct mcp_calls calls;
    GHashTable *visitors; /**< id: struct visitor */
    guint64 turn;
    guint64 exchanges; /**< that there have been */
    GQueue open;       /**< struct exchange */
    int control;
    gboolean ending;
    struct event_source asks, done, tick, late;
};

/** Takes the socket. */
void exchange_begin(struct front *front, const struct ask *ask, int fd);
/** The server's `send`; `origin` is an exchange. */
void exchange_send(void *front, void *origin, enum mcp_sent what, char *line);
void exchange_free(struct exchange *exchange);

/** NULL: it is not known. */
struct visitor *visitor_find(struct front *front, const char *id);
/** One that has not said yet who it is. */
struct visitor *visitor_new(void);
void visitor_free(void *visitor);
/** It is known from now on; who was not there for longest is forgotten, if need be. */
void visitor_keep(struct front *front, struct visitor *visitor);

G_END_DECLS
#endif
