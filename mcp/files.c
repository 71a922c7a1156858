/* SPDX-License-Identifier: MIT */
/* Tools for the files of a session, and its files as resources. What is in them comes from inside the sandbox. */
#include "mcp/work.h"

#include "common/json.h"
#include "mcp/text.h"

#include <string.h>

#define LIST_MAX 500
#define CALL_MS 120000
#define IMAGE_BYTES_MAX (3u << 20) /* as base64, what readers of pictures take */
#define RESOURCE_BYTES_MAX (8u << 20)
#define ROOT "/sandbox"

/* Below /sandbox, component by component; the service refuses what leaves it once more. NULL: that is no such path. */
static const char *path_of(struct mcp_work *work, const char *given)
{
    const char *path = given;
    if (g_str_has_prefix(path, ROOT "/"))
        path += strlen(ROOT "/");
    while (g_str_has_prefix(path, "./"))
        path += 2;
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    gboolean good = parts[0] != NULL;
    for (char **part = parts; *part != NULL; part++)
        good = good && **part != '\0' && strcmp(*part, ".") != 0 && strcmp(*part, "..") != 0;
    if (good)
        return path;
    work_fail_text(work, "path must be below /sandbox, as \"data/a.csv\", without \".\" and \"..\"");
    return NULL;
}

/* --- list ------------------------------------------------------------------------- */

static void list_row(struct json_object *rows, GString *text, struct json_object *row)
{
    struct json_object *to = json_object_new_object();
    const char *path = json_string(row, "path"), *type = json_string(row, "type");
    gboolean file = g_strcmp0(type, "file") == 0;
    json_add(to, "path", path != NULL ? path : "");
    json_add(to, "type", type != NULL ? type : "other");
    json_add_int(to, "size", json_int(row, "size"));
    json_object_array_add(rows, to);
    if (file)
        g_string_append_printf(text, "%s  %" G_GINT64_FORMAT " bytes\n", path, json_int(row, "size"));
    else
        g_string_append_printf(text, "%s%s\n", path, g_strcmp0(type, "directory") == 0 ? "/" : "  (no ordinary file)");
}

void tool_list_files(struct mcp_work *work)
{
    static const char *const all[] = {"", ".", "./", ROOT, ROOT "/", NULL};
    const char *given = work_argument(work, "path"), *path = NULL;
    if (given != NULL && !g_strv_contains(all, given) && (path = path_of(work, given)) == NULL)
        return;
    g_autofree char *below = path != NULL ? dsb_client_path("/files?path=%s", path) : g_strdup("/files");
    struct json_object *answer = work_session(work, FALSE) ? work_call(work, "GET", below) : NULL;
    if (answer == NULL)
        return;
    struct json_object *from = json_member(answer, "files"), *rows = json_object_new_array();
    gsize n = json_length(from);
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize i = 0; i < MIN(n, LIST_MAX); i++)
        list_row(rows, text, json_object_array_get_idx(from, i));
    gboolean truncated = n > LIST_MAX || json_object_get_boolean(json_member(answer, "truncated"));
    json_object_object_add(work_structured(work), "files", rows);
    json_add_bool(work->structured, "truncated", truncated);
    g_autofree char *cut = mcp_cut(text->str, text->len, MCP_TEXT_MAX);
    work_text(work, n > 0 ? cut : "There are no files.");
    if (truncated)
        work_text(work, "There are more files: list a directory below, by path.");
    json_object_put(answer);
}

/* --- read -------------------------------------------------------------------------- */

/* A part of a file on its way. */
struct part {
    guint64 size, at; /* of the file; of the next byte that comes */
    guint64 offset, end;
    gsize whole; /* a picture of at most so many bytes is taken whole */
    const char *image;
    GByteArray *bytes;
};

static gboolean on_begin(void *data, guint64 size, GError **error)
{
    struct part *part = data;
    (void) error;
    part->size = size;
    return TRUE;
}

/* Has what it wants: the rest need not come. */
static gboolean enough(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "enough");
    return FALSE;
}

