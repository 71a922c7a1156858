/* SPDX-License-Identifier: MIT */
#include "plugin/loader.h"

#include "plugin/gate.h"
#include "plugin/installation.h"
#include "plugin/choice.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/** A private directory for one test. */
struct place {
    char *dir;
};

static int make_place(void **state)
{
    struct place *place = g_new0(struct place, 1);
    place->dir = g_strdup("/tmp/dsb-loader-XXXXXX");
    assert_non_null(g_mkdtemp(place->dir));
    *state = place;
    return 0;
}

static int drop_place(void **state)
{
    struct place *place = *state;
    g_autoptr(GDir) dir = g_dir_open(place->dir, 0, NULL);
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(place->dir, name, NULL);
        if (g_unlink(path) != 0)
            g_rmdir(path);
    }
    g_rmdir(place->dir);
    g_free(place->dir);
    g_free(place);
    return 0;
}

/** Path of a test plugin (new). */
static char *built(const char *name)
{
    const char *dir = g_getenv("DSB_TEST_PLUGINS");
    assert_non_null(dir);
    g_autofree char *file = g_strdup_printf("libdsandbox-%s.so", name);
    return g_build_filename(dir, file, NULL);
}

/** Copies a test plugin into the place, with a mode (new path). */
static char *copy(const struct place *place, const char *name, const char *as, int mode)
{
    g_autofree char *from = built(name);
    g_autofree char *bytes = NULL;
    gsize size = 0;
    assert_true(g_file_get_contents(from, &bytes, &size, NULL));
    char *to = g_build_filename(place->dir, as, NULL);
    assert_true(g_file_set_contents(to, bytes, (gssize) size, NULL));
    assert_int_equal(g_chmod(to, (mode_t) mode), 0);
    return to;
}

static void refused_path(const char *path, int code, const char *word)
{
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(dsb_loader_open(NULL, path, &loaded, &error));
    assert_null(loaded);
    assert_non_null(error);
    if (!g_error_matches(error, DSB_ERROR, code) || strstr(error->message, word) == NULL)
        fail_msg("%s: code %d instead of %d, or no \"%s\" in: %s", path, error->code, code, word, error->message);
}

static void loads_a_good_one(void **state)
{
    g_autofree char *path = copy(*state, "memory", "x.so", 0644);
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(dsb_loader_open(NULL, path, &loaded, &error));
    assert_string_equal(loaded->plugin.name, "memory");
    assert_string_equal(loaded->path, path);
    assert_int_equal(loaded->plugin.struct_size, sizeof(struct dsb_plugin));
    assert_null(loaded->plugin.image_make);
    dsb_loaded_free(loaded);
    dsb_loaded_free(NULL);
}

/* dlopen remembers names: a second file on the same descriptor number must not get the first one's code. */
static void keeps_plugins_apart(void **state)
{
    g_autofree char *one = copy(*state, "memory", "one.so", 0644);
    g_autofree char *two = built("fault");
    for (int i = 0; i < 50; i++) {
        struct dsb_loaded *a = NULL, *b = NULL;
        assert_true(dsb_loader_open(NULL, one, &a, NULL));
        assert_true(dsb_loader_open(NULL, two, &b, NULL));
        assert_string_equal(a->plugin.name, "memory");
        assert_string_equal(b->plugin.name, "fault");
        dsb_loaded_free(a);
        dsb_loaded_free(b);
    }
}

static guint count_fds(void)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

static void leaks_no_descriptors(void **state)
{
    g_autofree char *good = copy(*state, "memory", "good.so", 0644);
    g_autofree char *bad = copy(*state, "bad-magic", "bad.so", 0644);
    guint before = count_fds();
    for (int i = 0; i < 20; i++) {
        struct dsb_loaded *loaded = NULL;
        assert_true(dsb_loader_open(NULL, good, &loaded, NULL));
        dsb_loaded_free(loaded);
        assert_false(dsb_loader_open(NULL, bad, &loaded, NULL));
    }
    assert_int_equal(count_fds(), before);
}

