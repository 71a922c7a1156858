/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const argv[] = {"/opt/dsandbox/dsb-init", NULL};
static const struct dsb_bind binds[] = {{"/tmp", "/sandbox", FALSE}, {"/usr", "/opt/dsandbox", TRUE}};
static const struct dsb_pair labels[] = {{DSB_LABEL_OWNER, "me"}, {DSB_LABEL_SESSION, "s"}, {DSB_LABEL_DEADLINE, "7"}};

static struct dsb_spec good_spec(void)
{
    return (struct dsb_spec){
        .struct_size = sizeof(struct dsb_spec),
        .required = DSB_CONTROLS_ALL,
        .name = "dsb-test",
        .image = "sha256:0123",
        .labels = labels,
        .n_labels = G_N_ELEMENTS(labels),
        .argv = argv,
        .workdir = "/sandbox",
        .hostname = "sandbox",
        .binds = binds,
        .n_binds = G_N_ELEMENTS(binds),
        .uid = 1000,
        .gid = 1000,
        .memory_bytes = 1 << 20,
    };
}

/** The memory plugin, loaded afresh: tests replace its operations. */
static struct dsb_loaded *load_memory(void)
{
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    if (!dsb_loader_open(NULL, path, &loaded, &error))
        fail_msg("%s", error->message);
    return loaded;
}

static struct dsb_backend *open_loaded(struct dsb_loaded *loaded)
{
    struct dsb_open_params params = {.struct_size = sizeof params};
    struct dsb_backend *backend = NULL;
    assert_true(dsb_backend_open(loaded, &params, &backend, NULL));
    dsb_loaded_free(loaded);
    return backend;
}

static struct dsb_backend *open_memory(void) { return open_loaded(load_memory()); }

static void assert_code(GError **error, int code, const char *word)
{
    assert_non_null(*error);
    if (!g_error_matches(*error, DSB_ERROR, code) || strstr((*error)->message, word) == NULL)
        fail_msg("code %d instead of %d, or no \"%s\" in: %s", (*error)->code, code, word, (*error)->message);
    g_clear_error(error);
}

/* ---- all goes well ---- */

static void passes_a_whole_life(void **state)
{
    (void) state;
    struct dsb_backend *backend = open_memory();
    g_autoptr(GError) error = NULL;
    assert_string_equal(dsb_backend_name(backend), "memory");
    assert_string_equal(dsb_backend_version(backend), "1");
    assert_non_null(dsb_backend_description(backend));

    struct dsb_engine_info info = {.struct_size = sizeof info};
    assert_true(dsb_backend_describe(backend, &info, &error));
    assert_string_equal(info.product, "memory");
    struct dsb_image_info image = {.struct_size = sizeof image};
    assert_true(dsb_backend_prepare(backend, "python:3", FALSE, &image, &error));
    assert_false(dsb_backend_prepare(backend, "missing:1", FALSE, &image, &error));
    assert_code(&error, DSB_ERROR_NOT_FOUND, "missing:1");

    struct dsb_spec spec = good_spec();
    g_autofree char *id = NULL;
    assert_true(dsb_backend_create(backend, &spec, &id, &error));
    char *other = NULL;
    assert_false(dsb_backend_create(backend, &spec, &other, &error));
    assert_code(&error, DSB_ERROR_CONFLICT, "dsb-test");
    assert_null(other);
    struct dsb_observed observed = {.struct_size = sizeof observed};
    assert_true(dsb_backend_inspect(backend, id, &spec, &observed, &error));
    assert_int_equal(observed.memory_bytes, spec.memory_bytes);

    struct dsb_stream stream = {.struct_size = sizeof stream};
    assert_true(dsb_backend_start(backend, id, &stream, &error));
    char buffer[8];
    assert_int_equal(stream.read(stream.state, buffer, sizeof buffer, &error), -1);
    assert_code(&error, DSB_ERROR_WOULD_BLOCK, "");
    assert_int_equal(stream.write(stream.state, "abc", 3, &error), 3);
    assert_int_equal(stream.read(stream.state, buffer, sizeof buffer, &error), 3);
    assert_string_equal(stream.diagnostic(stream.state), "");
    stream.close(stream.state);

    GPtrArray *leftovers = NULL;
    assert_true(dsb_backend_list(backend, "me", &leftovers, &error));
    assert_int_equal(leftovers->len, 1);
    g_ptr_array_unref(leftovers);
    assert_true(dsb_backend_list(backend, "other", &leftovers, &error));
    assert_int_equal(leftovers->len, 0);
    g_ptr_array_unref(leftovers);

    assert_true(dsb_backend_kill(backend, id, &error));
    assert_true(dsb_backend_destroy(backend, id, &error));
    assert_true(dsb_backend_destroy(backend, id, &error));
    assert_true(dsb_backend_kill(backend, "never-was", &error));
    struct dsb_usage usage = {.struct_size = sizeof usage};
    assert_false(dsb_backend_usage(backend, id, &usage, &error));
    assert_code(&error, DSB_ERROR_UNSUPPORTED, "memory");
    struct dsb_image_source source = {.struct_size = sizeof source, .tarball = "/x", .name = "a:b"};
    assert_false(dsb_backend_image_make(backend, &source, &error));
    assert_code(&error, DSB_ERROR_UNSUPPORTED, "image_make");
    dsb_backend_close(backend);
    dsb_backend_close(NULL);
}

