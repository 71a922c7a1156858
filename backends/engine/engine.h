/* SPDX-License-Identifier: MIT */
/*
 * Shared parts of the backends that speak HTTP to a container engine. The client owns the sequence of
 * calls; a dialect (data and pure functions) knows the engine's words. Nothing here knows dsandbox's core.
 */
#ifndef DSBE_ENGINE_H
#define DSBE_ENGINE_H

#include "common/stream.h"

#include <dsandbox/error.h>
#include <dsandbox/plugin.h>
#include <json-c/json.h>
#include <signal.h>

G_BEGIN_DECLS

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_object, json_object_put)

/* --- cancel.c --------------------------------------------------------------------------------- */

/** Whether the caller asked to stop. *fd becomes -1 when nobody can ask any more. */
gboolean dsbe_cancel_pending(int *fd);
/**
 * The same for a call whose answer is worth a wait: TRUE from settle_ms after the caller asked. *end is 0 at first.
 * A container that `create` is just making has to be known, or it could not be removed.
 */
gboolean dsbe_cancel_due(int *fd, guint settle_ms, gint64 *end);
#define DSBE_CREATE_SETTLE_MS 3000
/** Sets CANCELLED and returns FALSE. */
gboolean dsbe_set_cancelled(GError **error);
/** The member of params that only newer callers have; -1: none. */
int dsbe_cancel_of(const struct dsb_open_params *params);

enum dsbe_wait { DSBE_WAIT_READY, DSBE_WAIT_TIMEOUT, DSBE_WAIT_CANCELLED };
/** Until `fd` (-1: nothing) has one of `events`, the monotonic deadline in us, or cancel_fd (-1: none) is readable. */
enum dsbe_wait dsbe_wait(int fd, short events, gint64 deadline, int cancel_fd);

/** flock, exclusive, until the deadline (monotonic, us). `whose` is in the TIMEOUT's message. */
gboolean dsbe_take_lock(int lock, gint64 deadline, int cancel_fd, const char *whose, GError **error);

/**
 * Waits for a child of ours that has ended or is about to. `status`: as a shell says it, 128 and more for a signal.
 * FALSE: its end is not known, since the host program ignores SIGCHLD or waits for children of others.
 */
gboolean dsbe_reap(pid_t pid, const char *what, int *status, GError **error);

/** Keeps a write to a closed pipe or TLS connection from killing a program that does not ignore SIGPIPE. */
struct dsbe_sigpipe {
    sigset_t before;
    gboolean was_pending;
};
void dsbe_sigpipe_block(struct dsbe_sigpipe *guard);
/** Takes a SIGPIPE that came meanwhile, and keeps errno. */
void dsbe_sigpipe_restore(const struct dsbe_sigpipe *guard);

/* --- adapter.c -------------------------------------------------------------------------------- */

/** The operations of plugin.h with errors as ours. *id of `create` is new. */
struct dsbe_operations {
    gboolean (*open)(const struct dsb_open_params *params, void **backend, GError **error);
    void (*close)(void *backend);
    gboolean (*describe)(void *backend, struct dsb_engine_info *info, GError **error);
    gboolean (*create)(void *backend, const struct dsb_spec *spec, char **id, GError **error);
    gboolean (*inspect)(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                        GError **error);
    gboolean (*start)(void *backend, const char *id, struct dsb_byte_stream *stream, GError **error);
    gboolean (*destroy)(void *backend, const char *id, GError **error);
    gboolean (*list)(void *backend, const char *owner, dsb_each_fn each, void *data, GError **error);
    gboolean (*prepare)(void *backend, const char *image, struct dsb_image_info *info, GError **error);
    gboolean (*image_make)(void *backend, const struct dsb_image_source *source, GError **error);
};

/** `open` of a plugin: the others go to the same operations. */
int dsbe_adapter_open(const struct dsbe_operations *operations, const struct dsb_open_params *params, void **backend,
                      struct dsb_plugin_error *error);
