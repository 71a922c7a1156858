/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_DOWNLOAD_H
#define DSB_BROKER_DOWNLOAD_H

#include "broker/request.h"

G_BEGIN_DECLS

/**
 * The content of a session's file on its way to a client, piece by piece, as fast as that takes it; no thread waits for
 * it. As many bytes as the file had when it was opened, or the connection is cut.
 */
#define DOWNLOAD_PIECE (128u << 10)

/** Answer with `first`, and then the rest of `size` bytes from the descriptor, which is taken. */
void download_begin(struct request *request, const char *id, int fd, guint64 size, GBytes *first);

/** The session ends (NULL: the service does): so do its downloads. */
void downloads_end(const char *id);
gboolean downloads_has(const char *id);

/** Read up to `size` bytes, fewer only at the end of the file. NULL: errno. */
GBytes *download_read(int fd, gsize size);

G_END_DECLS
#endif
