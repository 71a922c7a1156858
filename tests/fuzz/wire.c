/* SPDX-License-Identifier: MIT */
/* Frames of pid 1 on a stream that cuts anywhere: the cuts change nothing, and what was read can be written again. */
#include "run/wire.h"
#include "fuzz.h"

#include <string.h>

struct fake {
    struct fuzz_input input;
    gsize step;
    gboolean blocked;
    GByteArray *written;
};

static gboolean block(struct fake *fake, GError **error)
{
    fake->blocked = !fake->blocked;
    if (fake->blocked)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "later");
    return fake->blocked;
}

static gssize fake_read(void *state, void *buffer, gsize size, GError **error)
{
    struct fake *fake = state;
    if (block(fake, error))
        return -1;
    gsize n = MIN(MIN(fake->step, size), fake->input.size);
    for (gsize i = 0; i < n; i++)
        ((uint8_t *) buffer)[i] = fuzz_byte(&fake->input);
    return (gssize) n;
}

static gssize fake_write(void *state, const void *buffer, gsize size, GError **error)
{
    struct fake *fake = state;
    if (block(fake, error))
        return -1;
    gsize n = MIN(fake->step, size);
    g_byte_array_append(fake->written, buffer, (guint) n);
    return (gssize) n;
}

/* Every frame goes into `out` again. FALSE: the stream is not the protocol. */
static gboolean copy_frames(struct fuzz_input input, gsize step, GByteArray *out)
{
    struct fake source = {.input = input, .step = step}, sink = {.step = step, .written = out};
    struct dsb_byte_stream in = {.state = &source, .read = fake_read}, back = {.state = &sink, .write = fake_write};
    struct dsb_wire reader, writer;
    gboolean good = TRUE;
    dsb_wire_init(&reader, &in);
    dsb_wire_init(&writer, &back);
    while (good && !reader.eof) {
        struct dsb_frame frame;
        g_autoptr(GError) error = NULL;
        PROMISE(dsb_wire_fill(&reader, NULL));
        while (dsb_wire_next(&reader, &frame, &error)) {
            PROMISE(error == NULL && frame.size <= DSB_FRAME_MAX);
            dsb_wire_queue(&writer, frame.type, frame.execution, frame.payload, frame.size);
        }
        good = error == NULL;
        PROMISE(good || (error->code == DSB_ERROR_PROTOCOL && g_utf8_validate(error->message, -1, NULL)));
    }
    while (dsb_wire_pending(&writer) > 0)
        PROMISE(dsb_wire_flush(&writer, NULL));
    dsb_wire_clear(&reader);
    dsb_wire_clear(&writer);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    gsize step = 1 + (gsize) fuzz_byte(&input);
    g_autoptr(GByteArray) whole = g_byte_array_new();
    g_autoptr(GByteArray) cut = g_byte_array_new();
    gboolean good = copy_frames(input, 1 << 20, whole);
    PROMISE(copy_frames(input, step, cut) == good);
    PROMISE(whole->len == cut->len && whole->len <= input.size);
    if (whole->len > 0)
        PROMISE(memcmp(whole->data, cut->data, cut->len) == 0 && memcmp(whole->data, input.data, whole->len) == 0);
    return 0;
}
