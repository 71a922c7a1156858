/* SPDX-License-Identifier: MIT */
/* The gate: calls that go well, arguments that are refused, threads, who watches. */
#include "gate_fixture.h"

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
    assert_true(dsb_backend_prepare(backend, "python:3", &image, &error));
    assert_false(dsb_backend_prepare(backend, "missing:1", &image, &error));
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

    struct dsb_byte_stream stream = {0};
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

    assert_true(dsb_backend_destroy(backend, id, &error));
    assert_true(dsb_backend_destroy(backend, id, &error));
    assert_true(dsb_backend_destroy(backend, "never-was", &error));
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
        assert_false(dsb_backend_destroy(backend, ids[i], &error));
        assert_code(&error, DSB_ERROR_INVALID, "destroy");
    }
    struct dsb_image_info image = {.struct_size = sizeof image};
    static const char *const images[] = {NULL, "", "-v", "a b", "a\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        assert_false(dsb_backend_prepare(backend, images[i], &image, &error));
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
    const struct dsb_bind *const comma[] = {BIND("/tmp/a,b", "/sandbox", FALSE)};
    const struct dsb_bind *const dots[] = {BIND("/tmp/../etc", "/sandbox", FALSE)};
    const struct dsb_bind *const colon[] = {BIND("/tmp", "/sandbox:rw", FALSE)};
    const struct dsb_bind sizeless = {0, "/tmp", "/sandbox", FALSE}, *const no_size[] = {&sizeless}, *const hole[] = {NULL};
    const struct dsb_pair *const equals[] = {PAIR("A=B", "x")};
    struct dsb_spec specs[14];
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
    specs[10].network = 9;
    specs[11].required = UINT64_MAX;
    specs[12].binds = no_size;
    specs[13].binds = hole;
    specs[12].n_binds = specs[13].n_binds = 1;
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

/* ---- threads ---- */

static gint inside, most;

static int slow_by_id(void *backend, const char *id, struct dsb_plugin_error *error)
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

static gint run_threads(struct dsb_backend *backend)
{
    GThread *threads[4];
    g_atomic_int_set(&most, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("gate", destroy_thread, backend);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    return g_atomic_int_get(&most);
}

static void serialises_serial_backends(void **state)
{
    (void) state;
    struct dsb_loaded *loaded = load_memory();
    loaded->plugin.destroy = slow_by_id;
    struct dsb_backend *backend = open_loaded(loaded);
    assert_int_equal(run_threads(backend), 1);
    dsb_backend_close(backend);

    loaded = load_memory();
    loaded->plugin.destroy = slow_by_id;
    loaded->plugin.thread_model = DSB_THREADS_PARALLEL;
    backend = open_loaded(loaded);
    assert_true(run_threads(backend) > 1);
    dsb_backend_close(backend);
}

/* ---- who watches ---- */

static void on_call(void *data, const char *plugin, const char *operation, guint64 at_most_ms)
{
    g_string_append_printf(data, "%s %s %" G_GUINT64_FORMAT "\n", plugin, operation != NULL ? operation : "ended", at_most_ms);
}

static void tells_of_each_call(void **state)
{
    (void) state;
    g_autoptr(GString) told = g_string_new(NULL);
    struct dsb_loaded *loaded = load_memory();
    struct dsb_open_params params = {.struct_size = sizeof params, .call_timeout_ms = 1000};
    struct dsb_engine_info info = {.struct_size = sizeof info};
    struct dsb_backend *backend = NULL;
    dsb_set_call_hook(on_call, told);
    assert_true(dsb_backend_open(loaded, &params, &backend, NULL));
    assert_true(dsb_backend_describe(backend, &info, NULL));
    assert_false(dsb_backend_destroy(backend, "-no-id", NULL)); /* does not reach the plugin */
    dsb_backend_close(backend);
    dsb_set_call_hook(NULL, NULL);
    dsb_loaded_free(loaded);
    assert_string_equal(told->str, "memory open 13000\nmemory ended 0\nmemory describe 13000\nmemory ended 0\n"
                                   "memory close 13000\nmemory ended 0\n");
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
    g_setenv("DSB_TEST_FAULT", "destroy:1:breach", TRUE);
    assert_false(dsb_backend_destroy(backend, "x", &error));
    assert_code(&error, DSB_ERROR_PLUGIN, "contract of destroy");
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
        cmocka_unit_test(passes_a_whole_life),
        cmocka_unit_test(passes_open_errors),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test(refuses_bad_specs),
        cmocka_unit_test(refuses_what_is_not_enforced),
        cmocka_unit_test(serialises_serial_backends),
        cmocka_unit_test(tells_of_each_call),
        cmocka_unit_test(injects_the_nth_fault),
        cmocka_unit_test(lies_and_confesses),
        cmocka_unit_test(makes_texts_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
