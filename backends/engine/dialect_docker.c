/* SPDX-License-Identifier: MIT */
/* Docker Engine API 1.40 to 1.44. Data and pure functions only. */
#include "engine/engine.h"

#include "common/json.h"

#include <string.h>

#define API_MIN 40
#define API_MAX 44
#define OOM_SCORE_ADJ 500 /* the kernel takes the sandbox before anything of the host */

static char *negotiate(const struct dsbe_response *ping, struct dsb_engine_info *info, GError **error)
{
    if (ping->libpod_version) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED, "this is Podman %s, not Docker: use backend podman",
                    ping->libpod_version);
        return NULL;
    }
    guint64 minor = 0;
    const char *version = ping->api_version ? ping->api_version : "";
    if (!g_str_has_prefix(version, "1.") ||
        !g_ascii_string_to_unsigned(version + 2, 10, 0, G_MAXUINT16, &minor, NULL)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                    "the server does not answer like a Docker engine: no usable Api-Version");
        return NULL;
    }
    if (minor < API_MIN) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                    "Docker API %s is too old: 1.%d (Docker 19.03) or newer is needed", version, API_MIN);
        return NULL;
    }
    guint used = (guint) MIN(minor, API_MAX);
    g_snprintf(info->api, sizeof info->api, "1.%u", used);
    return g_strdup_printf("/v1.%u", used);
}

