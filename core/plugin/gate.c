/* SPDX-License-Identifier: MIT */
/* The gate: every call of a plugin goes through here, and is checked before and after. */
#include "plugin/gate.h"

#include "plugin/gate_checks.h"
#include "plugin/call_hook.h"

#include <fcntl.h>
#include <string.h>

struct dsb_backend {
    struct dsb_plugin plugin; /* its code is never unmapped */
    void *state;
    uint32_t call_ms; /* of one engine call; 0: the plugin's own default */
    GMutex lock; /* of the serial thread model */
};

/** A stream of the plugin behind the checked one that the core sees. */
struct gate_stream {
    struct dsb_stream inner;
    const char *plugin_name;
    uint32_t call_ms;
};

/** Moves *local to `error` and returns FALSE. */
static gboolean hand_over(GError **error, GError **local)
{
    g_propagate_error(error, g_steal_pointer(local));
    return FALSE;
}

/** Ends a call that has no out-parameter. */
static gboolean conclude(const struct dsb_backend *backend, const char *op, gboolean ok,
                         const struct dsb_plugin_error *plain, GError **error)
{
    g_autoptr(GError) local = NULL;
    return dsb_check_outcome(backend->plugin.name, op, ok, FALSE, plain, &local) || hand_over(error, &local);
}

static void begin(const struct dsb_backend *backend, const char *op)
{
    dsb_call_begin(backend->plugin.name, op, dsb_call_limit_ms(op, backend->call_ms));
}

/** In front of an operation, whose error is `plain`. */
static void lock(struct dsb_backend *backend, const char *op, struct dsb_plugin_error *plain)
{
    dsb_plugin_error_init(plain);
    if (backend->plugin.thread_model == DSB_THREADS_SERIAL)
        g_mutex_lock(&backend->lock);
    begin(backend, op);
}

static void unlock(struct dsb_backend *backend)
{
    dsb_call_end();
    if (backend->plugin.thread_model == DSB_THREADS_SERIAL)
        g_mutex_unlock(&backend->lock);
}

static gboolean invalid(GError **error, const char *op, const char *what)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s", op, what);
    return FALSE;
}

static gboolean missing(const struct dsb_backend *backend, const char *op, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED, "backend %s has no operation \"%s\"", backend->plugin.name,
                op);
    return FALSE;
}

/* ---- open, close, facts about the plugin ---- */

gboolean dsb_backend_open(const struct dsb_loaded *loaded, const struct dsb_open_params *params,
                          struct dsb_backend **out, GError **error)
{
    g_return_val_if_fail(loaded != NULL && out != NULL, FALSE);

    if (params == NULL || params->struct_size != sizeof *params)
        return invalid(error, "open", "params or their struct_size are missing");
    if (params->runtime_dir != NULL && !g_path_is_absolute(params->runtime_dir))
        return invalid(error, "open", "runtime_dir must be absolute");

    void *state = NULL;
    struct dsb_plugin_error plain;
    dsb_plugin_error_init(&plain);
    g_autoptr(GError) local = NULL;
    const char *name = loaded->plugin.name;
    dsb_call_begin(name, "open", dsb_call_limit_ms("open", params->call_timeout_ms));
    gboolean ok = loaded->plugin.open(params, &state, &plain);
    dsb_call_end();
    if (!dsb_check_outcome(name, "open", ok, FALSE, &plain, &local)) {
        if (state != NULL && !ok)
            dsb_check_breach(&local, name, "open", "it failed and set *backend");
        if (state != NULL && ok) {
            dsb_call_begin(name, "close", dsb_call_limit_ms("close", params->call_timeout_ms));
            loaded->plugin.close(state);
            dsb_call_end();
        }
        return hand_over(error, &local);
    }
    if (state == NULL) {
        dsb_check_breach(error, name, "open", "it left *backend NULL");
        return FALSE;
    }
    struct dsb_backend *backend = g_new0(struct dsb_backend, 1);
    backend->plugin = loaded->plugin;
    backend->state = state;
    backend->call_ms = params->call_timeout_ms;
    g_mutex_init(&backend->lock);
    *out = backend;
    return TRUE;
}

