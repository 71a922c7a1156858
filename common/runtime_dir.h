/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_RUNTIME_DIR_H
#define DSB_COMMON_RUNTIME_DIR_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * The user's directory for sockets and what belongs to them: $XDG_RUNTIME_DIR/dsandbox, else /run/user/UID/dsandbox, also
 * without the variable (su, cron, a service), so that one user has one service; else /tmp/.dsandbox-UID (g_free). It need
 * not be there, and may be somebody else's: whoever uses it looks.
 */
char *dsb_runtime_dir(void);

G_END_DECLS
#endif
