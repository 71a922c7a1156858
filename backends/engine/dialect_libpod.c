/* SPDX-License-Identifier: MIT */
/*
 * Podman 4.3 and newer through libpod, whose oldest interface 4.0.0 every release still answers. The
 * Docker-compatible interface is not used: it ignores or changes too much. Data and pure functions only.
 */
#include "engine/engine.h"

#include "common/json.h"

#include <string.h>

#define PREFIX "/v4.0.0/libpod"
#define OOM_SCORE_ADJ 500
/* The first container of an image with keep-id copies and chowns every layer. */
#define CREATE_TIMEOUT_MS 300000

static char *negotiate(const struct dsbe_response *ping, struct dsb_engine_info *info, GError **error)
{
    if (!ping->libpod_version) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                            "this engine is not Podman: use backend docker-api");
        return NULL;
    }
    char *end = NULL;
    guint64 major = g_ascii_strtoull(ping->libpod_version, &end, 10);
    guint64 minor = *end == '.' ? g_ascii_strtoull(end + 1, NULL, 10) : 0;
    if (major < 4 || (major == 4 && minor < 3)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED, "Podman %s is too old: 4.3 or newer is needed",
                    ping->libpod_version);
        return NULL;
    }
    g_strlcpy(info->api, "libpod 4.0.0", sizeof info->api);
    g_strlcpy(info->version, ping->libpod_version, sizeof info->version);
    return g_strdup(PREFIX);
}

/*
 * Podman tells of the control group that it runs in itself. Below a terminal of a desktop, or in a unit, that lacks the
 * processor; but systemd makes those of containers elsewhere, with all that the user's manager has.
 */
static gboolean has_controller(json_object *root, char *const *more, const char *name)
{
    return dsbe_json_has(root, "host.cgroupControllers", name) ||
           (more && g_strv_contains((const char *const *) more, name));
}

static void parse_info(json_object *root, struct dsb_engine_info *info)
{
    g_strlcpy(info->version, dsbe_json_string(root, "version.Version", info->version), sizeof info->version);
    g_strlcpy(info->runtime, dsbe_json_string(root, "host.ociRuntime.name", ""), sizeof info->runtime);
    g_strlcpy(info->data_root, dsbe_json_string(root, "store.graphRoot", ""), sizeof info->data_root);
    info->rootless = dsbe_json_bool(root, "host.security.rootless");
    const char *cgroups = dsbe_json_string(root, "host.cgroupVersion", "");
    info->cgroup_version = strcmp(cgroups, "v1") == 0 ? 1 : strcmp(cgroups, "v2") == 0 ? 2 : 0;
    info->limits_available = 0;
    /* Rootless without cgroup v2 and systemd, Podman drops every limit and says nothing. */
    gboolean delegated =
        info->cgroup_version == 2 && strcmp(dsbe_json_string(root, "host.cgroupManager", ""), "systemd") == 0;
    if (info->rootless && !delegated)
        return;
    g_autofree char *managers = info->rootless && info->local ? dsbe_manager_controllers() : NULL;
    g_auto(GStrv) more = managers ? g_strsplit_set(managers, " \n", -1) : NULL;
    if (has_controller(root, more, "memory"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP);
    if (has_controller(root, more, "cpu"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_CPU);
    if (has_controller(root, more, "pids"))
        info->limits_available |= DSB_BIT(DSB_CONTROL_PIDS);
}

static json_object *nsmode(const char *mode, const char *value)
{
    json_object *namespace = json_object_new_object();
    json_add(namespace, "nsmode", mode);
    if (value)
        json_add(namespace, "value", value);
    return namespace;
}

static void add_rlimits(json_object *list, const char *type, uint64_t soft, uint64_t hard)
{
    json_object *item = json_object_new_object();
    json_add(item, "type", type);
    dsbe_put_uint(item, "hard", hard);
    dsbe_put_uint(item, "soft", soft);
    json_object_array_add(list, item);
}

static void add_rlimit(json_object *list, const char *type, uint64_t value) { add_rlimits(list, type, value, value); }

/*
 * nproc is given although the policy has none: with nofile alone Podman fills in 1048576, which fails
 * where the service may not raise limits. The service's own hard limit changes nothing. Nor do its own limits of other
 * kinds, without which those of containers.conf (default_ulimits) would come in.
 */
static json_object *make_rlimits(const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < dsbe_n_limit_controls; i++) {
        add_rlimit(list, dsbe_limit_controls[i].name, dsbe_limit_asked(&dsbe_limit_controls[i], spec));
        if (dsbe_limit_controls[i].control == DSB_CONTROL_NOFILE)
            add_rlimit(list, "nproc", facts->nproc);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(facts->others) && facts->others[i].type; i++)
        if (!dsbe_is_limit_control(facts->others[i].type))
            add_rlimits(list, facts->others[i].type, facts->others[i].soft, facts->others[i].hard);
    return list;
}

static void add_tmpfs(json_object *list, const char *target, uint64_t bytes, gboolean exec, const char *mode)
{
    g_autofree char *text = dsbe_tmpfs_options(bytes, exec, mode, ",notmpcopyup");
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    json_object *options = json_object_new_array();
    for (char **word = words; *word; word++)
        json_object_array_add(options, json_object_new_string(*word));
    json_object *mount = json_object_new_object();
    json_add(mount, "destination", target);
    json_add(mount, "type", "tmpfs");
    json_add(mount, "source", "tmpfs");
    dsbe_put(mount, "options", options);
    json_object_array_add(list, mount);
}

static json_object *make_mounts(const struct dsb_spec *spec)
{
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < spec->n_binds; i++) {
        json_object *mount = json_object_new_object();
        json_add(mount, "destination", spec->binds[i]->target);
        json_add(mount, "type", "bind");
        json_add(mount, "source", spec->binds[i]->source);
        dsbe_put(mount, "options",
                 dsbe_strings("bind", "rprivate", spec->binds[i]->read_only ? "ro" : "rw", "nosuid", "nodev", NULL));
        json_object_array_add(list, mount);
    }
    add_tmpfs(list, "/tmp", spec->tmp_bytes, spec->tmp_exec, "1777");
    add_tmpfs(list, "/run", spec->small_tmp_bytes, FALSE, "0755");
    add_tmpfs(list, "/var/tmp", spec->small_tmp_bytes, FALSE, "1777");
    return list;
}

