/* SPDX-License-Identifier: MIT */
#ifndef DSB_FUZZ_H
#define DSB_FUZZ_H

#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** What libFuzzer calls, and once.c for every file of a corpus. The bytes end where their allocation ends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What the code under test promises; an input that breaks it is a finding like a crash. */
#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/** FALSE if and only if the error is set, and its text can be printed and put into JSON. */
#define PROMISE_ERROR(ok, error)                                                                                       \
    do {                                                                                                               \
        PROMISE(!(ok) == ((error) != NULL));                                                                           \
        PROMISE((error) == NULL || g_utf8_validate((error)->message, -1, NULL));                                       \
    } while (0)

/** Input that is used up from the front. */
struct fuzz_input {
    const uint8_t *data;
    gsize size;
};

/** The next byte; 0 at the end. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

/** The text up to the next NUL, which is used up, or the end (g_free). */
static inline char *fuzz_text(struct fuzz_input *input)
{
    gsize length = 0;
    while (length < input->size && input->data[length] != '\0')
        length++;
    char *text = g_malloc(length + 1);
    for (gsize i = 0; i < length; i++)
        text[i] = (char) input->data[i];
    text[length] = '\0';
    gsize used = MIN(length + 1, input->size);
    input->data += used;
    input->size -= used;
    return text;
}

#endif
