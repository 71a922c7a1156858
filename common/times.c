/* SPDX-License-Identifier: MIT */
#include "common/times.h"

#include <string.h>

#define DIGITS "0123456789"

gboolean time_read(const char *text, double *ms)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
    gsize length = strspn(text, DIGITS);
    if (length == 0)
        return FALSE;
    if (text[length] == '.') {
        gsize places = strspn(text + length + 1, DIGITS);
        if (places == 0)
            return FALSE;
        length += 1 + places;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strcmp(text + length, units[i].suffix) != 0)
            continue;
        g_autofree char *number = g_strndup(text, length);
        *ms = g_ascii_strtod(number, NULL) * units[i].factor;
        return TRUE;
    }
    return FALSE;
}