static void passes_open_errors(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    struct dsb_open_params params = {.struct_size = sizeof params, .endpoint = "absent"};
    struct dsb_backend *backend = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(dsb_backend_open(loaded, &params, &backend, &error));
    assert_code(&error, DSB_ERROR_UNAVAILABLE, "start it");
    params.struct_size = 0;
    assert_false(dsb_backend_open(loaded, &params, &backend, &error));
    assert_code(&error, DSB_ERROR_INVALID, "struct_size");
    assert_null(backend);
    dsb_loaded_free(loaded);
}

static void makes_texts_printable(void **state)
{
    (void) state;
    struct dsb_open_params params = {.struct_size = sizeof params, .endpoint = "a\033[2J\xff\xc3\xa4\xc2\x9b\xc3"};
    struct dsb_backend *backend = NULL;
    struct dsb_engine_info info = {.struct_size = sizeof info};
    struct dsb_loaded *loaded = load_memory();
    assert_true(dsb_backend_open(loaded, &params, &backend, NULL));
    assert_true(dsb_backend_describe(backend, &info, NULL));
    assert_string_equal(info.endpoint, "a?[2J?\xc3\xa4???");
    dsb_backend_close(backend);
    dsb_loaded_free(loaded);
}

/* ---- arguments ---- */

static void refuses_bad_arguments(void **state)
{
    (void) state;
    struct dsb_backend *backend = open_memory();
    g_autoptr(GError) error = NULL;
    static const char *const ids[] = {NULL, "", "-x", "a b", "a/b", "a\n", "--all"};
    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        assert_false(dsb_backend_kill(backend, ids[i], &error));
        assert_code(&error, DSB_ERROR_INVALID, "kill");
        assert_false(dsb_backend_destroy(backend, ids[i], &error));
        assert_code(&error, DSB_ERROR_INVALID, "destroy");
    }
    struct dsb_image_info image = {.struct_size = sizeof image};
    static const char *const images[] = {NULL, "", "-v", "a b", "a\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        assert_false(dsb_backend_prepare(backend, images[i], FALSE, &image, &error));
        assert_code(&error, DSB_ERROR_INVALID, "prepare");
    }
    struct dsb_engine_info info = {0};
    assert_false(dsb_backend_describe(backend, &info, &error));
    assert_code(&error, DSB_ERROR_INVALID, "struct_size");
    dsb_backend_close(backend);
}

static void refuses_bad_specs(void **state)
{
    (void) state;
    struct dsb_backend *backend = open_memory();
    static const char *const relative[] = {"sh", NULL};
    static const struct dsb_bind comma[] = {{"/tmp/a,b", "/sandbox", FALSE}};
    static const struct dsb_bind dots[] = {{"/tmp/../etc", "/sandbox", FALSE}};
    static const struct dsb_bind colon[] = {{"/tmp", "/sandbox:rw", FALSE}};
    static const struct dsb_pair equals[] = {{"A=B", "x"}};
    struct dsb_spec specs[12];
    for (gsize i = 0; i < G_N_ELEMENTS(specs); i++)
        specs[i] = good_spec();
    specs[0].struct_size = 0;
    specs[1].name = "-x";
    specs[2].image = "--privileged";
    specs[3].argv = relative;
    specs[4].workdir = NULL;
    specs[5].binds = comma;
    specs[5].n_binds = 1;
    specs[6].binds = dots;
    specs[6].n_binds = 1;
    specs[7].binds = colon;
    specs[7].n_binds = 1;
    specs[8].env = equals;
    specs[8].n_env = 1;
    specs[9].uid = 0;
    specs[10].network = (enum dsb_network) 9;
    specs[11].required = UINT64_MAX;
    for (gsize i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autoptr(GError) error = NULL;
        char *id = NULL;
        assert_false(dsb_backend_create(backend, &specs[i], &id, &error));
        assert_code(&error, DSB_ERROR_INVALID, "create");
        assert_null(id);
    }
    dsb_backend_close(backend);
}

