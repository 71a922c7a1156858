/* SPDX-License-Identifier: MIT */
#include "policy/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_error(GError *error, int code, const char *part)
{
    assert_non_null(error);
    assert_int_equal(error->domain, DSB_ERROR);
    if (error->code != code || (part != NULL && strstr(error->message, part) == NULL))
        fail_msg("code %d (expected %d), \"%s\" (expected \"%s\")", error->code, code, error->message, part);
    g_error_free(error);
}

static gboolean load(dsb_policy *policy, const char *text, GError **error)
{
    return dsb_policy_load(policy, text, strlen(text), "p.json", error);
}

static void assert_value(const dsb_policy *policy, const char *key, const char *expected)
{
    g_autofree char *value = dsb_policy_get(policy, key);
    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void test_unknown_key(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    GError *error = NULL;
    assert_false(dsb_policy_set(policy, "mem\nory", "1", "--set", &error));
    assert_error(error, DSB_ERROR_INVALID, "\"mem\\u000aory\"");
    assert_null(dsb_policy_get(policy, "privileged"));
}

static const struct {
    const char *json, *part;
} bad_files[] = {
    {"", "empty"},
    {"  \n", "empty"},
    {"{", "not valid JSON"},
    {"[]", "object is expected"},
    {"null", "JSON"},
    {"3", "JSON"},
    {"\"x\"", "object is expected"},
    {"{} {}", "JSON"},
    {"{}x", "JSON"},
    {"{\"memory\":\"512MiB\",}", "JSON"},
    {"{/* c */}", "JSON"},
    {"{'memory':\"512MiB\"}", "quotes"},
    {"{'\"':[1,1", "single quotes"}, /* before json-c has it: what follows would not be counted */
    {"{memory:1}", "JSON"},
    {"{\"memory\":\"\xff\"}", "UTF-8"},
    {"{\"nope\":1}", "unknown key \"nope\""},
    {"{\"Memory\":\"512MiB\"}", "unknown key"},
    {"{\"memory\\u0000\":\"512MiB\"}", "NUL"},
    {"{\"memory\":\"512MiB\",\"memory\":\"4GiB\"}", "key \"memory\" is there twice"},
    {"{\"memory\":\"512MiB\",\"m\\u0065mory\":\"4GiB\"}", "key \"memory\" is there twice"},
    {"{\"memory\":\"512MiB\" , \"memory\" : \"512MiB\"}", "twice"},
    {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/b\"},{\"source\":\"/a\",\"source\":\"/b\",\"target\":\"/c\"}]}",
     "\"binds[1].source\" is there twice"},
    {"{\"memory\":null}", "memory: null"},
    {"{\"memory\":true}", "memory: true"},
    {"{\"memory\":[]}", "memory"},
    {"{\"memory\":{}}", "memory"},
    {"{\"memory\":-1}", "memory: -1"},
    {"{\"memory\":0}", "memory: 0"},
    {"{\"memory\":5e8}", "memory: 5e8"},
    {"{\"memory\":536870912.0}", "memory"},
    {"{\"memory\":NaN}", "p.json"},
    {"{\"memory\":Infinity}", "p.json"},
    {"{\"memory\":-Infinity}", "p.json"},
    {"{\"memory\":99999999999999999999999999}", "memory"},
    {"{\"memory\":\"1GiB\\u0000x\"}", "NUL"},
    {"{\"cpus\":NaN}", "p.json"},
    {"{\"cpus\":1e0}", "cpus: 1e0"},
    {"{\"cpus\":-0.5}", "cpus"},
    {"{\"cpus\":1.}", "1. is no JSON value"},
    {"{\"cpus\":\"1.\"}", "cpus: \"1.\""},
    {"{\"timeout\":5.}", "5. is no JSON value"},
    {"{\"timeout\":\"5.\"}", "timeout: \"5.\""},
    {"{\"timeout\":\"0x10\"}", "timeout: \"0x10\""},
    {"{\"timeout\":\"1e1s\"}", "timeout: \"1e1s\""},
    {"{\"memory\":\"0x10MiB\"}", "memory: \"0x10MiB\""},
    {"{\"image\":\"\\ud800\"}", "surrogate"},
    {"{\"image\":\"\\udc00\\ud800\"}", "surrogate"},
    {"{\"image\":\"\\ud800\\u0041\"}", "surrogate"},
    {"{\"\\udfff\":1}", "surrogate"},
    {"{\"\\ud83d\\ude00\\\\ud800\":1}", "unknown key"},
    {"{\"network\":0}", "network"},
    {"{\"no_new_privs\":false}", "no_new_privs: false"},
    {"{\"no_new_privs\":\"true\"}", "no_new_privs"},
    {"{\"same_path\":1}", "same_path"},
    {"{\"version\":2}", "version"},
    {"{\"version\":\"1\"}", "version"},
    {"{\"$schema\":1}", "$schema"},
    {"{\"locked\":false}", "locked"},
    {"{\"locked\":\"memory\"}", "locked"},
    {"{\"locked\":[1]}", "locked[0]"},
    {"{\"locked\":[\"memory\",\"mem\"]}", "locked[1]: unknown key \"mem\""},
    {"{\"locked\":[\"memory\",\"memory\"]}", "locked[1]"},
    {"{\"preload\":{}}", "preload"},
    {"{\"preload\":[1]}", "preload"},
    {"{\"preload\":[\"numpy\",\"numpy\"]}", "twice"},
    {"{\"preload\":[\"numpy\\u0000x\"]}", "NUL"},
    {"{\"preload\":[\"a1\",\"a2\",\"a3\",\"a4\",\"a5\",\"a6\",\"a7\",\"a8\",\"a9\",\"b1\",\"b2\",\"b3\",\"b4\",\"b5\","
     "\"b6\",\"b7\",\"b8\",\"b9\",\"c1\",\"c2\",\"c3\",\"c4\",\"c5\",\"c6\",\"c7\",\"c8\",\"c9\",\"d1\",\"d2\",\"d3\",\"d4\","
     "\"d5\",\"d6\"]}", "more than 32"},
    {"{\"binds\":{}}", "binds"},
    {"{\"binds\":[1]}", "binds[0]"},
    {"{\"binds\":[[[[[[[[]]]]]]]]}", "JSON"}, /* depth */
    {"{\"binds\":[{\"source\":\"/a\"}]}", "source and target"},
    {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/b\",\"ro\":true}]}", "binds[0]: unknown key"},
    {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/b\",\"read_only\":\"true\"}]}", "binds[0].read_only"},
    {"{\"binds\":[{\"source\":1,\"target\":\"/b\"}]}", "binds[0].source"},
    {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/b\"},{\"source\":\"/c\",\"target\":\"/b\"}]}", "binds[1].target"},
    {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/b\"},{\"source\":\"/c\",\"target\":\"/b/c\"}]}", "binds[1].target"},
};

static void test_bad_files(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(bad_files); i++) {
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        g_autofree char *before = dsb_policy_canonical(policy);
        GError *error = NULL;
        if (load(policy, bad_files[i].json, &error))
            fail_msg("taken: %s", bad_files[i].json);
        assert_non_null(strstr(error->message, "p.json"));
        assert_error(error, DSB_ERROR_INVALID, bad_files[i].part);
        g_autofree char *after = dsb_policy_canonical(policy);
        assert_string_equal(before, after);
    }
}

