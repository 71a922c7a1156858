/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_HTTPREQUEST_H
#define DSB_BROKER_HTTPREQUEST_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/*
 * One HTTP/1.1 request, read as RFC 9112 has it and no other way: whatever two readers could read in two ways is
 * refused. It is complete when its last byte is there; a stream that ends before that has not carried a request.
 */
struct httprequest {
    char *method;
    int minor;           /**< HTTP/1.0 or 1.1 */
    char **path;         /**< decoded once; no segment is empty, `.` or `..`, none has a slash or a NUL */
    char *query;         /**< as it came, NULL: there is none */
    char *accept;        /**< NULL: there is none */
    char *authorization; /**< the same */
    char *key;           /**< Idempotency-Key, the same */
    char *if_match, *if_none_match;
    char *host, *origin, *type;                                /**< Host, Origin, Content-Type, the same */
    char *mcp_version, *mcp_method, *mcp_name, *mcp_session; /**< the protocol's own fields, the same */
    gboolean expects;    /**< waits for 100 Continue */
    gboolean head_done, done;
    guint status; /**< of the refusal, when it was one */
    GByteArray *body; /**< as far as it has come: of a large one, whoever feeds takes it away piece by piece */
    /* of the reader */
    int state;
    GByteArray *line;
    gsize head_size; /* bytes of the head, of what stands beside the sizes of chunks, and of the trailer */
    guint fields;
    guint hosts;
    gboolean has_length, chunked;
    guint64 left;  /* of the body, or of its chunk */
    guint64 taken; /* of the body */
};

struct httprequest *httprequest_new(void);
void httprequest_free(struct httprequest *request);

/**
 * Take bytes: up to the end of the head, the next time up to the end of the request. FALSE: it is not taken; `status`
 * says how to answer.
 */
gboolean httprequest_feed(struct httprequest *request, const guint8 *bytes, gsize size, gsize *used, GError **error);
/** The stream has ended. TRUE: before a request, or after it. */
gboolean httprequest_end(struct httprequest *request, GError **error);

/** Its body is the content of a session's file, and may be large. Known when the head is. */
gboolean httprequest_is_upload(const struct httprequest *request);

/** Split and decode the path of a target; INVALID. "/" has no segment. */
char **httprequest_path(const char *text, gsize size, GError **error);

/** The quality, 0 to 1000, that an Accept header gives a media type; NULL accepts everything. */
guint httprequest_quality(const char *accept, const char *type);

#define HTTPREQUEST_HEAD_MAX (64u << 10)
#define HTTPREQUEST_FIELDS_MAX 100
#define HTTPREQUEST_BODY_MAX (32u << 20)
#define HTTPREQUEST_UPLOAD_MAX (G_GUINT64_CONSTANT(1) << 40)

G_END_DECLS
#endif
