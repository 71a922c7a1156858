/* SPDX-License-Identifier: MIT */
/* Archives in the format of tar, written in pieces. */
#include "common/tar.h"

#include <dsandbox/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

gboolean tar_write(int fd, const void *bytes, gsize size, GError **error)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t n = write(fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write: %s", g_strerror(errno));
            return FALSE;
        }
        from += n;
        size -= (gsize) n;
    }
    return TRUE;
}

guint tar_sum(const struct tar_header *header)
{
    const guint8 *bytes = (const guint8 *) header;
    guint sum = 0;
    for (gsize i = 0; i < TAR_BLOCK; i++)
        sum += i >= offsetof(struct tar_header, sum) && i < offsetof(struct tar_header, type) ? ' ' : bytes[i];
    return sum;
}

gboolean tar_pad(int fd, guint64 size, GError **error)
{
    static const char zeros[TAR_BLOCK] = {0};
    return tar_write(fd, zeros, (gsize) ((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK), error);
}

/* Octal digits and a NUL, as old programs want it; GNU's way for what does not fit. */
static void put(char *field, gsize size, guint64 value)
{
    char text[32];
    if (value >> (3 * (size - 1)) != 0) {
        guint64 big = GUINT64_TO_BE(value);
        field[0] = (char) 0x80;
        memcpy(field + size - sizeof big, &big, sizeof big);
        return;
    }
    snprintf(text, sizeof text, "%0*" G_GINT64_MODIFIER "o", (int) size - 1, value);
    memcpy(field, text, size);
}

static gboolean write_header(int fd, const char *name, char type, gint64 mtime, guint64 size, GError **error)
{
    struct tar_header header = {0};
    memcpy(header.name, name, MIN(strlen(name), sizeof header.name));
    put(header.mode, sizeof header.mode, type == TAR_DIRECTORY ? 0755 : 0644);
    put(header.uid, sizeof header.uid, 0);
    put(header.gid, sizeof header.gid, 0);
    put(header.size, sizeof header.size, size);
    put(header.mtime, sizeof header.mtime, (guint64) CLAMP(mtime, 0, G_MAXINT32));
    header.type = type;
    memcpy(header.magic, "ustar ", 6);
    memcpy(header.version, " ", 2);
    snprintf(header.sum, sizeof header.sum, "%06o", tar_sum(&header));
    header.sum[7] = ' ';
    return tar_write(fd, &header, sizeof header, error);
}

gboolean tar_begin(int fd, const char *name, char type, gint64 mtime, guint64 size, GError **error)
{
    gsize length = strlen(name);
    /* GNU's way for long names: the name is the content of an entry before. */
    if (length > sizeof((struct tar_header *) 0)->name &&
        (!write_header(fd, "././@LongLink", 'L', 0, length + 1, error) || !tar_write(fd, name, length + 1, error) ||
         !tar_pad(fd, length + 1, error)))
        return FALSE;
    return write_header(fd, name, type, mtime, size, error);
}

gboolean tar_add(int fd, const char *name, char type, gint64 mtime, const void *bytes, gsize size, GError **error)
{
    return tar_begin(fd, name, type, mtime, size, error) && tar_write(fd, bytes, size, error) && tar_pad(fd, size, error);
}

gboolean tar_finish(int fd, GError **error)
{
    static const char zeros[2 * TAR_BLOCK] = {0};
    return tar_write(fd, zeros, sizeof zeros, error);
}