/* One bad key at the end: nothing of the file counts. */
static void test_load_is_atomic(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    GError *error = NULL;
    assert_false(load(policy, "{\"memory\":\"1GiB\",\"locked\":true,\"pids\":1}", &error));
    assert_error(error, DSB_ERROR_INVALID, "pids");
    assert_value(policy, "memory", "512MiB");
    assert_true(dsb_policy_set(policy, "memory", "2GiB", "x", NULL));
    /* bytes beyond the size are not read; a NUL inside is no end */
    assert_true(dsb_policy_load(policy, "{}garbage", 2, "x", NULL));
    error = NULL;
    assert_false(dsb_policy_load(policy, "{}\0", 3, "x", &error));
    assert_error(error, DSB_ERROR_INVALID, "UTF-8");
}

static void test_good_file(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    assert_true(
        load(policy,
             "\n{\"$schema\":\"x\",\"version\":1,\"memory\":1073741824,\"cpus\":0.5,\"pids\":\"64\",\"timeout\":10,"
             "\"user\":1000,\"fsize\":\"disk\",\"disk\":\"2GiB\",\"no_new_privs\":true,\"same_path\":true,"
             "\"binds\":[{\"source\":\"/srv/b\",\"target\":\"/data/b\",\"read_only\":false},"
             "{\"target\":\"/data/a\",\"source\":\"/srv/a\"}]}\n",
             NULL));
    assert_value(policy, "memory", "1GiB");
    assert_value(policy, "cpus", "0.5");
    assert_value(policy, "pids", "64");
    assert_value(policy, "timeout", "10s");
    assert_value(policy, "user", "1000:1000");
    assert_value(policy, "fsize", "2GiB");
    assert_value(policy, "same_path", "true");
    assert_value(policy, "binds",
                 "[{\"read_only\":true,\"source\":\"/srv/a\",\"target\":\"/data/a\"},"
                 "{\"read_only\":false,\"source\":\"/srv/b\",\"target\":\"/data/b\"}]");
}

