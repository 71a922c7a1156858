/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_CALL_H
#define DSB_CLIENT_CALL_H

#include "client.h"
#include "client_http.h"

G_BEGIN_DECLS

/* Shared by the two halves of the client: calls (client.c) and streams (client_stream.c). */

struct dsb_client {
    char *socket;
    struct http http; /**< keeps its connection from call to call */
};

#define CLIENT_JSON "application/json"
#define CLIENT_BYTES "application/octet-stream"

/** NULL: not JSON. */
struct json_object *client_parse(const void *text, gsize size);
/** Always FALSE. */
gboolean client_error_of(struct json_object *answer, int status, GError **error);

G_END_DECLS
#endif