static void refuses_what_is_not_enforced(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.enforces &= ~DSB_BIT(DSB_CONTROL_SECCOMP);
    struct dsb_backend *backend = open_loaded(loaded);
    struct dsb_spec spec = good_spec();
    g_autoptr(GError) error = NULL;
    g_autofree char *id = NULL;
    assert_false(dsb_backend_create(backend, &spec, &id, &error));
    assert_code(&error, DSB_ERROR_REFUSED, "memory");
    spec.required &= ~DSB_BIT(DSB_CONTROL_SECCOMP);
    assert_true(dsb_backend_create(backend, &spec, &id, &error));
    dsb_backend_close(backend);
}

/* ---- breaches ---- */

/** How a spoilt operation misbehaves. */
static enum { QUIET_FAILURE, TRUE_AND_ERROR, FOREIGN_DOMAIN, BAD_CODE, WOULD_BLOCK, NO_MESSAGE } manner;

static gboolean misbehave(GError **error)
{
    switch (manner) {
    case QUIET_FAILURE:
        return FALSE;
    case TRUE_AND_ERROR:
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "both");
        return TRUE;
    case FOREIGN_DOMAIN:
        g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "foreign");
        return FALSE;
    case BAD_CODE:
        g_set_error_literal(error, DSB_ERROR, 999, "unknown code");
        return FALSE;
    case WOULD_BLOCK:
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "of streams only");
        return FALSE;
    case NO_MESSAGE:
        *error = g_error_new_literal(DSB_ERROR, 999, "\xff\xfe");
        return FALSE;
    }
    return FALSE;
}

static gboolean spoilt_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    (void) params;
    (void) backend;
    return misbehave(error);
}

static gboolean spoilt_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) backend;
    (void) info;
    return misbehave(error);
}

static gboolean spoilt_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    (void) backend;
    (void) spec;
    (void) id;
    return misbehave(error);
}

static gboolean spoilt_inspect(void *backend, const char *id, const struct dsb_spec *spec,
                               struct dsb_observed *observed, GError **error)
{
    (void) id;
    (void) observed;
    return spoilt_create(backend, spec, NULL, error);
}

static gboolean spoilt_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    (void) stream;
    return spoilt_inspect(backend, id, NULL, NULL, error);
}

static gboolean spoilt_by_id(void *backend, const char *id, GError **error)
{
    return spoilt_start(backend, id, NULL, error);
}

static gboolean spoilt_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    (void) leftovers;
    return spoilt_by_id(backend, owner, error);
}

static gboolean spoilt_prepare(void *backend, const char *image, gboolean pull, struct dsb_image_info *info,
                               GError **error)
{
    (void) pull;
    (void) info;
    return spoilt_by_id(backend, image, error);
}

static gboolean spoilt_usage(void *backend, const char *id, struct dsb_usage *usage, GError **error)
{
    (void) usage;
    return spoilt_by_id(backend, id, error);
}

static gboolean spoilt_image_make(void *backend, const struct dsb_image_source *source, GError **error)
{
    (void) source;
    return spoilt_by_id(backend, NULL, error);
}