static void test_bind_paths(void **state)
{
    (void) state;
    static const char *const sources[] = {
        "/",
        "/etc",
        "/etc/shadow",
        "/proc",
        "/proc/1/root",
        "/sys",
        "/sys/fs",
        "/dev",
        "/dev/sda",
        "/run",
        "/run/user/1000",
        "/var/run",
        "/var/run/x",
        "/var",
        "/boot",
        "/root",
        "/root/x",
        "/var/lib",
        "/var/lib/docker",
        "/var/lib/docker/overlay2",
        "/var/lib/containers/storage",
        "/home/u/.local/share/containers",
        "relative",
        "",
        "/a/../etc",
        "/a/./b",
        "/a//b",
        "/a/",
        "//etc",
        "/a,b",
        "/a:b",
        "/a'b",
        "/a`b",
        "/..",
        "/home/u/docker.sock",
        "/a\\\\b",
        "/a\\\"b",
        "/a\\nb",
        "/a\\u007fb",
    };
    static const char *const targets[] = {
        "/",
        "/sandbox",
        "/sandbox/x",
        "/tmp",
        "/tmp/x",
        "/proc",
        "/proc/x",
        "/sys",
        "/dev",
        "/dev/shm",
        "/opt/dsandbox",
        "/opt",
        "/opt/dsandbox/dsb-init",
        "/run",
        "/var/tmp",
        "/var",
        "/a/..",
        "/run/x",
        "rel",
        "/a:ro",
        "/a,b",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(sources) + G_N_ELEMENTS(targets); i++) {
        gboolean is_source = i < G_N_ELEMENTS(sources);
        const char *source = is_source ? sources[i] : "/srv/data";
        const char *target = is_source ? "/data" : targets[i - G_N_ELEMENTS(sources)];
        g_autofree char *json = g_strdup_printf("{\"binds\":[{\"source\":\"%s\",\"target\":\"%s\"}]}", source, target);
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        GError *error = NULL;
        if (load(policy, json, &error))
            fail_msg("taken: %s", json);
        assert_error(error, DSB_ERROR_INVALID, is_source ? "binds[0].source" : "binds[0].target");
    }
    static const char *const good[][2] = {
        {"/etcetera", "/data"},
        {"/srv/run", "/sandboxes"},
        {"/home/u/data set", "/opt/data"},
        {"/srv", "/usr/share/x"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *json =
            g_strdup_printf("{\"binds\":[{\"source\":\"%s\",\"target\":\"%s\"}]}", good[i][0], good[i][1]);
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        assert_true(load(policy, json, NULL));
    }
}

/* locked key, value in the file, a later value, taken? */
static const struct {
    const char *key, *json, *later;
    gboolean ok;
} locks[] = {
    {"memory", "\"256MiB\"", "256MiB", TRUE},
    {"memory", "\"256MiB\"", "128MiB", TRUE},
    {"memory", "\"256MiB\"", "268435457", FALSE},
    {"swap", "0", "1", FALSE},
    {"cpus", "0.5", "0.50001", FALSE},
    {"cpus", "0.5", "0.4", TRUE},
    {"timeout", "10", "9s", TRUE},
    {"timeout", "10", "10001ms", FALSE},
    {"grace", "\"1s\"", "2s", FALSE},
    {"network", "\"none\"", "full", FALSE},
    {"network", "\"full\"", "none", TRUE},
    {"output_overflow", "\"kill\"", "truncate", FALSE},
    {"output_overflow", "\"truncate\"", "kill", TRUE},
    {"output_overflow", "\"truncate\"", "keep", FALSE},
    {"output_overflow", "\"keep\"", "truncate", TRUE},
    {"user", "\"auto\"", "1000", FALSE},
    {"user", "1000", "1000:1000", TRUE},
    {"runtime", "\"runsc\"", "default", FALSE},
    {"runtime", "\"runsc\"", "runsc", TRUE},
    {"same_path", "false", "true", FALSE},
    {"same_path", "true", "false", TRUE},
    {"tmp_exec", "false", "true", FALSE},
    {"tmp_exec", "true", "false", TRUE},
    {"fsize", "\"1MiB\"", "disk", FALSE},
    {"fsize", "\"1GiB\"", "disk", TRUE},
    {"rootfs", "\"ro\"", "ro", TRUE},
};

static void test_locks(void **state)
{
    (void) state;
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(locks); i++) {
        gsize k = i / 2;
        g_autofree char *list = g_strdup_printf("[\"%s\"]", locks[k].key);
        g_autofree char *json =
            g_strdup_printf("{\"locked\":%s,\"%s\":%s}", i % 2 ? "true" : list, locks[k].key, locks[k].json);
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        assert_true(load(policy, json, NULL));
        g_autoptr(dsb_policy) copy = dsb_policy_copy(policy); /* a copy keeps its locks */
        GError *error = NULL;
        if (dsb_policy_set(copy, locks[k].key, locks[k].later, "--later", &error) != locks[k].ok)
            fail_msg("%s then %s", json, locks[k].later);
        if (!locks[k].ok) {
            assert_non_null(strstr(error->message, "p.json has locked it"));
            assert_error(error, DSB_ERROR_REFUSED, locks[k].key);
        }
    }
}

