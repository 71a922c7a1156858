/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_WORDS_H
#define DSB_COMMON_WORDS_H

#include <glib.h>

G_BEGIN_DECLS

/** Text with control, format and invalid characters as escapes (g_free). `keep` has those to be left: "\n\t", or "". */
char *clean_text(const char *text, gsize size, const char *keep);
/** A message of the library, which says its own words for what are options of the programs (g_free); NULL: NULL. */
char *option_words(const char *text);
/** One line of at most `max` bytes and a mark where it was cut, all of it harmless (g_free). NULL: "". */
char *clean_line(const char *text, gsize max);

G_END_DECLS
#endif
