/* SPDX-License-Identifier: MIT */
/* Descriptors with one thing wrong each; the build makes one plugin of each BAD_*. */
#include "plugin_fail.h"

#include <stddef.h>
#include <stdlib.h>

const struct dsb_plugin *dsb_plugin_entry(void);

#if defined(BAD_EXIT)
__attribute__((constructor)) static void end_the_program(void) { exit(0); }
#endif

static int bad_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    (void) params;
    (void) backend;
#if defined(BAD_OPEN)
    exit(0);
#endif
    return plugin_fail(error, DSB_ERROR_FAILED, "must not be reached");
}

static void bad_close(void *backend) { (void) backend; }

static int bad_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    (void) info;
    return bad_open(NULL, backend, error);
}

static int bad_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                      struct dsb_plugin_error *error)
{
    (void) spec;
    (void) created;
    return bad_open(NULL, backend, error);
}

static int bad_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                       struct dsb_plugin_error *error)
{
    (void) id;
    (void) spec;
    (void) observed;
    return bad_open(NULL, backend, error);
}

static int bad_by_id(void *backend, const char *id, struct dsb_plugin_error *error)
{
    (void) id;
    return bad_open(NULL, backend, error);
}

static int bad_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) owner;
    (void) each;
    (void) data;
    return bad_open(NULL, backend, error);
}

#ifndef BAD_OPERATION
static int bad_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    (void) stream;
    return bad_by_id(backend, id, error);
}
#endif

static struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,        .thread_model = DSB_THREADS_SERIAL,
    .enforces = UINT64_MAX,   .name = "bad",
    .version = "0",           .description = "test: a descriptor with a flaw",
    .open = bad_open,         .close = bad_close,
    .describe = bad_describe, .create = bad_create,
    .inspect = bad_inspect,
#ifndef BAD_OPERATION
    .start = bad_start,
#endif
    .destroy = bad_by_id,
    .list = bad_list,
};

#if defined(BAD_SYMBOL)
#define ENTRY another_entry
const struct dsb_plugin *another_entry(void);
#else
#define ENTRY dsb_plugin_entry
#endif

DSB_PLUGIN_EXPORT const struct dsb_plugin *ENTRY(void)
{
#if defined(BAD_MAGIC)
    plugin.magic = 0x12345678;
#elif defined(BAD_MAJOR)
    plugin.abi_major = DSB_PLUGIN_ABI_MAJOR + 1;
#elif defined(BAD_EARLIER)
    plugin.abi_major = DSB_PLUGIN_ABI_MAJOR - 1;
#elif defined(BAD_MINOR)
    plugin.abi_minor = DSB_PLUGIN_ABI_MINOR + 1;
#elif defined(BAD_SHORT)
    plugin.struct_size = offsetof(struct dsb_plugin, list);
#elif defined(BAD_LONG)
    plugin.struct_size = 1 << 20;
#elif defined(BAD_HALF)
    plugin.struct_size = offsetof(struct dsb_plugin, image_make) + 4;
#elif defined(BAD_NAME)
    plugin.name = "Bad Name";
#elif defined(BAD_THREADS)
    plugin.thread_model = 7;
#elif defined(BAD_VERSION)
    plugin.version = NULL;
#elif defined(BAD_NULL)
    return NULL;
#elif defined(BAD_OLD)
    plugin.struct_size = offsetof(struct dsb_plugin, prepare); /* not a flaw: before the optional ones */
    *(void **) &plugin.image_make = (void *) 1;
#endif
    return &plugin;
}
