/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_CALL_H
#define DSB_CLIENT_CALL_H

#include "client.h"

#include <curl/curl.h>

G_BEGIN_DECLS

/* Shared by the two halves of the client: calls (client.c) and streams (client_stream.c). */

struct dsb_client {
    char *socket;
    CURL *curl; /**< keeps its connection from call to call */
    char problem[CURL_ERROR_SIZE];
};

CURL *client_handle(const dsb_client *client);
void client_request(CURL *curl, const char *method, const char *path, const void *body, gsize size);
struct json_object *client_parse(const void *text, gsize size);
gboolean client_error_of(struct json_object *answer, long status, GError **error);
gboolean client_curl_error(const dsb_client *client, CURLcode result, GError **error);

G_END_DECLS
#endif
