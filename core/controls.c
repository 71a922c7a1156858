/* SPDX-License-Identifier: MIT */
#include "controls.h"

#include "fields.h"
#include "verify.h"

#include <string.h>
#include <unistd.h>

static char *count_text(uint64_t count)
{
    return count == DSB_UNLIMITED ? g_strdup("unlimited") : g_strdup_printf("%" G_GUINT64_FORMAT, count);
}

static char *bytes_text(uint64_t bytes)
{
    return bytes == DSB_UNLIMITED ? g_strdup("unlimited") : dsb_render_bytes(bytes);
}

/* The kernel gives a tmpfs whole pages. */
static gboolean pages_hold(uint64_t asked, uint64_t measured)
{
    uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    return measured <= (asked + page - 1) / page * page;
}

static char *volume_asked(const struct dsb_resolved *resolved)
{
    gsize extra = resolved->spec.n_binds - 3;
    return extra == 0 ? g_strdup("/sandbox rw, guest ro")
                      : g_strdup_printf("/sandbox rw, guest ro, %" G_GSIZE_FORMAT " more", extra);
}

static char *volume_measured(const struct dsb_observed *observed)
{
    GString *text = g_string_new(observed->volume_present ? "/sandbox rw" : "session directory not at /sandbox");
    g_string_append(text, observed->guest_read_only ? ", guest ro" : ", guest writable");
    if (observed->foreign_mounts > 0)
        g_string_append_printf(text, ", %u foreign or weaker mounts", observed->foreign_mounts);
    return g_string_free(text, FALSE);
}

static gboolean volume_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    (void) spec;
    return observed->volume_present && observed->guest_read_only && observed->foreign_mounts == 0;
}

static char *disk_asked(const struct dsb_resolved *resolved)
{
    g_autofree char *bytes = dsb_render_bytes(resolved->disk_bytes);
    return g_strdup_printf("%s, %" G_GUINT64_FORMAT " inodes", bytes, resolved->disk_inodes);
}

static char *tmp_asked(const struct dsb_resolved *resolved)
{
    g_autofree char *tmp = dsb_render_bytes(resolved->spec.tmp_bytes);
    g_autofree char *small = dsb_render_bytes(resolved->spec.small_tmp_bytes);
    return g_strdup_printf("%s, /run and /var/tmp %s", tmp, small);
}

static char *tmp_measured(const struct dsb_observed *observed)
{
    g_autofree char *tmp = bytes_text(observed->tmp_bytes);
    g_autofree char *small = bytes_text(observed->small_tmp_bytes);
    return g_strdup_printf("%s, /run and /var/tmp %s", tmp, small);
}

static gboolean tmp_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return pages_hold(spec->tmp_bytes, observed->tmp_bytes) &&
           pages_hold(spec->small_tmp_bytes, observed->small_tmp_bytes);
}

static char *shm_asked(const struct dsb_resolved *resolved) { return dsb_render_bytes(resolved->spec.shm_bytes); }

static char *shm_measured(const struct dsb_observed *observed) { return bytes_text(observed->shm_bytes); }

static gboolean shm_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return pages_hold(spec->shm_bytes, observed->shm_bytes);
}

static char *memory_asked(const struct dsb_resolved *resolved) { return dsb_render_bytes(resolved->spec.memory_bytes); }

static char *memory_measured(const struct dsb_observed *observed) { return bytes_text(observed->memory_bytes); }

/* 0 never holds: every engine and no kernel means "none" by it. */
static gboolean memory_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->memory_bytes > 0 && observed->memory_bytes <= spec->memory_bytes;
}

static char *swap_asked(const struct dsb_resolved *resolved) { return dsb_render_bytes(resolved->spec.swap_bytes); }

static char *swap_measured(const struct dsb_observed *observed) { return bytes_text(observed->swap_bytes); }

static gboolean swap_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->swap_bytes <= spec->swap_bytes;
}

static char *cpu_asked(const struct dsb_resolved *resolved)
{
    return dsb_render_cpus(resolved->spec.cpu_quota_us, resolved->spec.cpu_period_us);
}

/* Beyond 32 bits nothing is a real quota, and the products below stay exact. */
static gboolean cpu_is_limited(const struct dsb_observed *observed)
{
    return observed->cpu_quota_us > 0 && observed->cpu_quota_us <= G_MAXUINT32 && observed->cpu_period_us > 0 &&
           observed->cpu_period_us <= G_MAXUINT32;
}

