/* SPDX-License-Identifier: MIT */
/* Text that is fit for a terminal, and messages of the library in the words of its programs. */
#include "common/words.h"

#include <string.h>

static gboolean is_harmless(gunichar c)
{
    GUnicodeType type = g_unichar_type(c);
    /* FORMAT has those that turn the direction of text. */
    return type != G_UNICODE_CONTROL && type != G_UNICODE_FORMAT && type != G_UNICODE_SURROGATE &&
           type != G_UNICODE_UNASSIGNED && type != G_UNICODE_PRIVATE_USE && type != G_UNICODE_LINE_SEPARATOR &&
           type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

static void escape(GString *to, gunichar c)
{
    if (c == '\n')
        g_string_append(to, "\\n");
    else if (c == '\t')
        g_string_append(to, "\\t");
    else if (c == '\r')
        g_string_append(to, "\\r");
    else if (c < 0x100)
        g_string_append_printf(to, "\\x%02x", c);
    else
        g_string_append_printf(to, "\\u%04x", c);
}

char *clean_text(const char *text, gsize size, const char *keep)
{
    GString *clean = g_string_new(NULL);
    const char *end = text + size;
    while (text < end) {
        gunichar c = g_utf8_get_char_validated(text, end - text);
        if (c == (gunichar) -1 || c == (gunichar) -2) {
            escape(clean, (guint8) *text++);
            continue;
        }
        if (is_harmless(c) || (c < 0x80 && c != 0 && strchr(keep, (int) c) != NULL))
            g_string_append_unichar(clean, c);
        else
            escape(clean, c);
        text = g_utf8_next_char(text);
    }
    return g_string_free(clean, FALSE);
}

char *option_words(const char *text)
{
    static const char *const words[][2] = {
        {" base_dir", " --base-dir"},
        {"(base_dir", "(--base-dir"},
        {" allow_unenforced", " --allow-unenforced"},
        {"(allow_unenforced", "(--allow-unenforced"},
        {" engine_timeout_ms", " --engine-timeout"},
        {"(engine_timeout_ms", "(--engine-timeout"},
        {" plugin_path", " --plugin"},
        {"its endpoint unix:", "--host unix:"},
        {"give an endpoint", "give --host"},
        {"or an endpoint", "or --host"},
        {"the endpoint or", "--host or"},
        {"use backend ", "use --backend "},
        {"(backend ", "(--backend "},
        {"another backend;", "another --backend;"},
        {"use another session", "use another --session"},
        {"or name another one", "or name one with --image"},
    };
    char *all = g_strdup(text);
    for (gsize i = 0; all != NULL && i < G_N_ELEMENTS(words); i++) {
        g_auto(GStrv) parts = g_strsplit(all, words[i][0], -1);
        g_free(all);
        all = g_strjoinv(words[i][1], parts);
    }
    return all;
}

/* Not in the middle of a character. */
static gsize cut_at(const char *text, gsize max)
{
    gsize end = max;
    while (end > 0 && max - end < 3 && ((guint8) text[end] & 0xC0) == 0x80)
        end--;
    return end;
}

char *clean_line(const char *text, gsize max)
{
    text = text != NULL ? text : "";
    gsize size = strnlen(text, max + 1);
    g_autofree char *all = clean_text(text, size <= max ? size : cut_at(text, max), "");
    gsize length = strlen(all); /* escapes are longer */
    if (size <= max && length <= max)
        return g_steal_pointer(&all);
    all[length <= max ? length : cut_at(all, max)] = '\0';
    return g_strconcat(all, "…", NULL);
}
