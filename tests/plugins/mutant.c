/* SPDX-License-Identifier: MIT */
/*
 * Weakens one thing of the resolved specification before the real backend sees it: DSB_TEST_MUTATE=name. With
 * DSB_TEST_CLAIM set it also states that everything is as asked, so that only a measurement can tell.
 */
#include "wrap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define OPEN_PROFILE "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"

/* A specification to change, with room for one bind and two variables more. */
struct mutation {
    struct dsb_spec spec;
    struct dsb_bind *binds;
    struct dsb_pair *env;
};

static void add_bind(struct mutation *m, const char *source, const char *target)
{
    m->binds[m->spec.n_binds++] = (struct dsb_bind){sizeof(struct dsb_bind), source, target, TRUE};
}

static void binds(struct mutation *m) { add_bind(m, "/usr", "/mnt"); }

static void guest(struct mutation *m) { m->binds[1].read_only = FALSE; }

static void hosts(struct mutation *m) { m->binds[2].read_only = FALSE; }

/* DSB_TEST_OTHER: another directory that the code may write to. */
static void volume(struct mutation *m) { m->binds[0].source = g_getenv("DSB_TEST_OTHER"); }

/* As where the engine maps users: the code is another user than whose directory it is. */
static void owner(struct mutation *m)
{
    if (chown(m->binds[0].source, 0, 0) < 0)
        g_error("chown: %s", g_strerror(errno));
}

static void tmp(struct mutation *m) { m->spec.tmp_bytes *= 4; }

static void tmp_exec(struct mutation *m) { m->spec.tmp_exec = TRUE; }

static void run(struct mutation *m) { m->spec.small_tmp_bytes *= 1024; }

static void shm(struct mutation *m) { m->spec.shm_bytes *= 4; }

/* 0 is "no limit" to every engine. */
static void memory(struct mutation *m)
{
    m->spec.memory_bytes = 0;
    m->spec.swap_bytes = 0;
}

static void swap(struct mutation *m) { m->spec.swap_bytes = m->spec.memory_bytes; }

static void cpus(struct mutation *m) { m->spec.cpu_quota_us *= 64; }

static void pids(struct mutation *m) { m->spec.pids = 100000; }

static void nofile(struct mutation *m) { m->spec.nofile *= 4; }

static void core(struct mutation *m) { m->spec.core = 64 << 20; }

static void fsize(struct mutation *m) { m->spec.fsize *= 16; }

static void network(struct mutation *m) { m->spec.network = DSB_NETWORK_FULL; }

static void user(struct mutation *m)
{
    m->spec.uid = 0;
    m->spec.gid = 0;
}

static void group(struct mutation *m) { m->spec.gid = 0; }

static void keep_id(struct mutation *m) { m->spec.keep_id = FALSE; }

static void rootfs(struct mutation *m) { m->spec.rootfs_read_only = FALSE; }

/* Kept as a file, since engines open it later; DSB_TEST_OTHER is a directory. */
static void seccomp(struct mutation *m)
{
    static char path[4096];
    g_snprintf(path, sizeof path, "%s/open.json", g_getenv("DSB_TEST_OTHER"));
    g_file_set_contents(path, OPEN_PROFILE, -1, NULL);
    m->spec.seccomp_path = path;
    m->spec.seccomp_json = OPEN_PROFILE;
}

/* Without it runc loads the profile early, and with ours it could not go on: nothing would start. */
static void no_new_privs(struct mutation *m)
{
    m->spec.no_new_privs = FALSE;
    seccomp(m);
}

static void runtime(struct mutation *m) { m->spec.runtime = NULL; }

static void hostname(struct mutation *m) { m->spec.hostname = g_get_host_name(); }

static void env(struct mutation *m)
{
    m->env[m->spec.n_env++] = (struct dsb_pair){sizeof(struct dsb_pair), "DSBX_CANARY", g_getenv("DSBX_CANARY")};
    m->env[m->spec.n_env++] = (struct dsb_pair){sizeof(struct dsb_pair), "PYTHONPATH", "/tmp"};
}