void dsb_backend_close(struct dsb_backend *backend)
{
    if (backend == NULL)
        return;
    begin(backend, "close");
    backend->plugin.close(backend->state);
    dsb_call_end();
    g_mutex_clear(&backend->lock);
    g_free(backend);
}

const char *dsb_backend_name(const struct dsb_backend *backend) { return backend->plugin.name; }

const char *dsb_backend_version(const struct dsb_backend *backend) { return backend->plugin.version; }

const char *dsb_backend_description(const struct dsb_backend *backend) { return backend->plugin.description; }

uint64_t dsb_backend_enforces(const struct dsb_backend *backend) { return backend->plugin.enforces; }

/* ---- engine and image ---- */

/**
 * Ends a call that fills a structure: `scratch` was given to the plugin, `blank` is what it held before.
 * A failed call must have left it alone.
 */
static gboolean finish(struct dsb_backend *backend, const char *op, gboolean ok, const struct dsb_plugin_error *plain,
                       const void *scratch, const void *blank, gsize size, GError **local)
{
    if (dsb_check_outcome(backend->plugin.name, op, ok, FALSE, plain, local)) {
        if (*(const uint32_t *) scratch == *(const uint32_t *) blank)
            return TRUE;
        dsb_check_breach(local, backend->plugin.name, op, "it changed struct_size");
        return FALSE;
    }
    if (!ok && memcmp(scratch, blank, size) != 0)
        dsb_check_breach(local, backend->plugin.name, op, "it failed and changed its out-parameter (%s)",
                         (*local)->message);
    return FALSE;
}

gboolean dsb_backend_describe(struct dsb_backend *backend, struct dsb_engine_info *info, GError **error)
{
    g_return_val_if_fail(backend != NULL, FALSE);

    if (info == NULL || info->struct_size != sizeof *info)
        return invalid(error, "describe", "info or its struct_size is missing");
    const struct dsb_engine_info blank = {.struct_size = sizeof blank};
    struct dsb_engine_info scratch = blank;
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "describe", &plain);
    gboolean ok = backend->plugin.describe(backend->state, &scratch, &plain);
    unlock(backend);
    ok = finish(backend, "describe", ok, &plain, &scratch, &blank, sizeof blank, &local);
    if (ok && !(TERMINATED(scratch.product) && TERMINATED(scratch.version) && TERMINATED(scratch.api) &&
                TERMINATED(scratch.endpoint) && TERMINATED(scratch.runtime) && TERMINATED(scratch.data_root)))
        dsb_check_breach(&local, backend->plugin.name, "describe", "a string is not terminated");
    else if (ok && scratch.product[0] == '\0')
        dsb_check_breach(&local, backend->plugin.name, "describe", "product is empty");
    else if (ok && scratch.cgroup_version > 2)
        dsb_check_breach(&local, backend->plugin.name, "describe", "cgroup_version is %u", scratch.cgroup_version);
    if (local != NULL)
        return hand_over(error, &local);
    const struct {
        char *text;
        gsize size;
    } texts[] = {
        {scratch.product, sizeof scratch.product},   {scratch.version, sizeof scratch.version},
        {scratch.api, sizeof scratch.api},           {scratch.endpoint, sizeof scratch.endpoint},
        {scratch.runtime, sizeof scratch.runtime},   {scratch.data_root, sizeof scratch.data_root},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        dsb_text_mark_cut(texts[i].text, texts[i].size);
        dsb_check_printable(texts[i].text);
    }
    *info = scratch;
    return TRUE;
}

