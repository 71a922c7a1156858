/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_ARGUMENTS_H
#define DSB_RUN_ARGUMENTS_H

#include <dsandbox/run.h>

/*
 * What callers give, in structures of ours: callers may have been compiled with an older header, whose structures end
 * earlier (then the rest is zero), or with a newer one. INVALID: struct_size is none that a version had, it does not
 * begin as its _INIT, members that this version does not know are set, or a descriptor is none that can be read.
 */
gboolean dsb_take_options(const struct dsb_run_options *from, struct dsb_run_options *to, GError **error);
gboolean dsb_take_request(const struct dsb_request *from, struct dsb_request *to, GError **error);

#endif
