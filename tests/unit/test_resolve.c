/* SPDX-License-Identifier: MIT */
#include "policy/resolve.h"

#include <dsandbox/plugin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define WORKDIR "/tmp/sandboxes/s1"
#define GUEST "/usr/libexec/dsandbox/guest"

static const struct dsb_resolve_input usual = {
    .workdir = WORKDIR,
    .guest_dir = GUEST,
    .image = "sha256:0123abcd",
    .name = "dsb-abcdefghijklmnopqrstuvwxyz",
    .owner = "1000.42.777",
    .session = "s1",
    .deadline = 1800000000,
    .invoker_uid = 1234,
    .invoker_gid = 5678,
    .seccomp_json = "{\"defaultAction\":\"SCMP_ACT_ERRNO\"}",
};

static struct dsb_resolved *resolve(const dsb_policy *policy, const struct dsb_resolve_input *input)
{
    struct dsb_resolved *resolved = NULL;
    GError *error = NULL;
    if (!dsb_resolve(policy, input, &resolved, &error))
        fail_msg("%s", error->message);
    assert_null(error);
    assert_non_null(resolved);
    return resolved;
}

static void assert_invalid(const dsb_policy *policy, const struct dsb_resolve_input *input, const char *part)
{
    struct dsb_resolved *resolved = NULL;
    GError *error = NULL;
    if (dsb_resolve(policy, input, &resolved, &error))
        fail_msg("taken, expected \"%s\"", part);
    assert_null(resolved);
    assert_int_equal(error->domain, DSB_ERROR);
    assert_int_equal(error->code, DSB_ERROR_INVALID);
    if (strstr(error->message, part) == NULL)
        fail_msg("\"%s\", expected \"%s\"", error->message, part);
    g_error_free(error);
}

static const char *value_of(const struct dsb_pair *const *pairs, gsize n, const char *name)
{
    const char *value = NULL;
    for (gsize i = 0; i < n; i++) {
        if (strcmp(pairs[i]->name, name) != 0)
            continue;
        assert_null(value); /* each name once */
        value = pairs[i]->value;
    }
    return value;
}

static void assert_env(const struct dsb_spec *spec, const char *name, const char *value)
{
    const char *found = value_of(spec->env, spec->n_env, name);
    assert_non_null(found);
    assert_string_equal(found, value);
}

static void test_preload(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(dsb_resolved) nothing = resolve(policy, &usual);
    assert_null(nothing->preload[0]);
    assert_true(dsb_policy_set(policy, "preload", "numpy, pandas", "x", NULL));
    g_autoptr(dsb_resolved) resolved = resolve(policy, &usual);
    assert_int_equal(g_strv_length(resolved->preload), 2);
    assert_string_equal(resolved->preload[0], "numpy");
    assert_string_equal(resolved->preload[1], "pandas");
}