gboolean dsb_backend_prepare(struct dsb_backend *backend, const char *image, struct dsb_image_info *info,
                             GError **error)
{
    g_return_val_if_fail(backend != NULL, FALSE);

    if (info == NULL || info->struct_size != sizeof *info)
        return invalid(error, "prepare", "info or its struct_size is missing");
    if (!dsb_check_image(image))
        return invalid(error, "prepare", "the image reference is not valid");
    if (backend->plugin.prepare == NULL)
        return missing(backend, "prepare", error);
    const struct dsb_image_info blank = {.struct_size = sizeof blank};
    struct dsb_image_info scratch = blank;
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "prepare", &plain);
    gboolean ok = backend->plugin.prepare(backend->state, image, &scratch, &plain);
    unlock(backend);
    ok = finish(backend, "prepare", ok, &plain, &scratch, &blank, sizeof blank, &local);
    if (ok && (!WHOLE(scratch.id) || !dsb_check_image(scratch.id)))
        dsb_check_breach(&local, backend->plugin.name, "prepare", "the image id is not valid");
    if (local != NULL)
        return hand_over(error, &local);
    *info = scratch;
    return TRUE;
}

gboolean dsb_backend_image_make(struct dsb_backend *backend, const struct dsb_image_source *source, GError **error)
{
    g_return_val_if_fail(backend != NULL, FALSE);

    if (source == NULL || source->struct_size != sizeof *source)
        return invalid(error, "image_make", "source or its struct_size is missing");
    if (!dsb_check_image(source->name))
        return invalid(error, "image_make", "the image name is not valid");
    if ((source->tarball == NULL) == (source->dockerfile == NULL))
        return invalid(error, "image_make", "give a tarball or a Dockerfile, one of them");
    if ((source->tarball != NULL && *source->tarball != '/') ||
        (source->dockerfile != NULL && *source->dockerfile != '/') ||
        (source->context != NULL && *source->context != '/'))
        return invalid(error, "image_make", "paths must be absolute");
    if (backend->plugin.image_make == NULL)
        return missing(backend, "image_make", error);
    struct dsb_plugin_error plain;
    lock(backend, "image_make", &plain);
    gboolean ok = backend->plugin.image_make(backend->state, source, &plain);
    unlock(backend);
    return conclude(backend, "image_make", ok, &plain, error);
}

/* ---- containers ---- */

gboolean dsb_backend_create(struct dsb_backend *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    g_return_val_if_fail(backend != NULL && id != NULL, FALSE);

    const char *flaw = dsb_check_spec(spec);
    if (flaw != NULL)
        return invalid(error, "create", flaw);
    uint64_t lacking = spec->required & ~(backend->plugin.enforces | DSB_CONTROLS_CORE);
    if (lacking != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                    "backend %s cannot enforce required controls (bits %#" G_GINT64_MODIFIER "x)", backend->plugin.name,
                    (guint64) lacking);
        return FALSE;
    }
    const struct dsb_created blank = {.struct_size = sizeof blank};
    struct dsb_created made = blank;
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "create", &plain);
    gboolean ok = backend->plugin.create(backend->state, spec, &made, &plain);
    unlock(backend);
    ok = finish(backend, "create", ok, &plain, &made, &blank, sizeof blank, &local);
    if (ok && (!WHOLE(made.id) || !dsb_check_id(made.id)))
        dsb_check_breach(&local, backend->plugin.name, "create", "the id is not valid");
    if (local == NULL) {
        *id = g_strdup(made.id);
        return TRUE;
    }
    if (local->code == DSB_ERROR_PLUGIN) /* whatever it made must not stay */
        dsb_backend_destroy(backend, spec->name, NULL);
    return hand_over(error, &local);
}

gboolean dsb_backend_inspect(struct dsb_backend *backend, const char *id, const struct dsb_spec *spec,
                             struct dsb_observed *observed, GError **error)
{
    g_return_val_if_fail(backend != NULL, FALSE);

