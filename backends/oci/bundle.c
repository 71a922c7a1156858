/* SPDX-License-Identifier: MIT */
/* From a spec to the bundle's config.json. Pure. */
#include "oci/oci.h"

#include "common/json.h"

#include <string.h>

#define OOM_SCORE_ADJ 500 /* the kernel takes the sandbox before anything of the host */
#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const char *dsbo_refusal(const struct dsb_spec *spec, const struct dsb_engine_info *info)
{
    if ((spec->required & ~(DSBO_ENFORCES | DSB_CONTROLS_CORE)) != 0)
        return "a required control is not known to this backend";
    if ((spec->required & DSB_CONTROLS_LIMITS & ~info->limits_available) != 0)
        return "a required limit cannot be held by this host's control groups";
    if (spec->network != DSB_NETWORK_NONE)
        return "it has no network to give: use network=allow with the hosts that are needed, or another backend";
    if (!spec->rootfs_read_only)
        return "its root file systems are read-only";
    if (spec->seccomp_json == NULL)
        return "there is no system call profile";
    if (spec->n_binds == 0)
        return "there is no session directory";
    return NULL;
}

/* An array of texts; it is never NULL: absent may mean another default. */
static json_object *texts(const char *const *list)
{
    json_object *array = json_object_new_array();
    for (; list != NULL && *list != NULL; list++)
        json_object_array_add(array, json_object_new_string(*list));
    return array;
}

/* ---- the process ---- */

static json_object *make_env(const struct dsb_spec *spec, const struct dsbo_image *image)
{
    g_auto(GStrv) all = g_strdupv(image->env);
    if (g_environ_getenv(all, "PATH") == NULL)
        all = g_environ_setenv(all, "PATH", USUAL_PATH, TRUE);
    for (gsize i = 0; i < spec->n_env; i++)
        all = g_environ_setenv(all, spec->env[i]->name, spec->env[i]->value, TRUE);
    return texts((const char *const *) all);
}

static json_object *make_rlimits(const struct dsb_spec *spec)
{
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < dsbe_n_limit_controls; i++) {
        json_object *item = json_object_new_object();
        g_autofree char *upper = g_ascii_strup(dsbe_limit_controls[i].name, -1);
        g_autofree char *type = g_strconcat("RLIMIT_", upper, NULL);
        uint64_t value = dsbe_limit_asked(&dsbe_limit_controls[i], spec);
        json_add(item, "type", type);
        dsbe_put_uint(item, "soft", value);
        dsbe_put_uint(item, "hard", value);
        json_object_array_add(list, item);
    }
    return list;
}

static json_object *make_process(const struct dsb_spec *spec, const struct dsbo_image *image)
{
    static const char *const sets[] = {"bounding", "effective", "inheritable", "permitted", "ambient"};
    json_object *user = json_object_new_object();
    dsbe_put_uint(user, "uid", spec->uid);
    dsbe_put_uint(user, "gid", spec->gid);
    dsbe_put(user, "additionalGids", json_object_new_array());
    json_object *capabilities = json_object_new_object();
    for (gsize i = 0; i < G_N_ELEMENTS(sets); i++)
        dsbe_put(capabilities, sets[i], json_object_new_array());
    json_object *process = json_object_new_object();
    json_add_bool(process, "terminal", FALSE);
    dsbe_put(process, "user", user);
    dsbe_put(process, "args", texts(spec->argv));
    dsbe_put(process, "env", make_env(spec, image));
    json_add(process, "cwd", spec->workdir);
    dsbe_put(process, "capabilities", capabilities);
    dsbe_put(process, "rlimits", make_rlimits(spec));
    json_add_bool(process, "noNewPrivileges", spec->no_new_privs);
    json_add_int(process, "oomScoreAdj", OOM_SCORE_ADJ);
    return process;
}

/* ---- mounts ---- */

/* `options` are comma-separated. */
static void add_mount(json_object *list, const char *target, const char *type, const char *source, const char *options)
{
    g_auto(GStrv) words = g_strsplit(options, ",", -1);
    json_object *mount = json_object_new_object();
    json_add(mount, "destination", target);
    json_add(mount, "type", type);
    json_add(mount, "source", source);
    dsbe_put(mount, "options", texts((const char *const *) words));
    json_object_array_add(list, mount);
}

static void add_tmpfs(json_object *list, const char *target, uint64_t bytes, gboolean exec, const char *mode)
{
    g_autofree char *options = dsbe_tmpfs_options(bytes, exec, mode, "");
    add_mount(list, target, "tmpfs", "tmpfs", options);
}

