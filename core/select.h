/* SPDX-License-Identifier: MIT */
#ifndef DSB_SELECT_H
#define DSB_SELECT_H

#include "backend.h"
#include "loader.h"

#include <dsandbox/session.h>

/** A loaded plugin with an opened engine and its facts. */
struct dsb_engine {
    struct dsb_loaded *loaded;
    struct dsb_backend *backend;
    struct dsb_engine_info info;
    struct dsb_open_params params;
    char *runtime_dir, *endpoint;
    const struct dsb_run_options *listener;
};

/**
 * Open the backend that the options name; "auto" (or NULL) is the first that answers of: rootless Podman (when not
 * root), Docker API, Docker CLI, Podman. Says on the log which and why.
 */
struct dsb_engine *dsb_engine_open(const struct dsb_run_options *options, GError **error);
/** Whose log gets the engine's diagnostics from now on; NULL: nobody's. At first it is that of dsb_engine_open. */
void dsb_engine_listen(struct dsb_engine *engine, const struct dsb_run_options *options);
void dsb_engine_close(struct dsb_engine *engine);

void dsb_say(const struct dsb_run_options *options, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
