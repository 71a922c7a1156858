/* SPDX-License-Identifier: MIT */
/* The gate: plugins that break their contract, and what becomes of it. */
#include "gate_fixture.h"

#include "../plugins/plugin_fail.h"

/** How a spoilt operation misbehaves. */
static enum { QUIET_FAILURE, TRUE_AND_ERROR, NO_TEXT, TRUE_AND_CODE, BAD_CODE, WOULD_BLOCK, HUGE_CODE, NO_SIZE } manner;

static int misbehave(struct dsb_plugin_error *error)
{
    switch (manner) {
    case QUIET_FAILURE:
        return 0;
    case TRUE_AND_ERROR:
        plugin_fail(error, DSB_ERROR_FAILED, "both");
        return 1;
    case NO_TEXT:
        error->code = DSB_ERROR_NOT_FOUND;
        return 0;
    case TRUE_AND_CODE:
        error->code = DSB_ERROR_NOT_FOUND;
        return 1;
    case BAD_CODE:
        return plugin_fail(error, 999, "unknown code");
    case WOULD_BLOCK:
        return plugin_fail(error, DSB_ERROR_WOULD_BLOCK, "of streams only");
    case HUGE_CODE:
        return plugin_fail(error, UINT32_MAX, "\xff\xfe");
    case NO_SIZE:
        error->struct_size = 0;
        return plugin_fail(error, DSB_ERROR_FAILED, "a size is not the plugin's");
    }
    return 0;
}

static int spoilt_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    (void) params;
    (void) backend;
    return misbehave(error);
}

static int spoilt_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) info;
    return misbehave(error);
}

static int spoilt_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                         struct dsb_plugin_error *error)
{
    (void) backend;
    (void) spec;
    (void) created;
    return misbehave(error);
}

static int spoilt_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                          struct dsb_plugin_error *error)
{
    (void) id;
    (void) observed;
    return spoilt_create(backend, spec, NULL, error);
}

static int spoilt_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
{
    (void) stream;
    return spoilt_inspect(backend, id, NULL, NULL, error);
}

static int spoilt_by_id(void *backend, const char *id, struct dsb_plugin_error *error)
{
    return spoilt_start(backend, id, NULL, error);
}

static int spoilt_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) each;
    (void) data;
    return spoilt_by_id(backend, owner, error);
}

static int spoilt_prepare(void *backend, const char *image, struct dsb_image_info *info, struct dsb_plugin_error *error)
{
    (void) info;
    return spoilt_by_id(backend, image, error);
}

static int spoilt_image_make(void *backend, const struct dsb_image_source *source, struct dsb_plugin_error *error)
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
    struct dsb_byte_stream stream = {0};
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
    for (manner = QUIET_FAILURE; manner <= NO_SIZE; manner++)
        call_all_spoilt(backend);
    dsb_backend_close(backend);

    loaded = load_memory();
    loaded->plugin.open = spoilt_open;
    for (manner = QUIET_FAILURE; manner <= NO_SIZE; manner++) {
        struct dsb_open_params params = {.struct_size = sizeof params};
        g_autoptr(GError) error = NULL;
        assert_false(dsb_backend_open(loaded, &params, &backend, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of open");
    }
    dsb_loaded_free(loaded);
}

static int shape; /* which wrong result an operation gives */

static int wrong_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
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
        return plugin_fail(error, DSB_ERROR_FAILED, "no");
    }
}

static int wrong_create(void *backend, const struct dsb_spec *spec, struct dsb_created *created,
                        struct dsb_plugin_error *error)
{
    static const char *const ids[] = {"", "--all", "a/b", "a b"};
    (void) backend;
    (void) spec;
    switch (shape) {
    case G_N_ELEMENTS(ids):
        g_strlcpy(created->id, "touched", sizeof created->id);
        return plugin_fail(error, DSB_ERROR_FAILED, "no");
    case G_N_ELEMENTS(ids) + 1: /* it may have been cut */
        memset(created->id, 'x', sizeof created->id - 1);
        return 1;
    default:
        g_strlcpy(created->id, ids[shape], sizeof created->id);
        return 1;
    }
}

static int wrong_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         struct dsb_plugin_error *error)
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
        observed->network = 5;
    if (shape == 3)
        observed->shared_namespaces = 1 << 20;
    if (shape == 4)
        observed->struct_size = 0;
    return TRUE;
}

static int wrong_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) owner;
    (void) error;
    g_autofree char *much = g_strnfill(128, 'x');
    const struct dsb_listed items[] = {
        {.struct_size = sizeof *items, .id = "x", .session = ""},
        {.struct_size = sizeof *items, .id = "x", .owner = ""},
        {.struct_size = sizeof *items, .id = "-rf", .owner = "", .session = ""},
        {.struct_size = sizeof *items, .id = much, .owner = "", .session = ""},
        {.struct_size = 8, .id = "x", .owner = "", .session = ""},
        {.struct_size = sizeof *items, .owner = "", .session = ""},
    };
    const struct dsb_listed good = {.struct_size = sizeof good, .id = "x", .owner = "", .session = ""};
    assert_true(each(data, &good));
    assert_false(each(data, shape == G_N_ELEMENTS(items) ? NULL : &items[shape]));
    assert_false(each(data, &good)); /* what comes after it is not taken */
    return 1;
}

