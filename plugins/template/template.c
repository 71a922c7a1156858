/* SPDX-License-Identifier: MIT */
/*
 * The smallest complete backend: a place to begin. Its engine is a table in memory and its containers run nothing, so
 * a run ends before its first word; everything else is as dsandbox wants it. "YOURS" marks what a real engine
 * replaces. The header says what each operation must do: <dsandbox/plugin.h>, dsandbox-plugin(7), ../README.md.
 */
#include <dsandbox/plugin.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TEMPLATE_LEAK
#define TEMPLATE_LEAK "" /* check.sh builds templates that leak, to see them caught */
#endif

static gboolean leaks(const char *what) { return g_str_equal(TEMPLATE_LEAK, what); }

/* What the engine knows about one container. */
struct container {
    char *id, *name, *owner, *session;
    gint64 deadline;
    gboolean running;
    int far; /* the container's end of its stream, -1: none */
    struct dsb_observed made;
};

/* One opened backend. Operations get it as `backend`. */
struct engine {
    GMutex lock; /* PARALLEL: operations come from any thread */
    guint next;
    GPtrArray *containers; /* struct container * */
};

static void container_free(gpointer data)
{
    struct container *container = data;
    if (container->far >= 0)
        close(container->far);
    g_free(container->id);
    g_free(container->name);
    g_free(container->owner);
    g_free(container->session);
    g_free(container);
}

/* ---- the engine ---- */

static gboolean template_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    /* YOURS: connect. Say in one line what is wrong and what to do: the user sees it. */
    if (params->endpoint != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "the template has no engine at \"%s\": leave --host out",
                    params->endpoint);
        return FALSE;
    }
    struct engine *engine = g_new0(struct engine, 1);
    g_mutex_init(&engine->lock);
    engine->containers = g_ptr_array_new_with_free_func(container_free);
    *backend = engine;
    return TRUE;
}

static void template_close(void *backend)
{
    struct engine *engine = backend;
    g_ptr_array_unref(engine->containers);
    g_mutex_clear(&engine->lock);
    if (!leaks("memory"))
        g_free(engine);
}

static gboolean template_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) backend;
    (void) error;
    /* YOURS: ask the engine, every time. A control that it cannot limit here stays out of limits_available. */
    g_strlcpy(info->product, "template", sizeof info->product);
    g_strlcpy(info->version, "1", sizeof info->version);
    g_strlcpy(info->endpoint, "memory", sizeof info->endpoint);
    info->cgroup_version = 2;
    info->limits_available =
        DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS);
    info->local = TRUE;
    return TRUE;
}

static gboolean template_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    (void) backend;
    /* YOURS: look the image up; never pull it. */
    if (g_str_has_prefix(image, "missing")) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "image \"%s\" is not on this engine", image);
        return FALSE;
    }
    g_strlcpy(info->id, "sha256:0123456789abcdef", sizeof info->id);
    return TRUE;
}

/* ---- containers ---- */

/* By id or name; the lock is held. */
static struct container *find(const struct engine *engine, const char *id)
{
    for (guint i = 0; i < engine->containers->len; i++) {
        struct container *container = engine->containers->pdata[i];
        if (g_str_equal(container->id, id) || g_str_equal(container->name, id))
            return container;
    }
    return NULL;
}

static struct container *need(const struct engine *engine, const char *id, GError **error)
{
    struct container *container = find(engine, id);
    if (container == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no container %s", id);
    return container;
}

static const char *label(const struct dsb_spec *spec, const char *name)
{
    for (gsize i = 0; i < spec->n_labels; i++) {
        if (g_str_equal(spec->labels[i].name, name))
            return spec->labels[i].value;
    }
    return "";
}

/* YOURS: the engine's own words for the spec. What cannot be said in them fails `create`. */
static void build(const struct dsb_spec *spec, struct dsb_observed *made)
{
    made->volume_present = spec->n_binds > 0 && !spec->binds[0].read_only;
    made->guest_read_only = spec->n_binds > 1 && spec->binds[1].read_only;
    made->foreign_mounts = leaks("mount") ? 1 : 0;
    made->tmp_bytes = spec->tmp_bytes;
    made->small_tmp_bytes = spec->small_tmp_bytes;
    made->shm_bytes = spec->shm_bytes;
    made->memory_bytes = spec->memory_bytes;
    made->swap_bytes = spec->swap_bytes;
    made->cpu_quota_us = spec->cpu_quota_us;
    made->cpu_period_us = spec->cpu_period_us;
    made->pids = spec->pids;
    made->nofile = spec->nofile;
    made->core = spec->core;
    made->fsize = spec->fsize;
    made->network = leaks("network") ? DSB_NETWORK_FULL : spec->network;
    made->uid = spec->uid;
    made->gid = spec->gid;
    made->rootfs_read_only = spec->rootfs_read_only;
    made->capabilities = leaks("capabilities") ? UINT64_C(1) << 21 : 0;
    made->no_new_privs = spec->no_new_privs;
    made->seccomp_ours = spec->seccomp_json != NULL;
    g_strlcpy(made->runtime, spec->runtime != NULL ? spec->runtime : "none", sizeof made->runtime);
}

/* YOURS: only what `create` translates. One by one: a control that comes later is not claimed before it is translated. */
#define ENFORCES                                                                                                       \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) |            \
     DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) | DSB_BIT(DSB_CONTROL_FSIZE) |                             \
     DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | DSB_BIT(DSB_CONTROL_ROOTFS) |                           \
     DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) | DSB_BIT(DSB_CONTROL_SECCOMP) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

