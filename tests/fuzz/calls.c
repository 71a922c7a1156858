/* SPDX-License-Identifier: MIT */
/* Calls of tools as pid 1 passes them on, and answers in any order: nothing is called that was not given. */
#include "common/strictjson.h"
#include "run/calls.h"
#include "fuzz.h"

#include <string.h>

#define AT_ONCE 64
#define ON_THE_WAY (15u << 20)

static const char *const names[] = {"a", "search", NULL};
static GQueue owed = G_QUEUE_INIT; /* dsb_call */
static uint32_t last, asked;

static void on_call(void *data, dsb_call *call)
{
    const char *text = dsb_call_arguments(call);
    g_autoptr(dsb_json) arguments = dsb_json_parse(text, strlen(text), 64, "", DSB_ERROR_INVALID, NULL);
    (void) data;
    PROMISE(g_strv_contains(names, dsb_call_tool(call)) && dsb_call_number(call) == last);
    PROMISE(arguments != NULL && json_object_object_length(arguments) == 2);
    g_queue_push_tail(&owed, call);
    PROMISE(owed.length <= AT_ONCE);
    asked++;
}

static void put_u32(GByteArray *payload, uint32_t number)
{
    number = GUINT32_TO_LE(number);
    g_byte_array_append(payload, (const guint8 *) &number, sizeof number);
}

/* FALSE: that is not the protocol, and the sandbox ends. */
static gboolean hear(struct dsb_calls *calls, enum dsb_frame_type type, const GByteArray *payload)
{
    static const struct dsb_run_options options = {.call = on_call};
    const struct dsb_frame frame = {type, 1, payload->data, payload->len};
    g_autoptr(GError) error = NULL;
    gboolean good = type == DSB_FRAME_CALL ? dsb_calls_take(calls, &frame, &options, &error)
                                           : dsb_calls_returned(calls, &frame, &error);
    PROMISE_ERROR(good, error);
    PROMISE(good || error->code == DSB_ERROR_PROTOCOL);
    return good;
}

/* The number is the next one, but for that of a byte. */
static gboolean call(struct dsb_calls *calls, struct fuzz_input *input)
{
    g_autoptr(GByteArray) payload = g_byte_array_new();
    g_autofree char *name = fuzz_text(input), *arguments = fuzz_text(input);
    gsize size = strlen(arguments);
    guint8 length = (guint8) MIN(strlen(name), 255);
    put_u32(payload, ++last + fuzz_byte(input));
    g_byte_array_append(payload, &length, 1);
    put_u32(payload, (uint32_t) size);
    g_byte_array_append(payload, (const guint8 *) name, length);
    g_byte_array_append(payload, (const guint8 *) arguments, (guint) size);
    return hear(calls, DSB_FRAME_CALL, payload);
}

static gboolean returned(struct dsb_calls *calls, struct fuzz_input *input)
{
    g_autoptr(GByteArray) payload = g_byte_array_new();
    put_u32(payload, fuzz_byte(input));
    return hear(calls, DSB_FRAME_RETURNED, payload);
}

static void answer(struct fuzz_input *input, gboolean raises)
{
    dsb_call *one = g_queue_pop_head(&owed);
    g_autofree char *text = fuzz_text(input);
    if (raises)
        dsb_call_raise(one, text, text);
    else
        dsb_call_return(one, text, strlen(text));
}

/* What goes down is JSON that the interpreter can read. */
static void look(struct dsb_calls *calls, struct dsb_wire *wire)
{
    dsb_calls_answer(calls, wire, 1);
    for (gsize at = 0; at < wire->out->len;) {
        uint32_t size;
        memcpy(&size, wire->out->data + at, sizeof size);
        size = GUINT32_FROM_LE(size);
        const char *text = (const char *) wire->out->data + at + DSB_FRAME_HEADER + 5;
        PROMISE(size > 5 && size <= ON_THE_WAY + 64 && wire->out->data[at + 4] == DSB_FRAME_RETURN);
        g_autoptr(dsb_json) json = dsb_json_parse_request(text, size - 5, 64, "", DSB_ERROR_INVALID, NULL);
        PROMISE(json != NULL);
        at += DSB_FRAME_HEADER + size;
    }
    g_byte_array_set_size(wire->out, 0);
}

static gboolean step(struct dsb_calls *calls, struct dsb_wire *wire, struct fuzz_input *input)
{
    switch (fuzz_byte(input) % 5) {
    case 0:
        return call(calls, input);
    case 1:
        return returned(calls, input);
    case 2:
        answer(input, FALSE);
        return TRUE;
    case 3:
        answer(input, TRUE);
        return TRUE;
    default:
        look(calls, wire);
        return TRUE;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct dsb_wire wire;
    const struct dsb_request request = {.tools = names, .call_timeout_ms = 1 + fuzz_byte(&input) * 1000u,
                                        .calls_stop_clock = fuzz_byte(&input) & 1};
    g_autoptr(GError) error = NULL;
    struct dsb_result *result = dsb_result_new();
    struct dsb_calls *calls = dsb_calls_new(&request, result, &error);
    PROMISE(calls != NULL);
    dsb_wire_init(&wire, NULL);
    last = asked = 0;
    while (input.size > 0 && step(calls, &wire, &input))
        PROMISE(dsb_calls_deadline(calls, 0) >= 0);
    look(calls, &wire);
    dsb_calls_end(calls);
    while (owed.length > 0) /* late, and for nobody */
        dsb_call_return(g_queue_pop_head(&owed), NULL, 0);
    PROMISE(dsb_result_n_calls(result) <= last && asked <= last);
    g_autofree char *text = dsb_result_json(result, FALSE);
    PROMISE(text != NULL);
    dsb_result_free(result);
    dsb_wire_clear(&wire);
    return 0;
}
