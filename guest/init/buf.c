/* SPDX-License-Identifier: MIT */
/* A byte queue. An allocation that fails ends the program, since pid 1 has nothing left to offer. */
#include "init/init.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned char *buf_reserve(struct buf *b, size_t n)
{
    if (b->start == b->end)
        b->start = b->end = 0;
    if (b->size - b->end >= n)
        return b->data + b->end;
    size_t len = buf_len(b);
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, len);
        b->start = 0;
        b->end = len;
    }
    if (b->size - len < n) {
        size_t size = b->size ? b->size : 4 * KIB;
        while (size - len < n)
            size *= 2;
        unsigned char *data = realloc(b->data, size);
        if (!data)
            _exit(71);
        b->data = data;
        b->size = size;
    }
    return b->data + b->end;
}

void buf_added(struct buf *b, size_t n) { b->end += n; }

void buf_add(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), data, n);
    b->end += n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0)
        buf_add(b, text, (size_t) n < sizeof text ? (size_t) n : sizeof text - 1);
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    /* A code frame may have been 16 MiB; that memory belongs to the user's limit. */
    if (b->start == b->end && b->size > 256 * KIB)
        buf_free(b);
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}
