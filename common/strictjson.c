/* SPDX-License-Identifier: MIT */
#include "common/strictjson.h"

#include <dsandbox/error.h>
#include <math.h>
#include <string.h>

/* One open object or array on the way down. */
struct level {
    GTree *keys;    /* of an object; NULL for an array. No hash, which could be made to collide */
    char *key;      /* the member we are in; in `keys` */
    unsigned index; /* the element we are in */
};

/* What is taken all the same; each has those before it. */
enum leave {
    LEAVE_NOTHING,
    LEAVE_NUL, /* in texts */
    LEAVE_ODD, /* numbers such as "5.", half a surrogate pair: they are written again */
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
    g_clear_pointer(&level->keys, g_tree_unref);
}

static int by_text(gconstpointer a, gconstpointer b, gpointer data)
{
    (void) data;
    return strcmp(a, b);
}

static void level_push(GArray *levels, gboolean object)
{
    struct level level = {0};
    if (object)
        level.keys = g_tree_new_full(by_text, NULL, g_free, NULL);
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
    if (memchr(token, '\\', size) == NULL)
        return g_strndup(token + 1, size - 2);
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

static gboolean read_unit(const char *text, gsize size, unsigned *unit)
{
    *unit = 0;
    if (size < 6 || text[0] != '\\' || text[1] != 'u')
        return FALSE;
    for (gsize i = 2; i < 6; i++)
        *unit = *unit * 16 + (unsigned) (g_ascii_isxdigit(text[i]) ? g_ascii_xdigit_value(text[i]) : 0);
    return TRUE;
}

/* json-c makes U+FFFD of half a surrogate pair: what was sent is not what would run. */
static gboolean has_half_pair(const char *token, gsize size)
{
    unsigned unit = 0, low = 0;
    for (gsize i = 0; i + 1 < size; i++) {
        if (token[i] != '\\')
            continue;
        i++;
        if (!read_unit(token + i - 1, size - i + 1, &unit) || unit < 0xd800 || unit > 0xdfff)
            continue;
        if (unit > 0xdbff || !read_unit(token + i + 5, size - MIN(size, i + 5), &low) || low < 0xdc00 || low > 0xdfff)
            return TRUE;
        i += 10;
    }
    return FALSE;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?; json-c takes "5." too, and NaN and -Infinity. */
static gboolean is_number(const char *token, gsize size)
{
    static const char digits[] = "0123456789";
    g_autofree char *text = g_strndup(token, size);
    const char *at = text[0] == '-' ? text + 1 : text;
    gsize whole = strspn(at, digits);
    if (whole == 0 || (whole > 1 && at[0] == '0'))
        return FALSE;
    at += whole;
    if (at[0] == '.') {
        gsize places = strspn(at + 1, digits);
        if (places == 0)
            return FALSE;
        at += 1 + places;
    }
    if (at[0] == 'e' || at[0] == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        gsize power = strspn(at, digits);
        if (power == 0)
            return FALSE;
        at += power;
    }
    return at[0] == '\0';
}

static gsize word_end(const char *text, gsize size, gsize start)
{
    gsize end = start;
    while (end < size && (g_ascii_isalnum(text[end]) || (text[end] != '\0' && strchr("+-.", text[end]) != NULL)))
        end++;
    return end;
}

static gboolean is_value(const char *token, gsize size)
{
    static const char *const words[] = {"true", "false", "null"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (size == strlen(words[i]) && memcmp(token, words[i], size) == 0)
            return TRUE;
    return is_number(token, size);
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
    char *key = unescape(text + start, end - start + 1);
    GTreeNode *there = g_tree_lookup_node(top->keys, key);
    if (there == NULL)
        g_tree_insert(top->keys, key, NULL);
    else
        g_free(key);
    top->key = there == NULL ? key : g_tree_node_key(there);
    return there == NULL;
}

/*
 * json-c keeps the last of two equal keys and says nothing. What one reader of a
 * policy sees and another does not is how a limit gets lost. The text is known to be JSON here.
 */
static char *find_ambiguity(const char *text, gsize size, enum leave leave)
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
        case '"': {
            gsize end = string_end(text, size, i);
            if (has_nul(text + i, end - i) && (leave < LEAVE_NUL || is_key(levels, text, size, end)))
                return g_strdup("a text has a NUL character");
            if (leave < LEAVE_ODD && has_half_pair(text + i, end - i))
                return g_strdup("a text has half a surrogate pair");
            if (!scan_string(levels, text, size, i, end)) {
                g_autofree char *path = path_of(levels);
                g_autofree char *quoted = dsb_quoted(path);
                return g_strdup_printf("key %s is there twice", quoted);
            }
            i = end;
            break;
        }
        default: {
            gsize end = word_end(text, size, i);
            if (end == i)
                break;
            if (leave < LEAVE_ODD && !is_value(text + i, end - i))
                return g_strdup_printf("%.*s is no JSON value", (int) MIN(end - i, 40), text + i);
            i = end - 1;
            break;
        }
        }
    }
    return NULL;
}