    if (!dsb_check_id(id))
        return invalid(error, "inspect", "the container id is not valid");
    const char *flaw = dsb_check_spec(spec);
    if (flaw != NULL)
        return invalid(error, "inspect", flaw);
    if (observed == NULL || observed->struct_size != sizeof *observed)
        return invalid(error, "inspect", "observed or its struct_size is missing");
    const struct dsb_observed blank = {.struct_size = sizeof blank};
    struct dsb_observed scratch = blank;
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "inspect", &plain);
    gboolean ok = backend->plugin.inspect(backend->state, id, spec, &scratch, &plain);
    unlock(backend);
    ok = finish(backend, "inspect", ok, &plain, &scratch, &blank, sizeof blank, &local);
    flaw = ok ? dsb_check_observed(&scratch) : NULL;
    if (flaw != NULL)
        dsb_check_breach(&local, backend->plugin.name, "inspect", "%s", flaw);
    if (local != NULL)
        return hand_over(error, &local);
    dsb_text_mark_cut(scratch.runtime, sizeof scratch.runtime);
    dsb_check_printable(scratch.runtime);
    *observed = scratch;
    return TRUE;
}

/* ---- the stream ---- */

static gssize check_transfer(const struct gate_stream *stream, const char *op, gint64 n, gsize size, gboolean end_ok,
                             const struct dsb_plugin_error *plain, GError **error)
{
    g_autoptr(GError) local = NULL;
    if (n < -1 || (n > 0 && (gsize) n > size) || (n == 0 && size > 0 && !end_ok))
        dsb_check_breach(&local, stream->plugin_name, op,
                         "it returned %" G_GINT64_FORMAT " for %" G_GSIZE_FORMAT " bytes", n, size);
    else if (dsb_check_outcome(stream->plugin_name, op, n >= 0, TRUE, plain, &local))
        return n;
    hand_over(error, &local);
    return -1;
}

static void begin_transfer(const struct gate_stream *stream, const char *op, struct dsb_plugin_error *plain)
{
    dsb_plugin_error_init(plain);
    dsb_call_begin(stream->plugin_name, op, dsb_call_limit_ms(op, stream->call_ms));
}

static gssize gate_read(void *state, void *buffer, gsize size, GError **error)
{
    struct gate_stream *stream = state;
    struct dsb_plugin_error plain;
    begin_transfer(stream, "stream.read", &plain);
    gint64 n = stream->inner.read(stream->inner.state, buffer, size, &plain);
    dsb_call_end();
    return check_transfer(stream, "stream.read", n, size, TRUE, &plain, error);
}

static gssize gate_write(void *state, const void *buffer, gsize size, GError **error)
{
    struct gate_stream *stream = state;
    struct dsb_plugin_error plain;
    begin_transfer(stream, "stream.write", &plain);
    gint64 n = stream->inner.write(stream->inner.state, buffer, size, &plain);
    dsb_call_end();
    return check_transfer(stream, "stream.write", n, size, FALSE, &plain, error);
}

static const char *gate_diagnostic(void *state)
{
    struct gate_stream *stream = state;
    dsb_call_begin(stream->plugin_name, "stream.diagnostic", dsb_call_limit_ms("stream.diagnostic", stream->call_ms));
    const char *text = stream->inner.diagnostic != NULL ? stream->inner.diagnostic(stream->inner.state) : NULL;
    dsb_call_end();
    return text != NULL ? text : "";
}

static void gate_close(void *state)
{
    struct gate_stream *stream = state;
    dsb_call_begin(stream->plugin_name, "close", dsb_call_limit_ms("close", stream->call_ms));
    stream->inner.close(stream->inner.state);
    dsb_call_end();
    g_free(stream);
}

/** Whether `fd` is open; it must not reach child processes either. */
static gboolean fd_ok(int fd) { return fd >= 0 && fcntl(fd, F_GETFD) >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0; }

