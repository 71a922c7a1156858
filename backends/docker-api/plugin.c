/* SPDX-License-Identifier: MIT */
/* The backend docker-api: Docker's HTTP interface, without the docker program. */
#include "engine/engine.h"

static struct dsbe_endpoint *find_endpoint(const char *given, GError **error)
{
    g_auto(dsbe_docker_place) place = {0};
    dsbe_docker_find(given, &place);
    if (!place.address) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "Docker context \"%s\" has no readable endpoint: see docker context ls, or give an endpoint",
                    place.context);
        return NULL;
    }
    gboolean tls = place.context ? place.skip_verify || g_file_test(place.tls_dir, G_FILE_TEST_IS_DIR)
                                 : dsbe_variable("DOCKER_TLS_VERIFY") != NULL;
    struct dsbe_endpoint *endpoint = dsbe_endpoint_parse(place.address, tls, error);
    if (!endpoint || endpoint->scheme != DSBE_HTTPS)
        return endpoint;
    endpoint->skip_verify = place.skip_verify;
    dsbe_endpoint_set_tls_dir(endpoint, place.tls_dir);
    return endpoint;
}

static gboolean open_engine(const struct dsb_open_params *params, void **backend, GError **error)
{
    struct dsbe_endpoint *endpoint = find_endpoint(params->endpoint, error);
    if (!endpoint)
        return FALSE;
    g_autoptr(dsbe_client) client = dsbe_client_new(&dsbe_docker, endpoint, params);
    if (!dsbe_client_identify(client, error))
        return FALSE;
    *backend = g_steal_pointer(&client);
    return TRUE;
}

static const struct dsbe_operations operations = {DSBE_HTTP_OPERATIONS, .open = open_engine};

static int plugin_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    return dsbe_adapter_open(&operations, params, backend, error);
}

static const struct dsb_plugin plugin = {
    DSBE_PLUGIN,
    .enforces = DSBE_ENFORCES,
    .name = "docker-api",
    .description = "Docker through its HTTP API",
    .open = plugin_open,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void);

const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
