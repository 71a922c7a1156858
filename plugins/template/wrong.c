/* SPDX-License-Identifier: MIT */
/* Plugins with one mistake each, for check.sh. They are never called. */
#include <dsandbox/plugin.h>

const struct dsb_plugin *dsb_plugin_entry(void);

static gboolean no(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "must not be reached");
    return FALSE;
}

static gboolean wrong_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    (void) params;
    (void) backend;
    return no(error);
}

static void wrong_close(void *backend) { (void) backend; }

static gboolean wrong_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) backend;
    (void) info;
    return no(error);
}

static gboolean wrong_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    (void) backend;
    (void) spec;
    (void) id;
    return no(error);
}

static gboolean wrong_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                              GError **error)
{
    (void) backend;
    (void) id;
    (void) spec;
    (void) observed;
    return no(error);
}

static gboolean wrong_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    (void) backend;
    (void) id;
    (void) stream;
    return no(error);
}

static gboolean wrong_by_id(void *backend, const char *id, GError **error)
{
    (void) backend;
    (void) id;
    return no(error);
}

static gboolean wrong_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    (void) backend;
    (void) owner;
    (void) leftovers;
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
    plugin.abi_major++;
#elif defined(WRONG_NAME)
    plugin.name = "My Backend";
#elif defined(WRONG_OPERATION)
    plugin.destroy = NULL;
#elif defined(WRONG_NULL)
    return NULL;
#endif
    return &plugin;
}
