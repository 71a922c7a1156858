/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_TAR_H
#define DSB_CLI_TAR_H

#include <glib.h>

/** Kinds of entries. There are others (links, devices), which nobody here wants. */
#define TAR_FILE '0'
#define TAR_DIRECTORY '5'

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
/**
 * The same for the content of a session's file. Code can make files of many zeros that take no room from its limit, and
 * they are to take none here: a regular file gets holes. Other bytes come last, or tar_end_content().
 */
gboolean tar_write_content(int fd, const void *bytes, gsize size, GError **error);
/** The file ends where it should. FALSE: errno. */
gboolean tar_end_content(int fd);

/** An archive that is read: ustar, with the long names of GNU and pax. It may hold anything: nothing in it is believed.
 */
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
/** More of the entry's content; 0 at its end, -1: *error. */
gssize tar_read(struct tar_reader *reader, void *into, gsize size, GError **error);
void tar_clear(struct tar_reader *reader);

#endif
