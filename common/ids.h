/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_IDS_H
#define DSB_COMMON_IDS_H

#include <glib.h>

G_BEGIN_DECLS

/** The id of a session: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}; it is a name of a directory, too. FALSE for NULL. */
gboolean dsb_session_id_valid(const char *id);

/** Twenty-six random characters after a prefix (g_free): nobody has had them, nobody guesses them. */
char *dsb_random_id(const char *prefix);

G_END_DECLS
#endif
