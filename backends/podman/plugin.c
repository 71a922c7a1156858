/* SPDX-License-Identifier: MIT */
/* The backend podman: libpod's HTTP interface, with a service of our own where nobody listens. */
#include "endpoint.h"

/* Take over from a socket where nobody answers, when the user did not name it. */
static gboolean use_own_service(const struct dsb_open_params *params, dsbe_client **client, GError **error)
{
    struct dsb_podman_service *service = dsb_podman_service_new(params->runtime_dir);
    if (!service) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            "no Podman answers, and there is no podman program to start: install podman, or give "
                            "--host");
        return FALSE;
    }
    if (!dsb_podman_service_ensure(service, error)) {
        dsb_podman_service_free(service);
        return FALSE;
    }
    struct dsbe_endpoint *endpoint = dsbe_endpoint_parse(dsb_podman_service_socket(service), FALSE, error);
    if (!endpoint) {
        dsb_podman_service_free(service);
        return FALSE;
    }
    dsbe_client *made = dsbe_client_new(&dsbe_libpod, endpoint, params);
    made->revive = dsb_podman_service_ensure;
    made->revive_data = service;
    made->revive_free = dsb_podman_service_free;
    dsbe_client_log(made, "podman: using a service of our own on %s", dsb_podman_service_socket(service));
    dsbe_client_free(*client);
    *client = made;
    return dsbe_client_identify(made, error);
}

static gboolean plugin_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    gboolean chosen = FALSE;
    struct dsbe_endpoint *endpoint = dsb_podman_endpoint(params->endpoint, &chosen, error);
    if (!endpoint)
        return FALSE;
    g_autoptr(dsbe_client) client = dsbe_client_new(&dsbe_libpod, endpoint, params);
    GError *local = NULL;
    if (!dsbe_client_identify(client, &local)) {
        gboolean absent = !chosen && (g_error_matches(local, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ||
                                      g_error_matches(local, DSB_ERROR, DSB_ERROR_DENIED));
        if (!absent) {
            g_propagate_error(error, local);
            return FALSE;
        }
        g_clear_error(&local);
        if (!use_own_service(params, &client, error))
            return FALSE;
    }
    client->facts.nproc = dsb_podman_nproc(dsbe_http_endpoint(client->http)->socket_path);
    const char *runtime = dsb_podman_runtime(&client->facts.info);
    if (*runtime) {
        dsbe_client_log(client, "podman: %s cannot run on hybrid cgroups, using %s", client->facts.info.runtime,
                        runtime);
        g_strlcpy(client->facts.runtime, runtime, sizeof client->facts.runtime);
        g_strlcpy(client->facts.info.runtime, runtime, sizeof client->facts.info.runtime);
    }
    *backend = g_steal_pointer(&client);
    return TRUE;
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSBE_ENFORCES,
    .name = "podman",
    .version = DSB_VERSION,
    .description = "Podman through libpod, rootful or rootless",
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

const struct dsb_plugin *dsb_plugin_entry(void)
{
    return &plugin;
}