/*
 * What json-c makes of each comma and bracket is a hundred times as large, and an object is a hash table: both are
 * counted before it makes any. The text may be anything here. A key in single quotes, which json-c takes, could have a
 * double one in it, and what follows would count as text. FALSE: *error.
 */
static gboolean check_items(const char *text, gsize size, gssize most_members, gsize most_items, const char *what, int code,
                            GError **error)
{
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(gssize)); /* of each open object */
    gsize items = 0;
    gboolean many = FALSE;
    for (gsize i = 0; i < size && !many; i++) {
        if (text[i] == '"') {
            i = string_end(text, size, i);
        } else if (text[i] == '\'') {
            g_set_error(error, DSB_ERROR, code, "%s: single quotes are not JSON", what);
            return FALSE;
        } else if (text[i] == '{' || text[i] == '[') {
            gssize first = text[i] == '{' ? 1 : G_MINSSIZE; /* an array is no table */
            g_array_append_val(members, first);
            items++;
        } else if (text[i] == ',') {
            items++;
            many = members->len > 0 && ++g_array_index(members, gssize, members->len - 1) > most_members;
        } else if ((text[i] == '}' || text[i] == ']') && members->len > 0) {
            g_array_set_size(members, members->len - 1);
        }
        many |= items > most_items;
    }
    if (many)
        g_set_error(error, DSB_ERROR, code, "%s: an object has more than %zu members, or there are more than %zu in all",
                    what, MIN((gsize) most_members, most_items), most_items);
    return !many;
}

static unsigned line_of(const char *text, gsize end)
{
    unsigned line = 1;
    for (gsize i = 0; i < end; i++)
        line += text[i] == '\n';
    return line;
}

/* Without the white space at its end, which json-c does not take. */
static gsize trimmed(const char *text, gsize size)
{
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL && text[size - 1] != '\0')
        size--;
    return size;
}

static dsb_json *tokenize(const char *text, gsize size, int max_depth, int flags, const char *what, int code,
                          GError **error)
{
    g_autoptr(tokener) tok = json_tokener_new_ex(max_depth);
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | flags);
    g_autoptr(dsb_json) value = json_tokener_parse_ex(tok, text, (int) size);
    enum json_tokener_error failure = json_tokener_get_error(tok);
    gsize end = json_tokener_get_parse_end(tok);
    if (failure == json_tokener_success && value != NULL && end == size)
        return g_steal_pointer(&value);
    const char *why = failure == json_tokener_success    ? "something follows it"
                      : failure == json_tokener_continue ? "it ends too early"
                                                         : json_tokener_error_desc(failure);
    g_set_error(error, DSB_ERROR, code, "%s: line %u: not valid JSON: %s", what, line_of(text, MIN(end, size)), why);
    return NULL;
}

static dsb_json *parse(const char *text, gsize size, int max_depth, enum leave leave, const char *what, int code,
                       GError **error)
{
    size = trimmed(text, size);
    if (size == 0) {
        g_set_error(error, DSB_ERROR, code, "%s: empty; a JSON object is expected", what);
        return NULL;
    }
    if (size > G_MAXINT / 2 || !g_utf8_validate_len(text, size, NULL)) {
        g_set_error(error, DSB_ERROR, code, "%s: not UTF-8 text", what);
        return NULL;
    }
    if (!check_items(text, size, DSB_JSON_MEMBERS, DSB_JSON_ITEMS, what, code, error))
        return NULL;
    g_autoptr(dsb_json) object = tokenize(text, size, max_depth, JSON_TOKENER_VALIDATE_UTF8, what, code, error);
    if (object == NULL)
        return NULL;
    if (!json_object_is_type(object, json_type_object)) {
        g_set_error(error, DSB_ERROR, code, "%s: a JSON object is expected", what);
        return NULL;
    }
    g_autofree char *ambiguity = find_ambiguity(text, size, leave);
    if (ambiguity != NULL) {
        g_set_error(error, DSB_ERROR, code, "%s: %s", what, ambiguity);
        return NULL;
    }
    return g_steal_pointer(&object);
}

dsb_json *dsb_json_parse(const char *text, gsize size, int max_depth, const char *what, int code, GError **error)
{
    return parse(text, size, max_depth, LEAVE_NOTHING, what, code, error);
}

dsb_json *dsb_json_parse_request(const char *text, gsize size, int max_depth, const char *what, int code,
                                 GError **error)
{
    return parse(text, size, max_depth, LEAVE_NUL, what, code, error);
}

dsb_json *dsb_json_parse_engine(const char *text, gsize size, int max_depth, const char *what, int code, GError **error)
{
    size = trimmed(text, size);
    if (size > G_MAXINT / 2) {
        g_set_error(error, DSB_ERROR, code, "%s: it is too large", what);
        return NULL;
    }
    if (!check_items(text, size, G_MAXSSIZE, DSB_JSON_ENGINE_ITEMS, what, code, error))
        return NULL;
    return tokenize(text, size, max_depth, 0, what, code, error);
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
    g_autoptr(dsb_json) object = parse(text, size, max_depth, LEAVE_ODD, "", 0, NULL);
    return object != NULL ? copy_object(object) : NULL;
}
