/* SPDX-License-Identifier: MIT */
#include "wrap.h"

#include <dlfcn.h>

#define INNER "DSB_TEST_INNER"

static gboolean missing(const struct wrap *wrap, const char *op, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED, "%s has no %s", wrap->inner->name, op);
    return FALSE;
}

gboolean wrap_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    const char *path = g_getenv(INNER);
    if (path == NULL || *path != '/') {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, INNER " must be the path of a plugin");
        return FALSE;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    dsb_plugin_entry_fn entry = NULL;
    if (handle != NULL)
        *(void **) &entry = dlsym(handle, DSB_PLUGIN_ENTRY);
    if (entry == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, INNER ": %s", dlerror());
        return FALSE;
    }
    void *state = NULL;
    const struct dsb_plugin *inner = entry();
    if (!inner->open(params, &state, error))
        return FALSE;
    struct wrap *wrap = g_new0(struct wrap, 1);
    wrap->inner = inner;
    wrap->state = state;
    *backend = wrap;
    return TRUE;
}

void wrap_close(void *backend)
{
    struct wrap *wrap = backend;
    wrap->inner->close(wrap->state);
    g_free(wrap);
}

gboolean wrap_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->describe(wrap->state, info, error);
}

gboolean wrap_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->create(wrap->state, spec, id, error);
}

gboolean wrap_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                      GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->inspect(wrap->state, id, spec, observed, error);
}

gboolean wrap_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->start(wrap->state, id, stream, error);
}

gboolean wrap_destroy(void *backend, const char *id, GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->destroy(wrap->state, id, error);
}

gboolean wrap_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    struct wrap *wrap = backend;
    return wrap->inner->list(wrap->state, owner, leftovers, error);
}

gboolean wrap_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    struct wrap *wrap = backend;
    if (wrap->inner->prepare == NULL)
        return missing(wrap, "prepare", error);
    return wrap->inner->prepare(wrap->state, image, info, error);
}

gboolean wrap_image_make(void *backend, const struct dsb_image_source *source, GError **error)
{
    struct wrap *wrap = backend;
    if (wrap->inner->image_make == NULL)
        return missing(wrap, "image_make", error);
    return wrap->inner->image_make(wrap->state, source, error);
}

void wrap_claim(const struct dsb_spec *asked, const struct dsb_spec *wanted, struct dsb_observed *observed)
{
    observed->volume_present = TRUE;
    observed->guest_read_only = TRUE;
    observed->foreign_mounts = (uint32_t) (wanted->n_binds - asked->n_binds);
    observed->tmp_bytes = wanted->tmp_bytes;
    observed->small_tmp_bytes = wanted->small_tmp_bytes;
    observed->shm_bytes = wanted->shm_bytes;
    observed->tmp_exec = wanted->tmp_exec;
    observed->memory_bytes = wanted->memory_bytes;
    observed->swap_bytes = wanted->swap_bytes;
    observed->cpu_quota_us = wanted->cpu_quota_us;
    observed->cpu_period_us = wanted->cpu_period_us;
    observed->pids = wanted->pids;
    observed->nofile = wanted->nofile;
    observed->core = wanted->core;
    observed->fsize = wanted->fsize;
    observed->network = wanted->network;
    observed->uid = wanted->uid;
    observed->gid = wanted->gid;
    observed->extra_groups = 0;
    observed->rootfs_read_only = wanted->rootfs_read_only;
    observed->capabilities = 0;
    observed->no_new_privs = wanted->no_new_privs;
    observed->seccomp_ours = TRUE;
    observed->shared_namespaces = 0;
    observed->privileged = FALSE;
    observed->extra_devices = 0;
    if (wanted->runtime != NULL)
        g_strlcpy(observed->runtime, wanted->runtime, sizeof observed->runtime);
}
