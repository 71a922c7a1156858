/* SPDX-License-Identifier: MIT */
/* From a spec to the arguments of `create`. Pure. */
#include "docker-cli/docker_cli.h"
#include "engine/engine.h"

#include <string.h>

#define OOM_SCORE_ADJ 500 /* the kernel takes the sandbox before anything of the host */

void dsbc_add(GPtrArray *argv, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(argv, g_strdup_vprintf(format, args));
    va_end(args);
}

const char *dsbc_spec_refusal(const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    if ((spec->required & ~(DSBC_ENFORCES | DSB_CONTROLS_CORE)) != 0)
        return "a required control is not known to this backend";
    uint64_t lacking = spec->required & DSB_CONTROLS_LIMITS & ~facts->info.limits_available;
    if ((lacking & DSB_BIT(DSB_CONTROL_MEMORY)) != 0)
        return "the engine cannot limit memory here";
    if ((lacking & DSB_BIT(DSB_CONTROL_SWAP)) != 0)
        return "the engine cannot limit swap here";
    if ((lacking & DSB_BIT(DSB_CONTROL_CPU)) != 0)
        return "the engine cannot limit cpu here";
    if ((lacking & DSB_BIT(DSB_CONTROL_PIDS)) != 0)
        return "the engine cannot limit the number of processes here";
    if (spec->seccomp_path == NULL && (spec->required & DSB_BIT(DSB_CONTROL_SECCOMP)) != 0)
        return "the seccomp profile is not available as a file";
    if (spec->n_binds == 0)
        return "there is no session directory";
    return NULL;
}

static void add_tmpfs(GPtrArray *argv, const char *target, uint64_t bytes, gboolean exec, const char *mode,
                      gboolean podman)
{
    g_autofree char *options = dsbe_tmpfs_options(bytes, exec, mode, podman ? ",notmpcopyup" : "");
    dsbc_add(argv, "--tmpfs=%s:%s", target, options);
}

/** The session directory gets a private SELinux label, everything shared a shared one. */
static void add_bind(GPtrArray *argv, const struct dsb_bind *bind, gboolean first, const struct dsbc_facts *facts)
{
    const char *label = !facts->selinux ? "" : first ? ",Z" : ",z";
    if (facts->podman)
        dsbc_add(argv, "--volume=%s:%s:%s,nosuid,nodev,rprivate%s", bind->source, bind->target,
                 bind->read_only ? "ro" : "rw", label);
    else if (facts->selinux)
        dsbc_add(argv, "--volume=%s:%s:%s,rprivate%s", bind->source, bind->target, bind->read_only ? "ro" : "rw",
                 label);
    else
        dsbc_add(argv, "--mount=type=bind,source=%s,target=%s,bind-propagation=rprivate%s", bind->source, bind->target,
                 bind->read_only ? ",readonly" : "");
}

