/* SPDX-License-Identifier: MIT */
/* The plain types of the plugin interface around operations that use GLib: errors, streams, ids. */
#include "engine/engine.h"

/* A backend, and whose operations are its own. */
struct opened {
    const struct dsbe_operations *operations;
    void *backend;
};

/* What an operation returns, and why. Frees `local`. */
static int conclude(gboolean ok, GError *local, struct dsb_plugin_error *error)
{
    if (local != NULL) {
        error->code = (uint32_t) local->code;
        g_strlcpy(error->text, local->message, sizeof error->text); /* one that fills it is shown as cut */
        g_error_free(local);
    }
    return ok ? 1 : 0;
}

int dsbe_adapter_open(const struct dsbe_operations *operations, const struct dsb_open_params *params, void **backend,
                      struct dsb_plugin_error *error)
{
    GError *local = NULL;
    void *state = NULL;
    gboolean ok = operations->open(params, &state, &local);
    if (ok) {
        struct opened *opened = g_new0(struct opened, 1);
        *opened = (struct opened){operations, state};
        *backend = opened;
    }
    return conclude(ok, local, error);
}

void dsbe_adapter_close(void *backend)
{
    struct opened *opened = backend;
    opened->operations->close(opened->backend);
    g_free(opened);
}

int dsbe_adapter_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->describe(opened->backend, info, &local);
    return conclude(ok, local, error);
}

int dsbe_adapter_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                        struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    g_autofree char *id = NULL;
    gboolean ok = opened->operations->create(opened->backend, spec, &id, &local);
    if (ok)
        g_strlcpy(created->id, id, sizeof created->id); /* one that fills it is refused as cut */
    return conclude(ok, local, error);
}

int dsbe_adapter_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->inspect(opened->backend, id, spec, observed, &local);
    return conclude(ok, local, error);
}

int dsbe_adapter_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->destroy(opened->backend, id, &local);
    return conclude(ok, local, error);
}

int dsbe_adapter_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->list(opened->backend, owner, each, data, &local);
    return conclude(ok, local, error);
}

int dsbe_adapter_prepare(void *backend, const char *image, struct dsb_image_info *info,
                         struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->prepare(opened->backend, image, info, &local);
    return conclude(ok, local, error);
}

int dsbe_adapter_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    gboolean ok = opened->operations->image_make(opened->backend, source, &local);
    return conclude(ok, local, error);
}

/* ---- the stream ---- */

static int64_t stream_read(void *state, void *buffer, size_t size, struct dsb_plugin_error *error)
{
    const struct dsb_byte_stream *stream = state;
    GError *local = NULL;
    gssize n = stream->read(stream->state, buffer, size, &local);
    conclude(n >= 0, local, error);
    return n;
}

static int64_t stream_write(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error)
{
    const struct dsb_byte_stream *stream = state;
    GError *local = NULL;
    gssize n = stream->write(stream->state, buffer, size, &local);
    conclude(n >= 0, local, error);
    return n;
}

static const char *stream_diagnostic(void *state)
{
    const struct dsb_byte_stream *stream = state;
    return stream->diagnostic(stream->state);
}

static void stream_close(void *state)
{
    struct dsb_byte_stream *stream = state;
    stream->close(stream->state);
    g_free(stream);
}

int dsbe_adapter_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    const struct opened *opened = backend;
    GError *local = NULL;
    struct dsb_byte_stream *made = g_new0(struct dsb_byte_stream, 1);
    gboolean ok = opened->operations->start(opened->backend, id, made, &local);
    if (ok) {
        stream->state = made;
        stream->read_fd = made->read_fd;
        stream->write_fd = made->write_fd;
        stream->read = stream_read;
        stream->write = stream_write;
        stream->diagnostic = stream_diagnostic;
        stream->close = stream_close;
    } else {
        g_free(made);
    }
    return conclude(ok, local, error);
}
