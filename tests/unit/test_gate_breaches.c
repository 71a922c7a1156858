/* SPDX-License-Identifier: MIT */
/* The gate: plugins that break their contract, and what becomes of it. */
#include "gate_fixture.h"

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

static gboolean spoilt_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    (void) info;
    return spoilt_by_id(backend, image, error);
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
    struct dsb_image_source source = {.struct_size = sizeof source, .tarball = "/x", .name = "a:b"};
    assert_false(dsb_backend_describe(backend, &info, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of describe");
    assert_false(dsb_backend_prepare(backend, "a", &image, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of prepare");
    assert_false(dsb_backend_create(backend, &spec, &id, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of create");
    assert_false(dsb_backend_inspect(backend, "x", &spec, &observed, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of inspect");
    assert_false(dsb_backend_start(backend, "x", &stream, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of start");
    assert_false(dsb_backend_destroy(backend, "x", &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of destroy");
    assert_false(dsb_backend_list(backend, NULL, &leftovers, &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of list");
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
    loaded->plugin.destroy = spoilt_by_id;
    loaded->plugin.list = spoilt_list;
    loaded->plugin.prepare = spoilt_prepare;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catches_broken_errors),
        cmocka_unit_test(catches_wrong_results),
        cmocka_unit_test(catches_wrong_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
