/* SPDX-License-Identifier: MIT */
#include "shared/ask.h"

#include "common/ids.h"

#include <string.h>

#define FIELD_MAX (64u << 10)
#define BODY_MAX (512u << 20)

void ask_pack(GByteArray *pack, const struct ask *ask)
{
    pack_text(pack, ask->method);
    pack_text(pack, ask->type);
    pack_text(pack, ask->version);
    pack_text(pack, ask->mcp_method);
    pack_text(pack, ask->mcp_name);
    pack_text(pack, ask->session);
    pack_number(pack, ask->json);
    pack_number(pack, ask->events);
    pack_bytes(pack, ask->body, ask->size);
}

gboolean ask_unpack(const struct frame *frame, struct ask *ask)
{
    struct unpack unpack = unpack_frame(frame);
    *ask = (struct ask){0};
    ask->method = unpack_text(&unpack, FIELD_MAX);
    ask->type = unpack_text(&unpack, FIELD_MAX);
    ask->version = unpack_text(&unpack, FIELD_MAX);
    ask->mcp_method = unpack_text(&unpack, FIELD_MAX);
    ask->mcp_name = unpack_text(&unpack, FIELD_MAX);
    ask->session = unpack_text(&unpack, FIELD_MAX);
    ask->json = unpack_number(&unpack, 1) != 0;
    ask->events = unpack_number(&unpack, 1) != 0;
    ask->body = unpack_bytes(&unpack, &ask->size, BODY_MAX);
    return !unpack.bad && ask->method != NULL && ask->body != NULL;
}

void ask_clear(struct ask *ask)
{
    g_free(ask->method);
    g_free(ask->type);
    g_free(ask->version);
    g_free(ask->mcp_method);
    g_free(ask->mcp_name);
    g_free(ask->session);
    *ask = (struct ask){0};
}

gboolean ask_head_is_good(const struct ask_head *head)
{
    static const guint statuses[] = {200, 202, 204, 400, 404, 405, 406, 413, 415, 503};
    gboolean known = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++)
        known |= head->status == statuses[i];
    gboolean ended = memchr(head->session, '\0', sizeof head->session) != NULL;
    gboolean word = ended && (head->session[0] == '\0' || dsb_is_word(head->session, "", sizeof head->session));
    switch (head->kind) {
    case ASK_EMPTY:
        return known && word && head->size == 0;
    case ASK_JSON:
        return known && word && head->size > 0 && head->size <= BODY_MAX;
    case ASK_EVENTS:
        return head->status == 200 && word && head->size == 0;
    default:
        return FALSE;
    }
}
