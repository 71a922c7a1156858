/* SPDX-License-Identifier: MIT */
/* What the program reads from the service: the same answer in pieces of any size, and byte by byte. */
#include "client/http.h"
#include "fuzz.h"

#include <string.h>

#define BODY_MAX 4096

static gboolean keep(void *data, const guint8 *bytes, gsize size)
{
    GByteArray *body = data;
    if (body->len + size > BODY_MAX)
        return FALSE;
    g_byte_array_append(body, bytes, (guint) size);
    return TRUE;
}

static gboolean feed(struct http_answer *answer, const uint8_t *data, gsize size, gsize piece)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = TRUE;
    *answer = (struct http_answer){.head = g_byte_array_new(), .keep = TRUE, .body = keep, .data = g_byte_array_new()};
    for (gsize at = 0; ok && !answer->done && at < size; at += piece)
        ok = http_feed(answer, data + at, MIN(piece, size - at), &error);
    PROMISE_ERROR(ok, error);
    PROMISE(!answer->done || (answer->status >= 200 && answer->status <= 599));
    return ok;
}

static void clear(struct http_answer *answer)
{
    g_byte_array_unref(answer->head);
    g_byte_array_unref(answer->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    gsize piece = 1 + (gsize) fuzz_byte(&input) * 7;
    struct http_answer one, other;
    gboolean ok = feed(&one, input.data, input.size, piece);
    PROMISE(feed(&other, input.data, input.size, 1) == ok);
    const GByteArray *body = one.data, *same = other.data;
    PROMISE(one.status == other.status && one.done == other.done && one.keep == other.keep);
    /* a piece that is too much is left out as a whole */
    PROMISE(!ok || (body->len == same->len && (body->len == 0 || memcmp(body->data, same->data, body->len) == 0)));
    clear(&one);
    clear(&other);
    return 0;
}
