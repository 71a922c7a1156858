/* SPDX-License-Identifier: MIT */
#include "broker/idempotency.h"

#include "broker/answer.h"

#include <string.h>

#define LOOK_MS 30000
#define WORD_MAX 4096

struct idempotency {
    char *key, *id, *session;
    char *sum;    /* of what was asked for */
    struct text *text; /* the result; NULL: not yet, or not any more */
    gint64 until; /* monotonic; 0: it has not ended */
    GQueue waiters; /* struct request, besides the first */
};

static GHashTable *by_key; /* key: struct idempotency */
static GQueue ended;       /* struct idempotency, the oldest first */
static gsize bytes;        /* of their texts */
static struct event_source look;

static gsize size_of(const struct idempotency *kept) { return kept->text != NULL ? text_size(kept->text) : 0; }

static void forget_text(struct idempotency *kept)
{
    bytes -= size_of(kept);
    text_clear(&kept->text);
}

static void idempotency_free(struct idempotency *kept)
{
    g_queue_remove(&ended, kept);
    g_hash_table_remove(by_key, kept->key);
    forget_text(kept);
    g_free(kept->key);
    g_free(kept->id);
    g_free(kept->session);
    g_free(kept->sum);
    g_free(kept);
}

/* A text goes before its key does: what ran must not run again. */
static void tidy(void)
{
    gint64 now = g_get_monotonic_time();
    struct idempotency *oldest;
    while ((oldest = g_queue_peek_head(&ended)) != NULL && (oldest->until <= now || ended.length > IDEMPOTENCY_MAX))
        idempotency_free(oldest);
    for (GList *item = ended.head; item != NULL && bytes > IDEMPOTENCY_BYTES; item = item->next)
        forget_text(item->data);
}

static gboolean on_look(gpointer owner)
{
    (void) owner;
    tidy();
    if (!g_queue_is_empty(&ended))
        event_source_timeout(&look, LOOK_MS, on_look, NULL);
    return G_SOURCE_REMOVE;
}

/* Both forms of one operation are the same; its body is compared byte by byte. */
static char *sum_of(const struct request *request)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize size = 0;
    const guint8 *body = g_bytes_get_data(request->body, &size);
    for (char **segment = request->path; *segment != NULL; segment++)
        if (segment[1] != NULL || strcmp(*segment, "events") != 0)
            g_checksum_update(sum, (const guint8 *) *segment, (gssize) strlen(*segment) + 1);
    g_checksum_update(sum, body, (gssize) size);
    return g_strdup(g_checksum_get_string(sum));
}

static void give(struct request *request, const struct idempotency *kept)
{
    if (kept->text == NULL)
        request_fail_with(request, 410,
                          g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND,
                                      "execution %s has ended, and its result is not kept any more", kept->id));
    else if (request->events)
        answer_event(request, kept->text);
    else
        answer_whole(request, kept->text);
}

static void waiter_gone(struct request *request)
{
    GHashTableIter iter;
    gpointer kept;
    g_hash_table_iter_init(&iter, by_key);
    while (g_hash_table_iter_next(&iter, NULL, &kept))
        g_queue_remove(&((struct idempotency *) kept)->waiters, request);
}

static void announce(struct request *request, const struct idempotency *kept)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "id", kept->id);
    request_event(request, "accepted", object);
}

gboolean idempotency_answer(struct request *request)
{
    const char *key = request->http->key;
    struct idempotency *kept = key != NULL && by_key != NULL ? g_hash_table_lookup(by_key, key) : NULL;
    if (kept == NULL || (kept->until != 0 && kept->until <= g_get_monotonic_time()))
        return FALSE;
    g_autofree char *sum = sum_of(request);
    if (strcmp(sum, kept->sum) != 0) {
        request_fail_with(request, 422,
                          g_error_new_literal(DSB_ERROR, DSB_ERROR_CONFLICT,
                                              "the Idempotency-Key was used for another request; take a new one"));
        return TRUE;
    }
    if (request->events)
        announce(request, kept);
    if (kept->until != 0) {
        give(request, kept);
        return TRUE;
    }
    request_hold(request, waiter_gone);
    g_queue_push_tail(&kept->waiters, request);
    return TRUE;
}

