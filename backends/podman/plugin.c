/* SPDX-License-Identifier: MIT */
/* The backend podman: libpod's HTTP interface, with a service of our own where nobody listens. */
#include "podman/endpoint.h"

#include <string.h>

#define START_MS 30000 /* for a caller that names no time */

/* A service with another runtime, and the connections to it. */
struct branch {
    struct dsb_podman_service *service;
    struct dsbe_http *http;
};

/* What the client cannot know: which services are ours. */
struct owner {
    char *runtime_dir;
    int cancel_fd;
    char *runtime;                      /* the default of the engine in use */
    struct dsb_podman_service *service; /* ours, in use; NULL: somebody else's */
    gboolean may_start;                 /* the user named no engine: any service of this user is the same one */
    GMutex lock;
    GHashTable *branches; /* runtime -> struct branch */
};

static void branch_free(void *data)
{
    struct branch *branch = data;
    dsb_podman_service_free(branch->service);
    dsbe_http_free(branch->http);
    g_free(branch);
}

static void owner_free(void *data)
{
    struct owner *owner = data;
    dsb_podman_service_free(owner->service);
    g_hash_table_unref(owner->branches);
    g_mutex_clear(&owner->lock);
    g_free(owner->runtime);
    g_free(owner->runtime_dir);
    g_free(owner);
}

static gboolean revive(void *data, gint64 deadline, int cancel_fd, GError **error)
{
    struct owner *owner = data;
    return dsb_podman_service_ensure(owner->service, deadline, cancel_fd, error);
}

static struct branch *branch_new(const struct owner *owner, const char *runtime, GError **error)
{
    struct dsb_podman_service *service = dsb_podman_service_new(owner->runtime_dir, runtime, error);
    if (!service)
        return NULL;
    struct dsbe_endpoint *endpoint = dsbe_endpoint_parse(dsb_podman_service_socket(service), FALSE, error);
    if (!endpoint) {
        dsb_podman_service_free(service);
        return NULL;
    }
    struct branch *branch = g_new0(struct branch, 1);
    branch->service = service;
    branch->http = dsbe_http_new(endpoint, owner->cancel_fd);
    return branch;
}

/*
 * Podman takes the OCI runtime from its command line; the one in a request is ignored. Containers remember
 * theirs, so only `create` has to go to a service with the right one.
 */
static gboolean route(void *data, const struct dsb_spec *spec, gint64 deadline, struct dsbe_http **via, GError **error)
{
    struct owner *owner = data;
    if (!spec->runtime || !owner->may_start || strcmp(spec->runtime, owner->runtime) == 0)
        return TRUE;
    g_mutex_lock(&owner->lock);
    struct branch *branch = g_hash_table_lookup(owner->branches, spec->runtime);
    if (!branch) {
        branch = branch_new(owner, spec->runtime, error);
        if (branch)
            g_hash_table_insert(owner->branches, g_strdup(spec->runtime), branch);
    }
    gboolean good = branch && dsb_podman_service_ensure(branch->service, deadline, owner->cancel_fd, error);
    g_mutex_unlock(&owner->lock);
    if (good)
        *via = branch->http;
    return good;
}

/* A client of `service` (taken; NULL: somebody else's on `endpoint`), identified. */
static dsbe_client *connect_to(const struct dsb_open_params *params, struct dsbe_endpoint *endpoint,
                               struct dsb_podman_service *service, gboolean may_start, GError **error)
{
    g_autoptr(dsbe_client) client = dsbe_client_new(&dsbe_libpod, endpoint, params);
    struct owner *owner = g_new0(struct owner, 1);
    g_mutex_init(&owner->lock);
    owner->branches = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, branch_free);
    owner->runtime_dir = g_strdup(params->runtime_dir);
    owner->cancel_fd = dsbe_cancel_of(params);
    owner->service = service;
    owner->may_start = may_start;
    client->state = dsb_podman_state();
    client->owner = owner;
    client->owner_free = owner_free;
    client->route = route;
    client->revive = service ? revive : NULL;
    if (!dsbe_client_identify(client, error))
        return NULL;
    owner->runtime = g_strdup(client->facts.info.runtime);
    dsb_podman_limits(dsbe_http_endpoint(client->http)->socket_path, &client->facts);
    return g_steal_pointer(&client);
}

static dsbe_client *connect_to_own(const struct dsb_open_params *params, const char *runtime, GError **error)
{
    struct dsb_podman_service *service = dsb_podman_service_new(params->runtime_dir, runtime, error);
    struct dsbe_endpoint *endpoint = NULL;
    gint64 patience = params->call_timeout_ms ? params->call_timeout_ms : START_MS;
    gint64 deadline = g_get_monotonic_time() + patience * 1000;
    if (service && dsb_podman_service_ensure(service, deadline, dsbe_cancel_of(params), error))
        endpoint = dsbe_endpoint_parse(dsb_podman_service_socket(service), FALSE, error);
    if (!endpoint) {
        dsb_podman_service_free(service);
        return NULL;
    }
    return connect_to(params, endpoint, service, TRUE, error);
}

static gboolean open_engine(const struct dsb_open_params *params, void **backend, GError **error)
{
    gboolean chosen = FALSE;
    struct dsbe_endpoint *endpoint = dsb_podman_endpoint(params->endpoint, &chosen, error);
    if (!endpoint)
        return FALSE;
    GError *local = NULL;
    g_autoptr(dsbe_client) client = connect_to(params, endpoint, NULL, !chosen, &local);
    if (!client && !chosen &&
        (g_error_matches(local, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ||
         g_error_matches(local, DSB_ERROR, DSB_ERROR_DENIED))) {
        g_clear_error(&local);
        client = connect_to_own(params, NULL, &local);
    }
    if (!client) {
        g_propagate_error(error, local);
        return FALSE;
    }
    const char *runtime = dsbe_podman_runtime(&client->facts.info);
    if (*runtime && !chosen) {
        dsbe_client_log(client, "podman: %s cannot run on hybrid cgroups, using %s", client->facts.info.runtime,
                        runtime);
        dsbe_client_free(g_steal_pointer(&client));
        client = connect_to_own(params, runtime, error);
        if (!client)
            return FALSE;
    }
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
    .name = "podman",
    .description = "Podman through libpod, rootful or rootless",
    .open = plugin_open,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void);

const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
