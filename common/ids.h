/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_IDS_H
#define DSB_COMMON_IDS_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * A name that is no option and no path: it begins with an ASCII letter or digit and has those and `extra` alone, at most
 * `max` bytes; no more than one behind them is looked at. FALSE for NULL.
 */
gboolean dsb_is_word(const char *text, const char *extra, gsize max);

/** The id of a session: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}; it is a name of a directory, too. FALSE for NULL. */
gboolean dsb_session_id_valid(const char *id);

/** Twenty-six random characters after a prefix (g_free): nobody has had them, nobody guesses them. */
char *dsb_random_id(const char *prefix);

G_END_DECLS
#endif
