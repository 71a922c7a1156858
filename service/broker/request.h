/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_REQUEST_H
#define DSB_BROKER_REQUEST_H

#include "broker/httprequest.h"
#include "broker/service.h"
#include "common/json.h"
#include "shared/event_source.h"

G_BEGIN_DECLS

/** One HTTP request, from its last byte in to the last byte of its answer. It frees itself then. Main thread only. */
struct request {
    struct service *service;
    SoupServerMessage *message;
    struct httprequest *http;
    const char *method; /**< HEAD is a GET here */
    char **path;        /**< segments, decoded; of `http` */
    char *rest;         /**< the last of them, what follows /v1/sessions/ID/files/; NULL elsewhere */
    GHashTable *query; /**< decoded; each name once (see `labels`) */
    GPtrArray *labels; /**< all values of `label` in the query */
    GBytes *body;
    const char *user; /**< for the audit log */
    gboolean events;  /**< the client wants server-sent events */
    gboolean held;    /**< the answer comes later */
    gboolean answered, streaming;
    gboolean chunked; /**< the stream: its end is seen, and not only that of the connection */
    gsize pending; /**< bytes of events that are not written yet */
    guint64 event; /**< number of the last one */
    struct event_source hangup, quiet;
    /** The client went away before the answer was complete; or NULL. */
    void (*gone)(struct request *request);
    struct job *job; /**< what the answer waits for, or NULL */
    struct upload *upload;     /**< its body, when that is the content of a file */
    struct download *download; /**< its answer's, when that is */
    struct answer *answer;     /**< its answer, when that is large */
    struct front_answer *front; /**< its answer, when that comes from the process for /mcp */
    void (*drained)(struct request *request); /**< see request_begin_bytes */
};

/** Take over a message. NULL: it was answered. */
struct request *request_new(struct service *service, SoupServerMessage *message);

/** The body as one JSON object (json_object_put); an absent body is an empty object. NULL: INVALID. */
struct json_object *request_json(struct request *request, GError **error);
enum parameter_kind {
    PARAMETER_TEXT,
    PARAMETER_FLAG, /**< 1, true, 0 or false */
};
/** The query has at most the parameter `name` (NULL: none), of that kind. FALSE: the request is answered. */
gboolean request_takes(struct request *request, enum parameter_kind kind, const char *name);
/** TRUE for `?name=1` or `?name=true`. */
gboolean request_flag(const struct request *request, const char *name);

/** The answer comes later; `gone` is called when nobody waits for it any more. */
void request_hold(struct request *request, void (*gone)(struct request *request));

/** Answers: each may be called once. The object is taken. */
void request_answer(struct request *request, guint status, struct json_object *object);
void request_answer_text(struct request *request, guint status, const char *type, const char *text, gsize size);
/** Of the next answer. */
void request_set_tag(struct request *request, const char *tag);
/** Without a body: 304, the client has what it asked for; 202, 204. */
void request_answer_empty(struct request *request, guint status);
void request_answer_bytes(struct request *request, const char *type, GBytes *bytes);
/**
 * An answer of so many bytes that come piece by piece: `drained` is called when all are written that were there, `gone`
 * at its end, good or bad. A HEAD request gets none of them.
 */
void request_begin_bytes(struct request *request, const char *type, guint64 size, void (*drained)(struct request *),
                         void (*gone)(struct request *));
void request_add_bytes(struct request *request, GBytes *bytes);
/** There will not be as many: the connection is cut, so that nobody takes it for the whole. */
void request_cut(struct request *request);
gboolean request_is_head(const struct request *request);
/** An error object with the status of its code; takes the error. */
void request_fail(struct request *request, GError *error);
void request_fail_with(struct request *request, guint status, GError *error);

/** Server-sent events: the first call sends the head. The object is taken. */
void request_event(struct request *request, const char *name, struct json_object *object);
void request_event_text(struct request *request, const char *name, const char *json);
void request_event_end(struct request *request);
/**
 * The last event, piece by piece, as request_begin_bytes does it. A piece ends with a whole character, and all of them
 * are one line.
 */
void request_event_open(struct request *request, const char *name, void (*drained)(struct request *),
                        void (*gone)(struct request *));
void request_event_part(struct request *request, const char *json);
void request_event_close(struct request *request);

/** Events that another process wrote, as they are; request_event_end() ends them. `drained` as above. */
void request_stream_open(struct request *request, void (*drained)(struct request *));
void request_stream_add(struct request *request, const char *bytes, gsize size);

/** The usual HTTP status of an error. */
guint request_status(const GError *error);
/** {"error": {"code": …, "message": …}} */
struct json_object *error_json(const char *code, const char *message);

G_END_DECLS
#endif
