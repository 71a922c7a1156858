/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_CONTROLS_H
#define DSB_ATTEST_CONTROLS_H

#include "policy/resolve.h"

#include <dsandbox/observed.h>

/**
 * How one control is compared and put into words: by its row of the table where it is one number, else by functions of
 * its own. A control that has neither is unknown and never holds, unless it is the core's own (DSB_CONTROLS_CORE).
 */
char *dsb_control_asked(enum dsb_control control, const struct dsb_resolved *resolved);    /**< g_free */
char *dsb_control_measured(enum dsb_control control, const struct dsb_observed *observed); /**< g_free */
/** The comparison that both stages share: the observed fact is not weaker than the spec. The bit must be known. */
gboolean dsb_control_holds(enum dsb_control control, const struct dsb_spec *spec, const struct dsb_observed *observed);

#endif
