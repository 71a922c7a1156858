/* SPDX-License-Identifier: MIT */
/* The backend docker-api: Docker's HTTP interface, without the docker program. */
#include "endpoint.h"

static gboolean plugin_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    struct dsbe_endpoint *endpoint = dsbe_docker_endpoint(params->endpoint, error);
    if (!endpoint)
        return FALSE;
    g_autoptr(dsbe_client) client = dsbe_client_new(&dsbe_docker, endpoint, params);
    if (!dsbe_client_identify(client, error))
        return FALSE;
    *backend = g_steal_pointer(&client);
    return TRUE;
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSBE_ENFORCES,
    .name = "docker-api",
    .version = DSB_VERSION,
    .description = "Docker through its HTTP API",
    .open = plugin_open,
    .close = dsbe_op_close,
    .describe = dsbe_op_describe,
    .create = dsbe_op_create,
    .inspect = dsbe_op_inspect,
    .start = dsbe_op_start,
    .kill = dsbe_op_kill,
    .destroy = dsbe_op_destroy,
    .list = dsbe_op_list,
    .prepare = dsbe_op_prepare,
    .usage = dsbe_op_usage,
    .image_make = dsbe_op_image_make,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void);

const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
