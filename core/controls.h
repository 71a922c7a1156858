/* SPDX-License-Identifier: MIT */
#ifndef DSB_CONTROLS_H
#define DSB_CONTROLS_H

#include "resolve.h"

#include <dsandbox/observed.h>

/** How one control is compared and put into words. Rendered text is g_free'd. */
struct dsb_control_row {
    char *(*asked)(const struct dsb_resolved *resolved);
    char *(*measured)(const struct dsb_observed *observed);
    /** NULL: the core's own, nobody else measures it. */
    gboolean (*holds)(const struct dsb_spec *spec, const struct dsb_observed *observed);
};

const struct dsb_control_row *dsb_control_row(enum dsb_control control);

#endif
