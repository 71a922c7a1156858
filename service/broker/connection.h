/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_CONNECTION_H
#define DSB_BROKER_CONNECTION_H

#include "broker/httprequest.h"
#include "broker/origin.h"
#include "broker/service.h"
#include "broker/token.h"

G_BEGIN_DECLS

/*
 * A connection is for one request. We read it ourselves (httprequest.h), to its end, and only then libsoup hears of it,
 * to write the answer. Each connection has a deadline for what it does now: saying something, sending a request, taking
 * the answer. While we work on its request it has none.
 */

/** Those of one service. The certificate (or NULL) and the token are for TCP, and stay the caller's. */
struct connections *connections_new(struct service *service, GTlsCertificate *certificate, const struct token *token);
void connections_free(struct connections *connections);
void connections_take(struct connections *connections, GSocket *socket, gboolean tcp);

/** There are some whose request has not come yet. */
gboolean connections_expect(const struct connections *connections);

/** The request of a message that libsoup hands to us (httprequest_free); once. */
struct httprequest *connection_take_request(SoupServerMessage *message);

/** The upload that its body is, or NULL; the caller's from then on. */
struct upload *connection_take_upload(SoupServerMessage *message);

void connection_working(SoupServerMessage *message);
void connection_progress(SoupServerMessage *message, gboolean more);
void connection_answered(SoupServerMessage *message);
/** Whoever takes the answer gets no more of it. */
void connection_cut(SoupServerMessage *message);

/** Ready when the peer is gone; NULL when the connection is gone already. */
GSource *connection_hangup_source(SoupServerMessage *message);
enum reach connection_reach(SoupServerMessage *message);
/** Who sends it, for the audit log: "uid 1000", "token". */
const char *connection_user(SoupServerMessage *message);

G_END_DECLS
#endif