static void call_all_spoilt(struct dsb_backend *backend)
{
    g_autoptr(GError) error = NULL;
    struct dsb_spec spec = good_spec();
    char *id = NULL;
    GPtrArray *leftovers = NULL;
    struct dsb_engine_info info = {.struct_size = sizeof info};
    struct dsb_image_info image = {.struct_size = sizeof image};
    struct dsb_observed observed = {.struct_size = sizeof observed};
    struct dsb_stream stream = {.struct_size = sizeof stream};
    struct dsb_usage usage = {.struct_size = sizeof usage};
    struct dsb_image_source source = {.struct_size = sizeof source, .tarball = "/x", .name = "a:b"};
    assert_false(dsb_backend_describe(backend, &info, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of describe");
    assert_false(dsb_backend_prepare(backend, "a", FALSE, &image, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of prepare");
    assert_false(dsb_backend_create(backend, &spec, &id, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of create");
    assert_false(dsb_backend_inspect(backend, "x", &spec, &observed, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of inspect");
    assert_false(dsb_backend_start(backend, "x", &stream, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of start");
    assert_false(dsb_backend_kill(backend, "x", &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of kill");
    assert_false(dsb_backend_destroy(backend, "x", &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of destroy");
    assert_false(dsb_backend_list(backend, NULL, &leftovers, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of list");
    assert_false(dsb_backend_usage(backend, "x", &usage, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of usage");
    assert_false(dsb_backend_image_make(backend, &source, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of image_make");
    assert_null(id);
    assert_null(leftovers);
    assert_null(stream.state);
}

static void catches_broken_errors(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.describe = spoilt_describe;
    loaded->plugin.create = spoilt_create;
    loaded->plugin.inspect = spoilt_inspect;
    loaded->plugin.start = spoilt_start;
    loaded->plugin.kill = spoilt_by_id;
    loaded->plugin.destroy = spoilt_by_id;
    loaded->plugin.list = spoilt_list;
    loaded->plugin.prepare = spoilt_prepare;
    loaded->plugin.usage = spoilt_usage;
    loaded->plugin.image_make = spoilt_image_make;
    struct dsb_backend *backend = open_loaded(loaded);
    for (manner = QUIET_FAILURE; manner <= NO_MESSAGE; manner++)
        call_all_spoilt(backend);
    dsb_backend_close(backend);

    loaded = load_memory();
    loaded->plugin.open = spoilt_open;
    for (manner = QUIET_FAILURE; manner <= NO_MESSAGE; manner++) {
        struct dsb_open_params params = {.struct_size = sizeof params};
        g_autoptr(GError) error = NULL;
        assert_false(dsb_backend_open(loaded, &params, &backend, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of open");
    }
    dsb_loaded_free(loaded);
}

static int shape; /* which wrong result an operation gives */

static gboolean wrong_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) backend;
    switch (shape) {
    case 0:
        memset(info->version, 'x', sizeof info->version);
        g_strlcpy(info->product, "p", sizeof info->product);
        return TRUE;
    case 1:
        return TRUE; /* no product */
    case 2:
        g_strlcpy(info->product, "p", sizeof info->product);
        info->struct_size = 1;
        return TRUE;
    case 3:
        g_strlcpy(info->product, "p", sizeof info->product);
        info->cgroup_version = 77;
        return TRUE;
    default:
        info->local = TRUE; /* touched, then failed */
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "no");
        return FALSE;
    }
}

static gboolean wrong_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    static const char *const ids[] = {NULL, "", "--all", "a/b", "a b"};
    (void) backend;
    (void) spec;
    if (shape == G_N_ELEMENTS(ids)) {
        *id = (char *) "static";
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "no");
        return FALSE;
    }
    *id = g_strdup(ids[shape]);
    return TRUE;
}

static gboolean wrong_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                              GError **error)
{
    (void) backend;
    (void) id;
    (void) spec;
    (void) error;
    if (shape == 0)
        observed->known = UINT64_MAX;
    if (shape == 1)
        memset(observed->runtime, 'x', sizeof observed->runtime);
    if (shape == 2)
        observed->network = (enum dsb_network) 5;
    if (shape == 3)
        observed->shared_namespaces = 1 << 20;
    if (shape == 4)
        observed->struct_size = 0;
    return TRUE;
}

static gboolean wrong_list(void *backend, const char *owner, GPtrArray **leftovers, GError **error)
{
    (void) backend;
    (void) owner;
    (void) error;
    if (shape == 0)
        return TRUE;
    *leftovers = g_ptr_array_new();
    struct dsb_leftover *one = g_new0(struct dsb_leftover, 1);
    if (shape == 1)
        memset(one->id, 'x', sizeof one->id);
    if (shape == 2)
        g_strlcpy(one->id, "-rf", sizeof one->id);
    if (shape == 3)
        memset(one->session, 'x', sizeof one->session);
    g_ptr_array_add(*leftovers, one);
    return TRUE;
}

static gboolean noted_destroy(void *backend, const char *id, GError **error)
{
    (void) backend;
    (void) error;
    check_expected(id);
    return TRUE;
}

static void catches_wrong_results(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.describe = wrong_describe;
    loaded->plugin.create = wrong_create;
    loaded->plugin.inspect = wrong_inspect;
    loaded->plugin.list = wrong_list;
    loaded->plugin.destroy = noted_destroy;
    struct dsb_backend *backend = open_loaded(loaded);
    struct dsb_spec spec = good_spec();
    g_autoptr(GError) error = NULL;
    for (shape = 0; shape < 5; shape++) {
        struct dsb_engine_info info = {.struct_size = sizeof info};
        assert_false(dsb_backend_describe(backend, &info, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of describe");
        assert_false(info.local);
    }
    for (shape = 0; shape < 6; shape++) {
        char *id = NULL;
        expect_string(noted_destroy, id, "dsb-test"); /* what it made must not stay */
        assert_false(dsb_backend_create(backend, &spec, &id, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of create");
        assert_null(id);
    }
    for (shape = 0; shape < 5; shape++) {
        struct dsb_observed observed = {.struct_size = sizeof observed};
        assert_false(dsb_backend_inspect(backend, "x", &spec, &observed, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of inspect");
        assert_true(observed.known == 0);
    }
    for (shape = 0; shape < 4; shape++) {
        GPtrArray *leftovers = NULL;
        assert_false(dsb_backend_list(backend, NULL, &leftovers, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of list");
        assert_null(leftovers);
    }
    dsb_backend_close(backend);
}

/* ---- streams ---- */

static int closed_streams;

static gssize stream_read(void *state, void *buffer, gsize size, GError **error)
{
    (void) state;
    (void) buffer;
    switch (shape) {
    case 0:
        return (gssize) size + 1;
    case 1:
        return -1;
    case 2:
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LOST, "and a count");
        return 1;
    default:
        return -7;
    }
}

static gssize stream_write(void *state, const void *buffer, gsize size, GError **error)
{
    (void) buffer;
    return shape == 3 ? 0 : stream_read(state, NULL, size, error);
}

static void stream_close(void *state)
{
    (void) state;
    closed_streams++;
}

static gboolean wrong_start(void *backend, const char *id, struct dsb_stream *stream, GError **error)
{
    (void) backend;
    (void) id;
    (void) error;
    stream->read = shape == 10 ? NULL : stream_read;
    stream->write = stream_write;
    stream->close = stream_close;
    stream->read_fd = stream->write_fd = shape == 11 ? 9999 : shape == 12 ? -1 : 0;
    return TRUE;
}

static void catches_wrong_streams(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.start = wrong_start;
    struct dsb_backend *backend = open_loaded(loaded);
    g_autoptr(GError) error = NULL;
    struct dsb_stream stream = {.struct_size = sizeof stream};
    closed_streams = 0;
    for (shape = 10; shape < 13; shape++) {
        assert_false(dsb_backend_start(backend, "x", &stream, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of start");
        assert_null(stream.state);
    }
    assert_int_equal(closed_streams, 3);
    for (shape = 0; shape < 4; shape++) {
        char buffer[4];
        assert_true(dsb_backend_start(backend, "x", &stream, &error));
        assert_int_equal(stream.read(stream.state, buffer, sizeof buffer, &error), -1);
        assert_code(&error, DSB_ERROR_PLUGIN, "stream.read");
        assert_int_equal(stream.write(stream.state, buffer, sizeof buffer, &error), -1);
        assert_code(&error, DSB_ERROR_PLUGIN, "stream.write");
        stream.close(stream.state);
    }
    dsb_backend_close(backend);
}

/* ---- threads ---- */

static gint inside, most;

static gboolean slow_by_id(void *backend, const char *id, GError **error)
{
    (void) backend;
    (void) id;
    (void) error;
    gint now = g_atomic_int_add(&inside, 1) + 1;
    for (gint seen = g_atomic_int_get(&most); now > seen; seen = g_atomic_int_get(&most))
        g_atomic_int_compare_and_exchange(&most, seen, now);
    g_usleep(20000);
    g_atomic_int_add(&inside, -1);
    return TRUE;
}

static gpointer destroy_thread(gpointer data)
{
    dsb_backend_destroy(data, "x", NULL);
    return NULL;
}

static gpointer kill_thread(gpointer data)
{
    dsb_backend_kill(data, "x", NULL);
    return NULL;
}

static gint run_threads(struct dsb_backend *backend, GThreadFunc one, GThreadFunc other)
{
    GThread *threads[4];
    g_atomic_int_set(&most, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("gate", i % 2 == 0 ? one : other, backend);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    return g_atomic_int_get(&most);
}

static void serialises_serial_backends(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.destroy = slow_by_id;
    loaded->plugin.kill = slow_by_id;
    struct dsb_backend *backend = open_loaded(loaded);
    assert_int_equal(run_threads(backend, destroy_thread, destroy_thread), 1);
    assert_true(run_threads(backend, destroy_thread, kill_thread) > 1); /* kill does not wait */
    dsb_backend_close(backend);
}

/* ---- the fault wrapper ---- */

static void injects_the_nth_fault(void **state)
{
    (void) state;
    g_autofree char *inner = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-fault.so", NULL);
    g_setenv("DSB_TEST_INNER", inner, TRUE);
    g_setenv("DSB_TEST_FAULT", "describe:2", TRUE);
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(dsb_loader_open("fault", path, &loaded, &error));
    struct dsb_backend *backend = open_loaded(loaded);
    struct dsb_engine_info info = {.struct_size = sizeof info};
    assert_true(dsb_backend_describe(backend, &info, &error));
    assert_false(dsb_backend_describe(backend, &info, &error));
    assert_code(&error, DSB_ERROR_UNAVAILABLE, "injected");
    assert_true(dsb_backend_describe(backend, &info, &error));
    g_setenv("DSB_TEST_FAULT", "kill:1:breach", TRUE);
    assert_false(dsb_backend_kill(backend, "x", &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of kill");
    dsb_backend_close(backend);
}

/** Every control that the liar spoils shows in what it confesses, and does not show when it lies. */
static void lies_and_confesses(void **state)
{
    (void) state;
    g_autofree char *inner = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-liar.so", NULL);
    g_setenv("DSB_TEST_INNER", inner, TRUE);
    struct dsb_loaded *loaded = NULL;
    assert_true(dsb_loader_open("liar", path, &loaded, NULL));
    struct dsb_backend *backend = open_loaded(loaded);
    struct dsb_spec spec = good_spec();
    g_autofree char *id = NULL;
    g_setenv("DSB_TEST_LIE", "memory", TRUE);
    assert_true(dsb_backend_create(backend, &spec, &id, NULL));
    struct dsb_observed observed = {.struct_size = sizeof observed};
    assert_true(dsb_backend_inspect(backend, id, &spec, &observed, NULL));
    assert_int_equal(observed.memory_bytes, spec.memory_bytes);
    g_unsetenv("DSB_TEST_LIE");
    assert_true(dsb_backend_inspect(backend, id, &spec, &observed, NULL));
    assert_int_equal(observed.memory_bytes, 2 * spec.memory_bytes);
    g_setenv("DSB_TEST_HIDE", "memory", TRUE);
    assert_true(dsb_backend_inspect(backend, id, &spec, &observed, NULL));
    assert_true((observed.known & DSB_BIT(DSB_CONTROL_MEMORY)) == 0);
    g_unsetenv("DSB_TEST_HIDE");
    g_setenv("DSB_TEST_CONFESS", "network", TRUE);
    assert_true(dsb_backend_inspect(backend, id, &spec, &observed, NULL));
    assert_int_equal(observed.network, DSB_NETWORK_FULL);
    g_unsetenv("DSB_TEST_CONFESS");
    dsb_backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_a_whole_life),          cmocka_unit_test(passes_open_errors),
        cmocka_unit_test(refuses_bad_arguments),        cmocka_unit_test(refuses_bad_specs),
        cmocka_unit_test(refuses_what_is_not_enforced), cmocka_unit_test(catches_broken_errors),
        cmocka_unit_test(catches_wrong_results),        cmocka_unit_test(catches_wrong_streams),
        cmocka_unit_test(serialises_serial_backends),   cmocka_unit_test(injects_the_nth_fault),
        cmocka_unit_test(lies_and_confesses),           cmocka_unit_test(makes_texts_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
