/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_GATE_H
#define DSB_PLUGIN_GATE_H

#include "common/plugin_types.h"
#include "common/stream.h"
#include "plugin/loader.h"

/**
 * The call gate: the only way from the core to a plugin. Each function checks its arguments, calls one
 * operation, and checks what came back. A plugin that breaks the contract of plugin.h gives
 * DSB_ERROR_PLUGIN, whatever it said itself. Out-parameters are untouched on failure, always.
 * An operation that the plugin does not have gives UNSUPPORTED. Backends of the serial thread model are
 * locked here, `kill` excepted, so every function may be called from any thread.
 */
struct dsb_backend;

/**
 * Opens the engine. `loaded` may be freed afterwards; the strings of `params` live until close.
 * *out is new (dsb_backend_close).
 */
gboolean dsb_backend_open(const struct dsb_loaded *loaded, const struct dsb_open_params *params,
                          struct dsb_backend **out, GError **error);

/** Closes and frees (may be NULL). No other call may be running; streams must be closed before. */
void dsb_backend_close(struct dsb_backend *backend);

/** Name, version and description of the plugin; live as long as `backend`. */
const char *dsb_backend_name(const struct dsb_backend *backend);
const char *dsb_backend_version(const struct dsb_backend *backend);
const char *dsb_backend_description(const struct dsb_backend *backend);

/** Bits of the controls that the plugin says it translates. */
uint64_t dsb_backend_enforces(const struct dsb_backend *backend);

/*
 * The operations, as in plugin.h, with errors in DSB_ERROR: here its plain types become ours. Out structures need their
 * struct_size set by the caller.
 */

gboolean dsb_backend_describe(struct dsb_backend *backend, struct dsb_engine_info *info, GError **error);
gboolean dsb_backend_prepare(struct dsb_backend *backend, const char *image, struct dsb_image_info *info,
                             GError **error);

/** *id is new. Also REFUSED when a bit of spec.required is neither enforced by the plugin nor by the core. */
gboolean dsb_backend_create(struct dsb_backend *backend, const struct dsb_spec *spec, char **id, GError **error);
gboolean dsb_backend_inspect(struct dsb_backend *backend, const char *id, const struct dsb_spec *spec,
                             struct dsb_observed *observed, GError **error);

/** The stream's own functions are checked, too: their errors and counts keep the contract. */
gboolean dsb_backend_start(struct dsb_backend *backend, const char *id, struct dsb_byte_stream *stream,
                           GError **error);
gboolean dsb_backend_destroy(struct dsb_backend *backend, const char *id, GError **error);

/** *leftovers is new and frees its elements, struct dsb_leftover. */
gboolean dsb_backend_list(struct dsb_backend *backend, const char *owner, GPtrArray **leftovers, GError **error);
gboolean dsb_backend_image_make(struct dsb_backend *backend, const struct dsb_image_source *source, GError **error);

#endif
