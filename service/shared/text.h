/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_TEXT_H
#define DSB_SHARED_TEXT_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * A text that does not change and may be very large: a small one in memory, another one in a file in memory, of which a
 * process that hands it on reads a piece at a time. All owners are in one thread at a time.
 */
struct text;

/** A file in memory with these bytes; -1: errno. */
int text_file(const void *bytes, gsize size);

struct text *text_new(const char *text);
/** Takes the text (g_free). */
struct text *text_take(char *text);
/** Takes the descriptor of a file that has `size` bytes, says its sender. */
struct text *text_in_file(int file, gsize size);
struct text *text_ref(struct text *text);
void text_unref(struct text *text); /**< or NULL */
/** Of the owner's pointer, which is NULL then. */
void text_clear(struct text **text);

gsize text_size(const struct text *text);
/** All of it; NULL: it is in a file. */
const char *text_memory(const struct text *text);
/** `size` bytes from `at` on. FALSE: they are not there. */
gboolean text_read(const struct text *text, gsize at, void *bytes, gsize size);

G_END_DECLS
#endif