/** UINT64_MAX is no limit. */
static void add_ulimit(GPtrArray *argv, const char *name, uint64_t value)
{
    if (value == DSB_UNLIMITED)
        dsbc_add(argv, "--ulimit=%s=-1:-1", name);
    else
        dsbc_add(argv, "--ulimit=%s=%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, name, (guint64) value, (guint64) value);
}

static void add_limits(GPtrArray *argv, const struct dsb_spec *spec, uint64_t available)
{
    if ((available & DSB_BIT(DSB_CONTROL_MEMORY)) != 0)
        dsbc_add(argv, "--memory=%" G_GUINT64_FORMAT, (guint64) spec->memory_bytes);
    if ((available & DSB_BIT(DSB_CONTROL_MEMORY)) != 0 && (available & DSB_BIT(DSB_CONTROL_SWAP)) != 0)
        dsbc_add(argv, "--memory-swap=%" G_GUINT64_FORMAT, (guint64) (spec->memory_bytes + spec->swap_bytes));
    if ((available & DSB_BIT(DSB_CONTROL_CPU)) != 0) {
        dsbc_add(argv, "--cpu-period=%" G_GUINT64_FORMAT, (guint64) spec->cpu_period_us);
        dsbc_add(argv, "--cpu-quota=%" G_GUINT64_FORMAT, (guint64) spec->cpu_quota_us);
    }
    if ((available & DSB_BIT(DSB_CONTROL_PIDS)) != 0)
        dsbc_add(argv, "--pids-limit=%" G_GUINT64_FORMAT, (guint64) spec->pids);
    for (gsize i = 0; i < dsbe_n_limit_controls; i++)
        add_ulimit(argv, dsbe_limit_controls[i].name, dsbe_limit_asked(&dsbe_limit_controls[i], spec));
    dsbc_add(argv, "--shm-size=%" G_GUINT64_FORMAT, (guint64) spec->shm_bytes);
    dsbc_add(argv, "--oom-score-adj=%d", OOM_SCORE_ADJ);
}

static void add_isolation(GPtrArray *argv, const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    dsbc_add(argv, "--privileged=false");
    dsbc_add(argv, "--cap-drop=ALL");
    if (spec->no_new_privs)
        dsbc_add(argv, "--security-opt=no-new-privileges");
    if (spec->seccomp_path != NULL)
        dsbc_add(argv, "--security-opt=seccomp=%s", spec->seccomp_path);
    if (spec->rootfs_read_only)
        dsbc_add(argv, "--read-only");
    dsbc_add(argv, "--user=%u:%u", spec->uid, spec->gid);
    dsbc_add(argv, "--ipc=private");
    dsbc_add(argv, "--cgroupns=private");
    if (!facts->podman)
        dsbc_add(argv, "--userns=host"); /* with userns-remap our user could not enter the session directory */
    dsbc_add(argv, "--init=false"); /* an administrator may have set another first process for all */
    if (spec->network == DSB_NETWORK_NONE)
        dsbc_add(argv, "--network=none");
    if (spec->network == DSB_NETWORK_NONE && !facts->podman) {
        dsbc_add(argv, "--dns=127.0.0.1"); /* else the host's resolv.conf is copied in */
        dsbc_add(argv, "--dns-search=.");
    }
    if (spec->network != DSB_NETWORK_NONE)
        dsbc_add(argv, "--network=%s", facts->podman ? "private" : "bridge");
}

/** Podman's defaults can come from containers.conf: state what must hold. */
static void add_podman(GPtrArray *argv, const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    dsbc_add(argv, "--pid=private");
    dsbc_add(argv, "--uts=private");
    dsbc_add(argv, "--http-proxy=false");
    dsbc_add(argv, "--env-host=false");
    dsbc_add(argv, "--image-volume=ignore");
    dsbc_add(argv, "--systemd=false");
    dsbc_add(argv, "--sdnotify=ignore");
    dsbc_add(argv, "--no-hosts");
    /* With nofile alone Podman fills in an nproc of its own, which fails where limits cannot be raised. */
    add_ulimit(argv, "nproc", facts->nproc);
    if (spec->rootfs_read_only)
        dsbc_add(argv, "--read-only-tmpfs=true");
    if (spec->life_seconds > 0)
        dsbc_add(argv, "--timeout=%" G_GUINT64_FORMAT, (guint64) spec->life_seconds);
    if (spec->keep_id && facts->info.rootless)
        dsbc_add(argv, "--userns=keep-id:uid=%u,gid=%u", spec->uid, spec->gid);
}

GPtrArray *dsbc_create_argv(const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    if (facts->podman && spec->runtime != NULL)
        dsbc_add(argv, "--runtime=%s", spec->runtime);
    else if (facts->podman && facts->runtime[0] != '\0')
        dsbc_add(argv, "--runtime=%s", facts->runtime);
    dsbc_add(argv, "create");
    dsbc_add(argv, "--interactive");
    dsbc_add(argv, "--pull=never");
    dsbc_add(argv, "--name=%s", spec->name);
    dsbc_add(argv, "--hostname=%s", spec->hostname);
    for (gsize i = 0; i < spec->n_labels; i++)
        dsbc_add(argv, "--label=%s=%s", spec->labels[i]->name, spec->labels[i]->value);
    for (gsize i = 0; i < spec->n_env; i++)
        dsbc_add(argv, "--env=%s=%s", spec->env[i]->name, spec->env[i]->value);
    add_isolation(argv, spec, facts);
    add_limits(argv, spec, facts->info.limits_available);
    add_tmpfs(argv, "/tmp", spec->tmp_bytes, spec->tmp_exec, "1777", facts->podman);
    add_tmpfs(argv, "/run", spec->small_tmp_bytes, FALSE, "0755", facts->podman);
    add_tmpfs(argv, "/var/tmp", spec->small_tmp_bytes, FALSE, "1777", facts->podman);
    for (gsize i = 0; i < spec->n_binds; i++)
        add_bind(argv, spec->binds[i], i == 0, facts);
    dsbc_add(argv, "--rm");
    dsbc_add(argv, "--log-driver=none");
    dsbc_add(argv, "--restart=no");
    dsbc_add(argv, "--no-healthcheck");
    dsbc_add(argv, "--stop-signal=SIGKILL");
    dsbc_add(argv, "--stop-timeout=0");
    if (facts->podman)
        add_podman(argv, spec, facts);
    else if (spec->runtime != NULL)
        dsbc_add(argv, "--runtime=%s", spec->runtime);
    dsbc_add(argv, "--workdir=%s", spec->workdir);
    dsbc_add(argv, "--entrypoint=%s", spec->argv[0]);
    dsbc_add(argv, "%s", spec->image);
    for (gsize i = 1; spec->argv[i] != NULL; i++)
        dsbc_add(argv, "%s", spec->argv[i]);
    g_ptr_array_add(argv, NULL);
    return argv;
}

char *dsbc_compact_json(const char *text)
{
    GString *out = g_string_sized_new(strlen(text));
    gboolean quoted = FALSE;
    for (const char *c = text; *c != '\0'; c++) {
        if (!quoted && strchr(" \t\r\n", *c) != NULL)
            continue;
        g_string_append_c(out, *c);
        if (quoted && *c == '\\' && c[1] != '\0')
            g_string_append_c(out, *++c);
        else if (*c == '"')
            quoted = !quoted;
    }
    return g_string_free(out, FALSE);
}