static char *cpu_measured(const struct dsb_observed *observed)
{
    return cpu_is_limited(observed) ? dsb_render_cpus(observed->cpu_quota_us, observed->cpu_period_us)
                                    : g_strdup("unlimited");
}

static gboolean cpu_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return cpu_is_limited(observed) &&
           observed->cpu_quota_us * spec->cpu_period_us <= spec->cpu_quota_us * observed->cpu_period_us;
}

static char *pids_asked(const struct dsb_resolved *resolved) { return count_text(resolved->spec.pids); }

static char *pids_measured(const struct dsb_observed *observed) { return count_text(observed->pids); }

static gboolean pids_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->pids > 0 && observed->pids <= spec->pids;
}

static char *nofile_asked(const struct dsb_resolved *resolved) { return count_text(resolved->spec.nofile); }

static char *nofile_measured(const struct dsb_observed *observed) { return count_text(observed->nofile); }

static gboolean nofile_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->nofile <= spec->nofile;
}

static char *core_asked(const struct dsb_resolved *resolved) { return dsb_render_bytes(resolved->spec.core); }

static char *core_measured(const struct dsb_observed *observed) { return bytes_text(observed->core); }

static gboolean core_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->core <= spec->core;
}

static char *fsize_asked(const struct dsb_resolved *resolved) { return dsb_render_bytes(resolved->spec.fsize); }

static char *fsize_measured(const struct dsb_observed *observed) { return bytes_text(observed->fsize); }

static gboolean fsize_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->fsize <= spec->fsize;
}

static char *time_asked(const struct dsb_resolved *resolved)
{
    g_autofree char *timeout = dsb_render_ms(resolved->timeout_ms);
    g_autofree char *idle = dsb_render_ms(resolved->idle_ms);
    g_autofree char *life = dsb_render_ms(resolved->life_ms);
    return g_strdup_printf("%s, idle %s, life %s", timeout, idle, life);
}

static char *output_asked(const struct dsb_resolved *resolved)
{
    g_autofree char *bytes = dsb_render_bytes(resolved->output_limit);
    return g_strdup_printf("%s, then %s", bytes, resolved->output_kill ? "kill" : "truncate");
}

static const char *network_word(enum dsb_network network) { return network == DSB_NETWORK_NONE ? "none" : "full"; }

static char *network_asked(const struct dsb_resolved *resolved)
{
    return g_strdup(network_word(resolved->spec.network));
}

static char *network_measured(const struct dsb_observed *observed) { return g_strdup(network_word(observed->network)); }

static gboolean network_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->network == DSB_NETWORK_NONE || spec->network == DSB_NETWORK_FULL;
}

static char *user_asked(const struct dsb_resolved *resolved)
{
    return g_strdup_printf("%u:%u", resolved->spec.uid, resolved->spec.gid);
}

static char *user_measured(const struct dsb_observed *observed)
{
    if (observed->extra_groups == 0)
        return g_strdup_printf("%u:%u", observed->uid, observed->gid);
    return g_strdup_printf("%u:%u and %u more groups", observed->uid, observed->gid, observed->extra_groups);
}

static gboolean user_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->uid != 0 && observed->gid != 0 && observed->uid == spec->uid && observed->gid == spec->gid &&
           observed->extra_groups == 0;
}

static char *rootfs_asked(const struct dsb_resolved *resolved)
{
    return g_strdup(resolved->spec.rootfs_read_only ? "ro" : "rw");
}

static char *rootfs_measured(const struct dsb_observed *observed)
{
    return g_strdup(observed->rootfs_read_only ? "ro" : "rw");
}

static gboolean rootfs_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->rootfs_read_only || !spec->rootfs_read_only;
}

static char *none_asked(const struct dsb_resolved *resolved)
{
    (void) resolved;
    return g_strdup("none");
}

static char *capabilities_measured(const struct dsb_observed *observed)
{
    return observed->capabilities == 0 ? g_strdup("none")
                                       : g_strdup_printf("0x%" G_GINT64_MODIFIER "x", observed->capabilities);
}

static gboolean capabilities_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    (void) spec;
    return observed->capabilities == 0;
}

static char *no_new_privs_asked(const struct dsb_resolved *resolved)
{
    return g_strdup(resolved->spec.no_new_privs ? "on" : "off");
}

static char *no_new_privs_measured(const struct dsb_observed *observed)
{
    return g_strdup(observed->no_new_privs ? "on" : "off");
}

static gboolean no_new_privs_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return observed->no_new_privs || !spec->no_new_privs;
}

