/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_PLUGIN_H
#define DSANDBOX_PLUGIN_H

/*
 * Plain C types only: a plugin needs these headers and no library, and can be written in any language that can export a
 * C function. Yes and no are an `int`, 0 or anything else: as a _Bool, a byte that another language left there and that
 * is neither 0 nor 1 would be undefined behaviour.
 *
 * Text in an array ends with a NUL. One that fills its array (size - 1 bytes) counts as cut: what people read is shown
 * with an ellipsis at its end, and what names something (an id) is refused.
 */
#include <dsandbox/codes.h>
#include <dsandbox/observed.h>
#include <dsandbox/spec.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DSB_PLUGIN_MAGIC UINT32_C(0x44534250) /* "DSBP" */
#define DSB_PLUGIN_ABI_MAJOR 3
#define DSB_PLUGIN_ABI_MINOR 0

/** Labels that `create` puts on a container (spec.labels has them) and `list` filters by. */
#define DSB_LABEL_OWNER "dsandbox.owner"
#define DSB_LABEL_SESSION "dsandbox.session"
#define DSB_LABEL_DEADLINE "dsandbox.deadline"

#define DSB_PLUGIN_ERROR_TEXT 4096

/**
 * Why an operation failed; the caller's, for that call only. A plugin that fails sets `code` and writes `text`: UTF-8,
 * what happened and, where the reader can act, what to do. One that succeeds leaves it alone.
 */
struct dsb_plugin_error {
    uint32_t struct_size;
    uint32_t code;                    /**< enum dsb_error_code */
    char text[DSB_PLUGIN_ERROR_TEXT]; /**< not empty; of WOULD_BLOCK it may be */
};

/** How operations of one opened backend may be called at the same time. */
enum dsb_thread_model {
    DSB_THREADS_SERIAL = 1,   /**< one at a time */
    DSB_THREADS_PARALLEL = 2, /**< any operations on different containers */
};

/** What `open` gets. Strings may be NULL; they belong to the caller and live until `close`. */
struct dsb_open_params {
    uint32_t struct_size;
    const char *endpoint;    /**< engine address from the user (unix://, tcp://, https://, program path) */
    const char *runtime_dir; /**< private directory (0700) for sockets, exists */
    /**
     * Deadline of each engine call; 0: the plugin's own default. Only `destroy` takes some seconds when it is
     * shorter, and `image_make` has none.
     */
    uint32_t call_timeout_ms;
    /** One line of diagnostics, for -v. May be NULL. */
    void (*log)(void *log_data, const char *line);
    void *log_data;
    /**
     * Readable: whatever runs ends with CANCELLED soon, and new calls do at once; `destroy` and `list` work all
     * the same. It stays readable. -1: none.
     */
    int cancel_fd;
};

/** What the engine is. Filled by `describe`; texts may be empty. */
struct dsb_engine_info {
    uint32_t struct_size;
    char product[32]; /**< "docker", "podman": the real one behind the socket or program */
    char version[64];
    char api[32];
    char endpoint[256];
    int rootless;
    uint32_t cgroup_version;   /**< 1, 2; 0 unknown */
    uint64_t limits_available; /**< bits among MEMORY, SWAP, CPU, PIDS that the engine can limit */
    char runtime[64];          /**< default OCI runtime */
    int local;                 /**< the engine sees this host's files */
    char data_root[256];       /**< where it keeps images and containers, as it says; "": unknown */
    int maps_users;            /**< to others than the host's, also where a container asks for its user's own */
    int removes_ended;         /**< a container that ended by itself is gone soon, without `destroy` */
};

/** What `create` made. */
struct dsb_created {
    uint32_t struct_size;
    char id[128]; /**< as the engine calls it: [A-Za-z0-9][A-Za-z0-9_.-]* */
};

/** What `prepare` found out about an image. */
struct dsb_image_info {
    uint32_t struct_size;
    char id[128];       /**< what to create from: id or digest */
    uint64_t n_volumes; /**< VOLUME entries that the backend masks or the core must refuse */
};

