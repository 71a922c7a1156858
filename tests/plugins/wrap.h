/* SPDX-License-Identifier: MIT */
/*
 * A plugin around another one: `open` loads the plugin file that DSB_TEST_INNER names, and every operation
 * is passed on. A wrapper replaces the operations that it wants to spoil.
 */
#ifndef DSB_TEST_WRAP_H
#define DSB_TEST_WRAP_H

#include "plugin_fail.h"

struct wrap {
    const struct dsb_plugin *inner;
    void *state;
};

int wrap_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error);
void wrap_close(void *backend);
int wrap_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error);
int wrap_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                struct dsb_plugin_error *error);
int wrap_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                 struct dsb_plugin_error *error);
int wrap_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error);
int wrap_destroy(void *backend, const char *id, struct dsb_plugin_error *error);
int wrap_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error);
int wrap_prepare(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error);
int wrap_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error);

/** Set all facts to what `wanted` asks for; `known` is as it was. What `asked` does not have is foreign. */
void wrap_claim(const struct dsb_spec *asked, const struct dsb_spec *wanted, struct dsb_observed *observed);

const struct dsb_plugin *dsb_plugin_entry(void);

#endif