static void test_defaults(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(dsb_resolved) resolved = resolve(policy, &usual);
    const struct dsb_spec *spec = &resolved->spec;
    assert_int_equal(spec->struct_size, sizeof(*spec));
    assert_true(spec->required == (DSB_CONTROLS_ALL & ~DSB_BIT(DSB_CONTROL_RUNTIME)));
    assert_string_equal(spec->name, usual.name);
    assert_string_equal(spec->image, usual.image);
    assert_string_equal(spec->argv[0], "/opt/dsandbox/dsb-init");
    assert_null(spec->argv[1]);
    assert_string_equal(spec->workdir, "/sandbox");
    assert_string_equal(spec->hostname, "sandbox");
    assert_int_equal(spec->n_binds, 5);
    assert_string_equal(spec->binds[0]->source, WORKDIR);
    assert_string_equal(spec->binds[0]->target, "/sandbox");
    assert_false(spec->binds[0]->read_only);
    assert_string_equal(spec->binds[1]->source, GUEST);
    assert_string_equal(spec->binds[1]->target, "/opt/dsandbox");
    assert_true(spec->binds[1]->read_only);
    assert_string_equal(spec->binds[2]->source, GUEST "/hosts");
    assert_string_equal(spec->binds[2]->target, "/etc/hosts");
    assert_true(spec->binds[2]->read_only);
    assert_string_equal(spec->binds[3]->source, GUEST "/hostname");
    assert_string_equal(spec->binds[3]->target, "/etc/hostname");
    assert_string_equal(spec->binds[4]->source, GUEST "/resolv.conf");
    assert_string_equal(spec->binds[4]->target, "/etc/resolv.conf");
    assert_true(spec->binds[3]->read_only && spec->binds[4]->read_only);
    assert_int_equal(spec->tmp_bytes, 104857600);
    assert_int_equal(spec->small_tmp_bytes, 65536);
    assert_int_equal(spec->shm_bytes, 67108864);
    assert_false(spec->tmp_exec);
    assert_int_equal(spec->memory_bytes, 536870912);
    assert_int_equal(spec->swap_bytes, 0);
    assert_int_equal(spec->cpu_quota_us, 100000);
    assert_int_equal(spec->cpu_period_us, 100000);
    assert_int_equal(spec->pids, 128);
    assert_int_equal(spec->nofile, 1024);
    assert_int_equal(spec->core, 0);
    assert_int_equal(spec->fsize, 1073741824);
    assert_int_equal(spec->network, DSB_NETWORK_NONE);
    assert_true(spec->rootfs_read_only);
    assert_true(spec->no_new_privs);
    assert_string_equal(spec->seccomp_json, usual.seccomp_json);
    assert_string_equal(spec->seccomp_path, GUEST "/seccomp.json");
    assert_null(spec->runtime);
    assert_int_equal(spec->life_seconds, 86400 + 91);
    assert_int_equal(resolved->timeout_ms, 30000);
    assert_int_equal(resolved->idle_ms, 900000);
    assert_int_equal(resolved->life_ms, 86400000);
    assert_int_equal(resolved->start_timeout_ms, 60000);
    assert_int_equal(resolved->grace_ms, 500);
    assert_int_equal(resolved->output_limit, 1048576);
    assert_int_equal(resolved->results_limit, 8 << 20);
    assert_false(resolved->output_kill);
    assert_false(resolved->output_keep);
    assert_int_equal(resolved->disk_bytes, 1073741824);
    assert_int_equal(resolved->disk_inodes, 100000);
    assert_string_equal(value_of(spec->labels, spec->n_labels, "dsandbox"), "1");
    assert_string_equal(value_of(spec->labels, spec->n_labels, DSB_LABEL_OWNER), usual.owner);
    assert_string_equal(value_of(spec->labels, spec->n_labels, DSB_LABEL_SESSION), "s1");
    assert_string_equal(value_of(spec->labels, spec->n_labels, DSB_LABEL_DEADLINE), "1800000000");
}

static void test_policy_values(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    static const char *const set[][2] = {
        {"memory", "64MiB"},  {"swap", "1MiB"},     {"cpus", "2.5"},         {"pids", "9"},
        {"tmp_exec", "true"}, {"tmp_size", "1MiB"}, {"shm_size", "2MiB"}, {"disk", "3MiB"},        {"disk_inodes", "17"},
        {"nofile", "65"},     {"core", "1"},        {"timeout", "1s"},       {"idle_timeout", "2s"},
        {"life_time", "3s"},  {"grace", "4ms"},     {"network", "full"},     {"output_limit", "2KiB"},
        {"runtime", "crun"},  {"user", "70:80"},    {"start_timeout", "5s"}, {"output_overflow", "kill"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(set); i++)
        assert_true(dsb_policy_set(policy, set[i][0], set[i][1], "x", NULL));
    g_autoptr(dsb_resolved) resolved = resolve(policy, &usual);
    const struct dsb_spec *spec = &resolved->spec;
    assert_true(spec->required == DSB_CONTROLS_ALL);
    assert_int_equal(spec->memory_bytes, 64 << 20);
    assert_int_equal(spec->swap_bytes, 1 << 20);
    assert_int_equal(spec->cpu_quota_us, 250000);
    assert_int_equal(spec->pids, 9);
    assert_int_equal(spec->tmp_bytes, 1 << 20);
    assert_true(spec->tmp_exec);
    assert_int_equal(spec->shm_bytes, 2 << 20);
    assert_int_equal(spec->fsize, 3 << 20);
    assert_int_equal(spec->nofile, 65);
    assert_int_equal(spec->core, 1);
    assert_int_equal(spec->network, DSB_NETWORK_FULL);
    assert_string_equal(spec->runtime, "crun");
    assert_int_equal(spec->uid, 70);
    assert_int_equal(spec->gid, 80);
    assert_int_equal(spec->life_seconds, 3 + 36);
    assert_int_equal(resolved->disk_bytes, 3 << 20);
    assert_int_equal(resolved->disk_inodes, 17);
    assert_int_equal(resolved->timeout_ms, 1000);
    assert_int_equal(resolved->idle_ms, 2000);
    assert_int_equal(resolved->grace_ms, 4);
    assert_int_equal(resolved->start_timeout_ms, 5000);
    assert_int_equal(resolved->output_limit, 2048);
    assert_true(resolved->output_kill);
    assert_false(resolved->output_keep);
    assert_env(spec, "OMP_NUM_THREADS", "3");
}

static void test_life(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_resolve_input input = usual;
    input.one_shot = TRUE;
    g_autoptr(dsb_resolved) once = resolve(policy, &input);
    assert_int_equal(once->life_ms, 120500);
    assert_int_equal(once->spec.life_seconds, 211);
    assert_true(dsb_policy_set(policy, "life_time", "7s", "x", NULL));
    g_autoptr(dsb_resolved) shorter = resolve(policy, &input);
    assert_int_equal(shorter->life_ms, 7000);
}

static const struct {
    gboolean rootless;
    uid_t uid;
    gid_t gid;
    const char *user;
    uint32_t expected_uid, expected_gid;
    gboolean keep_id;
} users[] = {
    {FALSE, 1234, 5678, "auto", 1234, 5678, FALSE},
    {FALSE, 0, 0, "auto", 70007, 70007, FALSE},
    {TRUE, 1234, 5678, "auto", 1000, 1000, TRUE},
    {TRUE, 0, 0, "auto", 1000, 1000, TRUE}, /* root in a user namespace */
    {FALSE, 1234, 5678, "77:88", 77, 88, FALSE},
    {FALSE, 0, 0, "77", 77, 77, FALSE},
    {TRUE, 1234, 5678, "77:88", 77, 88, TRUE},
};

static void test_user(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(users); i++) {
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        assert_true(dsb_policy_set(policy, "user", users[i].user, "x", NULL));
        struct dsb_resolve_input input = usual;
        input.rootless = users[i].rootless;
        input.invoker_uid = users[i].uid;
        input.invoker_gid = users[i].gid;
        input.own_id = 70007;
        g_autoptr(dsb_resolved) resolved = resolve(policy, &input);
        assert_int_equal(resolved->spec.uid, users[i].expected_uid);
        assert_int_equal(resolved->spec.gid, users[i].expected_gid);
        assert_int_equal(resolved->spec.keep_id, users[i].keep_id);
    }
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_resolve_input input = usual;
    input.invoker_gid = 0;
    assert_invalid(policy, &input, "UID:GID");
}