/* The group of terminals is not mapped in every user namespace, and no program needs it. */
static void add_system(json_object *list, const struct dsb_spec *spec)
{
    add_mount(list, "/proc", "proc", "proc", "nosuid,noexec,nodev");
    add_mount(list, "/dev", "tmpfs", "tmpfs", "nosuid,noexec,strictatime,mode=755,size=65536k");
    add_mount(list, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
    add_tmpfs(list, "/dev/shm", spec->shm_bytes, FALSE, "1777");
    add_mount(list, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
    add_mount(list, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
    /* Read-only and in a namespace of its own: process 1 measures its limits there. */
    add_mount(list, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro");
    add_tmpfs(list, "/tmp", spec->tmp_bytes, spec->tmp_exec, "1777");
    add_tmpfs(list, "/run", spec->small_tmp_bytes, FALSE, "0755");
    add_tmpfs(list, "/var/tmp", spec->small_tmp_bytes, FALSE, "1777");
}

static json_object *make_mounts(const struct dsb_spec *spec)
{
    json_object *list = json_object_new_array();
    add_system(list, spec);
    for (gsize i = 0; i < spec->n_binds; i++)
        add_mount(list, spec->binds[i]->target, "bind", spec->binds[i]->source,
                  spec->binds[i]->read_only ? "bind,rprivate,nosuid,nodev,ro" : "bind,rprivate,nosuid,nodev,rw");
    return list;
}

/* ---- the kernel's part ---- */

static json_object *make_namespaces(void)
{
    static const char *const kinds[] = {"pid", "network", "ipc", "uts", "mount", "cgroup"};
    json_object *list = json_object_new_array();
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        json_object *one = json_object_new_object();
        json_add(one, "type", kinds[i]);
        json_object_array_add(list, one);
    }
    return list;
}

static json_object *make_resources(const struct dsb_spec *spec, uint64_t limits)
{
    json_object *resources = json_object_new_object(), *devices = json_object_new_array();
    json_object *none = json_object_new_object(); /* the runtime itself adds the pseudo devices */
    json_add_bool(none, "allow", FALSE);
    json_add(none, "access", "rwm");
    json_object_array_add(devices, none);
    dsbe_put(resources, "devices", devices);
    if ((limits & DSB_BIT(DSB_CONTROL_MEMORY)) != 0) {
        json_object *memory = json_object_new_object();
        dsbe_put_uint(memory, "limit", spec->memory_bytes);
        if ((limits & DSB_BIT(DSB_CONTROL_SWAP)) != 0)
            dsbe_put_uint(memory, "swap", spec->memory_bytes + spec->swap_bytes);
        dsbe_put(resources, "memory", memory);
    }
    if ((limits & DSB_BIT(DSB_CONTROL_CPU)) != 0) {
        json_object *cpu = json_object_new_object();
        dsbe_put_uint(cpu, "quota", spec->cpu_quota_us);
        dsbe_put_uint(cpu, "period", spec->cpu_period_us);
        dsbe_put(resources, "cpu", cpu);
    }
    if ((limits & DSB_BIT(DSB_CONTROL_PIDS)) != 0) {
        json_object *pids = json_object_new_object();
        dsbe_put_uint(pids, "limit", spec->pids);
        dsbe_put(resources, "pids", pids);
    }
    return resources;
}

static json_object *make_linux(const struct dsb_spec *spec, uint64_t limits, const char *cgroup, GError **error)
{
    json_object *profile = dsbe_json_parse(spec->seccomp_json, strlen(spec->seccomp_json), error);
    if (profile == NULL) {
        g_prefix_error(error, "the system call profile: ");
        return NULL;
    }
    json_object *part = json_object_new_object();
    dsbe_put(part, "namespaces", make_namespaces());
    json_add(part, "cgroupsPath", cgroup);
    dsbe_put(part, "resources", make_resources(spec, limits));
    dsbe_put(part, "seccomp", profile);
    dsbe_put(part, "maskedPaths", dsbe_masked_paths());
    dsbe_put(part, "readonlyPaths",
             dsbe_strings("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL));
    json_add(part, "rootfsPropagation", "private");
    return part;
}

json_object *dsbo_bundle(const struct dsb_spec *spec, const struct dsbo_image *image, const char *rootfs, uint64_t limits,
                         const char *cgroup, GError **error)
{
    json_object *part = make_linux(spec, limits, cgroup, error);
    if (part == NULL)
        return NULL;
    json_object *root = json_object_new_object(), *bundle = json_object_new_object();
    json_add(root, "path", rootfs);
    json_add_bool(root, "readonly", TRUE);
    json_add(bundle, "ociVersion", "1.0.2");
    dsbe_put(bundle, "root", root);
    dsbe_put(bundle, "process", make_process(spec, image));
    json_add(bundle, "hostname", spec->hostname);
    dsbe_put(bundle, "mounts", make_mounts(spec));
    dsbe_put(bundle, "linux", part);
    return bundle;
}
