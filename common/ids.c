/* SPDX-License-Identifier: MIT */
#include "common/ids.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

gboolean dsb_session_id_valid(const char *id)
{
    gsize n = id != NULL ? strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") : 0;
    return n >= 1 && n <= 64 && id[n] == '\0' && g_ascii_isalnum(id[0]);
}

char *dsb_random_id(const char *prefix)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    guint8 random[26];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        g_error("getrandom: %s", g_strerror(errno));
    GString *id = g_string_new(prefix);
    for (gsize i = 0; i < sizeof random; i++)
        g_string_append_c(id, alphabet[random[i] % 32]);
    return g_string_free(id, FALSE);
}
