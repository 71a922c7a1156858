/* SPDX-License-Identifier: MIT */
/* One archive into one directory. */
#ifndef DSBO_UNPACK_H
#define DSBO_UNPACK_H

#include <glib.h>

G_BEGIN_DECLS

enum dsbo_archive {
    DSBO_PLAIN, /**< all of it is content */
    DSBO_LAYER, /**< on what is there: `.wh.` entries remove */
};

/**
 * The archive's entries below the directory `fd`, without devices, extended attributes, and any place that a link leads
 * to; of root, with their owners. Ends with CANCELLED when cancel_fd (-1: none) is readable.
 */
gboolean dsbo_extract(int archive_fd, int fd, enum dsbo_archive kind, int cancel_fd, GError **error);
/** Whether it holds an image's parts, not a root file system. */
gboolean dsbo_is_image(int archive_fd, gboolean *image, GError **error);
/** SHA-256, 64 digits (new), of what is in a file when it is no longer compressed. CANCELLED as above. */
char *dsbo_content_digest(int archive_fd, int cancel_fd, GError **error);
/** Removes what `name` is in the directory, and what is below it. Links are not followed. */
gboolean dsbo_remove_tree(int fd, const char *name);

G_END_DECLS
#endif