static char *seccomp_asked(const struct dsb_resolved *resolved)
{
    (void) resolved;
    return g_strdup("dsandbox");
}

static char *seccomp_measured(const struct dsb_observed *observed)
{
    return g_strdup(observed->seccomp_ours ? "dsandbox" : "none or another");
}

static gboolean seccomp_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    (void) spec;
    return observed->seccomp_ours;
}

static char *namespaces_asked(const struct dsb_resolved *resolved)
{
    (void) resolved;
    return g_strdup("private");
}

static char *namespaces_measured(const struct dsb_observed *observed)
{
    static const char *const names[] = {"pid", "ipc", "uts", "net", "mnt", "cgroup"}; /* by bit */
    if (observed->shared_namespaces == 0)
        return g_strdup("private");
    GString *text = g_string_new("shared with the host:");
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if ((observed->shared_namespaces & (1u << i)) != 0)
            g_string_append_printf(text, " %s", names[i]);
    }
    return g_string_free(text, FALSE);
}

static gboolean namespaces_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    (void) spec;
    return observed->shared_namespaces == 0;
}

static char *devices_measured(const struct dsb_observed *observed)
{
    if (observed->privileged)
        return g_strdup("privileged");
    return observed->extra_devices == 0 ? g_strdup("none") : g_strdup_printf("%u more", observed->extra_devices);
}

static gboolean devices_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    (void) spec;
    return !observed->privileged && observed->extra_devices == 0;
}

static char *runtime_asked(const struct dsb_resolved *resolved)
{
    return g_strdup(resolved->spec.runtime != NULL ? resolved->spec.runtime : "default");
}

static char *runtime_measured(const struct dsb_observed *observed)
{
    return g_strndup(observed->runtime, sizeof(observed->runtime));
}

static gboolean runtime_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return spec->runtime == NULL || strncmp(observed->runtime, spec->runtime, sizeof(observed->runtime)) == 0;
}

static const struct dsb_control_row rows[DSB_N_CONTROLS] = {
    [DSB_CONTROL_VOLUME] = {volume_asked, volume_measured, volume_holds},
    [DSB_CONTROL_DISK] = {disk_asked, NULL, NULL},
    [DSB_CONTROL_TMP] = {tmp_asked, tmp_measured, tmp_holds},
    [DSB_CONTROL_SHM] = {shm_asked, shm_measured, shm_holds},
    [DSB_CONTROL_MEMORY] = {memory_asked, memory_measured, memory_holds},
    [DSB_CONTROL_SWAP] = {swap_asked, swap_measured, swap_holds},
    [DSB_CONTROL_CPU] = {cpu_asked, cpu_measured, cpu_holds},
    [DSB_CONTROL_PIDS] = {pids_asked, pids_measured, pids_holds},
    [DSB_CONTROL_NOFILE] = {nofile_asked, nofile_measured, nofile_holds},
    [DSB_CONTROL_CORE] = {core_asked, core_measured, core_holds},
    [DSB_CONTROL_FSIZE] = {fsize_asked, fsize_measured, fsize_holds},
    [DSB_CONTROL_TIME] = {time_asked, NULL, NULL},
    [DSB_CONTROL_OUTPUT] = {output_asked, NULL, NULL},
    [DSB_CONTROL_NETWORK] = {network_asked, network_measured, network_holds},
    [DSB_CONTROL_USER] = {user_asked, user_measured, user_holds},
    [DSB_CONTROL_ROOTFS] = {rootfs_asked, rootfs_measured, rootfs_holds},
    [DSB_CONTROL_CAPABILITIES] = {none_asked, capabilities_measured, capabilities_holds},
    [DSB_CONTROL_NO_NEW_PRIVS] = {no_new_privs_asked, no_new_privs_measured, no_new_privs_holds},
    [DSB_CONTROL_SECCOMP] = {seccomp_asked, seccomp_measured, seccomp_holds},
    [DSB_CONTROL_NAMESPACES] = {namespaces_asked, namespaces_measured, namespaces_holds},
    [DSB_CONTROL_DEVICES] = {none_asked, devices_measured, devices_holds},
    [DSB_CONTROL_RUNTIME] = {runtime_asked, runtime_measured, runtime_holds},
};

const struct dsb_control_row *dsb_control_row(enum dsb_control control) { return &rows[control]; }

gboolean dsb_control_holds(enum dsb_control control, const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return rows[control].holds == NULL || rows[control].holds(spec, observed);
}
