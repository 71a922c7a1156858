/* SPDX-License-Identifier: MIT */
/* The head of an HTTP/1.1 answer, for connections whose request was written by hand. */
#include "engine/engine.h"

#include <string.h>

static int parse_status(const char *line, gsize size)
{
    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !g_ascii_isdigit(line[7]) || line[8] != ' ')
        return -1;
    for (int i = 9; i < 12; i++)
        if (!g_ascii_isdigit(line[i]))
            return -1;
    if (size > 12 && line[12] != ' ')
        return -1;
    return (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

static gboolean parse_field(const char *line, gsize size, struct dsbe_head *head)
{
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line)
        return FALSE;
    g_autofree char *name = g_ascii_strdown(line, colon - line);
    g_autofree char *value = g_strstrip(g_strndup(colon + 1, size - (gsize) (colon - line) - 1));
    guint64 length = 0;
    if (strcmp(name, "content-length") == 0) {
        if (!g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &length, NULL))
            return FALSE;
        head->content_length = (int64_t) length;
    }
    if (strcmp(name, "transfer-encoding") == 0)
        head->chunked = g_ascii_strcasecmp(value, "chunked") == 0;
    return TRUE;
}

int dsbe_head_parse(const char *data, gsize size, struct dsbe_head *head)
{
    struct dsbe_head result = {.content_length = -1};
    if (size > 0 && memcmp(data, "HTTP/1.", MIN(size, 7)) != 0)
        return -1;
    const char *end = g_strstr_len(data, (gssize) size, "\r\n\r\n");
    if (!end)
        return 0;
    const char *line = data;
    gsize length = (gsize) (g_strstr_len(data, (gssize) size, "\r\n") - data);
    result.status = parse_status(line, length);
    if (result.status < 0)
        return -1;
    while (line + length < end) {
        line += length + 2;
        length = (gsize) (g_strstr_len(line, (gssize) (end + 2 - line), "\r\n") - line);
        if (!parse_field(line, length, &result))
            return -1;
    }
    result.size = (gsize) (end - data) + 4;
    *head = result;
    return 1;
}