static void test_env(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_resolve_input input = usual;
    g_autoptr(dsb_resolved) resolved = resolve(policy, &input);
    const struct dsb_spec *spec = &resolved->spec;
    assert_env(spec, "HOME", "/tmp");
    assert_env(spec, "TMPDIR", "/tmp");
    assert_env(spec, "LANG", "C.UTF-8");
    assert_env(spec, "PYTHONDONTWRITEBYTECODE", "1");
    assert_env(spec, "MPLBACKEND", "Agg");
    assert_env(spec, "OMP_NUM_THREADS", "1");
    assert_env(spec, "OPENBLAS_NUM_THREADS", "1");
    assert_env(spec, "MKL_NUM_THREADS", "1");
    assert_null(value_of(spec->env, spec->n_env, "PYTHONUNBUFFERED"));
}

static void test_bad_input(void **state)
{
    (void) state;
    static const char *const paths[] = {
        NULL,   "",      "/",    "rel/dir", "/a/../b", "/a/..",  "/a/./b", "/a//b", "/a/",    "/a,b",
        "/a:b", "/a\"b", "/a'b", "/a\nb",   "/a\tb",   "/a\x7f", "/a\\b",  "/a`b",  "/a\x01", "/\xff",
    };
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        struct dsb_resolve_input input = usual;
        input.workdir = paths[i];
        assert_invalid(policy, &input, "session directory");
        input = usual;
        input.guest_dir = paths[i];
        assert_invalid(policy, &input, "guest directory");
    }
    static const char *const words[] = {NULL, "", "-rm", "a b", "a\nb", "a,b", "a\"b", "a$b", "../x", "a\xc3\xa9"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        struct dsb_resolve_input input = usual;
        input.image = words[i];
        assert_invalid(policy, &input, "image");
        input = usual;
        input.name = words[i];
        assert_invalid(policy, &input, "container name");
        input = usual;
        input.owner = words[i];
        assert_invalid(policy, &input, "owner");
        if (words[i] == NULL || words[i][0] == '\0')
            continue;
        input = usual;
        input.session = words[i];
        assert_invalid(policy, &input, "session");
    }
    struct dsb_resolve_input input = usual;
    input.deadline = 0;
    assert_invalid(policy, &input, "deadline");
    input = usual;
    input.seccomp_json = NULL;
    assert_invalid(policy, &input, "seccomp.json");
    input.seccomp_json = "";
    assert_invalid(policy, &input, "seccomp.json");
    input.seccomp_json = "unconfined";
    assert_invalid(policy, &input, "seccomp.json");
    input = usual;
    input.workdir = GUEST "/x"; /* writable inside what pid 1 comes from */
    assert_invalid(policy, &input, "apart");
    input.workdir = "/usr/libexec";
    assert_invalid(policy, &input, "apart");
}

