/* SPDX-License-Identifier: MIT */
/* How a plugin of the tests fails. */
#ifndef DSB_TEST_PLUGIN_FAIL_H
#define DSB_TEST_PLUGIN_FAIL_H

#include <dsandbox/plugin.h>
#include <glib.h>

/** Fills `error` and returns 0. */
G_GNUC_PRINTF(3, 4)
static inline int plugin_fail(struct dsb_plugin_error *error, uint32_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->code = code;
    g_vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return 0;
}

#endif
