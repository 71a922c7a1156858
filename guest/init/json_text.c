/* SPDX-License-Identifier: MIT */
/* Text as a JSON string, for what pid 1 says. */
#include "init/init.h"

#include <string.h>

/* Length of the UTF-8 sequence at `s`, 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 0;
    if (s[0] >= 0xf0 && s[0] < 0xf5)
        len = 4;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

void json_string(struct buf *b, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;

    buf_add(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t len = utf8_sequence(s + i, n - i);
        if (len == 0)
            buf_add(b, "?", 1);
        else if (s[i] < 0x20 || s[i] == 0x7f)
            buf_printf(b, "\\u%04x", s[i]);
        else if (s[i] == '"' || s[i] == '\\')
            buf_printf(b, "\\%c", s[i]);
        else
            buf_add(b, s + i, len);
        i += len ? len : 1;
    }
    buf_add(b, "\"", 1);
}
