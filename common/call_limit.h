/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_CALL_LIMIT_H
#define DSB_COMMON_CALL_LIMIT_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * How long an operation of a plugin may take, in milliseconds, when each engine call may take `call_ms` (0: nothing was
 * said). 0: it has no limit.
 */
guint64 dsb_call_limit_ms(const char *operation, guint32 call_ms);

G_END_DECLS
#endif
