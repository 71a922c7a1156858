/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_ADMIN_H
#define DSANDBOX_ADMIN_H

#include <dsandbox/run.h>

G_BEGIN_DECLS

/** One installed backend, for listings. Strings are g_free'd with the array. */
struct dsb_backend_row {
    char *name, *path, *version, *description;
    uint64_t enforces;
    char *problem;     /**< why it cannot be loaded, or NULL */
    gboolean usable;   /**< an engine answers */
    char *engine;      /**< "docker 20.10.24 at unix:///…", or the reason */
    char *engine_json; /**< all engine facts, or NULL */
};
/**
 * All installed backends, or the one that the options name (plugin_path, or backend other than "auto"); each tried when
 * `probe`. NULL: INVALID, the options.
 */
GPtrArray *dsb_backends(const struct dsb_run_options *options, gboolean probe, GError **error);
/** Names of the installed backends (char *, g_free'd with the array); none is loaded. */
GPtrArray *dsb_backend_names(void);

/**
 * Remove what dead runs left: containers of the caller that are past their deadline or without a living owner, on each
 * engine that answers (one, when the options name it), and their directories and locks in the base directory, these
 * also when no engine answers (UNAVAILABLE then). *removed (may be NULL) counts what went, or would go when `dry_run`, which changes
 * nothing.
 */
gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error);

/** One thing that a machine needs, or not quite. */
struct dsb_finding {
    const char *name; /**< "base directory"; static */
    gboolean good;
    gboolean needed;    /**< without it nothing runs; others are for rootless engines only */
    char *found;        /**< g_free'd with the array */
    const char *remedy; /**< what to do; NULL when it is good */
};
/** Check this machine for a run with these options. Changes nothing. NULL: INVALID, the options. */
GPtrArray *dsb_doctor(const struct dsb_run_options *options, GError **error);

/** Make the sandbox image: from a root tarball or a Dockerfile (one of them not NULL). */
gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error);

/**
 * A backend's plugin is code in the caller's process: one that crashes, calls exit() or does not come back takes the
 * caller with it, and no library can stop it. Who needs more than a good plugin runs the calls above in a process of its
 * own and watches over that, as the program `dsandbox` does, or leaves it to the service (`dsandbox serve`).
 *
 * Such a process tells with this what it is doing: in the thread that calls, `operation` of `plugin` begins and should
 * take `at_most_ms` (0: no limit), or with `operation` NULL it has ended. Strings live until it ends.
 */
typedef void (*dsb_call_hook)(void *data, const char *plugin, const char *operation, guint64 at_most_ms);
/** For all calls of this process from now on; NULL: none. Not while another thread is in the library. */
void dsb_set_call_hook(dsb_call_hook hook, void *data);

G_END_DECLS
#endif
