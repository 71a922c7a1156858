/* SPDX-License-Identifier: MIT */
/*
 * Fails the n-th call of one operation: DSB_TEST_FAULT=op:n[:how][,...], or the path of a file with that. How: `error`
 * (the default) without doing anything, `late` after doing it, `breach` without an error, `rude` with one that no terminal
 * should see; what ends or holds up the process: `crash`, `abort`, `exit`, `success` (exit with 0), `hang`, `quiet`
 * (closes all descriptors, and hangs), `hold` (until the file DSB_TEST_HOLD is there; says so with DSB_TEST_HOLD.held); and
 * what leaves it another: `shut` (descriptors 0 to 2), `umask`, `mask` (every signal), `chdir`, `block` (one), `ignore` (one),
 * `locale`, `leak` (a hundred descriptors).
 * `describe` also `claims` that the engine removes what has ended. n is 0 for every call, and `once` for the first of
 * all, which empties the file. Operations: those of struct dsb_plugin, `load`, and `read`, `write` and `closing` of
 * streams.
 */
#include "wrap.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLD_MAX 60000 /* milliseconds: whoever is held up for good shall see where */

static char *fault(void)
{
    const char *text = g_getenv("DSB_TEST_FAULT");
    char *content = NULL;
    if (text == NULL || text[0] != '/')
        return g_strdup(text != NULL ? text : "");
    return g_file_get_contents(text, &content, NULL, NULL) ? g_strstrip(content) : g_strdup("");
}

/* The parts of its fault; NULL: it has none. */
static GStrv fault_of(const char *op)
{
    g_autofree char *text = fault();
    g_auto(GStrv) all = g_strsplit(text, ",", 0);
    for (guint i = 0; all[i] != NULL; i++) {
        g_auto(GStrv) parts = g_strsplit(all[i], ":", 3);
        if (g_strv_length(parts) >= 2 && g_str_equal(parts[0], op))
            return g_steal_pointer(&parts);
    }
    return NULL;
}

/** Whether this call of `op` is the one to fail. Each operation counts by itself. */
static gboolean is_due(const char *op, const char *how)
{
    static GMutex lock;
    static GHashTable *calls;
    g_auto(GStrv) parts = fault_of(op);
    if (parts == NULL || !g_str_equal(parts[2] != NULL ? parts[2] : "error", how))
        return FALSE;
    g_mutex_lock(&lock);
    if (calls == NULL)
        calls = g_hash_table_new(g_str_hash, g_str_equal);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(calls, op)) + 1;
    g_hash_table_insert(calls, (gpointer) op, GUINT_TO_POINTER(n));
    g_mutex_unlock(&lock);
    if (g_str_equal(parts[1], "once"))
        return n == 1 && g_file_set_contents(g_getenv("DSB_TEST_FAULT"), "", 0, NULL);
    guint64 due = g_ascii_strtoull(parts[1], NULL, 10);
    return due == 0 || n == due;
}

static void hold(const char *until)
{
    g_autofree char *held = g_strconcat(until, ".held", NULL);
    g_file_set_contents(held, "", 0, NULL);
    for (int turns = 0; !g_file_test(until, G_FILE_TEST_EXISTS); turns++) {
        if (turns == HOLD_MAX)
            abort();
        g_usleep(1000);
    }
}

/** What no error tells. */
static void break_process(const char *op)
{
    if (is_due(op, "crash")) {
        signal(SIGSEGV, SIG_DFL); /* no finding of a sanitizer */
        raise(SIGSEGV);
    }
    if (is_due(op, "abort"))
        abort();
    if (is_due(op, "exit"))
        exit(3);
    if (is_due(op, "success"))
        exit(0);
    gboolean quiet = is_due(op, "quiet");
    gboolean hang = is_due(op, "hang");
    if ((hang || quiet) && g_getenv("DSB_TEST_FAULT")[0] == '/')
        g_file_set_contents(g_getenv("DSB_TEST_FAULT"), "", 0, NULL); /* so that others know when */
    for (int fd = 0; quiet && fd < 1024; fd++)
        close(fd);
    while (quiet || hang)
        pause();
    if (is_due(op, "hold"))
        hold(g_getenv("DSB_TEST_HOLD"));
}