static void put_limit(json_object *resources, const char *key, json_object *value, gboolean wanted)
{
    if (wanted)
        dsbe_put(resources, key, value);
    else
        json_object_put(value);
}

static json_object *make_resources(const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    json_object *memory = json_object_new_object();
    dsbe_put_uint(memory, "limit", spec->memory_bytes);
    if (dsbe_wants(spec, facts, DSB_CONTROL_SWAP))
        dsbe_put_uint(memory, "swap", spec->memory_bytes + spec->swap_bytes);
    json_object *cpu = json_object_new_object();
    dsbe_put_uint(cpu, "period", spec->cpu_period_us);
    dsbe_put_uint(cpu, "quota", spec->cpu_quota_us);
    json_object *pids = json_object_new_object();
    dsbe_put_uint(pids, "limit", spec->pids);
    json_object *resources = json_object_new_object();
    put_limit(resources, "memory", memory, dsbe_wants(spec, facts, DSB_CONTROL_MEMORY));
    put_limit(resources, "cpu", cpu, dsbe_wants(spec, facts, DSB_CONTROL_CPU));
    put_limit(resources, "pids", pids, dsbe_wants(spec, facts, DSB_CONTROL_PIDS));
    return resources;
}

static void put_namespaces(json_object *body, const struct dsb_spec *spec)
{
    /* "private" is the engine's own way out: bridge as root, slirp4netns or pasta rootless. */
    dsbe_put(body, "netns", nsmode(spec->network == DSB_NETWORK_NONE ? "none" : "private", NULL));
    dsbe_put(body, "pidns", nsmode("private", NULL));
    dsbe_put(body, "ipcns", nsmode("private", NULL));
    dsbe_put(body, "utsns", nsmode("private", NULL));
    dsbe_put(body, "cgroupns", nsmode("private", NULL));
    if (!spec->keep_id)
        return;
    g_autofree char *value = g_strdup_printf("uid=%u,gid=%u", spec->uid, spec->gid);
    dsbe_put(body, "userns", nsmode("keep-id", value));
    json_object *mappings = json_object_new_object();
    json_add_bool(mappings, "HostUIDMapping", FALSE);
    json_add_bool(mappings, "HostGIDMapping", FALSE);
    dsbe_put(body, "idmappings", mappings);
}

static void put_process(json_object *body, const struct dsb_spec *spec)
{
    dsbe_put(body, "entrypoint", dsbe_strings(spec->argv[0], NULL));
    json_object *command = json_object_new_array();
    for (gsize i = 1; spec->argv[i]; i++)
        json_object_array_add(command, json_object_new_string(spec->argv[i]));
    dsbe_put(body, "command", command);
    json_object *env = json_object_new_object();
    for (gsize i = 0; i < spec->n_env; i++)
        json_add(env, spec->env[i]->name, spec->env[i]->value);
    dsbe_put(body, "env", env);
    json_object *labels = json_object_new_object();
    for (gsize i = 0; i < spec->n_labels; i++)
        json_add(labels, spec->labels[i]->name, spec->labels[i]->value);
    dsbe_put(body, "labels", labels);
    g_autofree char *user = g_strdup_printf("%u:%u", spec->uid, spec->gid);
    json_add(body, "user", user);
    json_add(body, "work_dir", spec->workdir);
    json_add(body, "hostname", spec->hostname);
    json_add_bool(body, "stdin", TRUE);
    json_add_bool(body, "terminal", FALSE);
}

