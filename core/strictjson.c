/* SPDX-License-Identifier: MIT */
#include "strictjson.h"

#include <dsandbox/error.h>
#include <math.h>
#include <string.h>

/* One open object or array on the way down. */
struct level {
    GHashTable *keys; /* of an object; NULL for an array */
    char *key;        /* the member we are in */
    unsigned index;   /* the element we are in */
};

typedef struct json_tokener tokener;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(tokener, json_tokener_free)

char *dsb_quoted(const char *text)
{
    GString *out = g_string_new("\"");
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        if (p - text >= 80) {
            g_string_append(out, "...");
            break;
        }
        gunichar c = g_utf8_get_char_validated(p, -1);
        if (c == (gunichar) -1 || c == (gunichar) -2) {
            g_string_append_printf(out, "\\x%02x...", (unsigned char) *p);
            break;
        }
        if (g_unichar_iscntrl(c) || !g_unichar_isdefined(c))
            g_string_append_printf(out, "\\u%04x", c);
        else
            g_string_append_unichar(out, c);
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}

static void level_clear(void *data)
{
    struct level *level = data;
    g_clear_pointer(&level->keys, g_hash_table_unref);
    g_clear_pointer(&level->key, g_free);
}

static void level_push(GArray *levels, gboolean object)
{
    struct level level = {0};
    if (object)
        level.keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_array_append_val(levels, level);
}

static char *path_of(const GArray *levels)
{
    GString *path = g_string_new(NULL);
    for (unsigned i = 0; i < levels->len; i++) {
        const struct level *level = &g_array_index(levels, struct level, i);
        if (level->keys == NULL)
            g_string_append_printf(path, "[%u]", level->index);
        else
            g_string_append_printf(path, "%s%s", i == 0 ? "" : ".", level->key != NULL ? level->key : "");
    }
    return g_string_free(path, FALSE);
}

/* The text of a string token, quotes included, without its escapes: "\u006d" must not hide a second "m". */
static char *unescape(const char *token, gsize size)
{
    g_autoptr(tokener) tok = json_tokener_new();
    g_autoptr(dsb_json) value = json_tokener_parse_ex(tok, token, (int) size);
    return g_strdup(value != NULL && json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "");
}

/* json-c's keys and most readers' texts end at a NUL, the sender's do not. */
static gboolean has_nul(const char *token, gsize size)
{
    for (gsize i = 0; i + 6 <= size; i++) {
        if (token[i] != '\\')
            continue;
        if (strncmp(token + i, "\\u0000", 6) == 0)
            return TRUE;
        i++;
    }
    return FALSE;
}