static void test_lock_layers(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    GError *error = NULL;
    assert_true(load(policy,
                     "{\"memory\":\"1GiB\",\"locked\":[\"memory\",\"fsize\",\"binds\"],"
                     "\"binds\":[{\"source\":\"/srv/a\",\"target\":\"/a\"}]}",
                     NULL));
    /* tighter, then back up to the bound, never past it */
    assert_true(dsb_policy_set(policy, "memory", "256MiB", "x", NULL));
    assert_true(dsb_policy_set(policy, "memory", "1GiB", "x", NULL));
    assert_false(dsb_policy_set(policy, "memory", "2GiB", "x", &error));
    assert_error(error, DSB_ERROR_REFUSED, "1GiB");
    error = NULL;
    /* not locked */
    assert_true(dsb_policy_set(policy, "pids", "1000", "x", NULL));
    /* a locked fsize does not grow with the disk */
    assert_true(dsb_policy_set(policy, "disk", "10GiB", "x", NULL));
    assert_value(policy, "fsize", "1GiB");
    assert_false(dsb_policy_set(policy, "fsize", "disk", "x", &error));
    assert_error(error, DSB_ERROR_REFUSED, "fsize");
    error = NULL;
    /* a later file is a later layer, and it cannot unlock */
    assert_false(load(policy, "{\"memory\":\"2GiB\",\"locked\":[]}", &error));
    assert_error(error, DSB_ERROR_REFUSED, "memory");
    error = NULL;
    assert_false(load(policy, "{\"disk\":\"10GiB\",\"fsize\":\"disk\"}", &error));
    assert_error(error, DSB_ERROR_REFUSED, "fsize");
    error = NULL;
    assert_true(load(policy, "{\"fsize\":\"disk\",\"disk\":\"512MiB\"}", NULL));
    assert_true(dsb_policy_set(policy, "disk", "10GiB", "x", NULL));
    assert_value(policy, "fsize", "512MiB");
    /* binds: fewer, or read-only */
    assert_false(load(policy, "{\"binds\":[{\"source\":\"/srv/b\",\"target\":\"/a\"}]}", &error));
    assert_error(error, DSB_ERROR_REFUSED, "binds");
    error = NULL;
    assert_false(load(policy, "{\"binds\":[{\"source\":\"/srv/a\",\"target\":\"/a\",\"read_only\":false}]}", &error));
    assert_error(error, DSB_ERROR_REFUSED, "binds");
    assert_true(load(policy, "{\"binds\":[]}", NULL));
    /* preload: fewer, in whatever order */
    assert_true(load(policy, "{\"preload\":[\"numpy\",\"pandas\"],\"locked\":[\"preload\"]}", NULL));
    error = NULL;
    assert_false(load(policy, "{\"preload\":\"pandas,scipy\"}", &error));
    assert_error(error, DSB_ERROR_REFUSED, "numpy,pandas");
    assert_true(dsb_policy_set(policy, "preload", "pandas,numpy", "x", NULL));
    assert_true(load(policy, "{\"preload\":[]}", NULL));
    assert_value(policy, "preload", "none");
    /* a later file may lock tighter */
    assert_true(load(policy, "{\"memory\":\"128MiB\",\"locked\":true}", NULL));
    error = NULL;
    assert_false(dsb_policy_set(policy, "memory", "256MiB", "x", &error));
    assert_error(error, DSB_ERROR_REFUSED, "128MiB");
}

