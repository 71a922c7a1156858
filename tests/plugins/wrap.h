/* SPDX-License-Identifier: MIT */
/*
 * A plugin around another one: `open` loads the plugin file that DSB_TEST_INNER names, and every operation
 * is passed on. A wrapper replaces the operations that it wants to spoil.
 */
#ifndef DSB_TEST_WRAP_H
#define DSB_TEST_WRAP_H

#include <dsandbox/plugin.h>

struct wrap {
    const struct dsb_plugin *inner;
    void *state;
};

gboolean wrap_open(const struct dsb_open_params *params, void **backend, GError **error);
void wrap_close(void *backend);
gboolean wrap_describe(void *backend, struct dsb_engine_info *info, GError **error);
gboolean wrap_create(void *backend, const struct dsb_spec *spec, char **id, GError **error);
gboolean wrap_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                      GError **error);
gboolean wrap_start(void *backend, const char *id, struct dsb_stream *stream, GError **error);
gboolean wrap_destroy(void *backend, const char *id, GError **error);
gboolean wrap_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error);
gboolean wrap_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error);
gboolean wrap_image_make(void *backend, const struct dsb_image_source *source, GError **error);

/** Set all facts to what `wanted` asks for; `known` is as it was. What `asked` does not have is foreign. */
void wrap_claim(const struct dsb_spec *asked, const struct dsb_spec *wanted, struct dsb_observed *observed);

const struct dsb_plugin *dsb_plugin_entry(void);

#endif
