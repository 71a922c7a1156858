/* SPDX-License-Identifier: MIT */
#include "policy/fields.h"

#include <dsandbox/observed.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* key, text, canonical text; NULL: refused */
static const struct {
    const char *key, *text, *value;
} texts[] = {
    {"preload", "none", "none"},
    {"preload", "numpy", "numpy"},
    {"preload", " numpy , matplotlib.pyplot,_a1.B_2", "numpy,matplotlib.pyplot,_a1.B_2"},
    {"preload", "", NULL},
    {"preload", " ", NULL},
    {"preload", ",", NULL},
    {"preload", "numpy,", NULL},
    {"preload", "numpy,,pandas", NULL},
    {"preload", "numpy pandas", NULL},
    {"preload", "numpy,numpy", NULL},
    {"preload", "1numpy", NULL},
    {"preload", ".numpy", NULL},
    {"preload", "numpy.", NULL},
    {"preload", "numpy..linalg", NULL},
    {"preload", "matplotlib.1", NULL},
    {"preload", "../numpy", NULL},
    {"preload", "/sandbox/numpy", NULL},
    {"preload", "num-py", NULL},
    {"preload", "numpy\npandas", NULL},
    {"preload", "n\303\274mpy", NULL},
    {"memory", "512MiB", "512MiB"},
    {"memory", "536870912", "512MiB"},
    {"memory", "512M", "512MiB"},
    {"memory", "512MB", "512MiB"},
    {"memory", "512m", "512MiB"},
    {"memory", "1g", "1GiB"},
    {"memory", "1G", "1GiB"},
    {"memory", "1GB", "1GiB"},
    {"memory", "1GiB", "1GiB"},
    {"memory", "524288k", "512MiB"},
    {"memory", "524288K", "512MiB"},
    {"memory", "524288KB", "512MiB"},
    {"memory", "524289KiB", "524289KiB"},
    {"memory", "33554433b", "33554433"},
    {"memory", "33554433B", "33554433"},
    {"memory", "32MiB", "32MiB"},
    {"memory", "4096GiB", "4096GiB"},
    {"memory", "33554431", NULL},
    {"memory", "0", NULL},
    {"memory", "4097GiB", NULL},
    {"memory", "", NULL},
    {"memory", " 512MiB", NULL},
    {"memory", "512MiB ", NULL},
    {"memory", "512 MiB", NULL},
    {"memory", "512MiBx", NULL},
    {"memory", "512Mib", NULL},
    {"memory", "512mb", NULL},
    {"memory", "512T", NULL},
    {"memory", "512MiB\n", NULL},
    {"memory", "-1", NULL},
    {"memory", "+1g", NULL},
    {"memory", "1.5g", NULL},
    {"memory", "1e9", NULL},
    {"memory", "0x40000000", NULL},
    {"memory", "0512MiB", NULL},
    {"memory", "NaN", NULL},
    {"memory", "inf", NULL},
    {"memory", "max", NULL},
    {"memory", "unlimited", NULL},
    {"memory", "MiB", NULL},
    {"memory", "18446744073709551615", NULL},
    {"memory", "18446744073709551616", NULL},
    {"memory", "17179869184GiB", NULL}, /* 2^64 */
    {"memory", "99999999999999999999999999", NULL},
    {"swap", "0", "0"},
    {"swap", "1GiB", "1GiB"},
    {"swap", "unlimited", NULL},
    {"swap", "-1", NULL},
    {"cpus", "1", "1"},
    {"cpus", "0.5", "0.5"},
    {"cpus", "1.50", "1.5"},
    {"cpus", "0.01", "0.01"},
    {"cpus", "0.33333", "0.33333"},
    {"cpus", "1024", "1024"},
    {"cpus", "0", NULL},
    {"cpus", "0.0", NULL},
    {"cpus", "0.009", NULL},
    {"cpus", "1024.1", NULL},
    {"cpus", "18446744073709551615", NULL},
    {"cpus", ".5", NULL},
    {"cpus", "1.", NULL},
    {"cpus", "1.000001", NULL},
    {"cpus", "1,5", NULL},
    {"cpus", "1e2", NULL},
    {"cpus", "-1", NULL},
    {"cpus", "NaN", NULL},
    {"cpus", "Infinity", NULL},
    {"cpus", "unlimited", NULL},
    {"cpus", "", NULL},
    {"cpus", "01", NULL},
    {"cpus", "1 ", NULL},
    {"pids", "8", "8"},
    {"pids", "1048576", "1048576"},
    {"pids", "7", NULL},
    {"pids", "0", NULL},
    {"pids", "-1", NULL},
    {"pids", "1048577", NULL},
    {"pids", "128k", NULL},
    {"pids", "max", NULL},
    {"pids", "unlimited", NULL},
    {"nofile", "64", "64"},
    {"nofile", "63", NULL},
    {"tmp_size", "100M", "100MiB"},
    {"tmp_size", "0", NULL},
    {"shm_size", "64KiB", "64KiB"},
    {"shm_size", "0", NULL},
    {"disk", "1MiB", "1MiB"},
    {"disk", "0", NULL},
    {"disk_inodes", "15", NULL},
    {"core", "0", "0"},
    {"core", "2GiB", NULL},
    {"fsize", "disk", "1GiB"},
    {"fsize", "10MiB", "10MiB"},
    {"fsize", "0", NULL},
    {"fsize", "Disk", NULL},
    {"timeout", "30", "30s"},
    {"timeout", "30s", "30s"},
    {"timeout", "500ms", "500ms"},
    {"timeout", "2m", "2m"},
    {"timeout", "90s", "90s"},
    {"timeout", "24h", "24h"},
    {"timeout", "10ms", "10ms"},
    {"timeout", "9ms", NULL},
    {"timeout", "25h", NULL},
    {"timeout", "0", NULL},
    {"timeout", "-5", NULL},
    {"timeout", "1.5", NULL},
    {"timeout", "30S", NULL},
    {"timeout", "30 s", NULL},
    {"timeout", "1d", NULL},
    {"timeout", "18446744073709551615h", NULL},
    {"timeout", "unlimited", NULL},
    {"timeout", "", NULL},
    {"idle_timeout", "15m", "15m"},
    {"idle_timeout", "0", NULL},
    {"life_time", "168h", "168h"},
    {"life_time", "169h", NULL},
    {"start_timeout", "60", "60s"},
    {"start_timeout", "0", NULL},
    {"grace", "0", "0s"},
    {"grace", "61s", NULL},
    {"output_limit", "1MiB", "1MiB"},
    {"output_limit", "0", NULL},
    {"results_limit", "8MiB", "8MiB"},
    {"results_limit", "1MiB", NULL},
    {"results_limit", "16MiB", NULL},
    {"output_overflow", "kill", "kill"},
    {"output_overflow", "keep", "keep"},
    {"output_overflow", "drop", NULL},
    {"network", "none", "none"},
    {"network", "full", "full"},
    {"network", "host", NULL},
    {"network", "Full", NULL},
    {"network", "", NULL},
    {"user", "auto", "auto"},
    {"user", "1000", "1000:1000"},
    {"user", "1000:2000", "1000:2000"},
    {"user", "2147483647:1", "2147483647:1"},
    {"user", "0", NULL},
    {"user", "0:0", NULL},
    {"user", "0:5", NULL},
    {"user", "5:0", NULL},
    {"user", "1000:", NULL},
    {"user", ":1000", NULL},
    {"user", "1:2:3", NULL},
    {"user", "root", NULL},
    {"user", "4294967296", NULL}, /* 0 in 32 bits */
    {"user", "4294967295", NULL}, /* -1 */
    {"user", "01", NULL},
    {"user", "-1", NULL},
    {"user", "1000 ", NULL},
    {"user", "", NULL},
    {"runtime", "default", "default"},
    {"runtime", "runsc", "runsc"},
    {"runtime", "io.containerd.runc.v2", "io.containerd.runc.v2"},
    {"runtime", "/usr/bin/runc", NULL},
    {"runtime", "RUNC", NULL},
    {"runtime", "-runc", NULL},
    {"runtime", "..", NULL},
    {"runtime", "", NULL},
    {"runtime", "a b", NULL},
    {"rootfs", "ro", "ro"},
    {"rootfs", "rw", NULL},
    {"capabilities", "none", "none"},
    {"capabilities", "SYS_ADMIN", NULL},
    {"no_new_privs", "true", "true"},
    {"no_new_privs", "false", NULL},
    {"seccomp", "dsandbox", "dsandbox"},
    {"seccomp", "unconfined", NULL},
    {"namespaces", "private", "private"},
    {"namespaces", "host", NULL},
    {"devices", "none", "none"},
    {"devices", "/dev/kvm", NULL},
    {"same_path", "true", "true"},
    {"tmp_exec", "true", "true"},
    {"tmp_exec", "1", NULL},
    {"same_path", "false", "false"},
    {"same_path", "yes", NULL},
    {"same_path", "1", NULL},
    {"binds", "[]", NULL},
    {"binds", "/a:/b", NULL},
};

