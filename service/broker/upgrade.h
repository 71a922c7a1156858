/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_UPGRADE_H
#define DSB_BROKER_UPGRADE_H

#include <glib.h>

G_BEGIN_DECLS

/** Remember the files that this service runs and loads: programs, the library, plugins and the guest's. */
gboolean upgrade_begin(GError **error);
/** dsb_installation_mark of then. */
const char *upgrade_mark(void);
/** One of them is no longer what it was: somebody installed another version, or another build of the same. */
gboolean upgrade_seen(void);

G_END_DECLS
#endif
