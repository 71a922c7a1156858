/* SPDX-License-Identifier: MIT */
/* For each control: what was asked and measured, in words, and whether the one holds the other. Pure. */
#include "attest/controls.h"

#include "policy/fields.h"
#include "policy/resolve.h"
#include "attest/hello.h"
#include "attest/verify.h"
#include "common/namespaces.h"

#include <string.h>
#include <unistd.h>

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
    gsize extra = resolved->spec.n_binds - dsb_fixed_binds(&resolved->spec);
    return extra == 0 ? g_strdup("/sandbox rw, guest ro")
                      : g_strdup_printf("/sandbox rw, guest ro, %" G_GSIZE_FORMAT " more", extra);
}

static char *volume_measured(const struct dsb_observed *observed)
{
    GString *text = g_string_new(observed->volume_present ? "/sandbox rw" : "session directory not usable at /sandbox");
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

static char *tmp_text(const char *tmp, gboolean exec, const char *small)
{
    return g_strdup_printf("%s%s, /run and /var/tmp %s", tmp, exec ? " exec" : "", small);
}

static char *tmp_asked(const struct dsb_resolved *resolved)
{
    g_autofree char *tmp = dsb_render_bytes(resolved->spec.tmp_bytes);
    g_autofree char *small = dsb_render_bytes(resolved->spec.small_tmp_bytes);
    return tmp_text(tmp, resolved->spec.tmp_exec, small);
}

static char *tmp_measured(const struct dsb_observed *observed)
{
    g_autofree char *tmp = bytes_text(observed->tmp_bytes);
    g_autofree char *small = bytes_text(observed->small_tmp_bytes);
    return tmp_text(tmp, observed->tmp_exec, small);
}

static gboolean tmp_holds(const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    return pages_hold(spec->tmp_bytes, observed->tmp_bytes) && (spec->tmp_exec || !observed->tmp_exec) &&
           pages_hold(spec->small_tmp_bytes, observed->small_tmp_bytes);
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
    return g_strdup_printf("%s, then %s", bytes, resolved->output_kill ? "kill" : resolved->output_keep ? "keep" : "truncate");
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
    static const char *const names[DSB_N_NAMESPACES] = {DSB_NAMESPACE_NAMES}; /* by bit */
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

/* How a control that is no single number is compared and put into words. */
static const struct {
    char *(*asked)(const struct dsb_resolved *resolved);
    char *(*measured)(const struct dsb_observed *observed);
    /** NULL: the core's own, nobody else measures it. */
    gboolean (*holds)(const struct dsb_spec *spec, const struct dsb_observed *observed);
} rows[DSB_N_CONTROLS] = {
    [DSB_CONTROL_VOLUME] = {volume_asked, volume_measured, volume_holds},
    [DSB_CONTROL_DISK] = {disk_asked, NULL, NULL},
    [DSB_CONTROL_TMP] = {tmp_asked, tmp_measured, tmp_holds},
    [DSB_CONTROL_CPU] = {cpu_asked, cpu_measured, cpu_holds},
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

static gboolean number_holds(enum dsb_number_rule rule, uint64_t asked, uint64_t measured)
{
    switch (rule) {
    case DSB_NUMBER_AT_MOST:
        return measured <= asked;
    case DSB_NUMBER_NOT_ZERO:
        return measured > 0 && measured <= asked;
    case DSB_NUMBER_PAGES:
        return pages_hold(asked, measured);
    }
    return FALSE;
}

char *dsb_control_asked(enum dsb_control control, const struct dsb_resolved *resolved)
{
    const struct dsb_field *number = dsb_field_of_control(control);
    if (number != NULL)
        return dsb_field_render(number, dsb_field_asked(number, &resolved->spec));
    return rows[control].asked != NULL ? rows[control].asked(resolved) : g_strdup("unknown");
}

char *dsb_control_measured(enum dsb_control control, const struct dsb_observed *observed)
{
    const struct dsb_field *number = dsb_field_of_control(control);
    if (number == NULL)
        return rows[control].measured != NULL ? rows[control].measured(observed) : g_strdup("unknown");
    uint64_t measured = dsb_field_measured(number, observed);
    return measured == DSB_UNLIMITED ? g_strdup("unlimited") : dsb_field_render(number, measured);
}

gboolean dsb_control_holds(enum dsb_control control, const struct dsb_spec *spec, const struct dsb_observed *observed)
{
    const struct dsb_field *number = dsb_field_of_control(control);
    if (number != NULL)
        return number_holds(number->rule, dsb_field_asked(number, spec), dsb_field_measured(number, observed));
    return rows[control].holds != NULL ? rows[control].holds(spec, observed)
                                       : (DSB_CONTROLS_CORE & DSB_BIT(control)) != 0;
}
