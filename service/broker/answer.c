/* SPDX-License-Identifier: MIT */
#include "broker/answer.h"

#include "broker/connection.h"

#include <string.h>

#define JSON "application/json"
#define PIECE (256u << 10)

struct answer {
    struct text *text;
    gsize at;
    gboolean events;
};

static gboolean is_line(const char *piece, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if ((guint8) piece[i] < 0x20)
            return FALSE;
    return TRUE;
}

/* It ends with a whole character. NULL: it is not there, or not JSON as we write it, which has no control characters. */
static char *next_piece(struct answer *answer)
{
    gsize left = text_size(answer->text) - answer->at, size = MIN(left, PIECE);
    g_autofree char *piece = g_malloc(size + 2);
    if (!text_read(answer->text, answer->at, piece, MIN(left, size + 1)))
        return NULL;
    while (size < left && size > 0 && ((guint8) piece[size] & 0xc0) == 0x80)
        size--;
    if (size == 0 || !is_line(piece, size))
        return NULL;
    piece[size] = '\0';
    answer->at += size;
    return g_steal_pointer(&piece);
}

static void answer_free(struct request *request)
{
    request->drained = NULL;
    request->gone = NULL;
    struct answer *answer = g_steal_pointer(&request->answer);
    text_unref(answer->text);
    g_free(answer);
}

static void add_bytes(struct request *request, const char *piece)
{
    g_autoptr(GBytes) bytes = g_bytes_new(piece, strlen(piece));
    request_add_bytes(request, bytes);
}

static void on_drained(struct request *request)
{
    struct answer *answer = request->answer;
    if (answer->at == text_size(answer->text)) {
        gboolean events = answer->events;
        answer_free(request);
        if (events)
            request_event_close(request);
        return;
    }
    g_autofree char *piece = next_piece(answer);
    if (piece == NULL)
        request_cut(request);
    else if (answer->events)
        request_event_part(request, piece);
    else
        add_bytes(request, piece);
}

static void begin(struct request *request, struct text *text, gboolean events)
{
    request->answer = g_new(struct answer, 1);
    *request->answer = (struct answer){.text = text_ref(text), .events = events};
}

void answer_event(struct request *request, struct text *text)
{
    const char *memory = text_memory(text);
    if (memory != NULL) {
        request_event_text(request, "result", memory);
        request_event_end(request);
    } else if (!request->answered) {
        begin(request, text, TRUE);
        request_event_open(request, "result", on_drained, answer_free);
        on_drained(request);
    }
}

void answer_whole(struct request *request, struct text *text)
{
    const char *memory = text_memory(text);
    if (memory != NULL) {
        request_answer_text(request, 200, JSON, memory, text_size(text));
        return;
    }
    begin(request, text, FALSE);
    request_begin_bytes(request, JSON, text_size(text), on_drained, answer_free);
    if (!request_is_head(request))
        on_drained(request);
}
