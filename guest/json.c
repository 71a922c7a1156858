/* SPDX-License-Identifier: MIT */
#include "guest.h"

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

/* --- the scanner: walks a text once, and looks at no more than it has to --- */

struct scan {
    const unsigned char *at, *end;
};

#define DEPTH_MAX 64

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, unsigned char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* `text` is the raw inside, escapes undone nowhere. */
static bool scan_string(struct scan *s, const unsigned char **text, size_t *n)
{
    if (!take(s, '"'))
        return false;
    *text = s->at;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at < 0x20)
            return false;
        s->at += *s->at == '\\' ? 2 : 1;
    }
    if (s->at >= s->end)
        return false;
    *n = (size_t) (s->at - *text);
    s->at++;
    return true;
}

static bool scan_word(struct scan *s, const unsigned char **text, size_t *n)
{
    skip_space(s);
    *text = s->at;
    while (s->at < s->end && ((*s->at >= '0' && *s->at <= '9') || (*s->at >= 'a' && *s->at <= 'z') || *s->at == '-' ||
                              *s->at == '+' || *s->at == '.' || *s->at == 'E'))
        s->at++;
    *n = (size_t) (s->at - *text);
    return *n > 0;
}

/* A value that nobody asked for. The kernel parses the same text with a full parser; here only its extent counts. */
static bool skip_value(struct scan *s)
{
    unsigned char closing[DEPTH_MAX];
    size_t depth = 0;
    const unsigned char *text;
    size_t n;

    do {
        skip_space(s);
        if (s->at == s->end)
            return false;
        unsigned char c = *s->at;
        if (c == '"') {
            if (!scan_string(s, &text, &n))
                return false;
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX)
                return false;
            closing[depth++] = c == '{' ? '}' : ']';
            s->at++;
        } else if (depth > 0 && c == closing[depth - 1]) {
            depth--;
            s->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            s->at++;
        } else if (!scan_word(s, &text, &n)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

static bool word_is(const unsigned char *text, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(text, word, n) == 0;
}

static bool parse_int(const unsigned char *text, size_t n, int64_t *value)
{
    bool minus = n > 0 && text[0] == '-';
    int64_t v = 0;

    if (n - minus == 0 || (text[minus] == '0' && n - minus > 1))
        return false;
    for (size_t i = minus; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (text[i] - '0');
    }
    *value = minus ? -v : v;
    return true;
}

static bool read_member(struct scan *s, struct json_member *m)
{
    const unsigned char *text;
    size_t n;

    if (m->kind == JSON_TEXT)
        return scan_string(s, &m->text, &m->length);
    if (!scan_word(s, &text, &n))
        return false;
    switch (m->kind) {
    case JSON_TEXT:
        break;
    case JSON_INT:
        return parse_int(text, n, &m->value);
    case JSON_BOOL:
        m->value = word_is(text, n, "true");
        return m->value || word_is(text, n, "false");
    }
    return false;
}

const char *json_scan(const unsigned char *text, size_t n, struct json_member *want, size_t count)
{
    struct scan s = {text, text + n};

    if (!take(&s, '{'))
        return "not a JSON object";
    if (!take(&s, '}')) {
        do {
            const unsigned char *key;
            size_t key_len;
            if (!scan_string(&s, &key, &key_len) || !take(&s, ':'))
                return "malformed JSON";
            /* An escaped spelling of a wanted key would be seen by another parser only: refuse it. */
            if (memchr(key, '\\', key_len))
                return "an escape in a member's name";
            struct json_member *m = NULL;
            for (size_t i = 0; i < count && !m; i++)
                if (word_is(key, key_len, want[i].key))
                    m = &want[i];
            if (m && m->seen)
                return "a member appears twice";
            if (m ? !read_member(&s, m) : !skip_value(&s))
                return m ? "a member of the wrong kind" : "malformed JSON";
            if (m)
                m->seen = true;
        } while (take(&s, ','));
        if (!take(&s, '}'))
            return "malformed JSON";
    }
    skip_space(&s);
    return s.at == s.end ? NULL : "text after the JSON object";
}
