/* SPDX-License-Identifier: MIT */
/*
 * What the program and the engine are. Asking costs two starts of the program, so the answer is kept for
 * an hour, for as long as program and socket are the same files.
 */
#include "docker-cli/docker_cli.h"

#include "common/json.h"
#include "engine/engine.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_SECONDS 3600
#define CACHE_VERSION 2

/* ---- what the program says ---- */

static gboolean is_podman_server(json_object *version)
{
    json_object *components = dsbe_json_at(version, "Server.Components");
    if (!json_object_is_type(components, json_type_array))
        return FALSE;
    for (gsize i = 0; i < json_object_array_length(components); i++) {
        const char *name = dsbe_json_string(json_object_array_get_idx(components, i), "Name", "");
        if (strstr(name, "Podman") != NULL)
            return TRUE;
    }
    return FALSE;
}

static gboolean parse_podman(json_object *info, struct dsbc_facts *facts)
{
    facts->podman = TRUE;
    dsbe_libpod.parse_info(info, &facts->info);
    g_strlcpy(facts->info.product, "podman", sizeof facts->info.product);
    g_strlcpy(facts->info.version, dsbe_json_string(info, "version.Version", facts->info.version),
              sizeof facts->info.version);
    g_strlcpy(facts->info.api, dsbe_json_string(info, "version.APIVersion", ""), sizeof facts->info.api);
    facts->selinux = dsbe_json_bool(info, "host.security.selinuxEnabled");
    facts->info.local = !dsbe_json_bool(info, "host.serviceIsRemote");
    return TRUE;
}

gboolean dsbc_parse_facts(const char *info_json, const char *version_json, struct dsbc_facts *facts, GError **error)
{
    g_autoptr(json_object) info = dsbe_json_parse(info_json, strlen(info_json), error);
    if (info == NULL)
        return FALSE;
    if (dsbe_json_at(info, "host") != NULL && dsbe_json_at(info, "version.Version") != NULL)
        return parse_podman(info, facts);
    if (*dsbe_json_string(info, "ServerVersion", "") == '\0') {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                            "the program answers neither like Docker nor like Podman");
        return FALSE;
    }
    if (version_json == NULL)
        return TRUE;
    g_autoptr(json_object) version = dsbe_json_parse(version_json, strlen(version_json), error);
    if (version == NULL)
        return FALSE;
    if (is_podman_server(version)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                            "a Podman service answers the docker program here (see DOCKER_HOST), and loses parts of "
                            "the policy on the way: use backend podman");
        return FALSE;
    }
    facts->podman = FALSE;
    dsbe_docker.parse_info(info, &facts->info);
    g_strlcpy(facts->info.product, "docker", sizeof facts->info.product);
    g_strlcpy(facts->info.api, dsbe_json_string(version, "Server.ApiVersion", ""), sizeof facts->info.api);
    facts->selinux = dsbe_json_has(info, "SecurityOptions", "name=selinux");
    return TRUE;
}

/** One of the two questions. */
static char *ask(const struct dsbc_cli *cli, const char *command, GError **error)
{
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "%s", command);
    dsbc_add(argv, "--format={{json .}}");
    g_auto(dsbe_output) output = {0};
    if (!dsbc_call(cli, argv, command, &output, error))
        return NULL;
    /* Old clients report an unreachable engine inside the answer. */
    g_autoptr(json_object) root = dsbe_json_parse(output.text->str, output.text->len, error);
    if (root == NULL)
        return NULL;
    json_object *errors = dsbe_json_at(root, "ServerErrors");
    if (json_object_is_type(errors, json_type_array) && json_object_array_length(errors) > 0) {
        const char *text = json_object_get_string(json_object_array_get_idx(errors, 0));
        dsbc_set_error(cli, command, text != NULL ? text : "", error);
        return NULL;
    }
    return g_strdup(output.text->str);
}

static gboolean ask_facts(const struct dsbc_cli *cli, struct dsbc_facts *facts, GError **error)
{
    facts->info.local = dsbe_address_is_local(cli->endpoint);
    g_autofree char *info = ask(cli, "info", error);
    if (info == NULL || !dsbc_parse_facts(info, NULL, facts, error))
        return FALSE;
    if (facts->podman && cli->host != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                    "%s is Podman's program, which takes no engine address here: use backend podman", cli->program);
        return FALSE;
    }
    if (!facts->podman) {
        g_autofree char *version = ask(cli, "version", error);
        if (version == NULL || !dsbc_parse_facts(info, version, facts, error))
            return FALSE;
    }
    g_strlcpy(facts->info.endpoint, facts->podman ? cli->program : cli->endpoint, sizeof facts->info.endpoint);
    return TRUE;
}

/* ---- the cache ---- */

static void append_file(GString *key, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        g_string_append(key, " -");
        return;
    }
    g_string_append_printf(key, " %ju:%ju:%jd.%09ld:%jd.%09ld", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino,
                           (intmax_t) st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (intmax_t) st.st_ctim.tv_sec,
                           st.st_ctim.tv_nsec);
}

