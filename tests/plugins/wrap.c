/* SPDX-License-Identifier: MIT */
#include "wrap.h"

#include <dlfcn.h>

#define INNER "DSB_TEST_INNER"

static int missing(const struct wrap *wrap, const char *op, struct dsb_plugin_error *error)
{
    return plugin_fail(error, DSB_ERROR_UNSUPPORTED, "%s has no %s", wrap->inner->name, op);
}

int wrap_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    const char *path = g_getenv(INNER);
    if (path == NULL || *path != '/') {
        return plugin_fail(error, DSB_ERROR_INVALID, INNER " must be the path of a plugin");
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    dsb_plugin_entry_fn entry = NULL;
    if (handle != NULL)
        *(void **) &entry = dlsym(handle, DSB_PLUGIN_ENTRY);
    if (entry == NULL) {
        return plugin_fail(error, DSB_ERROR_INVALID, INNER ": %s", dlerror());
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

int wrap_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->describe(wrap->state, info, error);
}

int wrap_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->create(wrap->state, spec, created, error);
}

int wrap_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                 struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->inspect(wrap->state, id, spec, observed, error);
}

int wrap_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->start(wrap->state, id, stream, error);
}

int wrap_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->destroy(wrap->state, id, error);
}

int wrap_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    return wrap->inner->list(wrap->state, owner, each, data, error);
}

int wrap_prepare(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error)
{
    struct wrap *wrap = backend;
    if (wrap->inner->prepare == NULL)
        return missing(wrap, "prepare", error);
    return wrap->inner->prepare(wrap->state, image, info, error);
}

int wrap_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error)
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
