/* SPDX-License-Identifier: MIT */
/*
 * Reading an inspect answer: the parts in which the engines agree. Pure. A fact becomes known only when
 * the engine states it. Everything that is not understood counts as weaker, never as fine.
 */
#include "engine/engine.h"

#include <string.h>

/* What is no uint64_t does not compile. */
#define AT(type, member) _Generic(((struct type *) NULL)->member, uint64_t: G_STRUCT_OFFSET(struct type, member))
#define RLIMIT(name, control) {#name, DSB_CONTROL_##control, AT(dsb_spec, name), AT(dsb_observed, name)}

const struct dsbe_limit_control dsbe_limit_controls[] = {
    RLIMIT(nofile, NOFILE),
    RLIMIT(core, CORE),
    RLIMIT(fsize, FSIZE),
};
const gsize dsbe_n_limit_controls = G_N_ELEMENTS(dsbe_limit_controls);

gboolean dsbe_is_limit_control(const char *name)
{
    for (gsize i = 0; i < dsbe_n_limit_controls; i++)
        if (strcmp(dsbe_limit_controls[i].name, name) == 0)
            return TRUE;
    return FALSE;
}

uint64_t dsbe_limit_asked(const struct dsbe_limit_control *limit, const struct dsb_spec *spec)
{
    return G_STRUCT_MEMBER(const uint64_t, spec, limit->in_spec);
}

static void know(struct dsb_observed *observed, enum dsb_control control) { observed->known |= DSB_BIT(control); }

static gboolean same_path(const char *a, const char *b)
{
    gsize n = strlen(a), m = strlen(b);
    while (n > 1 && a[n - 1] == '/')
        n--;
    while (m > 1 && b[m - 1] == '/')
        m--;
    return n == m && memcmp(a, b, n) == 0;
}

static gboolean is_our_tmpfs(const char *target)
{
    return same_path(target, "/tmp") || same_path(target, "/run") || same_path(target, "/var/tmp");
}

void dsbe_observe_mounts(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    json_object *mounts = dsbe_json_at(root, "Mounts");
    if (!json_object_is_type(mounts, json_type_array))
        return;
    know(observed, DSB_CONTROL_VOLUME);
    for (gsize i = 0; i < json_object_array_length(mounts); i++) {
        json_object *mount = json_object_array_get_idx(mounts, i);
        const char *type = dsbe_json_string(mount, "Type", "");
        const char *source = dsbe_json_string(mount, "Source", "");
        const char *target = dsbe_json_string(mount, "Destination", "");
        gboolean writable = dsbe_json_bool(mount, "RW");
        if (strcmp(type, "tmpfs") == 0 && is_our_tmpfs(target))
            continue;
        gsize k = 0;
        while (k < spec->n_binds && !same_path(spec->binds[k]->target, target))
            k++;
        if (k == spec->n_binds || strcmp(type, "bind") != 0 || !same_path(spec->binds[k]->source, source) ||
            (writable && spec->binds[k]->read_only)) {
            observed->foreign_mounts++;
            continue;
        }
        if (k == 0)
            observed->volume_present = writable || spec->binds[0]->read_only;
        if (k == 1)
            observed->guest_read_only = !writable;
    }
}

uint64_t dsbe_parse_size(const char *text)
{
    char *end = NULL;
    if (!g_ascii_isdigit(*text))
        return DSB_UNLIMITED;
    uint64_t value = g_ascii_strtoull(text, &end, 10);
    static const char units[] = "kmgt";
    const char *unit = *end ? strchr(units, g_ascii_tolower(*end)) : NULL;
    for (const char *step = units; unit && step <= unit; step++) {
        if (value > UINT64_MAX / 1024)
            return DSB_UNLIMITED;
        value *= 1024;
    }
    end += unit ? 1 : 0;
    return *end == '\0' ? value : DSB_UNLIMITED;
}

/* The options of a tmpfs entry, none where there is none (g_strfreev). */
static char **tmpfs_options(json_object *tmpfs, const char *target)
{
    json_object *entry = NULL;
    gboolean there = json_object_object_get_ex(tmpfs, target, &entry) && json_object_is_type(entry, json_type_string);
    return g_strsplit(there ? json_object_get_string(entry) : "", ",", 32);
}

