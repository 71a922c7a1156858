/* SPDX-License-Identifier: MIT */
/*
 * Fails the n-th call of one operation: DSB_TEST_FAULT=op:n[:how]. How: `error` (the default) without
 * doing anything, `late` after doing it, `breach` without an error. Operations: those of struct dsb_plugin,
 * and `read` and `write` of streams.
 */
#include "wrap.h"

#include <string.h>

/** Whether this call of `op` is the one to fail. Each operation counts by itself. */
static gboolean is_due(const char *op, const char *how)
{
    static GMutex lock;
    static GHashTable *calls;
    const char *text = g_getenv("DSB_TEST_FAULT");
    g_auto(GStrv) parts = g_strsplit(text != NULL ? text : "", ":", 3);
    if (g_strv_length(parts) < 2 || !g_str_equal(parts[0], op) ||
        !g_str_equal(parts[2] != NULL ? parts[2] : "error", how))
        return FALSE;
    g_mutex_lock(&lock);
    if (calls == NULL)
        calls = g_hash_table_new(g_str_hash, g_str_equal);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(calls, op)) + 1;
    g_hash_table_insert(calls, (gpointer) op, GUINT_TO_POINTER(n));
    g_mutex_unlock(&lock);
    return n == g_ascii_strtoull(parts[1], NULL, 10);
}

static gboolean inject(const char *op, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "injected fault in %s", op);
    return FALSE;
}

/** In front of an operation: ends it when its fault is due. */
#define BEFORE(op)                                                                                                     \
    if (is_due((op), "error"))                                                                                         \
        return inject((op), error);                                                                                    \
    if (is_due((op), "breach"))                                                                                        \
    return FALSE

static gboolean fault_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    BEFORE("open");
    return wrap_open(params, backend, error);
}

static gboolean fault_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    BEFORE("describe");
    return wrap_describe(backend, info, error);
}

static gboolean fault_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    BEFORE("create");
    if (!is_due("create", "late"))
        return wrap_create(backend, spec, id, error);
    g_autofree char *made = NULL; /* what the caller never learns of stays behind, under spec->name */
    return wrap_create(backend, spec, &made, error) ? inject("create", error) : FALSE;
}

static gboolean fault_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                              GError **error)
{
    BEFORE("inspect");
    return wrap_inspect(backend, id, spec, observed, error);
}

struct faulty_stream {
    struct dsb_stream inner;
};

static gssize fault_read(void *state, void *buffer, gsize size, GError **error)
{
    struct faulty_stream *stream = state;
    if (is_due("read", "error")) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LOST, "injected fault in read");
        return -1;
    }
    if (is_due("read", "breach"))
        return (gssize) size + 1;
    return stream->inner.read(stream->inner.state, buffer, size, error);
}

static gssize fault_write(void *state, const void *buffer, gsize size, GError **error)
{
    struct faulty_stream *stream = state;
    if (is_due("write", "error")) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LOST, "injected fault in write");
        return -1;
    }
    if (is_due("write", "breach"))
        return -1;
    return stream->inner.write(stream->inner.state, buffer, size, error);
}

static const char *fault_diagnostic(void *state)
{
    struct faulty_stream *stream = state;
    return stream->inner.diagnostic != NULL ? stream->inner.diagnostic(stream->inner.state) : NULL;
}

static void fault_stream_close(void *state)
{
    struct faulty_stream *stream = state;
    stream->inner.close(stream->inner.state);
    g_free(stream);
}

static gboolean fault_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    BEFORE("start");
    struct dsb_stream inner = *stream;
    if (!wrap_start(backend, id, &inner, error))
        return FALSE;
    if (is_due("start", "late")) {
        inner.close(inner.state);
        return inject("start", error);
    }
    struct faulty_stream *faulty = g_new0(struct faulty_stream, 1);
    faulty->inner = inner;
    *stream = inner;
    stream->state = faulty;
    stream->read = fault_read;
    stream->write = fault_write;
    stream->diagnostic = fault_diagnostic;
    stream->close = fault_stream_close;
    return TRUE;
}

static gboolean fault_kill(void *backend, const char *id, GError **error)
{
    BEFORE("kill");
    return wrap_kill(backend, id, error);
}

static gboolean fault_destroy(void *backend, const char *id, GError **error)
{
    BEFORE("destroy");
    return wrap_destroy(backend, id, error);
}

static gboolean fault_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    BEFORE("list");
    return wrap_list(backend, owner, leftovers, error);
}

static gboolean fault_prepare(void *backend, const char *image, gboolean pull, struct dsb_image_info *info,
                              GError **error)
{
    BEFORE("prepare");
    return wrap_prepare(backend, image, pull, info, error);
}

static gboolean fault_usage(void *backend, const char *id, struct dsb_usage *usage, GError **error)
{
    BEFORE("usage");
    return wrap_usage(backend, id, usage, error);
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSB_CONTROLS_ALL,
    .name = "fault",
    .version = "0",
    .description = "test: fails the n-th call",
    .open = fault_open,
    .close = wrap_close,
    .describe = fault_describe,
    .create = fault_create,
    .inspect = fault_inspect,
    .start = fault_start,
    .kill = fault_kill,
    .destroy = fault_destroy,
    .list = fault_list,
    .prepare = fault_prepare,
    .usage = fault_usage,
    .image_make = wrap_image_make,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
