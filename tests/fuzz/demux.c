/* SPDX-License-Identifier: MIT */
/* The engine's stream frames: the cuts between reads, and the room for what comes out, change nothing. */
#include "engine/engine.h"
#include "fuzz.h"

#include <string.h>

#define ROOM 65536

static gboolean run(struct dsbe_demux *demux, struct fuzz_input input, gsize step, gsize room, GByteArray *out)
{
    g_autofree uint8_t *buffer = g_malloc(room);
    while (input.size > 0) {
        gsize size = MIN(step, input.size), consumed = 0, produced = 0;
        g_autoptr(GError) error = NULL;
        gboolean ok = dsbe_demux_run(demux, input.data, size, &consumed, buffer, room, &produced, &error);
        PROMISE_ERROR(ok, error);
        if (!ok)
            return FALSE;
        PROMISE(consumed <= size && produced <= room && consumed + produced > 0);
        g_byte_array_append(out, buffer, (guint) produced);
        input.data += consumed;
        input.size -= consumed;
    }
    return TRUE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    gsize step = 1 + fuzz_byte(&input), room = 1 + fuzz_byte(&input);
    struct dsbe_demux *demux = g_new0(struct dsbe_demux, 2);
    g_autoptr(GByteArray) whole = g_byte_array_new();
    g_autoptr(GByteArray) cut = g_byte_array_new();
    gboolean good = run(&demux[0], input, ROOM, ROOM, whole);
    PROMISE(run(&demux[1], input, step, room, cut) == good);
    if (good)
        PROMISE(whole->len == cut->len && (cut->len == 0 || memcmp(whole->data, cut->data, cut->len) == 0));
    PROMISE(strcmp(dsbe_demux_diagnostic(&demux[0]), dsbe_demux_diagnostic(&demux[1])) == 0);
    PROMISE(strlen(demux[0].text) <= DSBE_DIAGNOSTIC_MAX);
    g_free(demux);
    return 0;
}
