/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_SESSION_H
#define DSANDBOX_SESSION_H

#include <dsandbox/policy.h>
#include <dsandbox/result.h>

G_BEGIN_DECLS

/** Where and how to run. All strings may be NULL (default); they belong to the caller for the call. */
struct dsb_run_options {
    uint32_t struct_size;
    const char *backend;     /**< plugin name, "auto" */
    const char *plugin_path; /**< absolute path of a plugin file instead of a name */
    const char *endpoint;    /**< engine address */
    const char *base_dir;    /**< NULL: /tmp/sandboxes */
    const char *session;     /**< session id; NULL: a fresh directory, removed afterwards */
    const char *image;       /**< NULL: dsandbox-sandbox:latest */
    uint64_t allow_unenforced; /**< control bits that may be missing; the result lists them */
    uint32_t engine_timeout_ms; /**< deadline of one engine call; 0: 60 000 */
    int cancel_fd;           /**< readable: stop, remove the container, status cancelled; -1 none */
    /** Diagnostics, one line. May be NULL. */
    void (*log)(void *data, const char *line);
    /** Output as it comes; stream is 1 or 2. Also kept in the result. May be NULL. */
    void (*output)(void *data, int stream, const void *bytes, gsize size);
    void *data;
};

/** What to run. */
struct dsb_request {
    uint32_t struct_size;
    const char *code; /**< Python source, UTF-8 */
    gsize code_size;
    const char *filename;    /**< shown in tracebacks; NULL: "<sandbox>" */
    const char *const *argv; /**< arguments after the file name, NULL-terminated, or NULL */
    const char *const *env;  /**< "K=V", NULL-terminated, or NULL */
    int stdin_fd;            /**< standard input of the code, -1: empty */
};

/**
 * Run once in a fresh sandbox: policy resolved, container created, verified, started, measured, code run, container
 * removed. Never NULL: every failure is in the result.
 */
dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request);

/** One installed backend, for listings. Strings are g_free'd with the array. */
struct dsb_backend_row {
    char *name, *path, *version, *description;
    uint64_t enforces;
    char *problem; /**< why it cannot be loaded, or NULL */
    gboolean usable; /**< an engine answers */
    char *engine;    /**< "docker 20.10.24 at unix:///…", or the reason */
    char *engine_json; /**< all engine facts, or NULL */
};
/** All installed backends, or the one of options.plugin_path; each tried when `probe`. */
GPtrArray *dsb_backends(const struct dsb_run_options *options, gboolean probe);

/** Remove what dead runs left: containers past their deadline or without a living owner, and empty directories. */
gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error);

/** Make the sandbox image: from a root tarball or a Dockerfile (one of them not NULL). */
gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error);

G_END_DECLS
#endif