gboolean dsb_backend_start(struct dsb_backend *backend, const char *id, struct dsb_byte_stream *stream,
                           GError **error)
{
    g_return_val_if_fail(backend != NULL && stream != NULL, FALSE);

    if (!dsb_check_id(id))
        return invalid(error, "start", "the container id is not valid");
    const struct dsb_stream blank = {.struct_size = sizeof blank, .read_fd = -1, .write_fd = -1};
    struct dsb_stream inner = blank;
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "start", &plain);
    gboolean ok = backend->plugin.start(backend->state, id, &inner, &plain);
    unlock(backend);
    gboolean claimed = ok;
    ok = finish(backend, "start", ok, &plain, &inner, &blank, sizeof blank, &local);
    if (ok && (inner.read == NULL || inner.write == NULL || inner.close == NULL))
        dsb_check_breach(&local, backend->plugin.name, "start", "the stream lacks read, write or close");
    else if (ok && (!fd_ok(inner.read_fd) || !fd_ok(inner.write_fd)))
        dsb_check_breach(&local, backend->plugin.name, "start", "a descriptor of the stream is not open");
    if (local != NULL) {
        if (claimed && inner.close != NULL) {
            begin(backend, "close");
            inner.close(inner.state);
            dsb_call_end();
        }
        return hand_over(error, &local);
    }
    struct gate_stream *gate = g_new0(struct gate_stream, 1);
    gate->inner = inner;
    gate->plugin_name = backend->plugin.name;
    gate->call_ms = backend->call_ms;
    *stream = (struct dsb_byte_stream){
        .state = gate,
        .read_fd = inner.read_fd,
        .write_fd = inner.write_fd,
        .read = gate_read,
        .write = gate_write,
        .diagnostic = gate_diagnostic,
        .close = gate_close,
    };
    return TRUE;
}

/* ---- the end of a container, and leftovers ---- */

gboolean dsb_backend_destroy(struct dsb_backend *backend, const char *id, GError **error)
{
    g_return_val_if_fail(backend != NULL, FALSE);

    if (!dsb_check_id(id))
        return invalid(error, "destroy", "the container id is not valid");
    struct dsb_plugin_error plain;
    lock(backend, "destroy", &plain);
    gboolean ok = backend->plugin.destroy(backend->state, id, &plain);
    unlock(backend);
    return conclude(backend, "destroy", ok, &plain, error);
}

/** What `list` gave so far. */
struct listing {
    GPtrArray *array;
    const char *flaw; /* the first; what comes after it is not looked at */
};

static int take_listed(void *data, const struct dsb_listed *item)
{
    struct listing *listing = data;
    if (listing->flaw != NULL)
        return 0;
    struct dsb_leftover *one = dsb_leftover_new(item);
    if (one == NULL) {
        listing->flaw = "an item is not complete";
        return 0;
    }
    g_ptr_array_add(listing->array, one);
    listing->flaw = dsb_check_listed(one, listing->array->len);
    return listing->flaw == NULL;
}

gboolean dsb_backend_list(struct dsb_backend *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    g_return_val_if_fail(backend != NULL && leftovers != NULL, FALSE);

    if (owner != NULL && (*owner == '\0' || strpbrk(owner, "=,\n") != NULL))
        return invalid(error, "list", "the owner is not valid");
    g_autoptr(GPtrArray) array = g_ptr_array_new_with_free_func(dsb_leftover_free);
    struct listing listing = {.array = array};
    g_autoptr(GError) local = NULL;
    struct dsb_plugin_error plain;
    lock(backend, "list", &plain);
    gboolean ok = backend->plugin.list(backend->state, owner, take_listed, &listing, &plain);
    unlock(backend);
    if (dsb_check_outcome(backend->plugin.name, "list", ok, FALSE, &plain, &local) && listing.flaw != NULL)
        dsb_check_breach(&local, backend->plugin.name, "list", "%s", listing.flaw);
    if (local != NULL)
        return hand_over(error, &local);
    *leftovers = g_steal_pointer(&array);
    return TRUE;
}
