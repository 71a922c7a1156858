/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_UNTAR_H
#define DSB_CLI_UNTAR_H

#include "common/tar.h"

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
/** More of the entry's content; 0 at its end, -1: *error. */
gssize tar_read(struct tar_reader *reader, void *into, gsize size, GError **error);
void tar_clear(struct tar_reader *reader);

#endif
