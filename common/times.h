/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_TIMES_H
#define DSB_COMMON_TIMES_H

#include <glib.h>

/** "500ms", "1.5s", "2m", "1h"; without a unit, seconds. Decimal digits only: no sign, no exponent, no bare point. */
gboolean time_read(const char *text, double *ms);

#endif
