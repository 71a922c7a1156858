/* SPDX-License-Identifier: MIT */
#ifndef DSB_GC_H
#define DSB_GC_H

#include "select.h"

/** The label by which a container's owner is found: uid, pid, start time, and whose pids these are (g_free). */
char *dsb_owner_label(void);
/** The owner was a process of ours on this machine, and is gone. Others' are never dead to us. */
gboolean dsb_owner_dead(const char *owner);

/** A container that nobody wants: of a dead owner of ours, or of ours and past its deadline. */
gboolean dsb_is_left(const struct dsb_leftover *left, gint64 now);

/**
 * Remove from one engine what is left; `session` NULL: of all. `seen` (may be NULL) has the ids that other backends of
 * the same engine have removed. *removed grows. Goes on after a failure, and returns FALSE with the first.
 */
gboolean dsb_gc_engine(const struct dsb_engine *engine, const struct dsb_run_options *options, const char *session,
                       gboolean dry_run, GHashTable *seen, unsigned *removed, GError **error);

#endif
