/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_ASK_H
#define DSB_SHARED_ASK_H

#include "shared/frames.h"

G_BEGIN_DECLS

/*
 * What the broker and the process that answers /mcp say to each other. A request is a frame (FRAME_ASK) with a stream
 * socket; on that comes the answer: a head, then the bytes of the body to the end of the stream. Who closes the socket
 * before does not want, or cannot give, the rest.
 */

/** One request. Texts are NULL where the field is not there. */
struct ask {
    char *method; /**< POST or DELETE */
    char *type;   /**< Content-Type */
    char *version, *mcp_method, *mcp_name, *session;
    gboolean json, events; /**< the client takes them */
    const char *body;
    gsize size;
};

void ask_pack(GByteArray *pack, const struct ask *ask);
/** The body is the frame's. FALSE: that is none. */
gboolean ask_unpack(const struct frame *frame, struct ask *ask);
void ask_clear(struct ask *ask);

enum ask_kind { ASK_EMPTY, ASK_JSON, ASK_EVENTS };

/** What comes before the body. */
struct ask_head {
    guint32 status;
    guint32 kind;      /**< enum ask_kind */
    guint64 size;      /**< of the body; 0 for events */
    char session[64];  /**< Mcp-Session-Id, a word; "": none */
};

/** It is one that may be passed on. */
gboolean ask_head_is_good(const struct ask_head *head);

G_END_DECLS
#endif