/**
 * The byte stream to and from pid 1, engine framing removed.
 * `read` and `write` never block: they return > 0 bytes done, 0 at the end of the stream (read only),
 * or -1 with *error filled, DSB_ERROR_WOULD_BLOCK meaning: poll read_fd for POLLIN (write_fd for POLLOUT).
 * Poll only after WOULD_BLOCK, since bytes may be buffered. `close` frees the state and both
 * descriptors. `diagnostic` gives what the engine said outside the stream (may be NULL or ""), for
 * error messages; it lives until the next call.
 */
struct dsb_stream {
    uint32_t struct_size;
    void *state;
    int read_fd, write_fd;
    int64_t (*read)(void *state, void *buffer, size_t size, struct dsb_plugin_error *error);
    int64_t (*write)(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error);
    const char *(*diagnostic)(void *state);
    void (*close)(void *state);
};

/** A container of ours found by `list`. The strings, never NULL and of any length, live until `each` returns. */
struct dsb_listed {
    uint32_t struct_size;
    const char *id, *owner, *session;
    int64_t deadline; /**< seconds since the epoch, 0 unknown */
    int running;
};

/**
 * Takes one container, on the thread and during the call of `list`, and calls no operation itself. 0: `list` gives no
 * more, and returns as if there were none.
 */
typedef int (*dsb_each_fn)(void *data, const struct dsb_listed *item);

/** Source of `image_make`: a root file system tarball (its path), or a Dockerfile and its directory. */
struct dsb_image_source {
    uint32_t struct_size;
    const char *tarball;    /**< absolute path, or NULL */
    const char *dockerfile; /**< absolute path, or NULL */
    const char *context;    /**< absolute path of the build context, or NULL */
    const char *name;       /**< name:tag to give */
};

/**
 * The one thing a plugin exports: `const struct dsb_plugin *dsb_plugin_entry(void)`.
 * Use DSB_PLUGIN_HEADER for the first members. Operations are only ever appended.
 *
 * Operations return 1, or 0 for a failure: 0 if and only if *error is filled, which was empty before. Out-parameters
 * are untouched on failure; `struct_size` in them is the caller's, always. `backend` is what `open` returned. Container
 * ids are what `create` returned.
 */
struct dsb_plugin {
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t struct_size;
    uint32_t thread_model; /**< enum dsb_thread_model */
    uint64_t enforces;     /**< bits of the controls it translates */
    const char *name;      /**< [a-z0-9-]{1,32}, as in libdsandbox-NAME.so; not "auto", and no dash first */
    const char *version;
    const char *description;

    /* mandatory */
    /** Connect and identify the engine. UNAVAILABLE, DENIED, UNSUPPORTED, TIMEOUT. */
    int (*open)(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error);
    void (*close)(void *backend);
    int (*describe)(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error);
    /** Create without starting. */
    int (*create)(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                  struct dsb_plugin_error *error);
    /** The engine's claim about a container. `spec` tells which mounts are expected, nothing else. */
    int (*inspect)(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                   struct dsb_plugin_error *error);
    /** Attach, then start. */
    int (*start)(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error);
    /**
     * Kill and remove with volumes, running or not; gone is success. Takes a name as well as an id. Always called, but
     * after the answer of a run, whose process 1 leaves, where `describe` says `removes_ended`.
     */
    int (*destroy)(void *backend, const char *id, struct dsb_plugin_error *error);
    /** Give `each` the containers with our owner label (any owner: NULL). After a failure those given do not count. */
    int (*list)(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error);

    /* optional, may be NULL */
    /** Resolve `image`; never pulls. NOT_FOUND when it is not there. */
    int (*prepare)(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error);
    /** Make an image. Engine output goes line by line to params.log. No call timeout applies. */
    int (*image_make)(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error);
};

/** The first members, so that magic, versions and size are never written by hand. */
#define DSB_PLUGIN_HEADER                                                                                              \
    .magic = DSB_PLUGIN_MAGIC, .abi_major = DSB_PLUGIN_ABI_MAJOR, .abi_minor = DSB_PLUGIN_ABI_MINOR,                   \
    .struct_size = (uint32_t) sizeof(struct dsb_plugin)

#define DSB_PLUGIN_ENTRY "dsb_plugin_entry"
typedef const struct dsb_plugin *(*dsb_plugin_entry_fn)(void);

#if defined(__GNUC__)
#define DSB_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define DSB_PLUGIN_EXPORT
#endif

#ifdef __cplusplus
}
#endif
#endif