static void refuses_flawed_descriptors(void **state)
{
    (void) state;
    static const struct {
        const char *flaw, *word;
    } table[] = {
        {"magic", "magic"},        {"major", "update dsandbox"}, {"minor", "update dsandbox"},
        {"earlier", "was built for plugin ABI 2, this dsandbox has 3; change the plugin as dsandbox-plugin(7) says"},
        {"short", "struct_size"},  {"long", "struct_size"},     {"half", "inside a member"},
        {"name", "valid name"},    {"threads", "thread_model"}, {"version", "version"},
        {"null", "returned NULL"}, {"operation", "\"start\""},  {"symbol", "does not export dsb_plugin_entry"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *name = g_strconcat("bad-", table[i].flaw, NULL);
        g_autofree char *path = built(name);
        refused_path(path, DSB_ERROR_PLUGIN, table[i].word);
    }
}

/* A plugin that ends the process does not end it with success. */
static void ends_with_no_success(void **state)
{
    (void) state;
    static const char *const names[] = {"bad-exit", "bad-open"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        pid_t child = fork();
        assert_int_not_equal(child, -1);
        if (child == 0) {
            g_autofree char *path = built(names[i]);
            struct dsb_loaded *loaded = NULL;
            struct dsb_backend *backend = NULL;
            struct dsb_open_params params = {.struct_size = sizeof params};
            if (dsb_loader_open(NULL, path, &loaded, NULL))
                dsb_backend_open(loaded, &params, &backend, NULL);
            _exit(1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 125);
    }
}

/* Both given: it must be the one that was asked for. */
static void name_and_path_must_agree(void **state)
{
    g_autofree char *path = copy(*state, "memory", "m.so", 0644);
    struct dsb_run_options options = {
        .struct_size = sizeof options,
        .init = DSB_INIT,
        .backend = "podman",
        .plugin_path = path,
        .cancel_fd = DSB_FD_NONE};
    g_autoptr(GError) error = NULL;
    assert_null(dsb_engine_open(&options, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PLUGIN));
    assert_non_null(strstr(error->message, "\"podman\" was asked for"));
    static const char *const fine[] = {"memory", "auto", NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(fine); i++) {
        options.backend = fine[i];
        struct dsb_engine *engine = dsb_engine_open(&options, NULL);
        assert_non_null(engine);
        dsb_engine_close(engine);
    }
}

/* A plugin built before the optional operations existed: what follows its size is not ours to read. */
static void cuts_at_struct_size(void **state)
{
    (void) state;
    g_autofree char *path = built("bad-old");
    struct dsb_loaded *loaded = NULL;
    assert_true(dsb_loader_open(NULL, path, &loaded, NULL));
    assert_null(loaded->plugin.image_make);
    assert_true(loaded->plugin.enforces == DSB_CONTROLS_ALL); /* unknown bits are masked */
    dsb_loaded_free(loaded);
}

static void wants_a_name_that_fits(void **state)
{
    g_autofree char *path = copy(*state, "memory", "x.so", 0644);
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(dsb_loader_open("docker-cli", path, &loaded, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PLUGIN));
    assert_non_null(strstr(error->message, "\"memory\""));
    assert_true(dsb_loader_open("memory", path, &loaded, NULL));
    dsb_loaded_free(loaded);
}

static void refuses_bad_names_and_paths(void **state)
{
    (void) state;
    static const char *const names[] = {
        "", "../x", "a/b", "Docker", "a b", "x.so", "-x", "auto", "abcdefghijklmnopqrstuvwxyz0123456"};
    struct dsb_loaded *loaded = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(dsb_loader_open(names[i], NULL, &loaded, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    }
    refused_path("x.so", DSB_ERROR_INVALID, "absolute");
    refused_path("./x.so", DSB_ERROR_INVALID, "absolute");
    refused_path("/tmp/../tmp/x.so", DSB_ERROR_PLUGIN, "\"..\"");
    refused_path("/tmp/", DSB_ERROR_PLUGIN, "end");
    refused_path("/", DSB_ERROR_PLUGIN, "regular file");
    refused_path("/tmp/dsb-no-such-plugin.so", DSB_ERROR_NOT_FOUND, "no plugin file");
    refused_path("/proc/self/exe/x.so", DSB_ERROR_PLUGIN, "symbolic link");
    assert_false(dsb_loader_open(NULL, NULL, &loaded, NULL));
}

static void lists_what_is_there(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    struct dsb_loaded *loaded = NULL;
    assert_false(dsb_loader_open("no-such", NULL, &loaded, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND));
    assert_non_null(strstr(error->message, dsb_plugin_dir()));
    g_autoptr(GPtrArray) names = dsb_loader_list();
    for (guint i = 0; i < names->len; i++)
        assert_non_null(strstr(error->message, names->pdata[i]));
}

static void refuses_unsafe_files(void **state)
{
    struct place *place = *state;
    g_autofree char *group = copy(place, "memory", "group.so", 0664);
    g_autofree char *world = copy(place, "memory", "world.so", 0646);
    refused_path(group, DSB_ERROR_PLUGIN, "writable by others");
    refused_path(world, DSB_ERROR_PLUGIN, "writable by others");

    g_autofree char *link = g_build_filename(place->dir, "link.so", NULL);
    g_autofree char *good = copy(place, "memory", "good.so", 0644);
    assert_int_equal(symlink(good, link), 0);
    refused_path(link, DSB_ERROR_PLUGIN, "symbolic link");

    g_autofree char *fifo = g_build_filename(place->dir, "fifo.so", NULL);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refused_path(fifo, DSB_ERROR_PLUGIN, "regular file");
    refused_path(place->dir, DSB_ERROR_PLUGIN, "regular file");

    if (geteuid() != 0)
        return;
    assert_int_equal(chown(good, 12345, 12345), 0);
    refused_path(good, DSB_ERROR_PLUGIN, "belongs to uid 12345");
}

static void refuses_unsafe_parents(void **state)
{
    struct place *place = *state;
    g_autofree char *path = copy(place, "memory", "x.so", 0644);
    assert_int_equal(g_chmod(place->dir, 0770), 0);
    refused_path(path, DSB_ERROR_PLUGIN, "writable by others");
    assert_int_equal(g_chmod(place->dir, 0707), 0);
    refused_path(path, DSB_ERROR_PLUGIN, "writable by others");
    /* Sticky protects what belongs to us. */
    assert_int_equal(g_chmod(place->dir, 01777), 0);
    struct dsb_loaded *loaded = NULL;
    assert_true(dsb_loader_open(NULL, path, &loaded, NULL));
    dsb_loaded_free(loaded);
    assert_int_equal(g_chmod(place->dir, 0700), 0);

    g_autofree char *link = g_strconcat(place->dir, "-link", NULL);
    g_autofree char *through = g_build_filename(link, "x.so", NULL);
    assert_int_equal(symlink(place->dir, link), 0);
    refused_path(through, DSB_ERROR_PLUGIN, "symbolic link");
    unlink(link);

    if (geteuid() != 0)
        return;
    assert_int_equal(chown(place->dir, 12345, 12345), 0);
    refused_path(path, DSB_ERROR_PLUGIN, "belongs to uid 12345");
    assert_int_equal(chown(place->dir, 0, 0), 0);
}

static void refuses_what_is_no_object(void **state)
{
    struct place *place = *state;
    g_autofree char *path = copy(place, "memory", "x.so", 0644);
    g_autofree char *bytes = NULL;
    gsize size = 0;
    assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    static const gsize cuts[] = {0, 3, 20, 64, 100, 200, 600, 4096, 8192};
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        assert_true(cuts[i] < size);
        assert_true(g_file_set_contents(path, bytes, (gssize) cuts[i], NULL));
        refused_path(path, DSB_ERROR_PLUGIN, cuts[i] < 64 ? "not a shared object" : "truncated");
    }
    assert_true(g_file_set_contents(path, "#!/bin/sh\nexit 0\n", -1, NULL));
    refused_path(path, DSB_ERROR_PLUGIN, "not a shared object");
    bytes[4] = 1; /* 32 bit */
    assert_true(g_file_set_contents(path, bytes, (gssize) size, NULL));
    refused_path(path, DSB_ERROR_PLUGIN, "another machine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loads_a_good_one, make_place, drop_place),
        cmocka_unit_test_setup_teardown(keeps_plugins_apart, make_place, drop_place),
        cmocka_unit_test_setup_teardown(leaks_no_descriptors, make_place, drop_place),
        cmocka_unit_test(refuses_flawed_descriptors),
        cmocka_unit_test(ends_with_no_success),
        cmocka_unit_test(cuts_at_struct_size),
        cmocka_unit_test_setup_teardown(name_and_path_must_agree, make_place, drop_place),
        cmocka_unit_test_setup_teardown(wants_a_name_that_fits, make_place, drop_place),
        cmocka_unit_test(refuses_bad_names_and_paths),
        cmocka_unit_test(lists_what_is_there),
        cmocka_unit_test_setup_teardown(refuses_unsafe_files, make_place, drop_place),
        cmocka_unit_test_setup_teardown(refuses_unsafe_parents, make_place, drop_place),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_object, make_place, drop_place),
    };
    umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
