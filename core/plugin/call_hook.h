/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_CALL_HOOK_H
#define DSB_PLUGIN_CALL_HOOK_H

#include "common/call_limit.h"

#include <dsandbox/error.h>

/**
 * Around every call of a plugin's code. Where that ends the process by exit(), it ends with status 125 and a message
 * instead: whoever waits for it would take a 0 for the code's success. Who asked to know (dsb_set_call_hook) is told.
 * `plugin` and `operation` live until dsb_call_end(). The calls of one thread do not nest.
 */
void dsb_call_begin(const char *plugin, const char *operation, guint64 at_most_ms);
void dsb_call_end(void);

#endif
