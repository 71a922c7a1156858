/* SPDX-License-Identifier: MIT */
/* A function that fails sets an error, and one that succeeds does not: kept also where we have a fault. */
#include "run/error_rule.h"

#include <dsandbox/error.h>
#include <string.h>

gboolean dsb_error_rule(gboolean ok, GError **error, const char *what)
{
    if (ok == (*error == NULL))
        return ok;
    int name = (int) strcspn(what, "(");
    g_critical("%.*s %s", name, what, ok ? "succeeded and set an error" : "failed without an error");
    if (*error == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED,
                    "a fault of dsandbox itself: %.*s failed without a reason; please report it", name, what);
    return FALSE;
}