static gsize string_end(const char *text, gsize size, gsize start)
{
    gsize i = start + 1;
    while (i < size && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return MIN(i, size - 1);
}

/* When a colon follows, a string is a key of the object on top. */
static gboolean is_key(const GArray *levels, const char *text, gsize size, gsize end)
{
    gsize after = end + 1;
    while (after < size && strchr(" \t\r\n", text[after]) != NULL)
        after++;
    return levels->len > 0 && g_array_index(levels, struct level, levels->len - 1).keys != NULL && after < size &&
           text[after] == ':';
}

/* FALSE: it is a key that its object has already. */
static gboolean scan_string(GArray *levels, const char *text, gsize size, gsize start, gsize end)
{
    if (!is_key(levels, text, size, end))
        return TRUE;
    struct level *top = &g_array_index(levels, struct level, levels->len - 1);
    g_free(top->key);
    top->key = unescape(text + start, end - start + 1);
    return g_hash_table_add(top->keys, g_strdup(top->key));
}

/*
 * json-c keeps the last of two equal keys and says nothing, and takes keys in single quotes. What one reader of a
 * policy sees and another does not is how a limit gets lost, so both are errors. The text is known to be JSON here.
 */
static char *find_ambiguity(const char *text, gsize size, gboolean nul_ok)
{
    g_autoptr(GArray) levels = g_array_new(FALSE, TRUE, sizeof(struct level));
    g_array_set_clear_func(levels, level_clear);
    for (gsize i = 0; i < size; i++) {
        switch (text[i]) {
        case '{':
        case '[':
            level_push(levels, text[i] == '{');
            break;
        case '}':
        case ']':
            if (levels->len > 0)
                g_array_set_size(levels, levels->len - 1);
            break;
        case ',':
            if (levels->len > 0)
                g_array_index(levels, struct level, levels->len - 1).index++;
            break;
        case '\'':
            return g_strdup("single quotes are not JSON");
        case '"': {
            gsize end = string_end(text, size, i);
            if (has_nul(text + i, end - i) && !(nul_ok && !is_key(levels, text, size, end)))
                return g_strdup("a text has a NUL character");
            if (!scan_string(levels, text, size, i, end)) {
                g_autofree char *path = path_of(levels);
                g_autofree char *quoted = dsb_quoted(path);
                return g_strdup_printf("key %s is there twice", quoted);
            }
            i = end;
            break;
        }
        default:
            break;
        }
    }
    return NULL;
}

static unsigned line_of(const char *text, gsize end)
{
    unsigned line = 1;
    for (gsize i = 0; i < end; i++)
        line += text[i] == '\n';
    return line;
}

static dsb_json *parse(const char *text, gsize size, int max_depth, gboolean nul_ok, const char *what, int code,
                       GError **error)
{
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL && text[size - 1] != '\0')
        size--;
    if (size == 0) {
        g_set_error(error, DSB_ERROR, code, "%s: empty; a JSON object is expected", what);
        return NULL;
    }
    if (size > G_MAXINT / 2 || !g_utf8_validate_len(text, size, NULL)) {
        g_set_error(error, DSB_ERROR, code, "%s: not UTF-8 text", what);
        return NULL;
    }
    g_autoptr(tokener) tok = json_tokener_new_ex(max_depth);
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    g_autoptr(dsb_json) object = json_tokener_parse_ex(tok, text, (int) size);
    enum json_tokener_error failure = json_tokener_get_error(tok);
    gsize end = json_tokener_get_parse_end(tok);
    if (failure != json_tokener_success || object == NULL || end != size) {
        const char *why = failure == json_tokener_success    ? "something follows the object"
                          : failure == json_tokener_continue ? "it ends too early"
                                                             : json_tokener_error_desc(failure);
        g_set_error(error, DSB_ERROR, code, "%s: line %u: not valid JSON: %s", what, line_of(text, MIN(end, size)),
                    why);
        return NULL;
    }
    if (!json_object_is_type(object, json_type_object)) {
        g_set_error(error, DSB_ERROR, code, "%s: a JSON object is expected", what);
        return NULL;
    }
    g_autofree char *ambiguity = find_ambiguity(text, size, nul_ok);
    if (ambiguity != NULL) {
        g_set_error(error, DSB_ERROR, code, "%s: %s", what, ambiguity);
        return NULL;
    }
    return g_steal_pointer(&object);
}

dsb_json *dsb_json_parse(const char *text, gsize size, int max_depth, const char *what, int code, GError **error)
{
    return parse(text, size, max_depth, FALSE, what, code, error);
}

/* What json-c makes of each comma and bracket is a hundred times as large: count before it does. */
static gboolean too_many_items(const char *text, gsize size)
{
    gsize items = 0;
    for (gsize i = 0; i < size && items <= DSB_JSON_FOREIGN_ITEMS; i++) {
        if (text[i] == '"')
            i = string_end(text, size, i);
        else
            items += text[i] == ',' || text[i] == '{' || text[i] == '[';
    }
    return items > DSB_JSON_FOREIGN_ITEMS;
}

static gboolean copy(dsb_json *from, dsb_json **to);

static dsb_json *copy_array(dsb_json *from)
{
    g_autoptr(dsb_json) array = json_object_new_array();
    for (gsize i = 0; i < json_object_array_length(from); i++) {
        dsb_json *item = NULL;
        if (!copy(json_object_array_get_idx(from, i), &item))
            return NULL;
        json_object_array_add(array, item);
    }
    return g_steal_pointer(&array);
}

static dsb_json *copy_object(dsb_json *from)
{
    g_autoptr(dsb_json) object = json_object_new_object();
    json_object_object_foreach (from, key, member) {
        dsb_json *item = NULL;
        if (!copy(member, &item))
            return NULL;
        json_object_object_add(object, key, item);
    }
    return g_steal_pointer(&object);
}

/* Without the texts that json-c keeps of numbers, such as "1." and "1e999"; the null value is NULL. */
static gboolean copy(dsb_json *from, dsb_json **to)
{
    double number;
    switch (json_object_get_type(from)) {
    case json_type_object:
        *to = copy_object(from);
        return *to != NULL;
    case json_type_array:
        *to = copy_array(from);
        return *to != NULL;
    case json_type_double:
        number = json_object_get_double(from);
        *to = isfinite(number) ? json_object_new_double(number) : NULL;
        return *to != NULL;
    case json_type_null:
    case json_type_boolean:
    case json_type_int:
    case json_type_string:
    default:
        *to = json_object_get(from);
        return TRUE;
    }
}

dsb_json *dsb_json_parse_foreign(const char *text, gsize size, int max_depth)
{
    if (too_many_items(text, size))
        return NULL;
    g_autoptr(dsb_json) object = parse(text, size, max_depth, TRUE, "", 0, NULL);
    return object != NULL ? copy_object(object) : NULL;
}