static json_object *create_body(const struct dsb_spec *spec, const struct dsbe_facts *facts)
{
    json_object *body = json_object_new_object();
    json_add(body, "name", spec->name);
    json_add(body, "image", spec->image);
    put_process(body, spec);
    put_namespaces(body, spec);
    json_add_bool(body, "remove", TRUE);
    json_add_bool(body, "use_image_hosts", TRUE);  /* nothing of the host's /etc/hosts */
    json_add_bool(body, "manage_password", FALSE); /* no /etc/passwd and /etc/group of the engine's making */
    dsbe_put(body, "mask", dsbe_masked_paths());
    json_add_bool(body, "read_only_filesystem", spec->rootfs_read_only);
    json_add_bool(body, "read_write_tmpfs", TRUE); /* false makes /dev and /dev/shm read-only in Podman 5 */
    json_add(body, "image_volume_mode", "ignore");
    dsbe_put(body, "mounts", make_mounts(spec));
    dsbe_put_uint(body, "shm_size", spec->shm_bytes);
    dsbe_put(body, "cap_drop", dsbe_strings("ALL", NULL));
    json_add_bool(body, "privileged", FALSE);
    json_add_bool(body, "no_new_privileges", spec->no_new_privs);
    json_add(body, "seccomp_profile_path", spec->seccomp_path);
    dsbe_put(body, "resource_limits", make_resources(spec, facts));
    dsbe_put(body, "r_limits", make_rlimits(spec, facts));
    dsbe_put_uint(body, "oom_score_adj", OOM_SCORE_ADJ);
    if (spec->life_seconds > 0)
        dsbe_put_uint(body, "timeout", spec->life_seconds);
    dsbe_put_uint(body, "stop_timeout", 0);
    json_add_bool(body, "init", FALSE);
    json_add(body, "systemd", "false");
    json_add(body, "sdnotifyMode", "ignore");
    json_add_bool(body, "httpproxy", FALSE);
    json_object *log = json_object_new_object();
    json_add(log, "driver", "none");
    dsbe_put(body, "log_configuration", log);
    json_object *health = json_object_new_object();
    dsbe_put(health, "Test", dsbe_strings("NONE", NULL));
    dsbe_put(body, "healthconfig", health);
    if (spec->runtime) /* ignored before 2026; `inspect` tells which one it became */
        json_add(body, "oci_runtime", spec->runtime);
    return body;
}

static void observe(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    dsbe_observe_mounts(root, spec, observed);
    dsbe_observe_limits(root, observed);
    dsbe_observe_tmpfs(root, observed);
    dsbe_observe_rest(root, spec, observed);
    /* Podman states the sets themselves; null or absent is empty. */
    if (dsbe_json_at(root, "HostConfig.CapDrop")) {
        observed->known |= DSB_BIT(DSB_CONTROL_CAPABILITIES);
        gboolean none = dsbe_json_count(root, "EffectiveCaps") == 0 && dsbe_json_count(root, "BoundingCaps") == 0 &&
                        dsbe_json_count(root, "HostConfig.CapAdd") == 0 && !observed->privileged;
        observed->capabilities = none ? 0 : UINT64_MAX;
    }
    /* Podman 5 makes it a link in the container's own /etc, which no table of mounts has. */
    if (*dsbe_json_string(root, "Config.Timezone", ""))
        observed->foreign_mounts++;
    const char *runtime = dsbe_json_string(root, "OCIRuntime", "");
    if (*runtime) {
        observed->known |= DSB_BIT(DSB_CONTROL_RUNTIME);
        g_strlcpy(observed->runtime, runtime, sizeof observed->runtime);
    }
}

/* libpod answers 500 for nearly everything; the text tells. */
static enum dsb_error_code error_code(long status, const char *message)
{
    if (status == 500 && strstr(message, "already in use"))
        return DSB_ERROR_CONFLICT;
    if (status == 500 && (strstr(message, "no such container") || strstr(message, "no container with")))
        return DSB_ERROR_NOT_FOUND;
    if (status == 500 && strstr(message, "container state improper"))
        return DSB_ERROR_CONFLICT;
    return dsbe_status_code(status);
}

const struct dsbe_dialect dsbe_libpod = {
    .product = "podman",
    .title = "Podman",
    .start_hint = "start it (podman system service), or give an endpoint",
    .denied_hint = "use your own rootless Podman, or ask for access to that socket",
    .create_timeout_ms = CREATE_TIMEOUT_MS,
    /* Podman 4.3 reads the subordinate ids with a library that knows no threads: an error, or a crash of the service.
     */
    .create_alone = TRUE,
    .facts_seconds = 600, /* Podman asks the package manager about its programs: 0.7 s */
    .volumes_ignored = TRUE,
    .bare_ids = TRUE,
    .negotiate = negotiate,
    .parse_info = parse_info,
    .create_body = create_body,
    .observe = observe,
    .error_code = error_code,
    .name_in_query = FALSE,
    .attach_query = "stream=true&stdin=true&stdout=true&stderr=true&detachKeys=",
    .delete_query = "force=true&timeout=0&v=true",
    .import_path = "/images/import",
    .import_split = FALSE,
    .import_type = "application/x-tar",
    .build_path = "/build?rm=1&forcerm=1",
};
