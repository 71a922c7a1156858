/* SPDX-License-Identifier: MIT */
/* Plugins with one mistake each, for check.sh. They are never called. */
#include <dsandbox/plugin.h>
#include <string.h>

const struct dsb_plugin *dsb_plugin_entry(void);

static int no(struct dsb_plugin_error *error)
{
    error->code = DSB_ERROR_FAILED;
    strcpy(error->text, "must not be reached");
    return 0;
}

static int wrong_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    (void) params;
    (void) backend;
    return no(error);
}

static void wrong_close(void *backend) { (void) backend; }

static int wrong_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) info;
    return no(error);
}

static int wrong_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                        struct dsb_plugin_error *error)
{
    (void) backend;
    (void) spec;
    (void) created;
    return no(error);
}

static int wrong_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         struct dsb_plugin_error *error)
{
    (void) backend;
    (void) id;
    (void) spec;
    (void) observed;
    return no(error);
}

static int wrong_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) id;
    (void) stream;
    return no(error);
}

static int wrong_by_id(void *backend, const char *id, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) id;
    return no(error);
}

static int wrong_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) owner;
    (void) each;
    (void) data;
    return no(error);
}

static struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_SERIAL,
    .name = "wrong",
    .version = "1",
    .description = "a mistake",
    .open = wrong_open,
    .close = wrong_close,
    .describe = wrong_describe,
    .create = wrong_create,
    .inspect = wrong_inspect,
    .start = wrong_start,
    .destroy = wrong_by_id,
    .list = wrong_list,
};

#ifdef WRONG_SYMBOL
#define dsb_plugin_entry my_plugin_entry
const struct dsb_plugin *my_plugin_entry(void);
#endif

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void)
{
#if defined(WRONG_MAGIC)
    plugin.magic = 0;
#elif defined(WRONG_MAJOR)
    plugin.abi_major--;
#elif defined(WRONG_NAME)
    plugin.name = "My Backend";
#elif defined(WRONG_OPERATION)
    plugin.destroy = NULL;
#elif defined(WRONG_NULL)
    return NULL;
#endif
    return &plugin;
}