/* Takes the sum. */
static struct idempotency *kept_new(const char *key, const char *id, const char *session, char *sum)
{
    if (by_key == NULL)
        by_key = g_hash_table_new(g_str_hash, g_str_equal);
    struct idempotency *kept = g_new0(struct idempotency, 1);
    *kept = (struct idempotency){.key = g_strdup(key), .id = g_strdup(id), .session = g_strdup(session), .sum = sum};
    g_hash_table_insert(by_key, kept->key, kept);
    return kept;
}

struct idempotency *idempotency_begin(const struct request *request, const char *id, const char *session)
{
    if (request->http->key == NULL)
        return NULL;
    tidy();
    return kept_new(request->http->key, id, session, sum_of(request));
}

void idempotency_order(const struct idempotency *kept, struct order *order)
{
    order->key = kept != NULL ? kept->key : NULL;
    order->sum = kept != NULL ? kept->sum : NULL;
}

struct idempotency *idempotency_resume(const struct order *order, const char *session)
{
    if (order->key == NULL || order->sum == NULL || order->id == NULL ||
        (by_key != NULL && g_hash_table_contains(by_key, order->key)))
        return NULL;
    return kept_new(order->key, order->id, session, g_strdup(order->sum));
}

static void kept_end_at(struct idempotency *kept, struct text *text, gint64 now)
{
    struct request *request;
    kept->text = text_ref(text);
    kept->until = now + IDEMPOTENCY_SECONDS * G_USEC_PER_SEC;
    while ((request = g_queue_pop_head(&kept->waiters)) != NULL)
        give(request, kept);
    bytes += size_of(kept);
    g_queue_push_tail(&ended, kept);
    tidy();
    if (!event_source_is_set(&look))
        event_source_timeout(&look, LOOK_MS, on_look, NULL);
}

gboolean idempotency_unpack(struct unpack *unpack, const char *session)
{
    gsize size = 0;
    gint64 gone = g_get_real_time() - (gint64) unpack_number(unpack, G_MAXINT64);
    struct order order = {0};
    order.key = unpack_text(unpack, WORD_MAX);
    order.sum = unpack_text(unpack, WORD_MAX);
    order.id = unpack_text(unpack, WORD_MAX);
    const char *bytes = unpack_bytes(unpack, &size, FRAME_MAX);
    gboolean good = bytes != NULL && !unpack->bad && unpack->left == 0 && memchr(bytes, '\0', size) == NULL;
    gboolean fresh = gone < IDEMPOTENCY_SECONDS * G_USEC_PER_SEC;
    struct idempotency *kept = good && fresh ? idempotency_resume(&order, session) : NULL;
    if (kept != NULL) {
        struct text *text = text_take(g_strndup(bytes, size));
        kept_end_at(kept, text, g_get_monotonic_time() - MAX(gone, 0));
        text_unref(text);
    }
    order_clear(&order);
    return good;
}

void idempotency_end(struct idempotency *kept, struct text *text) { kept_end_at(kept, text, g_get_monotonic_time()); }

void idempotency_fail(struct idempotency *kept, const GError *why)
{
    struct request *request;
    if (kept == NULL)
        return;
    while ((request = g_queue_pop_head(&kept->waiters)) != NULL)
        request_fail(request, g_error_copy(why));
    idempotency_free(kept);
}

void idempotency_drop(struct idempotency *kept)
{
    const GError why = {DSB_ERROR, DSB_ERROR_CANCELLED, (char *) "the execution was cancelled before it ran"};
    idempotency_fail(kept, &why);
}

enum idempotency_state idempotency_find(const char *id, struct text **text)
{
    tidy();
    for (GList *item = ended.head; item != NULL; item = item->next) {
        struct idempotency *kept = item->data;
        if (strcmp(kept->id, id) != 0)
            continue;
        *text = kept->text;
        return kept->text != NULL ? KEPT_TEXT : KEPT_GONE;
    }
    return KEPT_NOT;
}

void idempotency_forget(const char *session)
{
    GList *next = NULL;
    for (GList *item = ended.head; item != NULL; item = next) {
        next = item->next;
        if (g_strcmp0(((struct idempotency *) item->data)->session, session) == 0)
            idempotency_free(item->data);
    }
}

gint64 idempotency_until(void)
{
    struct idempotency *newest;
    tidy();
    newest = g_queue_peek_tail(&ended);
    return newest != NULL ? newest->until : 0;
}

void idempotency_clear(void)
{
    struct idempotency *kept;
    event_source_clear(&look);
    while ((kept = g_queue_peek_head(&ended)) != NULL)
        idempotency_free(kept);
    g_clear_pointer(&by_key, g_hash_table_unref);
}
