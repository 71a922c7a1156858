/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_QUOTA_H
#define DSB_BROKER_QUOTA_H

#include "shared/settings.h"

#include <dsandbox/files.h>

G_BEGIN_DECLS

/**
 * What uploads may still bring into a session: its policy's `disk` and `disk_inodes`, less what its directory holds.
 * That is counted anew after ten times as long as a count took, and before an upload is refused. Uploads of one session
 * share it. What the code writes at the same time is its watcher's.
 */
struct quota;

/** Main thread. */
struct quota *quota_take(const struct settings *settings, const char *id);
void quota_release(struct quota *quota);

/** Any thread. Room for one more file, without content; LIMIT. */
gboolean quota_begin(struct quota *quota, dsb_files *files, GError **error);
/** Room for it to grow from `from` to `to` bytes; LIMIT. */
gboolean quota_grow(struct quota *quota, dsb_files *files, guint64 from, guint64 to, GError **error);
/** It has ended, with the bytes that there was room for: in the directory, or not. */
void quota_end(struct quota *quota, guint64 bytes, gboolean there);

G_END_DECLS
#endif
