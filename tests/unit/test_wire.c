/* SPDX-License-Identifier: MIT */
#include "run/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A stream that hands out `data` in pieces of `step` bytes, and takes as many at a time. */
struct fake {
    const uint8_t *data;
    gsize size, at, step;
    gboolean blocked;
    GByteArray *written;
};

static gssize fake_read(void *state, void *buffer, gsize size, GError **error)
{
    struct fake *fake = state;
    fake->blocked = !fake->blocked;
    if (fake->blocked) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "later");
        return -1;
    }
    gsize n = MIN(MIN(fake->step, size), fake->size - fake->at);
    memcpy(buffer, fake->data + fake->at, n);
    fake->at += n;
    return (gssize) n;
}

static gssize fake_write(void *state, const void *buffer, gsize size, GError **error)
{
    struct fake *fake = state;
    fake->blocked = !fake->blocked;
    if (fake->blocked) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "later");
        return -1;
    }
    gsize n = MIN(fake->step, size);
    g_byte_array_append(fake->written, buffer, (guint) n);
    return (gssize) n;
}

static void frames_survive_every_split(void **state)
{
    (void) state;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    struct fake sink = {.step = 1000, .written = bytes};
    struct dsb_byte_stream out = {.state = &sink, .write = fake_write};
    struct dsb_wire writer;
    dsb_wire_init(&writer, &out);
    dsb_wire_queue(&writer, DSB_FRAME_STDOUT, 7, "hello", 5);
    dsb_wire_queue(&writer, DSB_FRAME_ACK, 1, NULL, 0);
    while (dsb_wire_pending(&writer) > 0)
        assert_true(dsb_wire_flush(&writer, NULL));
    assert_int_equal(bytes->len, 2 * DSB_FRAME_HEADER + 5);
    dsb_wire_clear(&writer);

    for (gsize step = 1; step <= bytes->len; step++) {
        struct fake source = {.data = bytes->data, .size = bytes->len, .step = step};
        struct dsb_byte_stream in = {.state = &source, .read = fake_read};
        struct dsb_wire reader;
        struct dsb_frame frame;
        unsigned seen = 0;
        dsb_wire_init(&reader, &in);
        for (unsigned turns = 0; turns < 200 && !reader.eof; turns++) {
            assert_true(dsb_wire_fill(&reader, NULL));
            while (dsb_wire_next(&reader, &frame, NULL)) {
                if (seen++ == 0) {
                    assert_int_equal(frame.type, DSB_FRAME_STDOUT);
                    assert_int_equal(frame.execution, 7);
                    assert_int_equal(frame.size, 5);
                    assert_memory_equal(frame.payload, "hello", 5);
                } else {
                    assert_int_equal(frame.type, DSB_FRAME_ACK);
                    assert_int_equal(frame.size, 0);
                }
            }
        }
        assert_int_equal(seen, 2);
        dsb_wire_clear(&reader);
    }
}

static void refuses(const uint8_t *bytes, gsize size)
{
    struct fake source = {.data = bytes, .size = size, .step = size};
    struct dsb_byte_stream in = {.state = &source, .read = fake_read};
    struct dsb_wire reader;
    struct dsb_frame frame;
    g_autoptr(GError) error = NULL;
    dsb_wire_init(&reader, &in);
    assert_true(dsb_wire_fill(&reader, NULL));
    assert_true(dsb_wire_fill(&reader, NULL));
    assert_false(dsb_wire_next(&reader, &frame, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL));
    dsb_wire_clear(&reader);
}

static void oversized_and_unknown_frames_are_refused(void **state)
{
    (void) state;
    refuses((const uint8_t *) "\xff\xff\xff\xff\x05\0\0\0\0", 9);
    refuses((const uint8_t *) "\x01\0\0\x01\x05\0\0\0\0", 9);
    refuses((const uint8_t *) "\0\0\0\0\0\0\0\0\0", 9);
    refuses((const uint8_t *) "\0\0\0\0\x13\0\0\0\0", 9);
    refuses((const uint8_t *) "Traceback", 9);
}

static void what_is_too_large_is_not_queued(void **state)
{
    (void) state;
    struct dsb_byte_stream out = {0};
    struct dsb_wire writer;
    g_autofree char *big = g_malloc0(DSB_FRAME_MAX + 1);
    dsb_wire_init(&writer, &out);
    assert_false(dsb_wire_queue(&writer, DSB_FRAME_EXEC, 1, big, DSB_FRAME_MAX + 1));
    assert_int_equal(dsb_wire_pending(&writer), 0);
    assert_true(dsb_wire_queue(&writer, DSB_FRAME_EXEC, 1, big, DSB_FRAME_MAX));
    assert_int_equal(dsb_wire_pending(&writer), DSB_FRAME_MAX + DSB_FRAME_HEADER);
    dsb_wire_clear(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_survive_every_split),
        cmocka_unit_test(what_is_too_large_is_not_queued),
        cmocka_unit_test(oversized_and_unknown_frames_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
