/* SPDX-License-Identifier: MIT */
/* What the service reads from a connection: the same request in pieces of any size, and byte by byte. */
#include "broker/httprequest.h"
#include "fuzz.h"

#include <string.h>

static gboolean feed(struct httprequest *request, const uint8_t *data, gsize size, gsize piece)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = TRUE;
    gsize used = 0;
    for (gsize at = 0; ok && !request->done && at < size; at += used) {
        gboolean in_head = !request->head_done;
        ok = httprequest_feed(request, data + at, MIN(piece, size - at), &used, &error);
        PROMISE(!ok || used > 0);
        PROMISE(!ok || request->done || used == MIN(piece, size - at) || (in_head && request->head_done));
    }
    ok = ok && httprequest_end(request, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(ok || (request->status >= 400 && request->status <= 505));
    return ok;
}

static void check(const struct httprequest *request)
{
    PROMISE(request->method != NULL && request->path != NULL);
    PROMISE(request->body->len <= HTTPREQUEST_BODY_MAX && !(request->chunked && request->has_length));
    PROMISE(request->minor == 0 || request->hosts == 1);
    for (char **segment = request->path; *segment != NULL; segment++)
        PROMISE((*segment)[0] != '\0' && strchr(*segment, '/') == NULL && strcmp(*segment, ".") != 0 &&
                strcmp(*segment, "..") != 0);
    PROMISE(httprequest_quality(request->accept, "application/json") <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    gsize piece = 1 + (gsize) fuzz_byte(&input) * 7;
    struct httprequest *one = httprequest_new(), *other = httprequest_new();
    gboolean ok = feed(one, input.data, input.size, piece);
    PROMISE(feed(other, input.data, input.size, 1) == ok);
    PROMISE(one->done == other->done && one->status == other->status);
    if (ok && one->done) {
        check(one);
        PROMISE(g_strv_equal((const char *const *) one->path, (const char *const *) other->path));
        PROMISE(g_strcmp0(one->method, other->method) == 0 && g_strcmp0(one->query, other->query) == 0);
        PROMISE(one->body->len == other->body->len);
        PROMISE(one->body->len == 0 || memcmp(one->body->data, other->body->data, one->body->len) == 0);
    }
    httprequest_free(one);
    httprequest_free(other);
    return 0;
}
