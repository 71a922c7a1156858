/* SPDX-License-Identifier: MIT */
/* The head of an HTTP answer. */
#include "engine/engine.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    struct dsbe_head head = {.status = -7}, again = {0};
    int verdict = dsbe_head_parse(text, size, &head);
    PROMISE(verdict >= -1 && verdict <= 1);
    if (verdict <= 0) {
        PROMISE(head.status == -7);
        return 0;
    }
    PROMISE(head.size <= size && head.status >= 0 && head.status <= 999 && head.content_length >= -1);
    /* A whole head needs nothing behind it, and all of itself. */
    PROMISE(dsbe_head_parse(text, head.size, &again) == 1 && again.size == head.size);
    PROMISE(dsbe_head_parse(text, head.size - 1, &again) == 0);
    return 0;
}