void dsbe_adapter_close(void *backend);
int dsbe_adapter_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error);
int dsbe_adapter_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                        struct dsb_plugin_error *error);
int dsbe_adapter_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         struct dsb_plugin_error *error);
int dsbe_adapter_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error);
int dsbe_adapter_destroy(void *backend, const char *id, struct dsb_plugin_error *error);
int dsbe_adapter_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error);
int dsbe_adapter_prepare(void *backend, const char *image, struct dsb_image_info *info,
                         struct dsb_plugin_error *error);
int dsbe_adapter_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error);

/** The members of every plugin of ours but what is its own: what it enforces, its name, its description, its `open`. */
#define DSBE_PLUGIN                                                                                                    \
    DSB_PLUGIN_HEADER, .thread_model = DSB_THREADS_PARALLEL, .version = DSB_VERSION, .close = dsbe_adapter_close,      \
                       .describe = dsbe_adapter_describe, .create = dsbe_adapter_create,                               \
                       .inspect = dsbe_adapter_inspect, .start = dsbe_adapter_start, .destroy = dsbe_adapter_destroy,  \
                       .list = dsbe_adapter_list, .prepare = dsbe_adapter_prepare,                                     \
                       .image_make = dsbe_adapter_image_make

/* --- remove_container.c ----------------------------------------------------------------------- */

/**
 * Remove a container: `once` tries it, and again for a moment where it meets another removal, as the engine's own, which
 * begins when the process ends; either of the two can fail in the middle then. Gone, or being removed, is success.
 */
gboolean dsbe_remove(gboolean (*once)(void *data, GError **error), void *data, int cancel_fd, GError **error);

/* --- trusted_files.c -------------------------------------------------------------------------- */

#define DSBE_DOCKERFILE_MAX (1024 * 1024)

/** A regular file, opened without waiting (a FIFO, a device: INVALID; absent: NOT_FOUND); -1 with *error. */
int dsbe_open_regular(const char *path, uint64_t *size, GError **error);
/** The content (new, with a NUL behind it) of a regular file of at most `limit` bytes. NULL with *error. */
char *dsbe_read_file(const char *path, gsize limit, gsize *size, GError **error);
/** The names of the controllers that the user's part of systemd has, of cgroup v2 (new); NULL: there is none. */
char *dsbe_manager_controllers(void);
/**
 * Whether a program may be run: a regular executable file which, like every directory on the way to it, belongs to
 * root or to us and which nobody else can write (sticky directories excepted).
 */
gboolean dsbe_program_ok(const char *path);
/** Whether only root and we can change what is in a directory, or put another in its place. */
gboolean dsbe_directory_ok(const char *path);
/** `path_list` (PATH) without the directories that others can write (new). */
char *dsbe_safe_path(const char *path_list);
/** Absolute path of the first `name` in `path_list` that dsbe_program_ok accepts (new), or NULL. */
char *dsbe_find_program(const char *name, const char *path_list);

/* --- environment.c ---------------------------------------------------------------------------- */

/** PATH, or a usual one where there is none. */
const char *dsbe_path_list(void);
/** An environment (new): PATH without what others can write, dsb_engine_variables, and `more` (NULL-terminated). */
GStrv dsbe_environment(const char *const *more);

/* --- endpoint.c ------------------------------------------------------------------------------- */

enum dsbe_scheme { DSBE_UNIX, DSBE_HTTP, DSBE_HTTPS };

/** Where an engine listens. */
struct dsbe_endpoint {
    enum dsbe_scheme scheme;
    const char *engine;    /**< "Docker", "Podman", for messages; static */
    char *text;            /**< as the user knows it, for messages */
    char *socket_path;     /**< unix only */
    char *base_url;        /**< `http://localhost`, `https://host:port`; no slash at the end */
    char *ca, *cert, *key; /**< PEM files, https only, may be NULL */
    gboolean skip_verify;
};

/** The engine behind this address can be one of this host: a unix socket, or TCP to a loopback address. Pure. */
gboolean dsbe_address_is_local(const char *text);

