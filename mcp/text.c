/* SPDX-License-Identifier: MIT */
/* What of a text goes to a model, and what kind of content bytes are. */
#include "mcp/text.h"

#include <string.h>

gsize mcp_share(const gsize *sizes, gsize n, gsize budget)
{
    gsize low = 0, high = budget;
    while (low < high) {
        gsize middle = low + (high - low + 1) / 2, sum = 0;
        for (gsize i = 0; i < n; i++)
            sum += MIN(sizes[i], middle);
        if (sum <= budget)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static gboolean is_inside(char byte) { return ((guchar) byte & 0xc0) == 0x80; }

/* A NUL would end it for whoever reads it next. */
static void append(GString *to, const char *text, gsize size)
{
    for (const char *end = text + size, *nul; text < end; text = nul + 1) {
        nul = memchr(text, '\0', (gsize) (end - text));
        g_string_append_len(to, text, (nul != NULL ? nul : end) - text);
        if (nul == NULL)
            return;
        g_string_append(to, "\xef\xbf\xbd");
    }
}

char *mcp_cut(const char *text, gsize size, gsize most)
{
    GString *cut = g_string_sized_new(MIN(size, most) + 64);
    gsize head = size <= most ? size : most / 2, tail = size <= most ? size : size - (most - head);
    while (head < size && head > 0 && is_inside(text[head]))
        head--;
    while (tail < size && is_inside(text[tail]))
        tail++;
    append(cut, text, head);
    if (tail > head)
        g_string_append_printf(cut, "\n[… %zu bytes left out …]\n", tail - head);
    append(cut, text + tail, size - tail);
    return g_string_free(cut, FALSE);
}

const char *mcp_image_type(const void *bytes, gsize size)
{
    static const struct {
        const char *type, *magic;
        gsize size, at;
    } kinds[] = {
        {"image/png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, 0},
        {"image/jpeg", "\xff\xd8\xff", 3, 0},
        {"image/gif", "GIF8", 4, 0},
        {"image/webp", "WEBPVP8", 7, 8},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (size >= kinds[i].at + kinds[i].size &&
            memcmp((const char *) bytes + kinds[i].at, kinds[i].magic, kinds[i].size) == 0)
            return kinds[i].type;
    return NULL;
}

const char *mcp_file_type(const char *path)
{
    static const char *const types[][2] = {
        {".txt", "text/plain"},        {".log", "text/plain"},      {".py", "text/x-python"},  {".md", "text/markdown"},
        {".csv", "text/csv"},          {".html", "text/html"},      {".svg", "image/svg+xml"}, {".png", "image/png"},
        {".jpg", "image/jpeg"},        {".jpeg", "image/jpeg"},     {".gif", "image/gif"},     {".webp", "image/webp"},
        {".json", "application/json"}, {".pdf", "application/pdf"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_has_suffix(path, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}
