/* SPDX-License-Identifier: MIT */
/* Frames over the byte stream to pid 1, both ways. */
#include "run/wire.h"

#include <string.h>

#define KEPT_BYTES (256u << 10)

void dsb_wire_init(struct dsb_wire *wire, struct dsb_byte_stream *stream)
{
    *wire = (struct dsb_wire){.stream = stream, .in = g_byte_array_new(), .out = g_byte_array_new()};
}

void dsb_wire_clear(struct dsb_wire *wire)
{
    g_clear_pointer(&wire->in, g_byte_array_unref);
    g_clear_pointer(&wire->out, g_byte_array_unref);
}

/* An array keeps what it once needed: after something large a new one takes its place. */
static void emptied(GByteArray **array)
{
    gsize size = (*array)->len;
    g_byte_array_set_size(*array, 0);
    if (size <= KEPT_BYTES)
        return;
    g_byte_array_unref(*array);
    *array = g_byte_array_new();
}

static void put_u32(uint8_t *to, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(to, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return GUINT32_FROM_LE(value);
}

gboolean dsb_wire_queue(struct dsb_wire *wire, enum dsb_frame_type type, uint32_t execution, const void *payload,
                        gsize size)
{
    uint8_t header[DSB_FRAME_HEADER];
    if (size > DSB_FRAME_MAX)
        return FALSE;
    put_u32(header, (uint32_t) size);
    header[4] = (uint8_t) type;
    put_u32(header + 5, execution);
    g_byte_array_append(wire->out, header, sizeof header);
    if (size > 0)
        g_byte_array_append(wire->out, payload, (guint) size);
    return TRUE;
}

gsize dsb_wire_pending(const struct dsb_wire *wire) { return wire->out->len - wire->sent; }

gboolean dsb_wire_flush(struct dsb_wire *wire, GError **error)
{
    while (dsb_wire_pending(wire) > 0) {
        g_autoptr(GError) local = NULL;
        gssize n =
            wire->stream->write(wire->stream->state, wire->out->data + wire->sent, dsb_wire_pending(wire), &local);
        if (n < 0 && g_error_matches(local, DSB_ERROR, DSB_ERROR_WOULD_BLOCK))
            return TRUE;
        if (n < 0) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        wire->sent += (gsize) n;
    }
    emptied(&wire->out);
    wire->sent = 0;
    return TRUE;
}

gboolean dsb_wire_fill(struct dsb_wire *wire, GError **error)
{
    /* One buffer a call keeps the caller's loop fair to its other work; it comes back for the rest. */
    uint8_t buffer[64 << 10];
    if (wire->taken > 0 && wire->taken == wire->in->len) {
        emptied(&wire->in);
        wire->taken = 0;
    } else if (wire->taken > 0) {
        g_byte_array_remove_range(wire->in, 0, (guint) wire->taken);
        wire->taken = 0;
    }
    wire->more = FALSE;
    for (unsigned turns = 0; turns < 16 && !wire->eof && wire->in->len < DSB_FRAME_MAX + DSB_FRAME_HEADER; turns++) {
        g_autoptr(GError) local = NULL;
        gssize n = wire->stream->read(wire->stream->state, buffer, sizeof buffer, &local);
        if (n < 0 && g_error_matches(local, DSB_ERROR, DSB_ERROR_WOULD_BLOCK))
            return TRUE;
        if (n < 0) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (n == 0)
            wire->eof = TRUE;
        g_byte_array_append(wire->in, buffer, (guint) n);
    }
    wire->more = !wire->eof;
    return TRUE;
}

static gboolean is_type(uint8_t type)
{
    return (type >= DSB_FRAME_HELLO && type <= DSB_FRAME_TAIL) || type == DSB_FRAME_CALL || type == DSB_FRAME_RETURNED;
}

gboolean dsb_wire_next(struct dsb_wire *wire, struct dsb_frame *frame, GError **error)
{
    gsize have = wire->in->len - wire->taken;
    if (have < DSB_FRAME_HEADER)
        return FALSE;
    const uint8_t *data = wire->in->data + wire->taken;
    uint32_t size = get_u32(data);
    uint8_t type = data[4];
    if (size > DSB_FRAME_MAX || !is_type(type)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL,
                    "pid 1 sent a frame of type %u and %u bytes, which is not the sandbox protocol; is the image's "
                    "entry point overridden, or the guest directory of another version?",
                    type, size);
        return FALSE;
    }
    if (have < (gsize) DSB_FRAME_HEADER + size)
        return FALSE;
    *frame = (struct dsb_frame){.type = (enum dsb_frame_type) type,
                                .execution = get_u32(data + 5),
                                .payload = data + DSB_FRAME_HEADER,
                                .size = size};
    wire->taken += (gsize) DSB_FRAME_HEADER + size;
    return TRUE;
}
