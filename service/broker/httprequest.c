/* SPDX-License-Identifier: MIT */
#include "broker/httprequest.h"

#include <string.h>

#define CHUNK_SIZE_DIGITS 16
#define KEY_MAX 255
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define TOKEN LETTERS DIGITS "!#$%&'*+-.^_`|~"
#define PATH LETTERS DIGITS "-._~!$&'()*+,;=:@%"
#define HOST LETTERS DIGITS "-._~!$&'()*+,;=:%[]"

enum state { BEFORE, FIRST_LINE, FIELDS, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, DONE };

static gboolean refuse(struct httprequest *request, guint status, int code, GError **error, const char *text)
{
    request->status = status;
    g_set_error_literal(error, DSB_ERROR, code, text);
    return FALSE;
}

static gboolean bad(struct httprequest *request, GError **error, const char *text)
{
    return refuse(request, 400, DSB_ERROR_INVALID, error, text);
}

struct httprequest *httprequest_new(void)
{
    struct httprequest *request = g_new0(struct httprequest, 1);
    request->line = g_byte_array_new();
    request->body = g_byte_array_new();
    return request;
}

void httprequest_free(struct httprequest *request)
{
    if (request == NULL)
        return;
    g_free(request->method);
    g_strfreev(request->path);
    g_free(request->query);
    g_free(request->accept);
    g_free(request->authorization);
    g_free(request->key);
    g_free(request->if_match);
    g_free(request->if_none_match);
    g_free(request->host);
    g_free(request->origin);
    g_free(request->type);
    g_free(request->mcp_version);
    g_free(request->mcp_method);
    g_free(request->mcp_name);
    g_free(request->mcp_session);
    g_byte_array_unref(request->line);
    g_clear_pointer(&request->body, g_byte_array_unref);
    g_free(request);
}

/* --- the target ---------------------------------------------------------------- */

static gboolean has_only(const char *text, gsize size, const char *letters)
{
    for (gsize i = 0; i < size; i++)
        if (text[i] == '\0' || strchr(letters, text[i]) == NULL)
            return FALSE;
    return TRUE;
}

static const char *bad_segment(const char *raw, gsize size, char **decoded)
{
    if (size == 0)
        return "a part of the path is empty";
    if (!has_only(raw, size, PATH))
        return "the path has a character that must be escaped";
    *decoded = g_uri_unescape_segment(raw, raw + size, NULL);
    if (*decoded == NULL)
        return "the path has a wrong escape, or an escaped NUL";
    if (strchr(*decoded, '/') != NULL)
        return "the path has an escaped slash: write / between the parts of a file's name";
    if (strcmp(*decoded, ".") == 0 || strcmp(*decoded, "..") == 0)
        return "a part of the path is '.' or '..'";
    return NULL;
}

char **httprequest_path(const char *text, gsize size, GError **error)
{
    g_autoptr(GPtrArray) segments = g_ptr_array_new_with_free_func(g_free);
    const char *end = text + size, *problem = size == 0 || text[0] != '/' ? "the path must begin with /" : NULL;
    const char *at = text + 1;
    while (problem == NULL && size > 1 && at <= end) {
        const char *slash = at < end ? memchr(at, '/', (gsize) (end - at)) : NULL;
        const char *stop = slash != NULL ? slash : end;
        char *decoded = NULL;
        problem = bad_segment(at, (gsize) (stop - at), &decoded);
        if (decoded != NULL)
            g_ptr_array_add(segments, decoded);
        at = stop + 1;
    }
    if (problem != NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, problem);
        return NULL;
    }
    g_ptr_array_add(segments, NULL);
    return (char **) g_ptr_array_free(g_steal_pointer(&segments), FALSE);
}

