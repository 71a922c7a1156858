/* SPDX-License-Identifier: MIT */
/* Where Docker is, found as Docker's own client finds it: environment, contexts, default socket. */
#include "endpoint.h"

#include <string.h>

#define DEFAULT_ENDPOINT "unix:///var/run/docker.sock"
#define CONFIG_MAX (1024 * 1024)

static const char *environment(const char *name)
{
    const char *value = g_getenv(name);
    return value && *value ? value : NULL;
}

static char *config_dir(void)
{
    const char *dir = environment("DOCKER_CONFIG");
    return dir ? g_strdup(dir) : g_build_filename(g_get_home_dir(), ".docker", NULL);
}

static struct dsbe_endpoint *from_text(const char *text, GError **error)
{
    gboolean tls = environment("DOCKER_TLS_VERIFY") != NULL;
    struct dsbe_endpoint *endpoint = dsbe_endpoint_parse(text, tls, error);
    if (!endpoint || endpoint->scheme != DSBE_HTTPS)
        return endpoint;
    g_autofree char *config = config_dir();
    const char *certificates = environment("DOCKER_CERT_PATH");
    dsbe_endpoint_set_tls_dir(endpoint, certificates ? certificates : config);
    return endpoint;
}

/* NULL when the file is not there, not a regular one, too large, or not JSON. */
static json_object *read_json(const char *path)
{
    gsize size = 0;
    g_autofree char *text = dsbe_read_file(path, CONFIG_MAX, &size, NULL);
    return text ? dsbe_json_parse(text, size, NULL) : NULL;
}

static char *context_name(const char *config)
{
    const char *chosen = environment("DOCKER_CONTEXT");
    if (chosen)
        return g_strdup(chosen);
    g_autofree char *path = g_build_filename(config, "config.json", NULL);
    g_autoptr(json_object) root = read_json(path);
    const char *current = dsbe_json_string(root, "currentContext", "");
    return *current ? g_strdup(current) : NULL;
}

static struct dsbe_endpoint *from_context(const char *config, const char *name, GError **error)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
    g_autofree char *path = g_build_filename(config, "contexts", "meta", digest, "meta.json", NULL);
    g_autofree char *tls_dir = g_build_filename(config, "contexts", "tls", digest, "docker", NULL);
    g_autoptr(json_object) root = read_json(path);
    const char *host = dsbe_json_string(root, "Endpoints.docker.Host", "");
    if (!*host) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "Docker context \"%s\" has no readable endpoint: see docker context ls, or give --host", name);
        return NULL;
    }
    gboolean skip = dsbe_json_bool(root, "Endpoints.docker.SkipTLSVerify");
    gboolean tls = skip || g_file_test(tls_dir, G_FILE_TEST_IS_DIR);
    struct dsbe_endpoint *endpoint = dsbe_endpoint_parse(host, tls, error);
    if (!endpoint)
        return NULL;
    endpoint->skip_verify = skip;
    dsbe_endpoint_set_tls_dir(endpoint, tls_dir);
    return endpoint;
}

struct dsbe_endpoint *dsbe_docker_endpoint(const char *given, GError **error)
{
    if (given && *given)
        return from_text(given, error);
    if (environment("DOCKER_HOST"))
        return from_text(environment("DOCKER_HOST"), error);
    g_autofree char *config = config_dir();
    g_autofree char *context = context_name(config);
    if (context && strcmp(context, "default") != 0)
        return from_context(config, context, error);
    return dsbe_endpoint_parse(DEFAULT_ENDPOINT, FALSE, error);
}
