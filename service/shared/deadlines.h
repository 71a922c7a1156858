/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_DEADLINES_H
#define DSB_SHARED_DEADLINES_H

#include "shared/settings.h"

G_BEGIN_DECLS

/*
 * How long a process may take for what, in ms, before it is given up: all that has a time of its own, and room for a
 * machine that is busy. `timeout_ms` is of the execution; 0: the policy's.
 */
guint64 deadline_create(const struct settings *settings);
guint64 deadline_control(const struct settings *settings, guint64 timeout_ms);
guint64 deadline_execute(const struct settings *settings, guint64 timeout_ms);
guint64 deadline_close(const struct settings *settings);
/** All of that, one after the other. */
guint64 deadline_run(const struct settings *settings, guint64 timeout_ms);
/** Of one operation of a backend in gc. */
guint64 deadline_gc_call(const struct settings *settings);
/** After it was cancelled. */
guint64 deadline_cancelled(const struct settings *settings);

G_END_DECLS
#endif
