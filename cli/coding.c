/* SPDX-License-Identifier: MIT */
/* The text of a program that says in a line of its own how it is encoded. */
#include "input.h"

#include <string.h>

#define LINES_MAX 8192

/* What stands in a comment of the first two lines, as the interpreter looks for it. NULL: nothing, it is UTF-8. */
static char *coding_line(const GByteArray *code)
{
    static const char pattern[] = "\\A(?:[ \\t\\f]*(?:#[^\\r\\n]*)?\\r?\\n)?[ \\t\\f]*#[^\\r\\n]*?coding[:=][ \\t]*([-\\w.]+)";
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_RAW, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    gsize size = MIN(code->len, LINES_MAX);
    if (size == 0 || regex == NULL || !g_regex_match_full(regex, (const char *) code->data, (gssize) size, 0, 0, &match, NULL))
        return NULL;
    return g_match_info_fetch(match, 1);
}

static char *convert(const GByteArray *code, const char *from, gsize *size)
{
    static const char *const no_source[] = {"utf-16", "utf16", "utf-32", "utf32", "ucs", "utf-7"};
    for (gsize i = 0; i < G_N_ELEMENTS(no_source); i++)
        if (g_ascii_strncasecmp(from, no_source[i], strlen(no_source[i])) == 0)
            return NULL;
    g_autofree char *name = g_strdelimit(g_strdup(from), "_", '-');
    if (g_ascii_strcasecmp(name, "latin-1") == 0 || g_ascii_strcasecmp(name, "iso-latin-1") == 0)
        from = "ISO-8859-1";
    char *text = g_convert((const char *) code->data, code->len, "UTF-8", from, NULL, size, NULL);
    return text != NULL ? text : g_convert((const char *) code->data, code->len, "UTF-8", name, NULL, size, NULL);
}

void cli_decode(GByteArray *code)
{
    static const guint8 bom[] = {0xef, 0xbb, 0xbf};
    g_autofree char *from = coding_line(code);
    gsize size = 0;
    if (from == NULL || g_ascii_strncasecmp(from, "utf-8", 5) == 0 || g_ascii_strncasecmp(from, "utf8", 4) == 0 ||
        (code->len >= sizeof bom && memcmp(code->data, bom, sizeof bom) == 0))
        return;
    g_autofree char *text = convert(code, from, &size);
    if (text == NULL)
        return; /* the interpreter says what is wrong with it */
    g_byte_array_set_size(code, 0);
    g_byte_array_append(code, (const guint8 *) text, (guint) size);
}