static void test_canonical(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autofree char *canonical = dsb_policy_canonical(policy);
    assert_string_equal(
        canonical,
        "{\"binds\":[],\"capabilities\":\"none\",\"core\":0,\"cpus\":1,\"devices\":\"none\",\"disk\":1073741824,"
        "\"disk_inodes\":100000,\"fsize\":1073741824,\"grace\":\"500ms\",\"idle_timeout\":\"900000ms\","
        "\"life_time\":\"86400000ms\",\"memory\":536870912,\"namespaces\":\"private\",\"network\":\"none\","
        "\"no_new_privs\":true,\"nofile\":1024,\"output_limit\":1048576,\"output_overflow\":\"truncate\",\"pids\":128,"
        "\"preload\":[],"
        "\"results_limit\":8388608,"
        "\"rootfs\":\"ro\",\"runtime\":\"default\",\"same_path\":false,\"seccomp\":\"dsandbox\",\"shm_size\":67108864,"
        "\"start_timeout\":\"60000ms\",\"swap\":0,\"timeout\":\"30000ms\",\"tmp_exec\":false,\"tmp_size\":104857600,\"user\":\"auto\"}");
    g_autofree char *hash = dsb_policy_sha256(policy);
    g_autofree char *expected = g_compute_checksum_for_string(G_CHECKSUM_SHA256, canonical, -1);
    assert_string_equal(hash, expected);
    assert_int_equal(strlen(hash), 64);
    /* where a value is from, and locks, do not count; the value does */
    assert_true(load(policy, "{\"memory\":\"512MiB\",\"locked\":true}", NULL));
    g_autofree char *same = dsb_policy_sha256(policy);
    assert_string_equal(hash, same);
    assert_true(dsb_policy_set(policy, "memory", "511MiB", "x", NULL));
    g_autofree char *other = dsb_policy_sha256(policy);
    assert_string_not_equal(hash, other);
}