/**
 * Parse unix://, tcp://, http://, https:// or an absolute socket path. tcp:// becomes https when `tls`.
 * INVALID for anything malformed, UNSUPPORTED for ssh:// and npipe://.
 */
struct dsbe_endpoint *dsbe_endpoint_parse(const char *text, gboolean tls, GError **error);
void dsbe_endpoint_free(struct dsbe_endpoint *endpoint);
/** Use DIR/ca.pem, DIR/cert.pem and DIR/key.pem, those that exist. */
void dsbe_endpoint_set_tls_dir(struct dsbe_endpoint *endpoint, const char *dir);
typedef struct dsbe_endpoint dsbe_endpoint;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsbe_endpoint, dsbe_endpoint_free)

/* --- docker_context.c ------------------------------------------------------------------------- */

/** A variable of the environment that is set and not empty, or NULL. */
const char *dsbe_variable(const char *name);

/** Where Docker's own client finds its engine. */
struct dsbe_docker_place {
    char *config;         /**< the directory of the user's settings, absolute */
    char *context;        /**< NULL: the default one, or an address was given */
    char *address;        /**< NULL: the context has none that can be read */
    char *tls_dir;        /**< of certificates, if there are any */
    gboolean skip_verify; /**< the context says so */
};
/** By the address `given` (NULL or "": none), DOCKER_HOST, the context in use, or the default socket. */
void dsbe_docker_find(const char *given, struct dsbe_docker_place *place);
void dsbe_docker_place_clear(struct dsbe_docker_place *place);
typedef struct dsbe_docker_place dsbe_docker_place;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsbe_docker_place, dsbe_docker_place_clear)

/* --- json_read.c ------------------------------------------------------------------------------ */

/** Parse one JSON value; PROTOCOL when it is not one. Depth is limited. */
json_object *dsbe_json_parse(const char *text, gsize size, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/** Value at a dotted path (`HostConfig.Memory`), NULL when absent. Borrowed. */
json_object *dsbe_json_at(json_object *root, const char *path);
const char *dsbe_json_string(json_object *root, const char *path, const char *fallback);
/** The string member `name` (dots are part of it); "" when there is none. */
const char *dsbe_json_label(json_object *labels, const char *name);
/** Gives `each` a container of ours by its labels, as `each` answers. */
int dsbe_give_listed(const char *id, json_object *labels, gboolean running, dsb_each_fn each, void *data);
gboolean dsbe_json_bool(json_object *root, const char *path);
/** FALSE when absent or not a number. */
gboolean dsbe_json_int(json_object *root, const char *path, int64_t *value);
/** Number of elements of an array or members of an object at path; 0 when absent or null. */
gsize dsbe_json_count(json_object *root, const char *path);
/** The array at path holds the string (ASCII case ignored). */
gboolean dsbe_json_has(json_object *root, const char *path, const char *word);

/* builders, besides those of common/json.h: add to an object, which takes ownership */
void dsbe_put(json_object *object, const char *key, json_object *value);
void dsbe_put_uint(json_object *object, const char *key, uint64_t value);
json_object *dsbe_strings(const char *first, ...) G_GNUC_NULL_TERMINATED;
/** Files of /proc and /sys that tell about the host or other containers: the engines' newest list, for all of them. */
json_object *dsbe_masked_paths(void);

/* --- http.c ----------------------------------------------------------------------------------- */

#define DSBE_BODY_MAX (16 * 1024 * 1024)
#define DSBE_HEADERS_MAX (64 * 1024)

/** Connections to one endpoint; calls may come from any thread. */
struct dsbe_http;

struct dsbe_request {
    struct dsbe_http *via; /**< NULL: the client's own */
    const char *method;
    const char *path; /**< absolute, escaped, with query */
    const char *body; /**< NULL: an empty body for POST */
    gsize body_size;
    const char *content_type;
    int upload_fd; /**< when `upload`: the body is read from here until its end */
    gboolean upload;
    int64_t upload_size; /**< -1: not known (chunked) */
    guint timeout_ms;    /**< 0: none */
    gboolean always;     /**< goes on when the caller cancelled: remove, list */
    guint settle_ms;     /**< goes on for so long when the caller cancelled: create */
    /** Gets the body of a 2xx answer line by line instead of collecting it; FALSE stops with *error. */
    gboolean (*line)(void *data, const char *line, gsize size, GError **error);
    void *line_data;
};

struct dsbe_response {
    long status;
    GString *body;
    char *api_version;    /**< header Api-Version */
    char *libpod_version; /**< header Libpod-API-Version */
};

/** Takes the endpoint. Calls end with CANCELLED when cancel_fd (-1: none) is readable. */
struct dsbe_http *dsbe_http_new(struct dsbe_endpoint *endpoint, int cancel_fd);
void dsbe_http_free(struct dsbe_http *http);
const struct dsbe_endpoint *dsbe_http_endpoint(const struct dsbe_http *http);
/**
 * One exchange; any status is success. UNAVAILABLE nobody answers, DENIED socket permission or TLS, TIMEOUT,
 * CANCELLED, LIMIT answer too large, PROTOCOL.
 */
gboolean dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request, struct dsbe_response *response,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
void dsbe_response_clear(struct dsbe_response *response);
typedef struct dsbe_response dsbe_response;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsbe_response, dsbe_response_clear)
/** The engine's own words in an error body, one line, printable (new). */
char *dsbe_http_message(const char *body, gsize size);
/** Text of an engine on one line: valid UTF-8, no control characters, at most 1 KiB (new). */
char *dsbe_one_line(const char *text, gsize size);
/** A connection for hand-written requests. */
struct dsbe_line {
    void *easy;  /**< CURL *, for curl_easy_send and curl_easy_recv */
    void *multi; /**< CURLM *, owns the connection */
    int fd;
    int cancel_fd;
    gboolean tls; /**< writes need a SIGPIPE guard */
};
gboolean dsbe_http_connect(struct dsbe_http *http, guint timeout_ms, struct dsbe_line *line, GError **error);
void dsbe_line_close(struct dsbe_line *line);