/* Its size=; no entry or no size is no limit. */
static uint64_t tmpfs_size(json_object *tmpfs, const char *target)
{
    uint64_t size = DSB_UNLIMITED;
    g_auto(GStrv) options = tmpfs_options(tmpfs, target);
    for (char **option = options; *option; option++)
        if (g_str_has_prefix(*option, "size="))
            size = dsbe_parse_size(*option + strlen("size="));
    return size;
}

void dsbe_observe_tmpfs(json_object *root, struct dsb_observed *observed)
{
    json_object *tmpfs = dsbe_json_at(root, "HostConfig.Tmpfs");
    if (!json_object_is_type(tmpfs, json_type_object))
        return;
    know(observed, DSB_CONTROL_TMP);
    observed->tmp_bytes = tmpfs_size(tmpfs, "/tmp");
    observed->small_tmp_bytes = MAX(tmpfs_size(tmpfs, "/run"), tmpfs_size(tmpfs, "/var/tmp"));
    g_auto(GStrv) options = tmpfs_options(tmpfs, "/tmp");
    observed->tmp_exec = !g_strv_contains((const char *const *) options, "noexec");
    json_object_object_foreach (tmpfs, target, value) {
        (void) value;
        if (!is_our_tmpfs(target))
            observed->foreign_mounts++;
    }
}

static gboolean limit(json_object *root, const char *path, uint64_t *value)
{
    int64_t number = 0;
    if (!dsbe_json_int(root, path, &number))
        return FALSE;
    *value = number > 0 ? (uint64_t) number : DSB_UNLIMITED;
    return TRUE;
}

static gboolean ulimit(json_object *root, const char *name, uint64_t *value)
{
    json_object *list = dsbe_json_at(root, "HostConfig.Ulimits");
    if (!json_object_is_type(list, json_type_array))
        return FALSE;
    for (gsize i = 0; i < json_object_array_length(list); i++) {
        json_object *item = json_object_array_get_idx(list, i);
        const char *type = dsbe_json_string(item, "Name", "");
        int64_t hard = -1;
        if (g_ascii_strncasecmp(type, "RLIMIT_", 7) == 0)
            type += 7;
        if (g_ascii_strcasecmp(type, name) != 0 || !dsbe_json_int(item, "Hard", &hard))
            continue;
        *value = hard >= 0 && hard < INT64_MAX ? (uint64_t) hard : DSB_UNLIMITED;
        return TRUE;
    }
    return FALSE;
}

void dsbe_observe_limits(json_object *root, struct dsb_observed *observed)
{
    int64_t swap = 0;
    if (limit(root, "HostConfig.Memory", &observed->memory_bytes))
        know(observed, DSB_CONTROL_MEMORY);
    if ((observed->known & DSB_BIT(DSB_CONTROL_MEMORY)) && dsbe_json_int(root, "HostConfig.MemorySwap", &swap)) {
        know(observed, DSB_CONTROL_SWAP);
        gboolean bounded = swap > 0 && observed->memory_bytes != DSB_UNLIMITED;
        observed->swap_bytes = !bounded                                   ? DSB_UNLIMITED
                               : (uint64_t) swap < observed->memory_bytes ? 0
                                                                          : (uint64_t) swap - observed->memory_bytes;
    }
    if (limit(root, "HostConfig.CpuQuota", &observed->cpu_quota_us) &&
        limit(root, "HostConfig.CpuPeriod", &observed->cpu_period_us))
        know(observed, DSB_CONTROL_CPU);
    if (observed->cpu_period_us == DSB_UNLIMITED)
        observed->cpu_period_us = 100000; /* the kernel's own default */
    if (limit(root, "HostConfig.PidsLimit", &observed->pids))
        know(observed, DSB_CONTROL_PIDS);
    if (limit(root, "HostConfig.ShmSize", &observed->shm_bytes))
        know(observed, DSB_CONTROL_SHM);
    for (gsize i = 0; i < dsbe_n_limit_controls; i++)
        if (ulimit(root, dsbe_limit_controls[i].name, &G_STRUCT_MEMBER(uint64_t, observed, dsbe_limit_controls[i].in_observed)))
            know(observed, dsbe_limit_controls[i].control);
}

static gboolean parse_user(const char *text, uint32_t *uid, uint32_t *gid)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    guint64 u = 0, g = 0;
    if (g_strv_length(parts) != 2 || !g_ascii_string_to_unsigned(parts[0], 10, 0, G_MAXUINT32, &u, NULL) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, G_MAXUINT32, &g, NULL))
        return FALSE;
    *uid = (uint32_t) u;
    *gid = (uint32_t) g;
    return TRUE;
}

