/* SPDX-License-Identifier: MIT */
/* Where Docker is, found as Docker's own client finds it: DOCKER_HOST, the context in use, the default socket. */
#include "engine/engine.h"

#include <string.h>

#define CONFIG_MAX (1024 * 1024)

const char *dsbe_variable(const char *name)
{
    const char *value = g_getenv(name);
    return value && *value ? value : NULL;
}

/* NULL when the file is not there, not a regular one, too large, or not JSON. */
static json_object *read_json(const char *path)
{
    gsize size = 0;
    g_autofree char *text = dsbe_read_file(path, CONFIG_MAX, &size, NULL);
    return text ? dsbe_json_parse(text, size, NULL) : NULL;
}

/* NULL: the default one. */
static char *context_name(const char *config)
{
    g_autofree char *path = g_build_filename(config, "config.json", NULL);
    g_autoptr(json_object) root = dsbe_variable("DOCKER_CONTEXT") ? NULL : read_json(path);
    const char *current = dsbe_json_string(root, "currentContext", "");
    const char *name = dsbe_variable("DOCKER_CONTEXT") ? dsbe_variable("DOCKER_CONTEXT") : current;
    return *name && strcmp(name, "default") != 0 ? g_strdup(name) : NULL;
}

static void read_context(struct dsbe_docker_place *place)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, place->context, -1);
    g_autofree char *path = g_build_filename(place->config, "contexts", "meta", digest, "meta.json", NULL);
    g_autoptr(json_object) root = read_json(path);
    const char *host = dsbe_json_string(root, "Endpoints.docker.Host", "");
    place->address = *host ? g_strdup(host) : NULL;
    place->skip_verify = dsbe_json_bool(root, "Endpoints.docker.SkipTLSVerify");
    place->tls_dir = g_build_filename(place->config, "contexts", "tls", digest, "docker", NULL);
}

void dsbe_docker_find(const char *given, struct dsbe_docker_place *place)
{
    const char *config = dsbe_variable("DOCKER_CONFIG"), *host = given && *given ? given : dsbe_variable("DOCKER_HOST");
    const char *certificates = dsbe_variable("DOCKER_CERT_PATH");
    *place = (struct dsbe_docker_place){
        .config = config ? g_canonicalize_filename(config, NULL) : g_build_filename(g_get_home_dir(), ".docker", NULL)};
    place->context = host ? NULL : context_name(place->config);
    if (place->context) {
        read_context(place);
        return;
    }
    place->address = g_strdup(host ? host : "unix:///var/run/docker.sock");
    place->tls_dir = g_strdup(certificates ? certificates : place->config);
}

void dsbe_docker_place_clear(struct dsbe_docker_place *place)
{
    g_free(place->config);
    g_free(place->context);
    g_free(place->address);
    g_free(place->tls_dir);
}
