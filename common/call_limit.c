/* SPDX-License-Identifier: MIT */
/* What an operation of a plugin may take: for who waits, and for who proves a plugin. */
#include "common/call_limit.h"

#include <stdint.h>
#include <string.h>

/* An operation makes some engine calls, and has work of its own on a machine that may be busy. */
#define CALLS 3
#define CALL_MS UINT64_C(60000)
#define CREATE_MS UINT64_C(330000) /* an engine may copy the image first */
#define EXTRA_MS UINT64_C(10000)

guint64 dsb_call_limit_ms(const char *operation, guint32 call_ms)
{
    if (strcmp(operation, "image_make") == 0)
        return 0;
    if (g_str_has_prefix(operation, "stream."))
        return EXTRA_MS; /* it must not wait for anything */
    if (call_ms == 0 && strcmp(operation, "create") == 0)
        return CREATE_MS;
    return CALLS * (call_ms > 0 ? call_ms : CALL_MS) + EXTRA_MS;
}
