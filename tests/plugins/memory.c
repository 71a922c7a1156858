/* SPDX-License-Identifier: MIT */
/*
 * An engine in memory: containers are rows of a table, and what is written to one comes back as if pid 1
 * were `cat`. It keeps the contract in every point. Endpoint "absent" is an engine that does not answer. With
 * endpoint "unix:PATH" each started container is a connection to that socket, where the test plays pid 1; it comes from an
 * abstract address that ends with the container's session directory. What an image's name means is in the file that
 * DSB_TEST_IMAGE_FILE names, where that is set.
 */
#include "plugin_fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct container {
    char *id, *name, *owner, *session, *workdir;
    gint64 deadline;
    gboolean running;
    struct dsb_observed facts;
};

struct engine {
    char *endpoint;
    guint next;
    GPtrArray *containers; /* struct container */
};

struct echo {
    int fds[2];
};

const struct dsb_plugin *dsb_plugin_entry(void);

static void container_free(gpointer data)
{
    struct container *container = data;
    g_free(container->id);
    g_free(container->name);
    g_free(container->owner);
    g_free(container->session);
    g_free(container->workdir);
    g_free(container);
}

static int memory_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    if (g_strcmp0(params->endpoint, "absent") == 0) {
        return plugin_fail(error, DSB_ERROR_UNAVAILABLE, "no engine answers: start it");
    }
    struct engine *engine = g_new0(struct engine, 1);
    engine->endpoint = g_strdup(params->endpoint != NULL ? params->endpoint : "memory");
    engine->containers = g_ptr_array_new_with_free_func(container_free);
    *backend = engine;
    return TRUE;
}

static void memory_close(void *backend)
{
    struct engine *engine = backend;
    g_ptr_array_unref(engine->containers);
    g_free(engine->endpoint);
    g_free(engine);
}

static int memory_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    const struct engine *engine = backend;
    (void) error;
    g_strlcpy(info->product, "memory", sizeof info->product);
    g_strlcpy(info->version, "1", sizeof info->version);
    g_strlcpy(info->endpoint, engine->endpoint, sizeof info->endpoint);
    info->cgroup_version = 2;
    info->limits_available =
        DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS);
    info->local = TRUE;
    return TRUE;
}

static struct container *find(const struct engine *engine, const char *id)
{
    for (guint i = 0; i < engine->containers->len; i++) {
        struct container *container = engine->containers->pdata[i];
        if (g_str_equal(container->id, id) || g_str_equal(container->name, id))
            return container;
    }
    return NULL;
}

static struct container *need(const struct engine *engine, const char *id, struct dsb_plugin_error *error)
{
    struct container *container = find(engine, id);
    if (container == NULL)
        plugin_fail(error, DSB_ERROR_NOT_FOUND, "no container %s", id);
    return container;
}

static const char *label(const struct dsb_spec *spec, const char *name)
{
    for (gsize i = 0; i < spec->n_labels; i++) {
        if (g_str_equal(spec->labels[i]->name, name))
            return spec->labels[i]->value;
    }
    return "";
}

/** What this engine made of a spec. */
static void translate(const struct dsb_spec *spec, struct dsb_observed *facts)
{
    facts->known = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE;
    facts->volume_present = spec->n_binds > 0 && !spec->binds[0]->read_only;
    facts->guest_read_only = spec->n_binds > 1 && spec->binds[1]->read_only;
    facts->tmp_bytes = spec->tmp_bytes;
    facts->small_tmp_bytes = spec->small_tmp_bytes;
    facts->shm_bytes = spec->shm_bytes;
    facts->tmp_exec = spec->tmp_exec;
    facts->memory_bytes = spec->memory_bytes;
    facts->swap_bytes = spec->swap_bytes;
    facts->cpu_quota_us = spec->cpu_quota_us;
    facts->cpu_period_us = spec->cpu_period_us;
    facts->pids = spec->pids;
    facts->nofile = spec->nofile;
    facts->core = spec->core;
    facts->fsize = spec->fsize;
    facts->network = spec->network;
    facts->uid = spec->uid;
    facts->gid = spec->gid;
    facts->rootfs_read_only = spec->rootfs_read_only;
    facts->no_new_privs = spec->no_new_privs;
    facts->seccomp_ours = spec->seccomp_json != NULL;
    g_strlcpy(facts->runtime, spec->runtime != NULL ? spec->runtime : "none", sizeof facts->runtime);
}

static int memory_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                         struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    if (find(engine, spec->name) != NULL) {
        return plugin_fail(error, DSB_ERROR_CONFLICT, "%s exists", spec->name);
    }
    if (g_strcmp0(spec->runtime, "nonesuch") == 0) {
        return plugin_fail(error, DSB_ERROR_INVALID, "unknown or invalid runtime name: nonesuch");
    }
    struct container *container = g_new0(struct container, 1);
    container->id = g_strdup_printf("%08x", ++engine->next);
    container->name = g_strdup(spec->name);
    container->owner = g_strdup(label(spec, DSB_LABEL_OWNER));
    container->session = g_strdup(label(spec, DSB_LABEL_SESSION));
    container->workdir = g_strdup(spec->n_binds > 0 ? spec->binds[0]->source : "");
    container->deadline = g_ascii_strtoll(label(spec, DSB_LABEL_DEADLINE), NULL, 10);
    translate(spec, &container->facts);
    g_ptr_array_add(engine->containers, container);
    g_strlcpy(created->id, container->id, sizeof created->id);
    return TRUE;
}

