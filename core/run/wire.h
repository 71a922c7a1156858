/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_WIRE_H
#define DSB_RUN_WIRE_H

#include "common/pid1_protocol.h"
#include "common/stream.h"

#include <stdint.h>

struct dsb_frame {
    enum dsb_frame_type type;
    uint32_t execution;
    const uint8_t *payload; /**< in the wire's buffer, until the next call on it */
    gsize size;
};

/** Both directions of one stream: frames in, frames out, never blocking. */
struct dsb_wire {
    struct dsb_byte_stream *stream; /**< borrowed */
    GByteArray *in;
    gsize taken; /**< bytes of `in` already handed out */
    GByteArray *out;
    gsize sent; /**< bytes of `out` already written */
    gboolean eof;
    gboolean more; /**< the last fill stopped before WOULD_BLOCK: fill again before polling */
};

void dsb_wire_init(struct dsb_wire *wire, struct dsb_byte_stream *stream);
void dsb_wire_clear(struct dsb_wire *wire);

/** Append a frame to the output queue. FALSE: it is larger than DSB_FRAME_MAX, and not queued. */
gboolean dsb_wire_queue(struct dsb_wire *wire, enum dsb_frame_type type, uint32_t execution, const void *payload,
                        gsize size);
gsize dsb_wire_pending(const struct dsb_wire *wire);
/** Write what the stream takes now. FALSE: the stream is broken. */
gboolean dsb_wire_flush(struct dsb_wire *wire, GError **error);
/** Read what is there now; at the end of the stream sets `eof`. */
gboolean dsb_wire_fill(struct dsb_wire *wire, GError **error);
/**
 * Take the next whole frame out of the buffer. Returns FALSE without an error when there is none yet.
 * PROTOCOL for an unknown type or an oversized length.
 */
gboolean dsb_wire_next(struct dsb_wire *wire, struct dsb_frame *frame, GError **error);

#endif