static gboolean template_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    struct engine *engine = backend;
    if ((spec->required & ~(ENFORCES | DSB_CONTROLS_CORE)) != 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_REFUSED, "a control is required that is not known here");
        return FALSE;
    }
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    if (find(engine, spec->name) != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "there is a container %s already", spec->name);
        return FALSE;
    }
    struct container *container = g_new0(struct container, 1);
    container->id = g_strdup_printf("%08x", ++engine->next);
    container->name = g_strdup(spec->name);
    container->owner = g_strdup(label(spec, DSB_LABEL_OWNER));
    container->session = g_strdup(label(spec, DSB_LABEL_SESSION));
    container->deadline = g_ascii_strtoll(label(spec, DSB_LABEL_DEADLINE), NULL, 10);
    container->far = -1;
    build(spec, &container->made);
    g_ptr_array_add(engine->containers, container);
    *id = g_strdup(container->id);
    return TRUE;
}

static gboolean template_inspect(void *backend, const char *id, const struct dsb_spec *spec,
                                 struct dsb_observed *observed, GError **error)
{
    struct engine *engine = backend;
    (void) spec;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    const struct container *container = need(engine, id, error);
    if (container == NULL)
        return FALSE;
    /* YOURS: only what the engine says. Never the spec: what is not known stays out of `known`. */
    uint32_t size = observed->struct_size;
    *observed = container->made;
    observed->struct_size = size;
    observed->known = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE; /* YOURS: a bit for each fact that was learned */
    return TRUE;
}

static gboolean template_destroy(void *backend, const char *id, GError **error)
{
    struct engine *engine = backend;
    (void) error;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    struct container *container = find(engine, id);
    if (container != NULL && !(leaks("containers") && container->running))
        g_ptr_array_remove(engine->containers, container);
    return TRUE;
}

static gboolean template_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    struct engine *engine = backend;
    (void) error;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < engine->containers->len; i++) {
        const struct container *container = engine->containers->pdata[i];
        if (*container->owner == '\0' || (owner != NULL && !g_str_equal(container->owner, owner)))
            continue;
        struct dsb_leftover *one = g_new0(struct dsb_leftover, 1);
        g_strlcpy(one->id, container->id, sizeof one->id);
        g_strlcpy(one->owner, container->owner, sizeof one->owner);
        g_strlcpy(one->session, container->session, sizeof one->session);
        one->deadline = container->deadline;
        one->running = container->running;
        g_ptr_array_add(list, one);
    }
    *leftovers = list;
    return TRUE;
}

/* ---- the stream to pid 1 ---- */

struct stream {
    int fd;
};

static gssize outcome(gssize n, GError **error)
{
    if (n >= 0)
        return n;
    gboolean later = errno == EAGAIN || errno == EINTR;
    g_set_error_literal(error, DSB_ERROR, later ? DSB_ERROR_WOULD_BLOCK : DSB_ERROR_LOST, g_strerror(errno));
    return -1;
}

static gssize stream_read(void *state, void *buffer, gsize size, GError **error)
{
    const struct stream *stream = state;
    return outcome(read(stream->fd, buffer, size), error);
}

static gssize stream_write(void *state, const void *buffer, gsize size, GError **error)
{
    const struct stream *stream = state;
    return outcome(send(stream->fd, buffer, size, MSG_NOSIGNAL), error);
}

static const char *stream_diagnostic(void *state)
{
    (void) state;
    return "the template runs nothing"; /* YOURS: what the engine said beside the stream, or "" */
}

static void stream_close(void *state)
{
    struct stream *stream = state;
    if (!leaks("descriptors"))
        close(stream->fd);
    g_free(stream);
}

/* A socket that never blocks; its far end stays with the container. */
static gboolean attach(struct container *container, struct dsb_stream *stream, GError **error)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "socketpair: %s", g_strerror(errno));
        return FALSE;
    }
    struct stream *made = g_new0(struct stream, 1);
    made->fd = stream->read_fd = stream->write_fd = ends[0];
    stream->state = made;
    container->far = ends[1];
    return TRUE;
}

static gboolean template_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    struct engine *engine = backend;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    struct container *container = need(engine, id, error);
    if (container == NULL)
        return FALSE;
    if (container->far >= 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "container %s was started before", id);
        return FALSE;
    }
    if (!attach(container, stream, error))
        return FALSE;
    /* YOURS: attach first, then start, so that nothing pid 1 says is lost. Here pid 1 says nothing. */
    container->running = TRUE;
    shutdown(container->far, SHUT_WR);
    stream->read = stream_read;
    stream->write = stream_write;
    stream->diagnostic = stream_diagnostic;
    stream->close = stream_close;
    return TRUE;
}

/* ---- the descriptor ---- */

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = ENFORCES,
    .name = "template",
    .version = "1",
    .description = "a template for backends, which runs nothing",
    .open = template_open,
    .close = template_close,
    .describe = template_describe,
    .create = template_create,
    .inspect = template_inspect,
    .start = template_start,
    .destroy = template_destroy,
    .list = template_list,
    .prepare = template_prepare,
};

const struct dsb_plugin *dsb_plugin_entry(void);

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