static void test_no_session(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_resolve_input input = usual;
    static const char *const none[] = {NULL, ""};
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++) {
        input.session = none[i];
        g_autoptr(dsb_resolved) resolved = resolve(policy, &input);
        assert_string_equal(value_of(resolved->spec.labels, resolved->spec.n_labels, DSB_LABEL_SESSION), usual.name);
    }
}

static dsb_policy *with_binds(const char *source, const char *target)
{
    dsb_policy *policy = dsb_policy_new();
    g_autofree char *json =
        g_strdup_printf("{\"same_path\":true,\"binds\":[{\"source\":\"%s\",\"target\":\"%s\"}]}", source, target);
    assert_true(dsb_policy_load(policy, json, strlen(json), "x", NULL));
    return policy;
}

static void test_binds(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = with_binds("/srv/data", "/data");
    g_autoptr(dsb_resolved) resolved = resolve(policy, &usual);
    const struct dsb_spec *spec = &resolved->spec;
    assert_int_equal(spec->n_binds, 7);
    assert_string_equal(spec->binds[5]->source, "/srv/data");
    assert_string_equal(spec->binds[5]->target, "/data");
    assert_true(spec->binds[5]->read_only);
    assert_string_equal(spec->binds[6]->source, WORKDIR);
    assert_string_equal(spec->binds[6]->target, WORKDIR);
    assert_false(spec->binds[6]->read_only);

    static const char *const own[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
    for (gsize i = 0; i < G_N_ELEMENTS(own); i++) {
        g_autoptr(dsb_policy) bad = with_binds("/srv/data", own[i]);
        assert_invalid(bad, &usual, own[i]);
    }
    g_autoptr(dsb_policy) online = with_binds("/srv/data", "/etc/resolv.conf"); /* there it is the engine's */
    assert_true(dsb_policy_set(online, "network", "full", "x", NULL));
    g_autoptr(dsb_resolved) full = resolve(online, &usual);
    assert_int_equal(full->spec.n_binds, 6);
    assert_string_equal(full->spec.binds[4]->target, "/etc/resolv.conf");
    assert_string_equal(full->spec.binds[4]->source, "/srv/data");

    static const char *const sources[] = {"/tmp/sandboxes", "/tmp", "/tmp/sandboxes/other", GUEST, "/usr", GUEST "/x"};
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_autoptr(dsb_policy) bad = with_binds(sources[i], "/data");
        assert_invalid(bad, &usual, "binds");
    }
    static const char *const workdirs[] = {"/data/s1",      "/data", "/sandbox/x/y", "/proc/x",
                                           "/run/user/1/x", "/opt",  "/dev/x"};
    for (gsize i = 0; i < G_N_ELEMENTS(workdirs); i++) {
        struct dsb_resolve_input input = usual;
        input.workdir = workdirs[i];
        assert_invalid(policy, &input, "same_path");
    }
}

/* What was resolved lives on its own. */
static void test_ownership(void **state)
{
    (void) state;
    dsb_policy *policy = with_binds("/srv/data", "/data");
    assert_true(dsb_policy_set(policy, "runtime", "crun", "x", NULL));
    struct dsb_resolve_input input = usual;
    char *workdir = g_strdup(WORKDIR), *image = g_strdup("img:1");
    input.workdir = workdir;
    input.image = image;
    g_autoptr(dsb_resolved) resolved = resolve(policy, &input);
    dsb_policy_free(policy);
    g_free(workdir);
    g_free(image);
    assert_string_equal(resolved->spec.binds[0]->source, WORKDIR);
    assert_string_equal(resolved->spec.binds[5]->source, "/srv/data");
    assert_string_equal(resolved->spec.image, "img:1");
    assert_string_equal(resolved->spec.runtime, "crun");
}

/* gc may not take a living run for a dead one, however long its policy lets it live. */
static void test_longest_life(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    assert_int_equal(dsb_resolve_longest_life(policy, TRUE, FALSE), 86400);
    assert_true(dsb_resolve_longest_life(policy, FALSE, FALSE) >= 24 * 3600 + 60);
    assert_true(dsb_policy_set(policy, "timeout", "24h", "x", NULL));
    assert_true(dsb_policy_set(policy, "start_timeout", "10m", "x", NULL));
    assert_true(dsb_resolve_longest_life(policy, TRUE, FALSE) >= 24 * 3600 + 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_preload),   cmocka_unit_test(test_policy_values), cmocka_unit_test(test_life),
        cmocka_unit_test(test_user),       cmocka_unit_test(test_env),           cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_no_session), cmocka_unit_test(test_binds),         cmocka_unit_test(test_longest_life),
        cmocka_unit_test(test_ownership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