static int noted_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
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
    for (shape = 0; shape < 7; shape++) {
        GPtrArray *leftovers = NULL;
        assert_false(dsb_backend_list(backend, NULL, &leftovers, &error));
        assert_code(&error, DSB_ERROR_PLUGIN, "contract of list");
        assert_null(leftovers);
    }
    dsb_backend_close(backend);
}

/* ---- texts ---- */

#define ELLIPSIS "\xe2\x80\xa6"

/** The error's text is of `length` bytes "ä", or fills its array without an end. */
static gsize length;

static int failing_destroy(void *backend, const char *id, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) id;
    error->code = DSB_ERROR_BUSY;
    for (gsize i = 0; i < length; i++)
        error->text[i] = i % 2 == 0 ? '\xc3' : '\xa4';
    if (length < sizeof error->text)
        error->text[length] = '\0';
    return 0;
}

static int long_describe(void *backend, struct dsb_engine_info *info, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) error;
    memset(info->product, 'p', sizeof info->product - 1);
    memset(info->version, 'v', sizeof info->version - 2);
    return 1;
}

static int long_list(void *backend, const char *owner, dsb_each_fn each, void *data, struct dsb_plugin_error *error)
{
    (void) backend;
    (void) owner;
    g_autofree char *much = g_strnfill(5000, 's');
    const struct dsb_listed item = {
        .struct_size = sizeof item, .id = "x", .owner = "o", .session = much, .deadline = 7, .running = 2};
    assert_true(each(data, &item));
    return shape == 0 ? 1 : plugin_fail(error, DSB_ERROR_LOST, "in the middle");
}

/** Nothing is cut without a word: neither what fills its array, nor what has no end. */
static void says_what_is_cut(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.destroy = failing_destroy;
    loaded->plugin.describe = long_describe;
    loaded->plugin.list = long_list;
    struct dsb_backend *backend = open_loaded(loaded);
    g_autoptr(GError) error = NULL;
    for (length = DSB_PLUGIN_ERROR_TEXT - 2; length <= DSB_PLUGIN_ERROR_TEXT; length++) {
        assert_false(dsb_backend_destroy(backend, "x", &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY));
        assert_true(g_utf8_validate(error->message, -1, NULL));
        assert_int_equal(g_str_has_suffix(error->message, ELLIPSIS), length > DSB_PLUGIN_ERROR_TEXT - 2);
        assert_true(strlen(error->message) >= DSB_PLUGIN_ERROR_TEXT - 3);
        g_clear_error(&error);
    }
    struct dsb_engine_info info = {.struct_size = sizeof info};
    assert_true(dsb_backend_describe(backend, &info, &error));
    assert_true(g_str_has_suffix(info.product, "p" ELLIPSIS));
    assert_int_equal(strlen(info.product), sizeof info.product - 1);
    assert_true(g_str_has_suffix(info.version, "vv"));
    g_autoptr(GPtrArray) leftovers = NULL;
    shape = 0;
    assert_true(dsb_backend_list(backend, NULL, &leftovers, &error));
    const struct dsb_leftover *one = leftovers->pdata[0];
    assert_int_equal(strlen(one->session), 5000);
    assert_true(one->deadline == 7 && one->running);
    shape = 1;
    GPtrArray *none = NULL;
    assert_false(dsb_backend_list(backend, NULL, &none, &error));
    assert_code(&error, DSB_ERROR_LOST, "in the middle");
    assert_null(none);
    dsb_backend_close(backend);
}

/* ---- streams ---- */

static int closed_streams;

static int64_t stream_read(void *state, void *buffer, size_t size, struct dsb_plugin_error *error)
{
    (void) state;
    (void) buffer;
    switch (shape) {
    case 0:
        return (gssize) size + 1;
    case 1:
        return -1;
    case 2:
        plugin_fail(error, DSB_ERROR_LOST, "and a count");
        return 1;
    default:
        return -7;
    }
}

static int64_t stream_write(void *state, const void *buffer, size_t size, struct dsb_plugin_error *error)
{
    (void) buffer;
    return shape == 3 ? 0 : stream_read(state, NULL, size, error);
}

static void stream_close(void *state)
{
    (void) state;
    closed_streams++;
}

static int wrong_start(void *backend, const char *id, struct dsb_stream *stream, struct dsb_plugin_error *error)
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
    struct dsb_byte_stream stream = {0};
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
        cmocka_unit_test(says_what_is_cut),
        cmocka_unit_test(catches_wrong_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
