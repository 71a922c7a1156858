/* SPDX-License-Identifier: MIT */
/*
 * The smallest complete backend: a place to begin. Its engine is a table in memory and its containers run nothing, so
 * a run ends before its first word; everything else is as dsandbox wants it. "YOURS" marks what a real engine
 * replaces. The header says what each operation must do: <dsandbox/plugin.h>, dsandbox-plugin(7), ../README.md.
 */
#include <dsandbox/plugin.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TEMPLATE_LEAK
#define TEMPLATE_LEAK "" /* check.sh builds templates that leak, to see them caught */
#endif

static int leaks(const char *what) { return strcmp(TEMPLATE_LEAK, what) == 0; }

/* What the engine knows about one container. */
struct container {
    struct container *next;
    char id[16], *name, *owner, *session;
    int64_t deadline;
    int running;
    int far; /* the container's end of its stream, -1: none */
    struct dsb_observed made;
};

/* One opened backend. Operations get it as `backend`. */
struct engine {
    pthread_mutex_t lock; /* PARALLEL: operations come from any thread */
    unsigned next;
    struct container *containers;
};

/* Fills the error, and is what an operation that failed returns. */
__attribute__((format(printf, 3, 4))) static int fail(struct dsb_plugin_error *error, uint32_t code, const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    error->code = code;
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return 0;
}

static int no_memory(struct dsb_plugin_error *error) { return fail(error, DSB_ERROR_FAILED, "out of memory"); }

static void container_free(struct container *container)
{
    if (container->far >= 0)
        close(container->far);
    free(container->name);
    free(container->owner);
    free(container->session);
    free(container);
}

/* ---- the engine ---- */

static int template_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    /* YOURS: connect. Say in one line what is wrong and what to do: the user sees it. */
    if (params->endpoint != NULL)
        return fail(error, DSB_ERROR_UNAVAILABLE, "the template has no engine at \"%s\": leave --host out",
                    params->endpoint);
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return no_memory(error);
    pthread_mutex_init(&engine->lock, NULL);
    *backend = engine;
    return 1;
}

static void template_close(void *backend)
{
    struct engine *engine = backend;
    while (engine->containers != NULL) {
        struct container *first = engine->containers;
        engine->containers = first->next;
        container_free(first);
    }
    pthread_mutex_destroy(&engine->lock);
    if (!leaks("memory"))
        free(engine);
}

static int template_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) error;
    /* YOURS: ask the engine, every time. A control that it cannot limit here stays out of limits_available. */
    snprintf(info->product, sizeof info->product, "template");
    snprintf(info->version, sizeof info->version, "1");
    snprintf(info->endpoint, sizeof info->endpoint, "memory");
    info->cgroup_version = 2;
    info->limits_available =
        DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS);
    info->local = 1;
    return 1;
}

static int template_prepare(void *backend, const char *image, struct dsb_image_info *info,
                            struct dsb_plugin_error *error)
{
    (void) backend;
    /* YOURS: look the image up; never pull it. */
    if (strncmp(image, "missing", strlen("missing")) == 0)
        return fail(error, DSB_ERROR_NOT_FOUND, "image \"%s\" is not on this engine", image);
    snprintf(info->id, sizeof info->id, "sha256:0123456789abcdef");
    return 1;
}

/* ---- containers ---- */

/* By id or name: where it hangs in the list, or the list's end. The lock is held. */
static struct container **find(struct engine *engine, const char *id)
{
    struct container **at = &engine->containers;
    while (*at != NULL && strcmp((*at)->id, id) != 0 && strcmp((*at)->name, id) != 0)
        at = &(*at)->next;
    return at;
}

static const char *label(const struct dsb_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_labels; i++) {
        if (strcmp(spec->labels[i]->name, name) == 0)
            return spec->labels[i]->value;
    }
    return "";
}

/* YOURS: the engine's own words for the spec. What cannot be said in them fails `create`. */
static void build(const struct dsb_spec *spec, struct dsb_observed *made)
{
    made->volume_present = spec->n_binds > 0 && !spec->binds[0]->read_only;
    made->guest_read_only = spec->n_binds > 1 && spec->binds[1]->read_only;
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
    snprintf(made->runtime, sizeof made->runtime, "%s", spec->runtime != NULL ? spec->runtime : "none");
}

/* YOURS: only what `create` translates. One by one: a control that comes later is not claimed before it is translated. */
#define ENFORCES                                                                                                       \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) |            \
     DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) | DSB_BIT(DSB_CONTROL_FSIZE) |                             \
     DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | DSB_BIT(DSB_CONTROL_ROOTFS) |                           \
     DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) | DSB_BIT(DSB_CONTROL_SECCOMP) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

/* NULL: there is no memory. */
static struct container *container_new(const struct dsb_spec *spec)
{
    struct container *container = calloc(1, sizeof *container);
    if (container == NULL)
        return NULL;
    container->far = -1;
    container->name = strdup(spec->name);
    container->owner = strdup(label(spec, DSB_LABEL_OWNER));
    container->session = strdup(label(spec, DSB_LABEL_SESSION));
    container->deadline = strtoll(label(spec, DSB_LABEL_DEADLINE), NULL, 10);
    build(spec, &container->made);
    if (container->name != NULL && container->owner != NULL && container->session != NULL)
        return container;
    container_free(container);
    return NULL;
}