/* Ready later than it could be. */
static void slow(struct mutation *m)
{
    static const char *const argv[] = {"/bin/sh", "-c", "sleep 2; exec /opt/dsandbox/dsb-init", NULL};
    m->spec.argv = argv;
}

static const struct {
    const char *name;
    void (*weaken)(struct mutation *m);
} table[] = {
    {"binds", binds},       {"guest", guest},     {"hosts", hosts},
    {"volume", volume},     {"owner", owner},     {"tmp", tmp},         {"run", run},
    {"tmp_exec", tmp_exec},
    {"shm", shm},           {"memory", memory},   {"swap", swap},
    {"cpus", cpus},         {"pids", pids},       {"nofile", nofile},
    {"core", core},         {"fsize", fsize},     {"network", network},
    {"user", user},         {"group", group},     {"keep_id", keep_id},
    {"rootfs", rootfs},     {"seccomp", seccomp}, {"no_new_privs", no_new_privs},
    {"hostname", hostname}, {"env", env},         {"runtime", runtime},
    {"slow", slow},
};

static int unknown(const char *name, struct dsb_plugin_error *error)
{
    return plugin_fail(error, DSB_ERROR_INVALID, "DSB_TEST_MUTATE: no mutation is called '%s'", name);
}

static int mutant_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                         struct dsb_plugin_error *error)
{
    const char *name = g_getenv("DSB_TEST_MUTATE");
    g_autofree struct dsb_bind *more_binds = g_new0(struct dsb_bind, spec->n_binds + 1);
    g_autofree struct dsb_pair *more_env = g_new0(struct dsb_pair, spec->n_env + 2);
    g_autofree const struct dsb_bind **bind_list = g_new(const struct dsb_bind *, spec->n_binds + 1);
    g_autofree const struct dsb_pair **env_list = g_new(const struct dsb_pair *, spec->n_env + 2);
    struct mutation m = {.spec = *spec, .binds = more_binds, .env = more_env};
    for (gsize i = 0; i <= spec->n_binds; i++) {
        bind_list[i] = &more_binds[i];
        more_binds[i] = i < spec->n_binds ? *spec->binds[i] : more_binds[i];
    }
    for (gsize i = 0; i < spec->n_env + 2; i++) {
        env_list[i] = &more_env[i];
        more_env[i] = i < spec->n_env ? *spec->env[i] : more_env[i];
    }
    m.spec.binds = bind_list;
    m.spec.env = env_list;
    gboolean known = name == NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(table) && !known; i++) {
        known = strcmp(table[i].name, name) == 0;
        if (known)
            table[i].weaken(&m);
    }
    return known ? wrap_create(backend, &m.spec, created, error) : unknown(name, error);
}

static int mutant_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                          struct dsb_plugin_error *error)
{
    struct dsb_observed real = *observed;
    if (!wrap_inspect(backend, id, spec, &real, error))
        return FALSE;
    if (g_getenv("DSB_TEST_CLAIM") != NULL)
        wrap_claim(spec, spec, &real);
    *observed = real;
    return TRUE;
}

/* DSB_TEST_POOR: as a rootless engine without delegation. */
static int mutant_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    if (!wrap_describe(backend, info, error))
        return FALSE;
    if (g_getenv("DSB_TEST_POOR") != NULL) {
        info->rootless = TRUE;
        info->limits_available = 0;
    }
    return TRUE;
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSB_CONTROLS_ALL,
    .name = "mutant",
    .version = "0",
    .description = "test: weakens one thing",
    .open = wrap_open,
    .close = wrap_close,
    .describe = mutant_describe,
    .create = mutant_create,
    .inspect = mutant_inspect,
    .start = wrap_start,
    .destroy = wrap_destroy,
    .list = wrap_list,
    .prepare = wrap_prepare,
    .image_make = wrap_image_make,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