/* "/a/b?q", or the same behind "http://host". */
static gboolean take_target(struct httprequest *request, const char *target, GError **error)
{
    const char *scheme = g_ascii_strncasecmp(target, "http://", 7) == 0    ? target + 7
                         : g_ascii_strncasecmp(target, "https://", 8) == 0 ? target + 8
                                                                           : NULL;
    if (scheme != NULL) {
        gsize host = strcspn(scheme, "/?");
        if (host == 0 || !has_only(scheme, host, HOST))
            return bad(request, error, "the request's address has no proper host");
        target = scheme + host;
    }
    gsize size = strcspn(target, "?");
    if (target[size] == '?') {
        request->query = g_strdup(target + size + 1);
        if (!has_only(request->query, strlen(request->query), PATH "/?"))
            return bad(request, error, "the query has a character that must be escaped");
    }
    request->path = httprequest_path(target, size, error);
    if (request->path == NULL)
        request->status = 400;
    return request->path != NULL;
}

/* --- the head ------------------------------------------------------------------ */

static gboolean take_first_line(struct httprequest *request, const char *line, GError **error)
{
    static const char *const methods[] = {"GET",   "HEAD",    "POST",  "PUT",   "DELETE",
                                          "PATCH", "OPTIONS", "TRACE", "QUERY", NULL};
    g_auto(GStrv) words = g_strsplit(line, " ", 4);
    if (g_strv_length(words) != 3 || words[0][0] == '\0' || !has_only(words[0], strlen(words[0]), TOKEN))
        return bad(request, error, "the request does not begin with METHOD PATH HTTP/1.1");
    const char *version = words[2];
    if (strlen(version) != 8 || strncmp(version, "HTTP/", 5) != 0 || !g_ascii_isdigit(version[5]) ||
        version[6] != '.' || !g_ascii_isdigit(version[7]))
        return bad(request, error, "the request does not begin with METHOD PATH HTTP/1.1");
    if (version[5] != '1')
        return refuse(request, 505, DSB_ERROR_UNSUPPORTED, error, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (!g_strv_contains(methods, words[0]))
        return refuse(request, 501, DSB_ERROR_UNSUPPORTED, error, "the request's method is unknown here");
    request->method = g_strdup(words[0]);
    request->minor = version[7] == '0' ? 0 : 1;
    request->state = FIELDS;
    return take_target(request, words[1], error);
}

static gboolean take_length(struct httprequest *request, const char *value, GError **error)
{
    if (request->has_length)
        return bad(request, error, "the request has more than one Content-Length");
    request->has_length = TRUE;
    if (value[0] == '\0' || strspn(value, DIGITS) != strlen(value))
        return bad(request, error, "Content-Length is not a number");
    /* What does not fit is as large as what does. */
    request->left = g_ascii_strtoull(value, NULL, 10);
    return TRUE;
}

/* Chunked must be the last coding and the only one of its kind; others are not known here. */
static gboolean take_coding(struct httprequest *request, const char *value, GError **error)
{
    if (request->minor == 0)
        return bad(request, error, "HTTP/1.0 has no Transfer-Encoding");
    if (request->chunked)
        return bad(request, error, "the request has more than one Transfer-Encoding");
    request->chunked = TRUE;
    if (g_ascii_strcasecmp(value, "chunked") == 0)
        return TRUE;
    g_auto(GStrv) codings = g_strsplit(value, ",", -1);
    for (char **coding = codings; *coding != NULL && coding[1] != NULL; coding++)
        if (g_ascii_strcasecmp(g_strstrip(*coding), "chunked") == 0)
            return bad(request, error, "Transfer-Encoding: chunked must be the last, and be there once");
    return refuse(request, 501, DSB_ERROR_UNSUPPORTED, error, "the only Transfer-Encoding known here is chunked");
}

/* Fields of one name are one list. */
static void add_to(char **list, const char *value)
{
    char *old = *list;
    *list = old != NULL ? g_strconcat(old, ", ", value, NULL) : g_strdup(value);
    g_free(old);
}

static gboolean take_key(struct httprequest *request, const char *value, GError **error)
{
    gsize size = strlen(value);
    if (request->key != NULL)
        return bad(request, error, "the request has more than one Idempotency-Key");
    for (gsize i = 0; i < size; i++)
        if (!g_ascii_isgraph(value[i]))
            return bad(request, error, "Idempotency-Key has a character that is not printable ASCII, or a space");
    if (size == 0 || size > KEY_MAX)
        return bad(request, error, "Idempotency-Key must have 1 to 255 characters");
    request->key = g_strdup(value);
    return TRUE;
}

static void take_list(struct httprequest *request, const char *name, const char *value)
{
    const struct {
        const char *name;
        char **list;
    } fields[] = {
        {"If-Match", &request->if_match},
        {"If-None-Match", &request->if_none_match},
        {"Accept", &request->accept},
        {"Authorization", &request->authorization},
        {"Origin", &request->origin},
        {"Content-Type", &request->type},
        {"MCP-Protocol-Version", &request->mcp_version},
        {"Mcp-Method", &request->mcp_method},
        {"Mcp-Name", &request->mcp_name},
        {"Mcp-Session-Id", &request->mcp_session},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (g_ascii_strcasecmp(name, fields[i].name) == 0)
            add_to(fields[i].list, value);
}

static gboolean take_known(struct httprequest *request, const char *name, const char *value, GError **error)
{
    if (g_ascii_strcasecmp(name, "Host") == 0) {
        if (++request->hosts > 1)
            return bad(request, error, "the request has more than one Host");
        request->host = g_strdup(value);
        return has_only(value, strlen(value), HOST) || bad(request, error, "Host is not the name of a host");
    }
    if (g_ascii_strcasecmp(name, "Content-Length") == 0)
        return take_length(request, value, error);
    if (g_ascii_strcasecmp(name, "Transfer-Encoding") == 0)
        return take_coding(request, value, error);
    if (g_ascii_strcasecmp(name, "Content-Encoding") == 0 && g_ascii_strcasecmp(value, "identity") != 0)
        return refuse(request, 415, DSB_ERROR_UNSUPPORTED, error, "no Content-Encoding is known here");
    if (g_ascii_strcasecmp(name, "Expect") == 0 && request->minor > 0) {
        request->expects = g_ascii_strcasecmp(value, "100-continue") == 0;
        return request->expects ||
               refuse(request, 417, DSB_ERROR_UNSUPPORTED, error, "the only Expect known here is 100-continue");
    }
    if (g_ascii_strcasecmp(name, "Idempotency-Key") == 0)
        return take_key(request, value, error);
    take_list(request, name, value);
    return TRUE;
}

/* "Name: value", of which no line is folded, and nothing is between the name and its colon. */
static gboolean take_field(struct httprequest *request, char *line, GError **error)
{
    char *colon = strchr(line, ':');
    if (++request->fields > HTTPREQUEST_FIELDS_MAX)
        return refuse(request, 431, DSB_ERROR_LIMIT, error, "the request has more than 100 header fields");
    if (colon == NULL || colon == line || !has_only(line, (gsize) (colon - line), TOKEN))
        return bad(request, error, "a line of the request's head is not 'Name: value'");
    for (const char *at = colon; *at != '\0'; at++)
        if (g_ascii_iscntrl(*at) && *at != '\t')
            return bad(request, error, "a header field has a control character");
    *colon = '\0';
    return request->state == TRAILER || take_known(request, line, g_strstrip(colon + 1), error);
}

gboolean httprequest_is_upload(const struct httprequest *request)
{
    char **path = request->path;
    gboolean asks = request->query != NULL && request->query[strspn(request->query, "&")] != '\0'; /* for nothing that is */
    return !asks && strcmp(request->method, "PUT") == 0 && g_strv_length(path) > 4 && strcmp(path[0], "v1") == 0 &&
           strcmp(path[1], "sessions") == 0 && strcmp(path[3], "files") == 0;
}

static gboolean too_large(struct httprequest *request, GError **error)
{
    return refuse(request, 413, DSB_ERROR_LIMIT, error,
                  httprequest_is_upload(request) ? "the file has more than 1 TiB" : "the body has more than 32 MiB");
}

/* What may follow. */
static guint64 room(const struct httprequest *request)
{
    return (httprequest_is_upload(request) ? HTTPREQUEST_UPLOAD_MAX : HTTPREQUEST_BODY_MAX) - request->taken;
}

static gboolean end_head(struct httprequest *request, GError **error)
{
    request->head_done = TRUE;
    if (request->minor > 0 && request->hosts == 0)
        return bad(request, error, "the request has no Host");
    if (request->chunked && request->has_length)
        return bad(request, error, "the request has both Content-Length and Transfer-Encoding");
    if (request->left > room(request))
        return too_large(request, error);
    request->state = request->chunked ? CHUNK_SIZE : request->left > 0 ? BODY : DONE;
    return TRUE;
}

/* --- the body ------------------------------------------------------------------ */

/* "1a;name=value": what follows the size means nothing to us, and counts as part of the head. */
static gboolean take_chunk_size(struct httprequest *request, const char *line, GError **error)
{
    gsize digits = strspn(line, DIGITS "abcdefABCDEF");
    const char *more = line + digits + strspn(line + digits, " \t");
    if (digits == 0 || (*more != ';' && line[digits] != '\0'))
        return bad(request, error, "the size of a chunk is not a number in hexadecimal");
    for (const char *at = more; *at != '\0'; at++)
        if (g_ascii_iscntrl(*at) && *at != '\t')
            return bad(request, error, "the size of a chunk has a control character");
    request->head_size += strlen(line + digits);
    request->left = digits <= CHUNK_SIZE_DIGITS ? g_ascii_strtoull(line, NULL, 16) : G_MAXUINT64;
    if (request->left > room(request))
        return too_large(request, error);
    request->state = request->left > 0 ? CHUNK : TRAILER;
    return TRUE;
}

static void take_body(struct httprequest *request, const guint8 *bytes, gsize size)
{
    g_byte_array_append(request->body, bytes, (guint) size);
    request->left -= size;
    request->taken += size;
    if (request->left == 0)
        request->state = request->state == BODY ? DONE : CHUNK_END;
}

/* --- lines --------------------------------------------------------------------- */

static gboolean take_line(struct httprequest *request, char *line, GError **error)
{
    switch (request->state) {
    case BEFORE: /* an empty line before the request is allowed, one */
        request->state = FIRST_LINE;
        return line[0] == '\0' || take_first_line(request, line, error);
    case FIRST_LINE:
        return take_first_line(request, line, error);
    case FIELDS:
        return line[0] == '\0' ? end_head(request, error) : take_field(request, line, error);
    case CHUNK_SIZE:
        return take_chunk_size(request, line, error);
    case CHUNK_END:
        request->state = CHUNK_SIZE;
        return line[0] == '\0' || bad(request, error, "a chunk is longer than its size says");
    default:
        if (line[0] == '\0')
            request->state = DONE;
        return line[0] == '\0' || take_field(request, line, error);
    }
}

static gboolean take_whole_line(struct httprequest *request, GError **error)
{
    GByteArray *line = request->line;
    if (line->len < 2 || line->data[line->len - 2] != '\r')
        return bad(request, error, "a line of the request does not end with CR and LF");
    line->data[line->len - 2] = '\0';
    if (strlen((const char *) line->data) != line->len - 2)
        return bad(request, error, "a line of the request has a NUL");
    if (strchr((const char *) line->data, '\r') != NULL)
        return bad(request, error, "a line of the request has a CR within");
    gboolean ok = take_line(request, (char *) line->data, error);
    g_byte_array_set_size(line, 0);
    return ok;
}

/* The part of a line, up to its LF. */
static gboolean take_piece(struct httprequest *request, const guint8 *bytes, gsize size, gsize *used, GError **error)
{
    const guint8 *end = memchr(bytes, '\n', size);
    gsize n = end != NULL ? (gsize) (end - bytes) + 1 : size;
    gsize *counted = &request->head_size, room = HTTPREQUEST_HEAD_MAX - MIN(*counted, HTTPREQUEST_HEAD_MAX);
    gboolean head = request->state <= FIELDS || request->state == TRAILER;
    if ((head ? n : request->line->len + n) > room)
        return refuse(request, 431, DSB_ERROR_LIMIT, error, "the request's head has more than 64 KiB");
    *counted += head ? n : 0;
    *used = n;
    g_byte_array_append(request->line, bytes, (guint) n);
    return end == NULL || take_whole_line(request, error);
}

gboolean httprequest_feed(struct httprequest *request, const guint8 *bytes, gsize size, gsize *used, GError **error)
{
    gboolean in_head = !request->head_done;
    *used = 0;
    while (*used < size && request->state != DONE && (!in_head || !request->head_done)) {
        gsize n = size - *used;
        if (request->state != BODY && request->state != CHUNK) {
            if (!take_piece(request, bytes + *used, n, &n, error))
                return FALSE;
        } else {
            n = (gsize) MIN(request->left, (guint64) n);
            take_body(request, bytes + *used, n);
        }
        *used += n;
    }
    request->done = request->state == DONE;
    return TRUE;
}

gboolean httprequest_end(struct httprequest *request, GError **error)
{
    if (request->state == DONE || (request->state == BEFORE && request->line->len == 0))
        return TRUE;
    return bad(request, error, "the request was cut off: nothing was done");
}

/* --- Accept -------------------------------------------------------------------- */

/* A separator within "quotes" is none. */
static char **split(const char *text, char separator)
{
    GPtrArray *parts = g_ptr_array_new();
    gboolean quoted = FALSE;
    const char *from = text;
    for (const char *at = text;; at++) {
        if (*at == '\0' || (*at == separator && !quoted)) {
            g_ptr_array_add(parts, g_strndup(from, (gsize) (at - from)));
            from = at + 1;
        } else if (quoted && *at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        }
        if (*at == '\0')
            break;
    }
    g_ptr_array_add(parts, NULL);
    return (char **) g_ptr_array_free(parts, FALSE);
}

/* "0.5" to 500; what is no number counts as nothing. */
static guint quality_of(char **parameters)
{
    for (char **parameter = parameters; *parameter != NULL; parameter++) {
        const char *text = g_strstrip(*parameter);
        if (g_ascii_strncasecmp(text, "q=", 2) != 0)
            continue;
        double value = strspn(text + 2, DIGITS ".") == strlen(text + 2) ? g_ascii_strtod(text + 2, NULL) : 0;
        return value >= 1 ? 1000 : (guint) (value * 1000 + 0.5);
    }
    return 1000;
}

/* How well a range fits: the type itself, its kind, anything. */
static int fit_of(const char *range, const char *type)
{
    gsize kind = strcspn(type, "/") + 1;
    if (g_ascii_strcasecmp(range, type) == 0)
        return 3;
    if (g_ascii_strncasecmp(range, type, kind) == 0 && strcmp(range + kind, "*") == 0)
        return 2;
    return strcmp(range, "*/*") == 0 ? 1 : 0;
}

guint httprequest_quality(const char *accept, const char *type)
{
    guint quality = 0;
    int best = 0;
    g_auto(GStrv) ranges = split(accept != NULL ? accept : "*/*", ',');
    for (char **range = ranges; *range != NULL; range++) {
        g_auto(GStrv) parts = split(*range, ';');
        int fit = parts[0] != NULL ? fit_of(g_strstrip(parts[0]), type) : 0;
        if (fit <= best)
            continue;
        best = fit;
        quality = quality_of(parts + 1);
    }
    return quality;
}