static void test_rows(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    assert_true(load(policy, "{\"pids\":64,\"locked\":[\"memory\"]}", NULL));
    assert_true(dsb_policy_set(policy, "timeout", "5", "--timeout", NULL));
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    assert_int_equal(rows->len, DSB_N_FIELDS);
    const char *before = "";
    for (unsigned i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = g_ptr_array_index(rows, i);
        assert_true(strcmp(before, row->key) < 0);
        before = row->key;
        assert_true(row->description[0] != '\0' && row->unit[0] != '\0');
        assert_value(policy, row->key, row->value);
        const char *origin = strcmp(row->key, "pids") == 0      ? "p.json"
                             : strcmp(row->key, "timeout") == 0 ? "--timeout"
                                                                : "default";
        assert_string_equal(row->origin, origin);
        assert_int_equal(row->locked, strcmp(row->key, "memory") == 0);
    }
}

static void test_files(void **state)
{
    (void) state;
    g_autofree char *dir = g_dir_make_tmp("dsb-policy-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "p.json", NULL);
    g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    g_autofree char *big = g_build_filename(dir, "big", NULL);
    g_autofree char *blank = g_malloc(1024 * 1024 + 1);
    memset(blank, ' ', 1024 * 1024 + 1);
    memcpy(blank, "{}", 2);
    assert_true(g_file_set_contents(file, "{\"pids\":64}", -1, NULL));
    assert_true(g_file_set_contents(big, blank, 1024 * 1024 + 1, NULL));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("p.json", link), 0);

    const struct {
        const char *path;
        int code; /* -1: fine */
        const char *part;
    } cases[] = {
        {file, -1, NULL},
        {link, -1, NULL},
        {fifo, DSB_ERROR_INVALID, "not a regular file"},
        {dir, DSB_ERROR_INVALID, "not a regular file"},
        {"/dev/null", DSB_ERROR_INVALID, "not a regular file"},
        {"/dev/zero", DSB_ERROR_INVALID, "not a regular file"},
        {big, DSB_ERROR_INVALID, "larger"},
        {"/nonexistent/p.json", DSB_ERROR_NOT_FOUND, "cannot open"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        GError *error = NULL;
        gboolean ok = dsb_policy_load_file(policy, cases[i].path, &error);
        assert_int_equal(ok, cases[i].code == -1);
        assert_value(policy, "pids", ok ? "64" : "128");
        if (!ok)
            assert_error(error, cases[i].code, cases[i].part);
    }
    /* exactly the limit is fine */
    assert_true(g_file_set_contents(big, blank, 1024 * 1024, NULL));
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    assert_true(dsb_policy_load_file(policy, big, NULL));
    unlink(file);
    unlink(fifo);
    unlink(link);
    unlink(big);
    rmdir(dir);
}

static void test_schema(void **state)
{
    (void) state;
    g_autofree char *here = g_path_get_dirname(__FILE__);
    g_autofree char *path = g_build_filename(here, "..", "..", "doc", "policy.schema.json", NULL);
    json_object *published = json_object_from_file(path);
    if (published == NULL)
        fail_msg("%s: %s", path, json_util_get_last_err());
    g_autofree char *text = dsb_policy_schema();
    json_object *made = json_tokener_parse(text);
    assert_non_null(made);
    if (!json_object_equal(made, published))
        fail_msg("doc/policy.schema.json is not what the table says; write dsb_policy_schema() to it");
    json_object_put(made);
    json_object_put(published);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_key),    cmocka_unit_test(test_bad_files),  cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_load_is_atomic), cmocka_unit_test(test_bind_paths), cmocka_unit_test(test_locks),
        cmocka_unit_test(test_lock_layers),    cmocka_unit_test(test_canonical),  cmocka_unit_test(test_rows),
        cmocka_unit_test(test_files),          cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