/* --- head.c ----------------------------------------------------------------------------------- */

/** What matters of an HTTP/1.1 answer's head. */
struct dsbe_head {
    int status;
    gsize size;             /**< bytes of the head with the empty line */
    int64_t content_length; /**< -1 unknown */
    gboolean chunked;
};

/** 1 parsed, 0 more bytes needed, -1 not HTTP. */
int dsbe_head_parse(const char *data, gsize size, struct dsbe_head *head);

/* --- demux.c ---------------------------------------------------------------------------------- */

#define DSBE_DIAGNOSTIC_MAX 4096

/** State of the engine's 8-byte framing: {type, 0, 0, 0, length big endian}. Start with all zero. */
struct dsbe_demux {
    guint8 head[8];
    guint head_len;
    guint32 left;
    guint8 type;
    guint8 ring[DSBE_DIAGNOSTIC_MAX];
    gsize ring_total;
    char text[DSBE_DIAGNOSTIC_MAX + 1];
};

/** Take framed bytes, give stream bytes; stops when either buffer is used up. PROTOCOL on a bad head. */
gboolean dsbe_demux_run(struct dsbe_demux *demux, const guint8 *in, gsize in_size, gsize *consumed, guint8 *out,
                        gsize out_size, gsize *produced, GError **error);
/** The last bytes that were not stream data, printable. */
const char *dsbe_demux_diagnostic(struct dsbe_demux *demux);

/* --- hijack.c --------------------------------------------------------------------------------- */

/** POST `path` with an upgrade and give the framed connection as a stream. HTTP errors set *status. */
gboolean dsbe_hijack(struct dsbe_http *http, const char *path, guint timeout_ms, struct dsb_byte_stream *stream,
                     long *status, GError **error);

/* --- dialects --------------------------------------------------------------------------------- */

#define DSBE_N_OTHER_LIMITS 7

