/* SPDX-License-Identifier: MIT */
/*
 * The engine's stream framing. Standard output becomes the stream; everything else is diagnostics, of
 * which the last 4 KiB are kept. No byte is buffered but a partial head.
 */
#include "engine/engine.h"

#include <string.h>

enum { FRAME_STDOUT = 1, FRAME_STDERR = 2, FRAME_SYSTEM = 3 };

static void remember(struct dsbe_demux *demux, const guint8 *data, gsize size)
{
    if (size > DSBE_DIAGNOSTIC_MAX) {
        data += size - DSBE_DIAGNOSTIC_MAX;
        demux->ring_total += size - DSBE_DIAGNOSTIC_MAX;
        size = DSBE_DIAGNOSTIC_MAX;
    }
    gsize at = demux->ring_total % DSBE_DIAGNOSTIC_MAX;
    gsize first = MIN(size, DSBE_DIAGNOSTIC_MAX - at);
    memcpy(demux->ring + at, data, first);
    memcpy(demux->ring, data + first, size - first);
    demux->ring_total += size;
}

static gboolean open_frame(struct dsbe_demux *demux, GError **error)
{
    const guint8 *head = demux->head;
    if (head[0] < FRAME_STDOUT || head[0] > FRAME_SYSTEM || head[1] || head[2] || head[3]) {
        remember(demux, head, sizeof demux->head);
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the engine's stream is not framed as expected");
        return FALSE;
    }
    demux->type = head[0];
    demux->left = (guint32) head[4] << 24 | (guint32) head[5] << 16 | (guint32) head[6] << 8 | head[7];
    demux->head_len = 0;
    return TRUE;
}

gboolean dsbe_demux_run(struct dsbe_demux *demux, const guint8 *in, gsize in_size, gsize *consumed, guint8 *out,
                        gsize out_size, gsize *produced, GError **error)
{
    gsize used = 0, given = 0;
    while (used < in_size) {
        if (demux->left == 0) {
            demux->head[demux->head_len++] = in[used++];
            if (demux->head_len < sizeof demux->head)
                continue;
            if (!open_frame(demux, error))
                return FALSE;
            continue;
        }
        gsize take = MIN(in_size - used, demux->left);
        if (demux->type == FRAME_STDOUT) {
            take = MIN(take, out_size - given);
            if (take == 0)
                break;
            memcpy(out + given, in + used, take);
            given += take;
        } else {
            remember(demux, in + used, take);
        }
        used += take;
        demux->left -= (guint32) take;
    }
    *consumed = used;
    *produced = given;
    return TRUE;
}

const char *dsbe_demux_diagnostic(struct dsbe_demux *demux)
{
    gsize size = MIN(demux->ring_total, DSBE_DIAGNOSTIC_MAX);
    for (gsize i = 0; i < size; i++) {
        guint8 byte = demux->ring[(demux->ring_total - size + i) % DSBE_DIAGNOSTIC_MAX];
        demux->text[i] = (byte >= ' ' && byte != 0x7f) || byte == '\n' ? (char) byte : ' ';
    }
    demux->text[size] = '\0';
    return demux->text;
}
