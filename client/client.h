/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_H
#define DSB_CLIENT_H

#include <dsandbox/error.h>
#include <json-c/json.h>

G_BEGIN_DECLS

/**
 * A client of the per-user service (doc/openapi.json). One thread at a time per client.
 *
 * The service has an environment of its own: what depends on the caller's (DOCKER_HOST, CONTAINER_HOST, the current
 * directory) goes into the request as `host`, `base_dir` and so on. Options of one execution (`timeout`, `env`) go into
 * the execute body, not into the policy: a policy that differs from the session's is a conflict.
 *
 * An answer of 4xx or 5xx is a GError in DSB_ERROR with the code and message of its `error` object. No service, or one
 * that goes away in the middle, is UNAVAILABLE; an answer that is not HTTP or JSON is PROTOCOL.
 */
typedef struct dsb_client dsb_client;

/** What to do when no service answers at once. */
enum dsb_client_way {
    DSB_CLIENT_TRY,  /**< give up */
    DSB_CLIENT_FIND, /**< await one that has the socket; start one only where sessions wait for it */
    DSB_CLIENT_START /**< await one that has the socket, or its end, and start one where there is none */
};

/**
 * Connect to the service's socket (dsb_client_socket_path). To start one: whoever gets the lock beside the socket
 * spawns `dsandbox serve` (this program's own file), the others wait for it, at most 30 s. The same is done when a
 * call meets a service that ends, before it has done anything.
 *
 * UNAVAILABLE: there is no service, with DSB_CLIENT_FIND for certain. BUSY: one has the socket, and does not answer.
 * DENIED: the socket or its directory is not ours alone. CANCELLED: `cancel_fd` (-1: none) became readable.
 */
dsb_client *dsb_client_connect(enum dsb_client_way way, int cancel_fd, GError **error);
/** The same with the service at this socket and no other (DSB_CLIENT_TRY). */
dsb_client *dsb_client_connect_to(const char *socket_path, int cancel_fd, GError **error);
/** Another `cancel_fd` than the one it was connected with: who keeps a client for later may have closed that. */
void dsb_client_set_cancel(dsb_client *client, int cancel_fd);
/** A service answers there within that time. */
gboolean dsb_client_answers(const char *socket_path, guint ms);
/** The error of a call that has not begun, since the service was ending or had ended. */
gboolean dsb_client_not_done(const GError *error);
/** The error says that there is no service, for certain. */
gboolean dsb_client_none(const GError *error);
/** What the service said of itself when we connected (GET /v1/version); the client's. */
struct json_object *dsb_client_version(const dsb_client *client);
void dsb_client_free(dsb_client *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_client, dsb_client_free)

/** $XDG_RUNTIME_DIR/dsandbox/api.sock, else in /run/user/UID, else /tmp/.dsandbox-UID/api.sock (g_free). */
char *dsb_client_socket_path(void);

/** The file of a program that comes with ours (g_free): `built_in` is its directory while we are in the build tree. */
char *dsb_client_helper(const char *built_in, const char *name);

/** A path of the API with its variable parts escaped: dsb_client_path("/v1/sessions/%s/files/%s", id, name) (g_free).
 */
char *dsb_client_path(const char *format, ...) G_GNUC_PRINTF(1, 2);

/**
 * One call with JSON both ways. `body` may be NULL; it stays the caller's. `answer` may be NULL, else gets a new object
 * (json_object_put), NULL where the answer has no body. `timeout_ms` 0: no limit but that of the service.
 */
gboolean dsb_client_call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                         guint timeout_ms, struct json_object **answer, GError **error);

/** One call with bytes both ways (files, stdin). `answer` may be NULL, else gets a new array. */
gboolean dsb_client_bytes(dsb_client *client, const char *method, const char *path, const void *body, gsize size,
                          guint timeout_ms, GByteArray **answer, GError **error);

/** A file of a session, piece by piece (PUT; the path is that of the API). */
struct dsb_client_source {
    /** Up to `size` bytes; 0 at the end, -1: *error, and nothing is changed. */
    gssize (*read)(void *data, void *into, gsize size, GError **error);
    void *data;
};
gboolean dsb_client_upload(dsb_client *client, const char *path, const struct dsb_client_source *source, GError **error);

/** The same for one that comes (GET). */
struct dsb_client_sink {
    /** It is there, with so many bytes. FALSE: *error; so for the other. */
    gboolean (*begin)(void *data, guint64 size, GError **error);
    gboolean (*write)(void *data, const void *bytes, gsize size, GError **error);
    void *data;
};
/** An error after `begin`: what was written is not all. */
gboolean dsb_client_download(dsb_client *client, const char *path, const struct dsb_client_sink *sink, GError **error);

/** How an execution is followed. Zero is not a default for the descriptors: use DSB_CLIENT_FOLLOW. */
struct dsb_client_follow {
    /** Output as it comes; stream is 1 or 2. May be NULL. */
    void (*output)(void *data, int stream, const void *bytes, gsize size);
    /**
     * Every event by name with its JSON, before `output`: accepted {id}, started {id}, stdout and stderr
     * {text | base64}. What the service left out because this client read too slowly comes to `output` with the result;
     * dropped {stream, bytes} comes at the end, for what could not be made up for. Unknown ones are to be ignored.
     * May be NULL.
     */
    void (*event)(void *data, const char *name, struct json_object *json);
    void *data;
    /**
     * Readable: cancel this very execution (running or queued); the call goes on and gives its result. One byte is
     * read from it; a second byte gives up at once with CANCELLED. -1: none.
     */
    int cancel_fd;
    /** Read and handed to the code as its standard input while it runs; adds "stdin_open" to the body. -1: none. */
    int stdin_fd;
    /** New sizes of the terminal that the body asks for, as window_fd of dsb_request. -1: there are none. */
    int window_fd;
};
#define DSB_CLIENT_FOLLOW ((struct dsb_client_follow){.cancel_fd = -1, .stdin_fd = -1, .window_fd = -1})

/**
 * POST to /v1/run or /v1/sessions/ID/execute and follow the execution by server-sent events to its end. `body` stays
 * the caller's (it may gain "stdin_open"). *result gets the new result object (dsandbox.result/1, json_object_put).
 */
gboolean dsb_client_stream(dsb_client *client, const char *path, struct json_object *body,
                           const struct dsb_client_follow *follow, struct json_object **result, GError **error);

G_END_DECLS
#endif
