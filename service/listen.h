/* SPDX-License-Identifier: MIT */
#ifndef DSB_LISTEN_H
#define DSB_LISTEN_H

#include "service.h"

G_BEGIN_DECLS

/**
 * Take the service's lock, bind the unix socket and, when asked for, the TCP address; accepted connections go to
 * service->server. BUSY: a service has this socket already.
 */
struct listener *listener_new(struct service *service, GError **error);
/** Accept no more, remove the socket's file. Connections that are open live on. */
void listener_close(struct listener *listener);
void listener_free(struct listener *listener);

/** Before the body is read: who is it, and is the body small enough? Answers by itself when not. */
void listener_check_head(struct listener *listener, SoupServerMessage *message);

/*
 * Every connection is for one request, and has a deadline for what it does now: saying something, sending a request,
 * taking the answer. While we work on its request it has none.
 */
void listener_working(SoupServerMessage *message);
void listener_progress(SoupServerMessage *message, gboolean more);
void listener_answered(SoupServerMessage *message);

/** Ready when the peer is gone; NULL when the connection is gone already. */
GSource *listener_hangup_source(SoupServerMessage *message);
/** Who sends it, for the audit log: "uid 1000", "token". */
const char *listener_user(SoupServerMessage *message);

G_END_DECLS
#endif
