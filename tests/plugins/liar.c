/* SPDX-License-Identifier: MIT */
/*
 * Tells the truth about everything but one control, named as in the policy's table:
 *   DSB_TEST_LIE=control      builds it weaker and claims what was asked for
 *   DSB_TEST_HIDE=control     builds it right and claims to know nothing of it
 *   DSB_TEST_CONFESS=control  builds it right and claims that it is weaker
 * The first must be caught by what pid 1 measures, the others before the start.
 */
#include "wrap.h"

#include <dsandbox/policy.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/** The control that an environment variable names, DSB_N_CONTROLS for none. */
static int control_of(const char *variable)
{
    const char *name = g_getenv(variable);
    int control = 0;
    while (control < DSB_N_CONTROLS && (name == NULL || strcmp(dsb_control_name((unsigned) control), name) != 0))
        control++;
    return control;
}

/** What no spec can say: arguments for the `create` of a docker program. */
static const char *extra_argument(int control)
{
    switch (control) {
    case DSB_CONTROL_CAPABILITIES:
        return "--cap-add=NET_RAW";
    case DSB_CONTROL_NAMESPACES:
        return "--cgroupns=host";
    case DSB_CONTROL_DEVICES:
        return "--device=/dev/fuse";
    default:
        return NULL;
    }
}

/** A stand-in for the docker program that adds one argument behind `create`, in place of the same option if there is
 * one. */
static char *make_program(const struct dsb_open_params *params, const char *argument, struct dsb_plugin_error *error)
{
    const char *host = params->endpoint != NULL && *params->endpoint != '/' ? params->endpoint : NULL;
    const char *program = params->endpoint != NULL && *params->endpoint == '/' ? params->endpoint : "docker";
    g_autofree char *export = host != NULL ? g_strdup_printf("export DOCKER_HOST='%s'\n", host) : g_strdup("");
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%si=$#\nwhile [ $i -gt 0 ]; do\n  a=$1\n  shift\n"
                                            "  i=$((i-1))\n  case $a in %.*s=*) continue ;; esac\n"
                                            "  set -- \"$@\" \"$a\"\n  [ \"$a\" = create ] && set -- \"$@\" %s\n"
                                            "done\nexec %s \"$@\"\n",
                                            export, (int) strcspn(argument, "="), argument, argument, program);
    char *path = g_build_filename(params->runtime_dir, "liar-docker", NULL);
    g_autoptr(GError) local = NULL;
    if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0700, &local))
        return path;
    plugin_fail(error, DSB_ERROR_FAILED, "%s", local->message);
    g_free(path);
    return NULL;
}

static int liar_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    const char *argument = extra_argument(control_of("DSB_TEST_LIE"));
    if (argument == NULL)
        return wrap_open(params, backend, error);
    const char *inner = g_getenv("DSB_TEST_INNER");
    if (inner == NULL || strstr(inner, "docker-cli") == NULL || params->runtime_dir == NULL) {
        return plugin_fail(error, DSB_ERROR_UNSUPPORTED, "only docker-cli can be made to tell this lie");
    }
    g_autofree char *program = make_program(params, argument, error);
    if (program == NULL)
        return FALSE;
    struct dsb_open_params changed = *params;
    changed.endpoint = program;
    return wrap_open(&changed, backend, error);
}

static char *profile;

__attribute__((destructor)) static void remove_profile(void)
{
    if (profile != NULL)
        unlink(profile);
}

/** An allow-everything profile as a file; kept to the end, since engines open it later. */
static const char *open_profile(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        int fd = g_file_open_tmp("dsb-liar-XXXXXX.json", &profile, NULL);
        if (fd >= 0)
            close(fd);
        g_file_set_contents(profile, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", -1, NULL);
        g_once_init_leave(&once, 1);
    }
    return profile;
}