static gboolean on_write(void *data, const void *bytes, gsize size, GError **error)
{
    struct part *part = data;
    if (part->at == 0 && part->offset == 0 && part->size <= part->whole &&
        (part->image = mcp_image_type(bytes, size)) != NULL)
        part->end = part->size;
    guint64 from = MAX(part->offset, part->at), to = MIN(part->end, part->at + size);
    if (from < to)
        g_byte_array_append(part->bytes, (const guint8 *) bytes + (from - part->at), (guint) (to - from));
    part->at += size;
    return part->at < part->end || part->end >= part->size ? TRUE : enough(error);
}

static gboolean fetch(struct mcp_work *work, const char *path, struct part *part, GError **error)
{
    g_autoptr(GError) local = NULL;
    const struct dsb_client_sink sink = {on_begin, on_write, part};
    g_autofree char *from = dsb_client_path("/v1/sessions/%s/files/%s", work->session, path);
    if (dsb_client_download(work->client, from, &sink, &local))
        return TRUE;
    work->broken = TRUE; /* in the middle of an answer */
    if (g_error_matches(local, DSB_ERROR, DSB_ERROR_CANCELLED) && part->at >= part->end)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

/* Without the halves of characters at both ends; FALSE: that is no text. */
static gboolean trim_to_text(struct part *part)
{
    GByteArray *bytes = part->bytes;
    guint first = 0;
    const char *end;
    while (part->offset > 0 && first < MIN(bytes->len, 3) && (bytes->data[first] & 0xc0) == 0x80)
        first++;
    g_byte_array_remove_range(bytes, 0, first);
    part->offset += first;
    if (memchr(bytes->data, '\0', bytes->len) != NULL)
        return FALSE;
    if (g_utf8_validate_len((const char *) bytes->data, bytes->len, &end))
        return TRUE;
    guint good = (guint) ((const guint8 *) end - bytes->data);
    gboolean is_cut = part->offset + bytes->len < part->size && bytes->len - good < 4 &&
                      g_utf8_get_char_validated(end, (gssize) (bytes->len - good)) == (gunichar) -2;
    if (is_cut)
        g_byte_array_set_size(bytes, good);
    return is_cut;
}

static void add_image(struct mcp_work *work, const struct part *part)
{
    g_autofree char *base64 = g_base64_encode(part->bytes->data, part->bytes->len);
    work_image(work, base64, part->image);
}

static void show_part(struct mcp_work *work, const char *path, struct part *part)
{
    gboolean as_base64 = g_strcmp0(work_argument(work, "encoding"), "base64") == 0;
    gboolean whole_image = part->image != NULL && !as_base64 && part->bytes->len == part->size;
    gboolean text = !as_base64 && part->image == NULL && trim_to_text(part);
    g_autofree char *base64 = as_base64 ? g_base64_encode(part->bytes->data, part->bytes->len) : NULL;
    g_autofree char *plain = text ? g_strndup((const char *) part->bytes->data, part->bytes->len) : NULL;
    gboolean given = text || as_base64 || whole_image;
    guint64 next = part->offset + part->bytes->len;
    work_structured(work);
    json_add(work->structured, "path", path);
    json_add_int(work->structured, "size", (gint64) part->size);
    json_add_int(work->structured, "offset", (gint64) part->offset);
    json_object_object_add(work->structured, "next_offset",
                           given && next < part->size ? json_object_new_int64((gint64) next) : NULL);
    json_add(work->structured, "text", plain);
    json_add(work->structured, "base64", base64);
    if (whole_image)
        add_image(work, part);
    work_text(work, text ? plain : base64);
    if (!given) {
        g_autofree char *said = g_strdup_printf(
            "%s is no text: %" G_GUINT64_FORMAT " bytes. encoding base64 gives bytes.", path, part->size);
        work_text(work, said);
        work_link_file(work, path, (gint64) part->size);
    } else if (next < part->size) {
        g_autofree char *said = g_strdup_printf(
            "[… %" G_GUINT64_FORMAT " bytes more; go on with offset %" G_GUINT64_FORMAT "]", part->size - next, next);
        work_text(work, said);
        work_link_file(work, path, (gint64) part->size);
    } else if (work->content == NULL) {
        work_text(work,
                  part->size == 0 ? "(the file is empty)" : "(nothing there: the offset is at the end or behind it)");
    }
}

void tool_read_file(struct mcp_work *work)
{
    g_autoptr(GError) error = NULL;
    const char *path = path_of(work, work_argument(work, "path"));
    guint64 offset = (guint64) work_number(work, "offset", 0);
    guint64 limit = MIN((guint64) work_number(work, "limit", MCP_TEXT_MAX), MCP_TEXT_MAX);
    gboolean as_base64 = g_strcmp0(work_argument(work, "encoding"), "base64") == 0;
    struct part part = {
        .offset = offset, .end = offset + limit, .whole = as_base64 ? 0 : IMAGE_BYTES_MAX, .bytes = g_byte_array_new()};
    if (path != NULL && work_session(work, FALSE)) {
        if (fetch(work, path, &part, &error))
            show_part(work, path, &part);
        else
            work_fail(work, error);
    }
    g_byte_array_unref(part.bytes);
}

/* --- write -------------------------------------------------------------------------- */

/* The bytes of `content` (g_free); NULL: that is no base64. */
static guchar *content_of(struct mcp_work *work, gsize *size)
{
    struct json_object *content = json_member(work->arguments, "content");
    const char *text = json_object_get_string(content);
    *size = (gsize) json_object_get_string_len(content);
    if (g_strcmp0(work_argument(work, "encoding"), "base64") != 0)
        return g_memdup2(text, *size + 1);
    gsize letters = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    if (*size % 4 != 0 || letters + 2 < *size || strspn(text + letters, "=") != *size - letters) {
        work_fail_text(work, "content is not base64");
        return NULL;
    }
    return *size > 0 ? g_base64_decode(text, size) : g_memdup2("", 1);
}

void tool_write_file(struct mcp_work *work)
{
    g_autoptr(GError) error = NULL;
    gsize size = 0;
    const char *path = path_of(work, work_argument(work, "path"));
    g_autofree guchar *bytes = path != NULL ? content_of(work, &size) : NULL;
    if (bytes == NULL || !work_session(work, TRUE))
        return;
    g_autofree char *to = dsb_client_path("/v1/sessions/%s/files/%s", work->session, path);
    if (!dsb_client_bytes(work->client, "PUT", to, bytes, size, CALL_MS, NULL, &error)) {
        work_fail(work, error);
        return;
    }
    g_autofree char *said = g_strdup_printf("%zu bytes are in /sandbox/%s.", size, path);
    json_add(work_structured(work), "path", path);
    json_add_int(work->structured, "size", (gint64) size);
    work_text(work, said);
}

/* --- resources ----------------------------------------------------------------------- */

static void refuse(struct mcp_work *work, enum mcp_code code, const char *why)
{
    work->broken = TRUE;
    work->code = code;
    work->problem = g_strdup(why);
}

void work_read_resource(struct mcp_work *work)
{
    g_autoptr(GError) error = NULL;
    const char *path = work->path, *uri = work_argument(work, "uri");
    struct part part = {.end = RESOURCE_BYTES_MAX + 1, .bytes = g_byte_array_new()};
    if (!work_connect(work)) {
        refuse(work, MCP_INTERNAL, "the service cannot be reached");
    } else if (!fetch(work, path, &part, &error)) {
        refuse(work, g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND) ? MCP_INVALID_PARAMS : MCP_INTERNAL,
               error->message);
    } else if (part.size > RESOURCE_BYTES_MAX) {
        refuse(work, MCP_INTERNAL, "the file is too large for a resource: the tool read_file reads it in parts");
    } else {
        struct json_object *item = json_object_new_object();
        gboolean text = trim_to_text(&part);
        g_autofree char *content = text ? g_strndup((const char *) part.bytes->data, part.bytes->len)
                                        : g_base64_encode(part.bytes->data, part.bytes->len);
        json_add(item, "uri", uri);
        json_add(item, "mimeType", mcp_file_type(path));
        json_add(item, text ? "text" : "blob", content);
        work->content = json_object_new_array();
        json_object_array_add(work->content, item);
    }
    g_byte_array_unref(part.bytes);
}
