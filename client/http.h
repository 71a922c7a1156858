/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_HTTP_H
#define DSB_CLIENT_HTTP_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/*
 * HTTP/1.1 over our own unix socket, just what our own service speaks. Not libcurl: loading and starting it takes
 * three times as long as a whole execution in a session, and nothing of what it does is needed here.
 */

/** An answer as it comes in. */
struct http_answer {
    int status;      /**< 0: the head is not complete */
    gboolean events; /**< text/event-stream */
    gboolean done;
    gboolean keep;    /**< the connection can be used again */
    GByteArray *head; /**< head and chunk lines until they are complete */
    int state;
    guint64 left; /**< of the body, or of its chunk */
    guint64 length; /**< of the body, where the head says it */
    /** A piece of the body. FALSE: too much. */
    gboolean (*body)(void *data, const guint8 *bytes, gsize size);
    void *data;
};

struct http {
    const char *path; /**< of the socket; the owner's */
    int fd;           /**< -1: not connected */
    int cancel_fd;    /**< readable: what waits gives up; -1: none. Nothing is read from it */
    gboolean sent;    /**< of the last request, at least a part */
    struct http_answer answer;
};

/**
 * Send one request; the answer's members are set anew, but for `body` and `data`. UNAVAILABLE: the service is gone;
 * BUSY: it takes nothing; CANCELLED.
 */
gboolean http_send(struct http *http, const char *method, const char *path, const char *type, gboolean events,
                   const void *body, gsize size, GError **error);
/** The same with a body that `read` gives piece by piece: 0 at its end, -1: *error, and the service drops what it has. */
gboolean http_send_pieces(struct http *http, const char *method, const char *path, const char *type,
                          gssize (*read)(void *data, void *into, gsize size, GError **error), void *data, GError **error);
/**
 * Read what is there. Blocks when nothing is: poll http->fd before. When answer.done is set it has been read to its
 * end. UNAVAILABLE, PROTOCOL, LIMIT.
 */
gboolean http_read(struct http *http, GError **error);
/**
 * Read to the end of the answer. TIMEOUT after `timeout_ms` (0: as long as the service is there, else BUSY); CANCELLED.
 */
gboolean http_finish(struct http *http, guint timeout_ms, GError **error);
void http_close(struct http *http);

/** The parser by itself. FALSE: not HTTP as our service speaks it. */
gboolean http_feed(struct http_answer *answer, const guint8 *bytes, gsize size, GError **error);

G_END_DECLS
#endif