static void observe_namespaces(json_object *root, struct dsb_observed *observed)
{
    static const struct {
        const char *path;
        uint32_t bit;
    } table[] = {
        {"HostConfig.PidMode", DSB_NS_PID},         {"HostConfig.IpcMode", DSB_NS_IPC},
        {"HostConfig.UTSMode", DSB_NS_UTS},         {"HostConfig.NetworkMode", DSB_NS_NET},
        {"HostConfig.CgroupnsMode", DSB_NS_CGROUP}, {"HostConfig.CgroupMode", DSB_NS_CGROUP},
    };
    gboolean ipc = FALSE, cgroup = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        const char *mode = dsbe_json_string(root, table[i].path, NULL);
        if (!mode)
            continue;
        ipc |= table[i].bit == DSB_NS_IPC;
        cgroup |= table[i].bit == DSB_NS_CGROUP;
        /* "shareable" is a namespace of its own too: Podman calls a private one that. */
        if (strcmp(mode, "host") == 0 || g_str_has_prefix(mode, "container:") || g_str_has_prefix(mode, "ns:"))
            observed->shared_namespaces |= table[i].bit;
    }
    if (ipc && cgroup)
        know(observed, DSB_CONTROL_NAMESPACES);
}

void dsbe_observe_rest(json_object *root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    (void) spec;
    const char *network = dsbe_json_string(root, "HostConfig.NetworkMode", NULL);
    if (network) {
        know(observed, DSB_CONTROL_NETWORK);
        observed->network = strcmp(network, "none") == 0 ? DSB_NETWORK_NONE : DSB_NETWORK_FULL;
    }
    if (parse_user(dsbe_json_string(root, "Config.User", ""), &observed->uid, &observed->gid)) {
        know(observed, DSB_CONTROL_USER);
        observed->extra_groups = (uint32_t) dsbe_json_count(root, "HostConfig.GroupAdd");
    }
    if (dsbe_json_at(root, "HostConfig.ReadonlyRootfs")) {
        know(observed, DSB_CONTROL_ROOTFS);
        observed->rootfs_read_only = dsbe_json_bool(root, "HostConfig.ReadonlyRootfs");
    }
    if (dsbe_json_at(root, "HostConfig.Privileged")) {
        know(observed, DSB_CONTROL_DEVICES);
        observed->privileged = dsbe_json_bool(root, "HostConfig.Privileged");
        observed->extra_devices = (uint32_t) (dsbe_json_count(root, "HostConfig.Devices") +
                                              dsbe_json_count(root, "HostConfig.DeviceRequests"));
    }
    if (json_object_is_type(dsbe_json_at(root, "HostConfig.SecurityOpt"), json_type_array)) {
        know(observed, DSB_CONTROL_NO_NEW_PRIVS);
        observed->no_new_privs = dsbe_json_has(root, "HostConfig.SecurityOpt", "no-new-privileges") ||
                                 dsbe_json_has(root, "HostConfig.SecurityOpt", "no-new-privileges:true") ||
                                 dsbe_json_has(root, "HostConfig.SecurityOpt", "no-new-privileges=true");
    }
    observe_namespaces(root, observed);
}

enum dsb_error_code dsbe_status_code(long status)
{
    switch (status) {
    case 400:
        return DSB_ERROR_INVALID;
    case 401:
    case 403:
        return DSB_ERROR_DENIED;
    case 404:
        return DSB_ERROR_NOT_FOUND;
    case 409:
        return DSB_ERROR_CONFLICT;
    case 503:
        return DSB_ERROR_UNAVAILABLE;
    default:
        return DSB_ERROR_FAILED;
    }
}

gboolean dsbe_wants(const struct dsb_spec *spec, const struct dsbe_facts *facts, enum dsb_control control)
{
    return ((spec->required | facts->info.limits_available) & DSB_BIT(control)) != 0;
}

char *dsbe_tmpfs_options(uint64_t bytes, gboolean exec, const char *mode, const char *more)
{
    return g_strdup_printf("rw,%s,nosuid,nodev,size=%" G_GUINT64_FORMAT ",mode=%s%s", exec ? "exec" : "noexec", bytes,
                           mode, more);
}
