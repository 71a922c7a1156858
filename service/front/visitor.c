/* SPDX-License-Identifier: MIT */
/* Clients of the legacy era: what `initialize` agreed on with each, under an id that nobody else knows. */
#include "front/front.h"

#include "common/ids.h"

#define VISITORS_MAX 256

struct visitor *visitor_new(void)
{
    struct visitor *visitor = g_new0(struct visitor, 1);
    visitor->id = dsb_random_id("");
    visitor->name = g_strconcat(visitor->id, ":", NULL);
    visitor->peer.name = visitor->name;
    return visitor;
}

void visitor_free(void *data)
{
    struct visitor *visitor = data;
    if (visitor == NULL)
        return;
    g_free(visitor->id);
    g_free(visitor->name);
    g_free(visitor);
}

struct visitor *visitor_find(struct front *front, const char *id)
{
    struct visitor *visitor = g_hash_table_lookup(front->visitors, id);
    if (visitor != NULL)
        visitor->used = ++front->turn;
    return visitor;
}

static void forget_one(struct front *front)
{
    GHashTableIter iter;
    void *value;
    struct visitor *oldest = NULL;
    g_hash_table_iter_init(&iter, front->visitors);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (oldest == NULL || ((struct visitor *) value)->used < oldest->used)
            oldest = value;
    g_hash_table_remove(front->visitors, oldest->id);
}

void visitor_keep(struct front *front, struct visitor *visitor)
{
    if (g_hash_table_size(front->visitors) >= VISITORS_MAX)
        forget_one(front);
    visitor->used = ++front->turn;
    g_hash_table_insert(front->visitors, visitor->id, visitor);
}