/** What is everybody's in the process, and of which no error tells either. */
static void change_process(const char *op)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    gboolean shut = is_due(op, "shut");
    for (int fd = 0; shut && fd < 3; fd++)
        close(fd);
    if (is_due(op, "mask")) {
        sigfillset(&one);
        pthread_sigmask(SIG_BLOCK, &one, NULL);
    }
    gboolean leak = is_due(op, "leak");
    for (int n = 0; leak && n < 100; n++)
        if (dup(STDERR_FILENO) < 0)
            abort();
    if (is_due(op, "umask"))
        umask(0);
    if (is_due(op, "chdir") && chdir("/proc") != 0)
        abort();
    if (is_due(op, "block"))
        pthread_sigmask(SIG_BLOCK, &one, NULL);
    if (is_due(op, "ignore"))
        signal(SIGPIPE, SIG_IGN);
    if (is_due(op, "locale"))
        setlocale(LC_ALL, "POSIX");
}

static void misbehave(const char *op)
{
    break_process(op);
    change_process(op);
}

__attribute__((constructor)) static void loaded(void) { misbehave("load"); }

static int inject(const char *op, struct dsb_plugin_error *error)
{
    return plugin_fail(error, DSB_ERROR_UNAVAILABLE, "injected fault in %s", op);
}

static int inject_rudely(struct dsb_plugin_error *error)
{
    g_autofree char *much = g_strnfill(100000, 'x');
    puts("{\"forged\": true}\n\x1b[2J\xff");
    fflush(stdout);
    return plugin_fail(error, DSB_ERROR_UNAVAILABLE, "\x1b[2J\xc3\nPI-01    pass\r%s", much);
}

/** In front of an operation: ends it when its fault is due. */
#define BEFORE(op)                                                                                                     \
    misbehave(op);                                                                                                     \
    if (is_due((op), "error"))                                                                                         \
        return inject((op), error);                                                                                    \
    if (is_due((op), "rude"))                                                                                          \
        return inject_rudely(error);                                                                                   \
    if (is_due((op), "breach"))                                                                                        \
    return FALSE

static int fault_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    BEFORE("open");
    return wrap_open(params, backend, error);
}

static int fault_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    BEFORE("describe");
    int ok = wrap_describe(backend, info, error);
    if (is_due("describe", "claims"))
        info->removes_ended = 1;
    return ok;
}

static int fault_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                        struct dsb_plugin_error *error)
{
    BEFORE("create");
    if (!is_due("create", "late"))
        return wrap_create(backend, spec, created, error);
    struct dsb_created made = *created; /* what the caller never learns of stays behind, under spec->name */
    return wrap_create(backend, spec, &made, error) ? inject("create", error) : 0;
}

static int fault_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         struct dsb_plugin_error *error)
{
    BEFORE("inspect");
    return wrap_inspect(backend, id, spec, observed, error);
}

struct faulty_stream {
    struct dsb_stream inner;
};

static int64_t fault_read(void *state, void *buffer, size_t size, struct dsb_plugin_error *error)
{
    struct faulty_stream *stream = state;
    misbehave("read");
    if (is_due("read", "error")) {
        plugin_fail(error, DSB_ERROR_LOST, "injected fault in read");
        return -1;
    }
    if (is_due("read", "breach"))
        return (gssize) size + 1;
    return stream->inner.read(stream->inner.state, buffer, size, error);
}

static int64_t fault_write(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error)
{
    struct faulty_stream *stream = state;
    misbehave("write");
    if (is_due("write", "error")) {
        plugin_fail(error, DSB_ERROR_LOST, "injected fault in write");
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
    misbehave("closing");
    stream->inner.close(stream->inner.state);
    g_free(stream);
}

static int fault_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
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

static int fault_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    BEFORE("destroy");
    return wrap_destroy(backend, id, error);
}

static int fault_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    BEFORE("list");
    return wrap_list(backend, owner, each, data, error);
}

static int fault_prepare(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error)
{
    BEFORE("prepare");
    return wrap_prepare(backend, image, info, error);
}

static int fault_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error)
{
    BEFORE("image_make");
    return wrap_image_make(backend, source, error);
}

static void fault_close(void *backend)
{
    misbehave("close");
    wrap_close(backend);
}

static const struct dsb_plugin plugin = {
    DSB_PLUGIN_HEADER,
    .thread_model = DSB_THREADS_PARALLEL,
    .enforces = DSB_CONTROLS_ALL,
    .name = "fault",
    .version = "0",
    .description = "test: fails the n-th call",
    .open = fault_open,
    .close = fault_close,
    .describe = fault_describe,
    .create = fault_create,
    .inspect = fault_inspect,
    .start = fault_start,
    .destroy = fault_destroy,
    .list = fault_list,
    .prepare = fault_prepare,
    .image_make = fault_image_make,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