/** Makes one control weaker. `binds` has room for one more than the spec has. */
static void weaken(struct dsb_spec *spec, const struct dsb_bind **binds, int control)
{
    static const struct dsb_bind more = {sizeof more, "/usr", "/mnt", TRUE};
    switch (control) {
    case DSB_CONTROL_VOLUME:
        memcpy(binds, spec->binds, spec->n_binds * sizeof *binds);
        binds[spec->n_binds] = &more;
        spec->binds = binds;
        spec->n_binds++;
        return;
    case DSB_CONTROL_TMP:
        spec->tmp_bytes *= 4;
        return;
    case DSB_CONTROL_SHM:
        spec->shm_bytes *= 4;
        return;
    case DSB_CONTROL_MEMORY:
        spec->memory_bytes *= 2;
        return;
    case DSB_CONTROL_SWAP:
        spec->swap_bytes += spec->memory_bytes;
        return;
    case DSB_CONTROL_CPU:
        spec->cpu_quota_us *= 2;
        return;
    case DSB_CONTROL_PIDS:
        spec->pids *= 2;
        return;
    case DSB_CONTROL_NOFILE:
        spec->nofile += 1;
        return;
    case DSB_CONTROL_CORE:
        spec->core += 4096;
        return;
    case DSB_CONTROL_FSIZE:
        spec->fsize *= 2;
        return;
    case DSB_CONTROL_NETWORK:
        spec->network = DSB_NETWORK_FULL;
        return;
    case DSB_CONTROL_USER:
        spec->uid = 0;
        spec->gid = 0;
        return;
    case DSB_CONTROL_ROOTFS:
        spec->rootfs_read_only = FALSE;
        return;
    case DSB_CONTROL_NO_NEW_PRIVS: /* with our profile runc could not start anything then */
        spec->no_new_privs = FALSE;
        __attribute__((fallthrough));
    case DSB_CONTROL_SECCOMP:
        spec->seccomp_path = open_profile();
        spec->seccomp_json = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
        return;
    default:
        return;
    }
}

static int liar_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                       struct dsb_plugin_error *error)
{
    g_autofree const struct dsb_bind **binds = g_new0(const struct dsb_bind *, spec->n_binds + 1);
    struct dsb_spec built = *spec;
    weaken(&built, binds, control_of("DSB_TEST_LIE"));
    return wrap_create(backend, &built, created, error);
}

/** Claims that all of `observed` is as the spec wants it, or one control weaker than that. */
static void claim(const struct dsb_spec *spec, struct dsb_observed *observed, int control, gboolean weaker)
{
    struct dsb_spec wanted = *spec;
    g_autofree const struct dsb_bind **binds = g_new0(const struct dsb_bind *, spec->n_binds + 1);
    if (weaker)
        weaken(&wanted, binds, control);
    observed->known |= DSB_BIT(control);
    wrap_claim(spec, &wanted, observed);
    observed->capabilities = weaker && control == DSB_CONTROL_CAPABILITIES ? 1 : 0;
    observed->seccomp_ours = !(weaker && control == DSB_CONTROL_SECCOMP);
    observed->shared_namespaces = weaker && control == DSB_CONTROL_NAMESPACES ? DSB_NS_UTS : 0;
    observed->extra_devices = weaker && control == DSB_CONTROL_DEVICES ? 1 : 0;
    if (weaker && control == DSB_CONTROL_RUNTIME)
        g_strlcpy(observed->runtime, "another", sizeof observed->runtime);
}

static int liar_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                        struct dsb_plugin_error *error)
{
    int lie = control_of("DSB_TEST_LIE");
    int hide = control_of("DSB_TEST_HIDE");
    int confess = control_of("DSB_TEST_CONFESS");
    struct dsb_observed real = *observed;
    if (!wrap_inspect(backend, id, spec, &real, error))
        return FALSE;
    if (lie < DSB_N_CONTROLS)
        claim(spec, &real, lie, FALSE);
    if (hide < DSB_N_CONTROLS)
        real.known &= ~DSB_BIT(hide);
    if (confess < DSB_N_CONTROLS)
        claim(spec, &real, confess, TRUE);
    *observed = real;
    return TRUE;
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSB_CONTROLS_ALL,
    .name = "liar",
    .version = "0",
    .description = "test: falsifies one control",
    .open = liar_open,
    .close = wrap_close,
    .describe = wrap_describe,
    .create = liar_create,
    .inspect = liar_inspect,
    .start = wrap_start,
    .destroy = wrap_destroy,
    .list = wrap_list,
    .prepare = wrap_prepare,
    .image_make = wrap_image_make,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