static void parse_info(json_object *root, struct dsb_engine_info *info)
{
    g_strlcpy(info->version, dsbe_json_string(root, "ServerVersion", ""), sizeof info->version);
    g_strlcpy(info->runtime, dsbe_json_string(root, "DefaultRuntime", ""), sizeof info->runtime);
    g_strlcpy(info->data_root, dsbe_json_string(root, "DockerRootDir", ""), sizeof info->data_root);
    info->rootless = dsbe_json_has(root, "SecurityOptions", "name=rootless");
    info->maps_users = info->rootless || dsbe_json_has(root, "SecurityOptions", "name=userns");
    info->cgroup_version = (uint32_t) g_ascii_strtoull(dsbe_json_string(root, "CgroupVersion", "0"), NULL, 10);
    if (strcmp(dsbe_json_string(root, "OperatingSystem", ""), "Docker Desktop") == 0)
        info->local = FALSE;
    info->limits_available = 0;
    if (strcmp(dsbe_json_string(root, "CgroupDriver", "none"), "none") == 0)
        return;
    if (dsbe_json_bool(root, "MemoryLimit"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_MEMORY);
    if (dsbe_json_bool(root, "SwapLimit"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_SWAP);
    if (dsbe_json_bool(root, "CpuCfsQuota") || dsbe_json_bool(root, "CPUCfsQuota"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_CPU);
    if (dsbe_json_bool(root, "PidsLimit"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_PIDS);
}

static json_object *make_ulimits(const struct dsb_spec *spec)
{
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < dsbe_n_limit_controls; i++) {
        json_object *item = json_object_new_object();
        uint64_t value = dsbe_limit_asked(&dsbe_limit_controls[i], spec);
        json_add(item, "Name", dsbe_limit_controls[i].name);
        dsbe_put_uint(item, "Soft", value);
        dsbe_put_uint(item, "Hard", value);
        json_object_array_add(list, item);
    }
    return list;
}

static json_object *make_mounts(const struct dsb_spec *spec)
{
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < spec->n_binds; i++) {
        json_object *options = json_object_new_object();
        json_add(options, "Propagation", "rprivate");
        json_add_bool(options, "NonRecursive", TRUE);
        json_object *mount = json_object_new_object();
        json_add(mount, "Type", "bind");
        json_add(mount, "Source", spec->binds[i]->source);
        json_add(mount, "Target", spec->binds[i]->target);
        json_add_bool(mount, "ReadOnly", spec->binds[i]->read_only);
        dsbe_put(mount, "BindOptions", options);
        json_object_array_add(list, mount);
    }
    return list;
}

static json_object *make_tmpfs(const struct dsb_spec *spec)
{
    g_autofree char *big = dsbe_tmpfs_options(spec->tmp_bytes, spec->tmp_exec, "1777", "");
    g_autofree char *run = dsbe_tmpfs_options(spec->small_tmp_bytes, FALSE, "0755", "");
    g_autofree char *small = dsbe_tmpfs_options(spec->small_tmp_bytes, FALSE, "1777", "");
    json_object *tmpfs = json_object_new_object();
    json_add(tmpfs, "/tmp", big);
    json_add(tmpfs, "/run", run);
    json_add(tmpfs, "/var/tmp", small);
    return tmpfs;
}

static void put_limits(json_object *host, const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    gboolean memory = dsbe_wants(spec, facts, DSB_CONTROL_MEMORY);
    if (memory)
        dsbe_put_uint(host, "Memory", spec->memory_bytes);
    if (memory && dsbe_wants(spec, facts, DSB_CONTROL_SWAP))
        dsbe_put_uint(host, "MemorySwap", spec->memory_bytes + spec->swap_bytes);
    if (dsbe_wants(spec, facts, DSB_CONTROL_CPU)) {
        dsbe_put_uint(host, "CpuPeriod", spec->cpu_period_us);
        dsbe_put_uint(host, "CpuQuota", spec->cpu_quota_us);
    }
    if (dsbe_wants(spec, facts, DSB_CONTROL_PIDS))
        dsbe_put_uint(host, "PidsLimit", spec->pids);
    dsbe_put_uint(host, "ShmSize", spec->shm_bytes);
    dsbe_put_uint(host, "OomScoreAdj", OOM_SCORE_ADJ);
    dsbe_put(host, "Ulimits", make_ulimits(spec));
}

static json_object *make_host_config(const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    json_object *host = json_object_new_object();
    put_limits(host, spec, facts);
    json_add(host, "NetworkMode", spec->network == DSB_NETWORK_NONE ? "none" : "bridge");
    dsbe_put(host, "MaskedPaths", dsbe_masked_paths());
    json_add_bool(host, "ReadonlyRootfs", spec->rootfs_read_only);
    json_add_bool(host, "AutoRemove", TRUE);
    json_add_bool(host, "Privileged", FALSE);
    json_add_bool(host, "Init", FALSE);
    json_add(host, "IpcMode", "private");
    json_add(host, "CgroupnsMode", "private");
    /*
     * With userns-remap our user would be another one on the host, and could not enter the session directory. Control
     * groups stay writable all the same, and the measurement refuses that.
     */
    json_add(host, "UsernsMode", "host");
    dsbe_put(host, "CapDrop", dsbe_strings("ALL", NULL));
    g_autofree char *seccomp = g_strconcat("seccomp=", spec->seccomp_json, NULL);
    json_object *security = dsbe_strings(seccomp, NULL);
    if (spec->no_new_privs)
        json_object_array_add(security, json_object_new_string("no-new-privileges"));
    dsbe_put(host, "SecurityOpt", security);
    dsbe_put(host, "Tmpfs", make_tmpfs(spec));
    dsbe_put(host, "Mounts", make_mounts(spec));
    json_object *log = json_object_new_object();
    json_add(log, "Type", "none");
    dsbe_put(host, "LogConfig", log);
    json_object *restart = json_object_new_object();
    json_add(restart, "Name", "no");
    dsbe_put(host, "RestartPolicy", restart);
    if (spec->runtime)
        json_add(host, "Runtime", spec->runtime);
    return host;
}

static json_object *create_body(const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    json_object *body = json_object_new_object();
    json_add(body, "Image", spec->image);
    json_add(body, "Hostname", spec->hostname);
    g_autofree char *user = g_strdup_printf("%u:%u", spec->uid, spec->gid);
    json_add(body, "User", user);
    json_add(body, "WorkingDir", spec->workdir);
    /* The runtime makes a namespace with loopback by itself. Asked for "none" alone, the daemon makes one too, with a
     * hook that executes the daemon's own program: more than half of the whole start. */
    json_add_bool(body, "NetworkDisabled", spec->network == DSB_NETWORK_NONE);
    dsbe_put(body, "Entrypoint", dsbe_strings(spec->argv[0], NULL));
    json_object *command = json_object_new_array();
    for (gsize i = 1; spec->argv[i]; i++)
        json_object_array_add(command, json_object_new_string(spec->argv[i]));
    dsbe_put(body, "Cmd", command);
    json_object *env = json_object_new_array();
    for (gsize i = 0; i < spec->n_env; i++) {
        g_autofree char *entry = g_strconcat(spec->env[i]->name, "=", spec->env[i]->value, NULL);
        json_object_array_add(env, json_object_new_string(entry));
    }
    dsbe_put(body, "Env", env);
    json_object *labels = json_object_new_object();
    for (gsize i = 0; i < spec->n_labels; i++)
        json_add(labels, spec->labels[i]->name, spec->labels[i]->value);
    dsbe_put(body, "Labels", labels);
    static const char *const yes[] = {"AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"};
    for (gsize i = 0; i < G_N_ELEMENTS(yes); i++)
        json_add_bool(body, yes[i], TRUE);
    json_add_bool(body, "Tty", FALSE);
    json_add(body, "StopSignal", "SIGKILL");
    dsbe_put_uint(body, "StopTimeout", 0);
    json_object *health = json_object_new_object();
    dsbe_put(health, "Test", dsbe_strings("NONE", NULL));
    dsbe_put(body, "Healthcheck", health);
    dsbe_put(body, "HostConfig", make_host_config(spec, facts));
    return body;
}

/* Docker gives the profile back as it was sent, so the claim can be compared. */
static void observe_seccomp(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    json_object *list = dsbe_json_at(root, "HostConfig.SecurityOpt");
    if (!json_object_is_type(list, json_type_array) || !spec->seccomp_json)
        return;
    observed->known |= DSB_BIT(DSB_CONTROL_SECCOMP);
    for (gsize i = 0; i < json_object_array_length(list); i++) {
        const char *option = json_object_get_string(json_object_array_get_idx(list, i));
        if (option && g_str_has_prefix(option, "seccomp="))
            observed->seccomp_ours = strcmp(option + strlen("seccomp="), spec->seccomp_json) == 0;
    }
}

static void observe(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    dsbe_observe_mounts(root, spec, observed);
    dsbe_observe_limits(root, observed);
    dsbe_observe_tmpfs(root, observed);
    dsbe_observe_rest(root, spec, observed);
    observe_seccomp(root, spec, observed);
    if (dsbe_json_at(root, "HostConfig.CapDrop")) {
        observed->known |= DSB_BIT(DSB_CONTROL_CAPABILITIES);
        gboolean dropped =
            dsbe_json_has(root, "HostConfig.CapDrop", "ALL") || dsbe_json_has(root, "HostConfig.CapDrop", "CAP_ALL");
        gboolean none = dropped && dsbe_json_count(root, "HostConfig.CapAdd") == 0 && !observed->privileged;
        observed->capabilities = none ? 0 : UINT64_MAX;
    }
    const char *runtime = dsbe_json_string(root, "HostConfig.Runtime", "");
    if (*runtime) {
        observed->known |= DSB_BIT(DSB_CONTROL_RUNTIME);
        g_strlcpy(observed->runtime, runtime, sizeof observed->runtime);
    }
}

static enum dsb_error_code error_code(long status, const char *message)
{
    if (status == 400 && strstr(message, "client version") && strstr(message, "is too "))
        return DSB_ERROR_UNSUPPORTED;
    return dsbe_status_code(status);
}

const struct dsbe_dialect dsbe_docker = {
    .product = "docker",
    .title = "Docker",
    .start_hint = "start it, or give an endpoint",
    .denied_hint = "add yourself to group docker, or use rootless Podman",
    .negotiate = negotiate,
    .parse_info = parse_info,
    .create_body = create_body,
    .observe = observe,
    .error_code = error_code,
    .name_in_query = TRUE,
    .attach_query = "stream=1&stdin=1&stdout=1&stderr=1",
    .delete_query = "force=1&v=1",
    .import_path = "/images/create?fromSrc=-",
    .import_split = TRUE,
    .import_type = "application/x-tar",
    .build_path = "/build?rm=1&forcerm=1",
};
