/* SPDX-License-Identifier: MIT */
/* Whether what was typed is a whole statement. */
#include "prompt.h"

#include <string.h>

/*
 * When is typed Python complete? It is never run here, so the answer is from its letters alone: brackets, strings,
 * a backslash at the end, and blocks, which an empty line ends. Where it is wrong, Python says what is wrong.
 */

struct scan {
    int depth;
    char quote;      /* of the string we are in */
    gboolean triple; /* it is one of three quotes */
    gboolean escaped_newline;
};

static const char *scan_string(struct scan *scan, const char *at)
{
    const char three[] = {scan->quote, scan->quote, scan->quote, '\0'};
    if (*at == '\\' && at[1] != '\0')
        return at + 2;
    if (scan->triple && strncmp(at, three, 3) == 0) {
        scan->quote = '\0';
        return at + 3;
    }
    if (!scan->triple && (*at == scan->quote || *at == '\n'))
        scan->quote = '\0';
    return at + 1;
}

static const char *begin_string(struct scan *scan, const char *at)
{
    scan->quote = *at;
    scan->triple = at[1] == *at && at[2] == *at;
    return at + (scan->triple ? 3 : 1);
}

static struct scan scan_source(const char *at)
{
    struct scan scan = {0};
    while (*at != '\0') {
        scan.escaped_newline = FALSE;
        if (scan.quote != '\0') {
            at = scan_string(&scan, at);
            continue;
        }
        switch (*at) {
        case '#':
            at += strcspn(at, "\n");
            continue;
        case '"':
        case '\'':
            at = begin_string(&scan, at);
            continue;
        case '(':
        case '[':
        case '{':
            scan.depth++;
            break;
        case ')':
        case ']':
        case '}':
            scan.depth--;
            break;
        case '\\':
            scan.escaped_newline = at[1] == '\n' || at[1] == '\0';
            if (at[1] == '\n')
                at++;
            break;
        default:
            break;
        }
        at++;
    }
    return scan;
}

static gboolean is_blank(const char *line) { return line[strspn(line, " \t\f")] == '\0'; }

static gboolean begins_block(const char *source)
{
    static const char *const words[] = {"if", "for", "while", "def", "class", "with", "try", "async", "match", NULL};
    gsize at = strspn(source, " \t\n\f");
    gsize size = 0;
    if (source[at] == '@')
        return TRUE;
    while (g_ascii_isalnum(source[at + size]) || source[at + size] == '_')
        size++;
    g_autofree char *word = g_strndup(source + at, size);
    /* `match` may also be a name. */
    gsize after = at + size + strspn(source + at + size, " \t");
    if (strcmp(word, "match") == 0 && (source[after] == '=' || source[after] == '.' || source[after] == '('))
        return FALSE;
    return g_strv_contains(words, word);
}

static gboolean ends_with_colon(const char *line)
{
    gsize size = strlen(line);
    const char *comment = strchr(line, '#');
    if (comment != NULL)
        size = (gsize) (comment - line);
    while (size > 0 && g_ascii_isspace(line[size - 1]))
        size--;
    return size > 0 && line[size - 1] == ':';
}

gboolean source_is_empty(const char *source)
{
    while (*source != '\0') {
        source += strspn(source, " \t\n\f");
        if (*source == '#')
            source += strcspn(source, "\n");
        else if (*source != '\0')
            return FALSE;
    }
    return TRUE;
}

gboolean source_wants_more(const char *source)
{
    struct scan scan = scan_source(source);
    const char *newline = strrchr(source, '\n');
    const char *last = newline != NULL ? newline + 1 : source;
    if ((scan.quote != '\0' && scan.triple) || scan.depth > 0)
        return TRUE;
    if (is_blank(last))
        return FALSE;
    if (scan.escaped_newline)
        return TRUE;
    return begins_block(source) || ends_with_colon(last);
}