/** A resource limit that no policy sets; type NULL: unknown. */
struct dsbe_rlimit {
    const char *type; /**< "stack"; static */
    uint64_t soft, hard;
};

/** What a dialect may know besides the spec. */
struct dsbe_facts {
    struct dsb_engine_info info;
    uint64_t nproc; /**< hard RLIMIT_NPROC of the engine's process */
    struct dsbe_rlimit others[DSBE_N_OTHER_LIMITS]; /**< limits of that process */
};

struct dsbe_dialect {
    const char *product;
    const char *title;        /**< product, as people write it */
    const char *start_hint;   /**< what to do when nobody answers */
    const char *denied_hint;  /**< what to do about EACCES on the socket */
    guint create_timeout_ms;  /**< unless the user gave a deadline: a first create can copy an image */
    gboolean create_alone;    /**< a rootless service dies when it makes several containers at once */
    guint facts_seconds;      /**< how long the engine's facts may be remembered in runtime_dir; 0: not */
    gboolean volumes_ignored; /**< create never makes a volume of an image's VOLUME */
    gboolean bare_ids;        /**< dsbe_podman_image() */

    /** Check the `_ping` headers and give the path prefix (new). */
    char *(*negotiate)(const struct dsbe_response *ping, struct dsb_engine_info *info, GError **error);
    void (*parse_info)(json_object *root, struct dsb_engine_info *info);
    json_object *(*create_body)(const struct dsb_spec *spec, const struct dsbe_facts *facts);
    void (*observe)(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed);
    enum dsb_error_code (*error_code)(long status, const char *message);

    gboolean name_in_query;
    const char *attach_query;
    const char *delete_query;
    const char *import_path; /**< with query up to the place of the name */
    gboolean import_split;   /**< the name is given as repo= and tag= */
    const char *import_type;
    const char *build_path;
};

extern const struct dsbe_dialect dsbe_docker;
extern const struct dsbe_dialect dsbe_libpod;

/** An image as Podman takes it, which knows the first digits of an id without "sha256:" alone. Part of `image`. */
const char *dsbe_podman_image(const char *image);

/** Shared pieces of `observe`. */
void dsbe_observe_mounts(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed);
void dsbe_observe_limits(json_object *root, struct dsb_observed *observed);
void dsbe_observe_tmpfs(json_object *root, struct dsb_observed *observed);
void dsbe_observe_rest(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed);
enum dsb_error_code dsbe_status_code(long status);
uint64_t dsbe_parse_size(const char *text);
/**
 * A limit goes into the request when it is required or the engine can do it. One that the user gave up and
 * the engine cannot do must stay out: some engines fail the start over it.
 */
gboolean dsbe_wants(const struct dsb_spec *spec, const struct dsbe_facts *facts, enum dsb_control control);

/** A control that is a resource limit, called as the kernel does: translations and reader walk the same list. */
struct dsbe_limit_control {
    const char *name;
    enum dsb_control control;
    gsize in_spec, in_observed; /**< offsets of its uint64_t */
};
extern const struct dsbe_limit_control dsbe_limit_controls[];
extern const gsize dsbe_n_limit_controls;
gboolean dsbe_is_limit_control(const char *name);
uint64_t dsbe_limit_asked(const struct dsbe_limit_control *limit, const struct dsb_spec *spec);

char *dsbe_tmpfs_options(uint64_t bytes, gboolean exec, const char *mode, const char *more);

/* --- client.c --------------------------------------------------------------------------------- */

struct dsbe_client {
    const struct dsbe_dialect *dialect;
    struct dsbe_http *http;
    char *prefix;
    guint timeout_ms;
    gboolean timeout_given; /**< by the user */
    int cancel_fd;
    char *runtime_dir; /**< may be NULL */
    char *state;       /**< facts that were remembered under another one do not count; may be NULL */
    struct dsbe_facts facts;
    void (*log)(void *log_data, const char *line);
    void *log_data;
    /** Bring the engine back when it does not answer, by the deadline (monotonic, us); NULL: it cannot. */
    gboolean (*revive)(void *data, gint64 deadline, int cancel_fd, GError **error);
    /** Where to create this container, when not here; NULL: always here. */
    gboolean (*route)(void *data, const struct dsb_spec *spec, gint64 deadline, struct dsbe_http **via, GError **error);
    void *owner; /**< data of revive and route */
    void (*owner_free)(void *owner);
};