static void test_texts(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        GError *error = NULL;
        gboolean ok = dsb_policy_set(policy, texts[i].key, texts[i].text, "--here", &error);
        if (ok != (texts[i].value != NULL))
            fail_msg("%s=%s: %s", texts[i].key, texts[i].text, ok ? "taken" : error->message);
        if (ok) {
            assert_value(policy, texts[i].key, texts[i].value);
            continue;
        }
        assert_non_null(strstr(error->message, "--here: "));
        assert_error(error, DSB_ERROR_INVALID, texts[i].key);
    }
}

/* What was set reads back from its own canonical text. */
static void test_round_trip(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (texts[i].value == NULL)
            continue;
        g_autoptr(dsb_policy) a = dsb_policy_new();
        g_autoptr(dsb_policy) b = dsb_policy_new();
        assert_true(dsb_policy_set(a, texts[i].key, texts[i].text, "x", NULL));
        assert_true(dsb_policy_set(b, texts[i].key, texts[i].value, "y", NULL));
        g_autofree char *left = dsb_policy_sha256(a);
        g_autofree char *right = dsb_policy_sha256(b);
        assert_string_equal(left, right);
        g_autoptr(dsb_policy) c = dsb_policy_new();
        g_autofree char *canonical = dsb_policy_canonical(a);
        assert_true(load(c, canonical, NULL));
        g_autofree char *again = dsb_policy_canonical(c);
        assert_string_equal(canonical, again);
    }
}