/** What must be the same for the cached facts to hold; NULL where that cannot be told (a remote engine). */
static char *cache_key(const struct dsbc_cli *cli)
{
    if (!g_str_has_prefix(cli->endpoint, "unix://"))
        return NULL;
    g_autoptr(GString) key = g_string_new(NULL);
    g_string_append_printf(key, "%d %u %s %s", CACHE_VERSION, (unsigned) geteuid(), cli->program, cli->endpoint);
    append_file(key, cli->program);
    append_file(key, cli->endpoint + strlen("unix://"));
    return g_string_free(g_steal_pointer(&key), FALSE);
}

static char *cache_path(const struct dsbc_cli *cli)
{
    g_autofree char *who = g_strconcat(cli->program, "\n", cli->endpoint, NULL);
    return dsbe_cache_path(cli->state_dir, who);
}

static void take_string(json_object *root, const char *key, char *out, gsize size)
{
    g_strlcpy(out, dsbe_json_string(root, key, ""), size);
}

static gboolean cache_load(const struct dsbc_cli *cli, const char *key, struct dsbc_facts *facts)
{
    g_autofree char *path = cache_path(cli);
    g_autoptr(json_object) root = dsbe_cache_recall(path, key, CACHE_SECONDS);
    int64_t cgroup = 0, limits = 0;
    if (root == NULL || !dsbe_json_int(root, "cgroup_version", &cgroup) || !dsbe_json_int(root, "limits", &limits))
        return FALSE;
    struct dsb_engine_info *info = &facts->info;
    take_string(root, "product", info->product, sizeof info->product);
    take_string(root, "version", info->version, sizeof info->version);
    take_string(root, "api", info->api, sizeof info->api);
    take_string(root, "endpoint", info->endpoint, sizeof info->endpoint);
    take_string(root, "runtime", info->runtime, sizeof info->runtime);
    take_string(root, "data_root", info->data_root, sizeof info->data_root);
    info->rootless = dsbe_json_bool(root, "rootless");
    info->local = dsbe_json_bool(root, "local");
    info->maps_users = dsbe_json_bool(root, "maps_users");
    info->cgroup_version = (uint32_t) cgroup;
    info->limits_available = (uint64_t) limits;
    facts->podman = dsbe_json_bool(root, "podman");
    facts->selinux = dsbe_json_bool(root, "selinux");
    return info->product[0] != '\0';
}

static void cache_store(const struct dsbc_cli *cli, const char *key, const struct dsbc_facts *facts)
{
    const struct dsb_engine_info *info = &facts->info;
    g_autoptr(json_object) root = json_object_new_object();
    json_add(root, "product", info->product);
    json_add(root, "version", info->version);
    json_add(root, "api", info->api);
    json_add(root, "endpoint", info->endpoint);
    json_add(root, "runtime", info->runtime);
    json_add(root, "data_root", info->data_root);
    json_add_bool(root, "rootless", info->rootless);
    json_add_bool(root, "local", info->local);
    json_add_bool(root, "maps_users", info->maps_users);
    dsbe_put_uint(root, "cgroup_version", info->cgroup_version);
    dsbe_put_uint(root, "limits", info->limits_available);
    json_add_bool(root, "podman", facts->podman);
    json_add_bool(root, "selinux", facts->selinux);
    g_autofree char *path = cache_path(cli);
    g_autoptr(GError) local = NULL;
    if (!dsbe_cache_remember(path, key, root, &local))
        dsbc_log(cli, "docker-cli: facts are not cached: %s", local->message);
}

/** What Podman's program has after it lowered its own limit to the number of pids there can be. */
static uint64_t own_nproc(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NPROC, &limit);
    uint64_t most = limit.rlim_max == RLIM_INFINITY ? DSB_UNLIMITED : limit.rlim_max;
    g_autofree char *text = NULL;
    guint64 pids = 0;
    if (g_file_get_contents("/proc/sys/kernel/pid_max", &text, NULL, NULL) &&
        g_ascii_string_to_unsigned(g_strchomp(text), 10, 1, G_MAXINT32, &pids, NULL))
        most = MIN(most, pids);
    return most;
}

static void choose_runtime(const struct dsbc_cli *cli, struct dsbc_facts *facts)
{
    const char *runtime = facts->podman ? dsbe_podman_runtime(&facts->info) : "";
    if (*runtime == '\0')
        return;
    dsbc_log(cli, "docker-cli: %s cannot run on hybrid cgroups, using %s", facts->info.runtime, runtime);
    g_strlcpy(facts->runtime, runtime, sizeof facts->runtime);
    g_strlcpy(facts->info.runtime, runtime, sizeof facts->info.runtime);
}

gboolean dsbc_identify(struct dsbc_cli *cli, struct dsbc_facts *facts, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cli->lock);
    if (!cli->identified) {
        g_autofree char *key = cache_key(cli);
        struct dsbc_facts found = {.info.struct_size = sizeof found.info};
        if (key == NULL || !cache_load(cli, key, &found)) {
            if (!ask_facts(cli, &found, error))
                return FALSE;
            if (key != NULL)
                cache_store(cli, key, &found);
        }
        found.info.struct_size = sizeof found.info;
        choose_runtime(cli, &found);
        cli->facts = found;
        cli->identified = TRUE;
    }
    *facts = cli->facts;
    facts->nproc = own_nproc();
    return TRUE;
}