static int memory_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                          struct dsb_plugin_error *error)
{
    (void) spec;
    const struct container *container = need(backend, id, error);
    if (container == NULL)
        return FALSE;
    uint32_t size = observed->struct_size;
    *observed = container->facts;
    observed->struct_size = size;
    return TRUE;
}

static int64_t echo_result(gssize n, struct dsb_plugin_error *error)
{
    if (n >= 0)
        return n;
    plugin_fail(error, errno == EAGAIN ? DSB_ERROR_WOULD_BLOCK : DSB_ERROR_LOST, "%s", g_strerror(errno));
    return -1;
}

static int64_t echo_read(void *state, void *buffer, size_t size, struct dsb_plugin_error *error)
{
    struct echo *echo = state;
    return echo_result(read(echo->fds[0], buffer, size), error);
}

static int64_t echo_write(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error)
{
    struct echo *echo = state;
    return echo_result(write(echo->fds[1], buffer, size), error);
}

static void echo_close(void *state)
{
    struct echo *echo = state;
    close(echo->fds[0]);
    close(echo->fds[1]);
    g_free(echo);
}

/* Both directions of one connection to the test's pid 1. */
static gboolean connect_pid1(const char *path, const struct container *container, int fds[2])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
    g_autofree char *from = g_strdup_printf("%s %s", container->name, container->workdir);
    gsize size = MIN(strlen(from), sizeof own.sun_path - 1);
    memcpy(own.sun_path + 1, from, size);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fds[0] < 0)
        return FALSE;
    gboolean bound =
        bind(fds[0], (const struct sockaddr *) &own, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + size)) == 0;
    fds[1] = bound && connect(fds[0], (const struct sockaddr *) &address, sizeof address) == 0
                 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 3)
                 : -1;
    if (fds[1] >= 0)
        return TRUE;
    close(fds[0]);
    return FALSE;
}

static int memory_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    const struct engine *engine = backend;
    struct container *container = need(backend, id, error);
    if (container == NULL)
        return FALSE;
    struct echo *echo = g_new0(struct echo, 1);
    gboolean pid1 = g_str_has_prefix(engine->endpoint, "unix:");
    if (pid1 ? !connect_pid1(engine->endpoint + strlen("unix:"), container, echo->fds)
             : pipe2(echo->fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        plugin_fail(error, DSB_ERROR_FAILED, "no stream: %s", g_strerror(errno));
        g_free(echo);
        return FALSE;
    }
    container->running = TRUE;
    stream->state = echo;
    stream->read_fd = echo->fds[0];
    stream->write_fd = echo->fds[1];
    stream->read = echo_read;
    stream->write = echo_write;
    stream->close = echo_close;
    return TRUE;
}

static int memory_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    (void) error;
    struct engine *engine = backend;
    struct container *container = find(engine, id);
    if (container != NULL)
        g_ptr_array_remove(engine->containers, container);
    return TRUE;
}

static int memory_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) error;
    const struct engine *engine = backend;
    gboolean goes_on = TRUE;
    for (guint i = 0; goes_on && i < engine->containers->len; i++) {
        const struct container *container = engine->containers->pdata[i];
        if (*container->owner == '\0' || (owner != NULL && !g_str_equal(container->owner, owner)))
            continue;
        const struct dsb_listed item = {
            .struct_size = sizeof item,
            .id = container->id,
            .owner = container->owner,
            .session = container->session,
            .deadline = container->deadline,
            .running = container->running,
        };
        goes_on = each(data, &item);
    }
    return 1;
}

static int memory_prepare(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error)
{
    (void) backend;
    if (g_str_has_prefix(image, "missing")) {
        return plugin_fail(error, DSB_ERROR_NOT_FOUND, "no image %s", image);
    }
    const char *file = g_getenv("DSB_TEST_IMAGE_FILE");
    g_autofree char *id = NULL;
    if (file != NULL && !g_file_get_contents(file, &id, NULL, NULL))
        return plugin_fail(error, DSB_ERROR_NOT_FOUND, "no image %s", image);
    g_strlcpy(info->id, id != NULL ? g_strstrip(id) : "sha256:0123456789abcdef", sizeof info->id);
    return TRUE;
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_SERIAL,
    .enforces = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE,
    .name = "memory",
    .version = "1",
    .description = "test: an engine in memory",
    .open = memory_open,
    .close = memory_close,
    .describe = memory_describe,
    .create = memory_create,
    .inspect = memory_inspect,
    .start = memory_start,
    .destroy = memory_destroy,
    .list = memory_list,
    .prepare = memory_prepare,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