/* Every field: bounds take themselves, refuse one beyond, and no bound is near what an engine reads as no limit. */
static void test_table(void **state)
{
    (void) state;
    uint64_t controls = 0;
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        controls |= field->control != DSB_NO_CONTROL ? DSB_BIT(field->control) : 0;
        assert_true(field->min <= field->max);
        assert_true(field->max < (UINT64_C(1) << 53));
        struct dsb_value low = {.number = field->min}, high = {.number = field->max};
        gboolean numbers = strcmp(field->type->unit, "name") != 0 && strcmp(field->type->unit, "list") != 0;
        if (!numbers)
            continue;
        g_autofree char *min = field->type->render(field, &low);
        g_autofree char *max = field->type->render(field, &high);
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        assert_true(dsb_policy_set(policy, field->key, min, "x", NULL));
        assert_true(dsb_policy_set(policy, field->key, max, "x", NULL));
        assert_true(field->type->within(field, &low, &high));
        assert_true(field->type->within(field, &low, &low));
        assert_false(field->type->within(field, &high, &low));
    }
    assert_true(controls == DSB_CONTROLS_ALL);
}

/* A control that is one number is compared with the spec's own member, in no other control's place. */
static void test_numbers(void **state)
{
    (void) state;
    uint64_t numbers = 0;
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        for (unsigned j = 0; j < i; j++) {
            const struct dsb_field *other = dsb_field((enum dsb_field_id) j);
            assert_true(field->in_resolved == 0 || field->in_resolved != other->in_resolved);
            assert_true(field->in_observed == 0 || field->in_observed != other->in_observed);
        }
        if (field->in_observed == 0)
            continue;
        assert_true(field->in_resolved > 0 && field->in_resolved + sizeof(uint64_t) <= sizeof(struct dsb_spec));
        assert_true(field->in_observed + sizeof(uint64_t) <= sizeof(struct dsb_observed));
        assert_true((numbers & DSB_BIT(field->control)) == 0);
        assert_ptr_equal(dsb_field_of_control(field->control), field);
        numbers |= DSB_BIT(field->control);
    }
    assert_true(numbers == (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_PIDS) |
                            DSB_BIT(DSB_CONTROL_SHM) | DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) |
                            DSB_BIT(DSB_CONTROL_FSIZE)));
}

static void test_controls(void **state)
{
    (void) state;
    uint64_t bits = 7;
    GError *error = NULL;
    assert_true(dsb_controls_parse("memory,swap", &bits, NULL));
    assert_true(bits == (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP)));
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        assert_true(dsb_controls_parse(dsb_control_name(i), &bits, NULL));
        assert_true(bits == DSB_BIT(i));
    }
    assert_null(dsb_control_name(DSB_N_CONTROLS));
    g_autofree char *none = dsb_control_names(UINT64_C(1) << 63, ","), *all = dsb_control_names(DSB_CONTROLS_ALL, ",");
    g_autofree char *two = dsb_control_names(DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_MEMORY), "; ");
    assert_string_equal(none, "");
    assert_string_equal(two, "memory; swap");
    assert_true(dsb_controls_parse(all, &bits, NULL) && bits == DSB_CONTROLS_ALL);
    static const char *const bad[] = {"memory,", ",memory", "memory, swap", "all", "Memory", "memory,privileged"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        bits = 7;
        error = NULL;
        assert_false(dsb_controls_parse(bad[i], &bits, &error));
        assert_error(error, DSB_ERROR_INVALID, "no control is named");
        assert_true(bits == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
