/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_TAR_H
#define DSB_COMMON_TAR_H

#include <glib.h>

G_BEGIN_DECLS

/** Kinds of entries. There are others (links, devices), which nobody here wants. */
#define TAR_FILE '0'
#define TAR_DIRECTORY '5'

/** What is before an entry's content, which ends with a whole block. */
#define TAR_BLOCK 512
struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6], version[2];
    char user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
G_STATIC_ASSERT(sizeof(struct tar_header) == TAR_BLOCK);

/** What `sum` in a header ought to be. */
guint tar_sum(const struct tar_header *header);

/** Write one entry with its content, which is small. */
gboolean tar_add(int fd, const char *name, char type, gint64 mtime, const void *bytes, gsize size, GError **error);
/** Begin an entry; its content follows (tar_write), then tar_pad. Names are bytes, and may be longer than 100. */
gboolean tar_begin(int fd, const char *name, char type, gint64 mtime, guint64 size, GError **error);
/** After a content of so many bytes. */
gboolean tar_pad(int fd, guint64 size, GError **error);
/** Write the end of the archive. */
gboolean tar_finish(int fd, GError **error);
/** All bytes to a descriptor. */
gboolean tar_write(int fd, const void *bytes, gsize size, GError **error);

G_END_DECLS
#endif
