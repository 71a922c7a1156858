/* SPDX-License-Identifier: MIT */
/* Archives in the format of tar, read in pieces, without trust. */
#include "untar.h"

#include <dsandbox/error.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 4096
#define EXTENSION_MAX (64u << 10) /* of a pax header */

static gboolean bad(const struct tar_reader *reader, const char *why, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is not a tar file that can be read: %s", reader->origin, why);
    return FALSE;
}

/* Exactly `size` bytes; *end where there are none at all, and `end` is not NULL. */
static gboolean read_exactly(const struct tar_reader *reader, void *into, gsize size, gboolean *end, GError **error)
{
    gsize done = 0;
    while (done < size) {
        ssize_t n = read(reader->fd, (char *) into + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "cannot read %s: %s", reader->origin,
                        g_strerror(errno));
            return FALSE;
        }
        if (n == 0 && done == 0 && end != NULL)
            return *end = TRUE;
        if (n == 0)
            return bad(reader, "it ends too early", error);
        done += (gsize) n;
    }
    return TRUE;
}

static gboolean skip(const struct tar_reader *reader, guint64 size, GError **error)
{
    char buffer[64 << 10];
    while (size > 0) {
        gsize piece = (gsize) MIN(size, sizeof buffer);
        if (!read_exactly(reader, buffer, piece, NULL, error))
            return FALSE;
        size -= piece;
    }
    return TRUE;
}

/* Octal, or base 256 where the first bit is set. */
static gboolean number(const char *field, gsize size, guint64 *value)
{
    const guint8 *bytes = (const guint8 *) field;
    gsize i = 0;
    *value = 0;
    if (bytes[0] & 0x80) {
        for (i = 1; i < size; i++) {
            if (*value >> 55 != 0)
                return FALSE;
            *value = *value << 8 | bytes[i];
        }
        return bytes[0] == 0x80;
    }
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (guint64) (field[i] - '0');
    return i == size || field[i] == '\0' || field[i] == ' ';
}

static char *name_of(const struct tar_header *header)
{
    g_autofree char *name = g_strndup(header->name, sizeof header->name);
    gboolean ustar = memcmp(header->magic, "ustar\0", 6) == 0;
    if (!ustar || header->prefix[0] == '\0')
        return g_steal_pointer(&name);
    g_autofree char *prefix = g_strndup(header->prefix, sizeof header->prefix);
    return g_strconcat(prefix, "/", name, NULL);
}

/* "LENGTH KEY=VALUE\n", again and again. */
static gboolean take_pax(struct tar_reader *reader, const char *text, gsize size, char **name, gint64 *length,
                         GError **error)
{
    gsize at = 0;
    while (at < size && text[at] != '\0') {
        char *end = NULL;
        guint64 n = g_ascii_strtoull(text + at, &end, 10);
        gsize head = (gsize) (end - text) - at + 1;
        if (n <= head + 1 || n > size - at || *end != ' ' || text[at + n - 1] != '\n')
            return bad(reader, "a bad pax header", error);
        g_autofree char *record = g_strndup(text + at + head, n - head - 1);
        if (g_str_has_prefix(record, "path=")) {
            g_free(*name);
            *name = g_strdup(record + 5);
        } else if (g_str_has_prefix(record, "size=")) {
            *length = g_ascii_strtoll(record + 5, NULL, 10);
        }
        at += n;
    }
    return TRUE;
}

/* The content of an entry that is about the next one. */
static gboolean take_extension(struct tar_reader *reader, char type, guint64 size, char **name, gint64 *length,
                               GError **error)
{
    guint64 padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    if (size > (type == 'L' ? NAME_MAX_BYTES + 1 : EXTENSION_MAX))
        return bad(reader, "a header that is too long", error);
    g_autofree char *text = g_malloc0(size + 1);
    if (!read_exactly(reader, text, size, NULL, error) || !skip(reader, padding, error))
        return FALSE;
    if (type == 'x')
        return take_pax(reader, text, size, name, length, error);
    if (type == 'L') {
        g_free(*name);
        *name = g_strdup(text);
    }
    return TRUE;
}

static gboolean read_header(struct tar_reader *reader, struct tar_header *header, gboolean *end, GError **error)
{
    static const struct tar_header zeros = {0};
    guint64 sum = 0;
    if (!read_exactly(reader, header, sizeof *header, end, error))
        return FALSE;
    if (*end || memcmp(header, &zeros, sizeof zeros) == 0)
        return *end = TRUE;
    if (memcmp(header, "\x1f\x8b", 2) == 0)
        return bad(reader, "it is compressed; try: gunzip -c FILE | dsandbox session import SESSION -", error);
    if (!number(header->sum, sizeof header->sum, &sum) || sum != tar_sum(header))
        return bad(reader, "a header's sum is wrong", error);
    return TRUE;
}

gboolean tar_next(struct tar_reader *reader, gboolean *end, GError **error)
{
    g_autofree char *name = NULL;
    gint64 length = -1;
    struct tar_header header;
    *end = FALSE;
    if (!skip(reader, reader->left + reader->padding, error))
        return FALSE;
    reader->left = reader->padding = 0;
    g_clear_pointer(&reader->name, g_free);
    for (;;) {
        guint64 size = 0;
        if (!read_header(reader, &header, end, error))
            return FALSE;
        if (*end)
            return TRUE;
        if (!number(header.size, sizeof header.size, &size) || size > G_MAXINT64 / 2)
            return bad(reader, "a bad size", error);
        if (header.type != 'L' && header.type != 'K' && header.type != 'x' && header.type != 'g') {
            reader->size = reader->left = length >= 0 ? (guint64) length : size;
            break;
        }
        if (!take_extension(reader, header.type, size, &name, &length, error))
            return FALSE;
    }
    reader->padding = (TAR_BLOCK - reader->size % TAR_BLOCK) % TAR_BLOCK;
    reader->type = header.type == '\0' || header.type == '7' ? TAR_FILE : header.type;
    reader->name = name != NULL ? g_steal_pointer(&name) : name_of(&header);
    return TRUE;
}

gssize tar_read(struct tar_reader *reader, void *into, gsize size, GError **error)
{
    gsize piece = (gsize) MIN(reader->left, (guint64) size);
    if (!read_exactly(reader, into, piece, NULL, error))
        return -1;
    reader->left -= piece;
    return (gssize) piece;
}

void tar_clear(struct tar_reader *reader) { g_clear_pointer(&reader->name, g_free); }
