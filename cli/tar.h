/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_TAR_H
#define DSB_CLI_TAR_H

#include <glib.h>

/** Kinds of entries. There are others (links, devices), which nobody here wants. */
#define TAR_FILE '0'
#define TAR_DIRECTORY '5'

/** Write one entry with its content. Names are bytes, and may be longer than 100. */
gboolean tar_add(int fd, const char *name, char type, gint64 mtime, const void *bytes, gsize size, GError **error);
/** Write the end of the archive. */
gboolean tar_finish(int fd, GError **error);
/** All bytes to a descriptor. */
gboolean tar_write(int fd, const void *bytes, gsize size, GError **error);

/** An archive that is read: ustar, with the long names of GNU and pax. It may hold anything: nothing in it is believed. */
struct tar_reader {
    int fd;
    const char *origin; /**< for messages */
    /* the entry */
    char *name;
    char type;
    guint64 size;
    /* private */
    guint64 left, padding; /* of its content, not read yet */
};
/** The next entry; *end instead of one at the end of the archive. What was not read of the last one is passed over. */
gboolean tar_next(struct tar_reader *reader, gboolean *end, GError **error);
/** The content of the entry, of at most `max` bytes. */
gboolean tar_content(struct tar_reader *reader, guint64 max, GByteArray *into, GError **error);
void tar_clear(struct tar_reader *reader);

#endif