/** Takes the endpoint. On failure the client is NULL. */
struct dsbe_client *dsbe_client_new(const struct dsbe_dialect *dialect, struct dsbe_endpoint *endpoint,
                                    const struct dsb_open_params *params);
/** Ping, negotiate, read the engine's facts. */
gboolean dsbe_client_identify(struct dsbe_client *client, GError **error);
void dsbe_client_free(struct dsbe_client *client);
typedef struct dsbe_client dsbe_client;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsbe_client, dsbe_client_free)
void dsbe_client_log(struct dsbe_client *client, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** One object of a stream of progress (build, import). */
void dsbe_client_log_progress(struct dsbe_client *client, json_object *root);
/** Exchange and status check: 2xx or `also` (0: none) is success. Errors carry `what`. */
gboolean dsbe_client_call(struct dsbe_client *client, const struct dsbe_request *request, long also, const char *what,
                          struct dsbe_response *response, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/** GET, and parse the body. */
json_object *dsbe_client_json(struct dsbe_client *client, const char *path, const char *what,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* info_cache.c: the answer of `/info`, remembered where the engine needs long for it */
/** A file of a private directory for what one engine, `who`, says of itself (new). */
char *dsbe_cache_path(const char *directory, const char *who);
/** What was remembered under the same key at most so long ago (new reference), or NULL. */
json_object *dsbe_cache_recall(const char *path, const char *key, guint seconds);
gboolean dsbe_cache_remember(const char *path, const char *key, json_object *facts, GError **error);
json_object *dsbe_facts_recall(struct dsbe_client *client);
void dsbe_facts_remember(struct dsbe_client *client, json_object *root);
/** Name of the OCI runtime to use where Podman's default cannot run on this host; "" otherwise. */
const char *dsbe_podman_runtime(const struct dsb_engine_info *info);

/* struct dsbe_operations; `backend` is a struct dsbe_client */
void dsbe_op_close(void *backend);
gboolean dsbe_op_describe(void *backend, struct dsb_engine_info *info, GError **error);
gboolean dsbe_op_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error);
gboolean dsbe_op_create(void *backend, const struct dsb_spec *spec, char **id, GError **error);
gboolean dsbe_op_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         GError **error);
gboolean dsbe_op_start(void *backend, const char *id, struct dsb_byte_stream *stream, GError **error);
gboolean dsbe_op_destroy(void *backend, const char *id, GError **error);
gboolean dsbe_op_list(void *backend, const char *owner, dsb_each_fn each, void *data, GError **error);
gboolean dsbe_op_image_make(void *backend, const struct dsb_image_source *source, GError **error);

/** Controls that both dialects translate, one by one: a new control is refused until it stands here. */
#define DSBE_ENFORCES                                                                                                  \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) |            \
     DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) | DSB_BIT(DSB_CONTROL_FSIZE) |                             \
     DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | DSB_BIT(DSB_CONTROL_ROOTFS) |                           \
     DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) | DSB_BIT(DSB_CONTROL_SECCOMP) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

/** The operations of a plugin whose engine is asked over HTTP, but for how it opens. */
#define DSBE_HTTP_OPERATIONS                                                                                           \
    .close = dsbe_op_close, .describe = dsbe_op_describe, .create = dsbe_op_create, .inspect = dsbe_op_inspect,        \
    .start = dsbe_op_start, .destroy = dsbe_op_destroy, .list = dsbe_op_list, .prepare = dsbe_op_prepare,              \
    .image_make = dsbe_op_image_make

G_END_DECLS
#endif
