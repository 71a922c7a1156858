/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_INTERNAL_H
#define DSB_CLIENT_INTERNAL_H

#include "client/client.h"
#include "client/http.h"

G_BEGIN_DECLS

/* Shared by the parts of the client: calls (client.c), executions (follow.c) and files (transfer.c). */

struct dsb_client {
    char *socket;
    struct http http; /**< keeps its connection from call to call */
    enum dsb_client_way way;
    int cancel_fd; /**< while we connect */
    struct json_object *version;
};

#define CLIENT_JSON "application/json"
#define CLIENT_BYTES "application/octet-stream"

/** NULL: not JSON. */
struct json_object *client_parse(const void *text, gsize size);
/**
 * A call failed before anything was done, and there is, now, another service that can do it: `*error` is cleared. The
 * `tries` that are left are counted.
 */
gboolean client_again(dsb_client *client, guint *tries, GError **error);
#define CLIENT_TRIES 3
/** TRUE for a status that is good; else the error that the answer is. */
gboolean client_check_status(int status, const GByteArray *body, GError **error);
/** Always FALSE. */
gboolean client_error_of(struct json_object *answer, int status, GError **error);

G_END_DECLS
#endif
