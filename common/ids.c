/* SPDX-License-Identifier: MIT */
#include "common/ids.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

gboolean dsb_is_word(const char *text, const char *extra, gsize max)
{
    if (text == NULL || !g_ascii_isalnum(*text))
        return FALSE;
    gsize n = 1;
    while (n <= max && text[n] != '\0' && (g_ascii_isalnum(text[n]) || strchr(extra, text[n]) != NULL))
        n++;
    return n <= max && text[n] == '\0';
}

gboolean dsb_session_id_valid(const char *id) { return dsb_is_word(id, "_.-", 64); }

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