static int create(struct engine *engine, const struct dsb_spec *spec, struct dsb_created *created,
                  struct dsb_plugin_error *error)
{
    if (*find(engine, spec->name) != NULL)
        return fail(error, DSB_ERROR_CONFLICT, "there is a container %s already", spec->name);
    struct container *container = container_new(spec);
    if (container == NULL)
        return no_memory(error);
    snprintf(container->id, sizeof container->id, "%08x", ++engine->next);
    container->next = engine->containers;
    engine->containers = container;
    snprintf(created->id, sizeof created->id, "%s", container->id);
    return 1;
}

static int template_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                           struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    if ((spec->required & ~(ENFORCES | DSB_CONTROLS_CORE)) != 0)
        return fail(error, DSB_ERROR_REFUSED, "a control is required that is not known here");
    pthread_mutex_lock(&engine->lock);
    int ok = create(engine, spec, created, error);
    pthread_mutex_unlock(&engine->lock);
    return ok;
}

static int template_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                            struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    (void) spec;
    pthread_mutex_lock(&engine->lock);
    const struct container *container = *find(engine, id);
    if (container != NULL) {
        /* YOURS: only what the engine says. Never the spec: what is not known stays out of `known`. */
        uint32_t size = observed->struct_size;
        *observed = container->made;
        observed->struct_size = size;
        observed->known = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE; /* YOURS: a bit for each fact that was learned */
    }
    pthread_mutex_unlock(&engine->lock);
    return container != NULL ? 1 : fail(error, DSB_ERROR_NOT_FOUND, "there is no container %s", id);
}

static int template_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    (void) error;
    pthread_mutex_lock(&engine->lock);
    struct container **at = find(engine, id), *container = *at;
    if (container != NULL && !(leaks("containers") && container->running)) {
        *at = container->next;
        container_free(container);
    }
    pthread_mutex_unlock(&engine->lock);
    return 1;
}

static int template_list(void *backend, const char *owner, dsb_each_fn each, void *data,
                         struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    (void) error;
    int goes_on = 1;
    pthread_mutex_lock(&engine->lock);
    for (const struct container *one = engine->containers; goes_on && one != NULL; one = one->next) {
        if (*one->owner == '\0' || (owner != NULL && strcmp(one->owner, owner) != 0))
            continue;
        const struct dsb_listed item = {
            .struct_size = sizeof item,
            .id = one->id,
            .owner = one->owner,
            .session = one->session,
            .deadline = one->deadline,
            .running = one->running,
        };
        goes_on = each(data, &item);
    }
    pthread_mutex_unlock(&engine->lock);
    return 1;
}

/* ---- the stream to pid 1 ---- */

struct stream {
    int fd;
};

static int64_t outcome(ssize_t n, struct dsb_plugin_error *error)
{
    if (n < 0)
        fail(error, errno == EAGAIN || errno == EINTR ? DSB_ERROR_WOULD_BLOCK : DSB_ERROR_LOST, "%s", strerror(errno));
    return n;
}

static int64_t stream_read(void *state, void *buffer, size_t size, struct dsb_plugin_error *error)
{
    const struct stream *stream = state;
    return outcome(read(stream->fd, buffer, size), error);
}

static int64_t stream_write(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error)
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
    free(stream);
}

/* A socket that never blocks; its far end stays with the container. */
static int attach(struct container *container, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    int ends[2];
    struct stream *made = malloc(sizeof *made);
    if (made == NULL)
        return no_memory(error);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        free(made);
        return fail(error, DSB_ERROR_FAILED, "socketpair: %s", strerror(errno));
    }
    made->fd = stream->read_fd = stream->write_fd = ends[0];
    stream->state = made;
    container->far = ends[1];
    return 1;
}

static int start(struct container *container, const char *id, struct dsb_stream *stream,
                 struct dsb_plugin_error *error)
{
    if (container == NULL)
        return fail(error, DSB_ERROR_NOT_FOUND, "there is no container %s", id);
    if (container->far >= 0)
        return fail(error, DSB_ERROR_CONFLICT, "container %s was started before", id);
    if (!attach(container, stream, error))
        return 0;
    /* YOURS: attach first, then start, so that nothing pid 1 says is lost. Here pid 1 says nothing. */
    container->running = 1;
    shutdown(container->far, SHUT_WR);
    stream->read = stream_read;
    stream->write = stream_write;
    stream->diagnostic = stream_diagnostic;
    stream->close = stream_close;
    return 1;
}

static int template_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    struct engine *engine = backend;
    pthread_mutex_lock(&engine->lock);
    int ok = start(*find(engine, id), id, stream, error);
    pthread_mutex_unlock(&engine->lock);
    return ok;
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
