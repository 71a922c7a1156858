/* SPDX-License-Identifier: MIT */
#ifndef DSB_REQUEST_H
#define DSB_REQUEST_H

#include "service.h"

#include <json-c/json.h>

G_BEGIN_DECLS

/** One HTTP request, from its last byte in to the last byte of its answer. It frees itself then. Main thread only. */
struct request {
    struct service *service;
    SoupServerMessage *message;
    const char *method;
    char **path;       /**< segments after /v1, decoded */
    char *rest;        /**< what follows /v1/sessions/ID/files/, decoded; NULL elsewhere */
    GHashTable *query; /**< decoded; the last of a name counts (see `labels`) */
    GPtrArray *labels; /**< all values of `label` in the query */
    GBytes *body;
    const char *user; /**< for the audit log */
    gboolean events;  /**< the client wants server-sent events */
    gboolean held;    /**< the answer comes later */
    gboolean answered, streaming;
    gsize pending; /**< bytes of events that are not written yet */
    GSource *hangup;
    /** The client went away before the answer was complete; or NULL. */
    void (*gone)(struct request *request);
    struct job *job; /**< what the answer waits for, or NULL */
};

/** Take over a message whose body is complete. NULL: it was answered (a path that is no UTF-8, …). */
struct request *request_new(struct service *service, SoupServerMessage *message);

/** The body as one JSON object (json_object_put); an absent body is an empty object. NULL: INVALID. */
struct json_object *request_json(struct request *request, GError **error);
/** TRUE for `?name=1` or `?name=true`. */
gboolean request_flag(const struct request *request, const char *name);

/** The answer comes later; `gone` is called when nobody waits for it any more. */
void request_hold(struct request *request, void (*gone)(struct request *request));

/** Answers: each may be called once. The object is taken. */
void request_answer(struct request *request, guint status, struct json_object *object);
void request_answer_text(struct request *request, guint status, const char *type, const char *text, gsize size);
void request_answer_bytes(struct request *request, const char *type, GBytes *bytes);
/** An error object with the status of its code; takes the error. */
void request_fail(struct request *request, GError *error);
void request_fail_with(struct request *request, guint status, GError *error);

/** Server-sent events: the first call sends the head. The object is taken. */
void request_event(struct request *request, const char *name, struct json_object *object);
void request_event_text(struct request *request, const char *name, const char *json);
void request_event_end(struct request *request);

const char *error_name(int code);

/** Shorthands over json-c: a NULL text is null. */
void json_add(struct json_object *to, const char *key, const char *text);
void json_add_int(struct json_object *to, const char *key, gint64 value);
void json_add_bool(struct json_object *to, const char *key, gboolean value);
const char *json_text(struct json_object *object);

G_END_DECLS
#endif
