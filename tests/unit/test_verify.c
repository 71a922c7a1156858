/* SPDX-License-Identifier: MIT */
#include "attest/controls.h"
#include "attest/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ENGINE_KNOWS                                                                                                   \
    (DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) |                           \
     DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS) | DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | \
     DSB_BIT(DSB_CONTROL_ROOTFS) | DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))
#define INSIDE_KNOWS (DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE & ~DSB_BIT(DSB_CONTROL_RUNTIME))
#define LIMITS                                                                                                         \
    (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS))

struct fixture {
    struct dsb_resolved *resolved;
    dsb_report *report;
    struct dsb_observed facts; /* all as asked */
    struct dsb_engine_info engine;
};

static int setup(void **state)
{
    struct fixture *f = g_new0(struct fixture, 1);
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    assert_true(dsb_policy_set(policy, "runtime", "crun", "x", NULL));
    assert_true(dsb_policy_set(policy, "swap", "1MiB", "x", NULL));
    assert_true(dsb_policy_set(policy, "core", "1MiB", "x", NULL));
    const struct dsb_resolve_input input = {
        .workdir = "/tmp/sandboxes/s1",
        .guest_dir = "/opt/guest",
        .image = "img",
        .name = "dsb-a",
        .owner = "me",
        .deadline = 1,
        .invoker_uid = 1234,
        .invoker_gid = 5678,
        .seccomp_json = "{}",
    };
    assert_true(dsb_resolve(policy, &input, &f->resolved, NULL));
    f->report = dsb_report_new(f->resolved);
    const struct dsb_spec *spec = &f->resolved->spec;
    f->facts = (struct dsb_observed){
        .struct_size = sizeof(struct dsb_observed),
        .known = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE,
        .volume_present = TRUE,
        .guest_read_only = TRUE,
        .tmp_bytes = spec->tmp_bytes,
        .small_tmp_bytes = spec->small_tmp_bytes,
        .shm_bytes = spec->shm_bytes,
        .tmp_exec = spec->tmp_exec,
        .memory_bytes = spec->memory_bytes,
        .swap_bytes = spec->swap_bytes,
        .cpu_quota_us = spec->cpu_quota_us,
        .cpu_period_us = spec->cpu_period_us,
        .pids = spec->pids,
        .nofile = spec->nofile,
        .core = spec->core,
        .fsize = spec->fsize,
        .network = spec->network,
        .uid = spec->uid,
        .gid = spec->gid,
        .rootfs_read_only = TRUE,
        .no_new_privs = TRUE,
        .seccomp_ours = TRUE,
        .runtime = "crun",
    };
    f->engine = (struct dsb_engine_info){.product = "docker", .cgroup_version = 2, .limits_available = LIMITS};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dsb_report_free(f->report);
    dsb_resolved_free(f->resolved);
    g_free(f);
    return 0;
}

static const struct dsb_control_report *row(const struct fixture *f, unsigned control)
{
    gsize n = 0;
    const struct dsb_control_report *rows = dsb_report_rows(f->report, &n);
    assert_int_equal(n, DSB_N_CONTROLS);
    assert_string_equal(rows[control].name, dsb_control_name(control));
    return &rows[control];
}

static void assert_refused(GError *error, const char *part)
{
    assert_non_null(error);
    assert_int_equal(error->domain, DSB_ERROR);
    assert_int_equal(error->code, DSB_ERROR_REFUSED);
    if (strstr(error->message, part) == NULL)
        fail_msg("\"%s\", expected \"%s\"", error->message, part);
    g_error_free(error);
}

static gboolean plan(struct fixture *f, uint64_t enforces, uint64_t allow, GError **error)
{
    return dsb_verify_plan(f->report, &f->resolved->spec, enforces, &f->engine, allow, error);
}

static gboolean inspect(struct fixture *f, uint64_t allow, GError **error)
{
    return dsb_verify_inspect(f->report, &f->resolved->spec, &f->facts, allow, error);
}

static gboolean hello(struct fixture *f, uint64_t allow, GError **error)
{
    return dsb_verify_hello(f->report, &f->resolved->spec, &f->facts, allow, error);
}

static void test_all_in_force(void **state)
{
    struct fixture *f = *state;
    GError *error = NULL;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        gboolean core = (DSB_BIT(i) & DSB_CONTROLS_CORE) != 0;
        assert_int_equal(row(f, i)->verdict, core ? DSB_VERDICT_ENFORCED : DSB_VERDICT_UNENFORCED);
        assert_string_equal(row(f, i)->measured, core ? row(f, i)->asked : "unknown");
    }
    assert_true(plan(f, DSB_CONTROLS_ALL, 0, &error));
    f->facts.known = ENGINE_KNOWS;
    assert_true(inspect(f, 0, &error));
    assert_string_equal(row(f, DSB_CONTROL_MEMORY)->source, "engine");
    assert_string_equal(row(f, DSB_CONTROL_MEMORY)->measured, "512MiB");
    assert_int_equal(row(f, DSB_CONTROL_MEMORY)->verdict, DSB_VERDICT_ENFORCED);
    assert_int_equal(row(f, DSB_CONTROL_SECCOMP)->verdict, DSB_VERDICT_UNENFORCED);
    f->facts.known = INSIDE_KNOWS;
    assert_true(hello(f, 0, &error));
    assert_null(error);
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        gboolean core = (DSB_BIT(i) & DSB_CONTROLS_CORE) != 0;
        assert_int_equal(row(f, i)->verdict, DSB_VERDICT_ENFORCED);
        assert_string_equal(row(f, i)->source, i == DSB_CONTROL_RUNTIME ? "engine" : core ? "core" : "inside");
        assert_string_equal(row(f, i)->asked, row(f, i)->measured);
    }
    assert_true(dsb_report_let_go(f->report) == 0);
}

static void test_plan(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        GError *error = NULL;
        gboolean core = (DSB_BIT(i) & DSB_CONTROLS_CORE) != 0;
        assert_int_equal(plan(f, DSB_CONTROLS_ALL & ~DSB_BIT(i), 0, &error), core);
        if (core)
            continue;
        assert_refused(error, dsb_control_name(i));
        assert_int_equal(row(f, i)->verdict, DSB_VERDICT_REFUSED);
        assert_string_equal(row(f, i)->source, "plugin");
        /* allowing another does not help */
        error = NULL;
        assert_false(plan(f, DSB_CONTROLS_ALL & ~DSB_BIT(i), DSB_CONTROLS_ALL & ~DSB_BIT(i), &error));
        assert_refused(error, "the backend does not translate");
        assert_true(plan(f, DSB_CONTROLS_ALL & ~DSB_BIT(i), DSB_BIT(i), NULL));
        assert_int_equal(row(f, i)->verdict, DSB_VERDICT_UNENFORCED);
        assert_true(dsb_report_let_go(f->report) == DSB_BIT(i));
    }
    /* a plugin of an older version has no bit for what is new, and one of a newer version may have more */
    GError *error = NULL;
    assert_false(plan(f, 0, 0, &error));
    assert_refused(error, "volume,tmp,shm,memory");
    assert_true(plan(f, UINT64_MAX, 0, NULL));
}

static void test_plan_limits(void **state)
{
    struct fixture *f = *state;
    GError *error = NULL;
    f->engine = (struct dsb_engine_info){.product = "podman", .rootless = TRUE, .cgroup_version = 1};
    assert_false(plan(f, DSB_CONTROLS_ALL, 0, &error));
    assert_non_null(strstr(error->message, "rootless podman cannot limit memory,swap,cpu,pids here (cgroup v1)"));
    assert_non_null(strstr(error->message, "Delegate=cpu memory pids"));
    assert_refused(error, " allow_unenforced=memory,swap,cpu,pids");
    assert_string_equal(row(f, DSB_CONTROL_CPU)->source, "engine");

    /* allow half: the message names the other half */
    error = NULL;
    f->engine.limits_available = DSB_BIT(DSB_CONTROL_PIDS);
    assert_false(plan(f, DSB_CONTROLS_ALL, DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP), &error));
    assert_refused(error, " allow_unenforced=cpu");
    assert_int_equal(row(f, DSB_CONTROL_MEMORY)->verdict, DSB_VERDICT_UNENFORCED);
    assert_int_equal(row(f, DSB_CONTROL_CPU)->verdict, DSB_VERDICT_REFUSED);
    assert_true(plan(f, DSB_CONTROLS_ALL, LIMITS, NULL));
    assert_true(dsb_report_let_go(f->report) == (LIMITS & ~DSB_BIT(DSB_CONTROL_PIDS)));
}

/* Each control made weaker in each way that its facts can be. */
#define PLUS_PAGE ((uint64_t) sysconf(_SC_PAGESIZE))
static void weak_volume(struct dsb_observed *o) { o->volume_present = FALSE; }
static void weak_guest(struct dsb_observed *o) { o->guest_read_only = FALSE; }
static void weak_mounts(struct dsb_observed *o) { o->foreign_mounts = 1; }
static void weak_tmp(struct dsb_observed *o) { o->tmp_bytes += PLUS_PAGE; }
static void weak_tmp_exec(struct dsb_observed *o) { o->tmp_exec = TRUE; }
static void weak_tmp_all(struct dsb_observed *o) { o->tmp_bytes = DSB_UNLIMITED; }
static void weak_small_tmp(struct dsb_observed *o) { o->small_tmp_bytes = DSB_UNLIMITED; }
static void weak_shm(struct dsb_observed *o) { o->shm_bytes += PLUS_PAGE; }
static void weak_shm_all(struct dsb_observed *o) { o->shm_bytes = DSB_UNLIMITED; }
static void weak_memory(struct dsb_observed *o) { o->memory_bytes += 1; }
static void weak_memory_all(struct dsb_observed *o) { o->memory_bytes = DSB_UNLIMITED; }
static void weak_memory_zero(struct dsb_observed *o) { o->memory_bytes = 0; }
static void weak_swap(struct dsb_observed *o) { o->swap_bytes += 1; }
static void weak_swap_all(struct dsb_observed *o) { o->swap_bytes = DSB_UNLIMITED; }
static void weak_cpu(struct dsb_observed *o) { o->cpu_quota_us += 1; }
static void weak_cpu_period(struct dsb_observed *o) { o->cpu_period_us -= 1; }
static void weak_cpu_all(struct dsb_observed *o) { o->cpu_quota_us = DSB_UNLIMITED; }
static void weak_cpu_zero(struct dsb_observed *o) { o->cpu_quota_us = 0; }
static void weak_cpu_no_period(struct dsb_observed *o) { o->cpu_period_us = 0; }
static void weak_cpu_wrap(struct dsb_observed *o) { o->cpu_quota_us = UINT64_C(1) << 62; }
static void weak_cpu_wrap_period(struct dsb_observed *o) { o->cpu_period_us = UINT64_C(1) << 62; }
static void weak_pids(struct dsb_observed *o) { o->pids += 1; }
static void weak_pids_all(struct dsb_observed *o) { o->pids = DSB_UNLIMITED; }
static void weak_pids_zero(struct dsb_observed *o) { o->pids = 0; }
static void weak_nofile(struct dsb_observed *o) { o->nofile += 1; }
static void weak_core(struct dsb_observed *o) { o->core += 1; }
static void weak_core_all(struct dsb_observed *o) { o->core = DSB_UNLIMITED; }
static void weak_fsize(struct dsb_observed *o) { o->fsize += 1; }
static void weak_fsize_all(struct dsb_observed *o) { o->fsize = DSB_UNLIMITED; }
static void weak_network(struct dsb_observed *o) { o->network = DSB_NETWORK_FULL; }
static void weak_uid(struct dsb_observed *o) { o->uid = 0; }
static void weak_other_uid(struct dsb_observed *o) { o->uid += 1; }
static void weak_gid(struct dsb_observed *o) { o->gid = 0; }
static void weak_groups(struct dsb_observed *o) { o->extra_groups = 1; }
static void weak_rootfs(struct dsb_observed *o) { o->rootfs_read_only = FALSE; }
static void weak_capabilities(struct dsb_observed *o) { o->capabilities = UINT64_C(1) << 40; }
static void weak_no_new_privs(struct dsb_observed *o) { o->no_new_privs = FALSE; }
static void weak_seccomp(struct dsb_observed *o) { o->seccomp_ours = FALSE; }
static void weak_namespaces(struct dsb_observed *o) { o->shared_namespaces = DSB_NS_IPC; }
static void weak_privileged(struct dsb_observed *o) { o->privileged = TRUE; }
static void weak_devices(struct dsb_observed *o) { o->extra_devices = 1; }
static void weak_runtime(struct dsb_observed *o) { strcpy(o->runtime, "runc"); }

static const struct {
    unsigned control;
    void (*weaken)(struct dsb_observed *observed);
} weaker[] = {
    {DSB_CONTROL_VOLUME, weak_volume},
    {DSB_CONTROL_VOLUME, weak_guest},
    {DSB_CONTROL_VOLUME, weak_mounts},
    {DSB_CONTROL_TMP, weak_tmp},
    {DSB_CONTROL_TMP, weak_tmp_all},
    {DSB_CONTROL_TMP, weak_tmp_exec},
    {DSB_CONTROL_TMP, weak_small_tmp},
    {DSB_CONTROL_SHM, weak_shm},
    {DSB_CONTROL_SHM, weak_shm_all},
    {DSB_CONTROL_MEMORY, weak_memory},
    {DSB_CONTROL_MEMORY, weak_memory_all},
    {DSB_CONTROL_MEMORY, weak_memory_zero},
    {DSB_CONTROL_SWAP, weak_swap},
    {DSB_CONTROL_SWAP, weak_swap_all},
    {DSB_CONTROL_CPU, weak_cpu},
    {DSB_CONTROL_CPU, weak_cpu_period},
    {DSB_CONTROL_CPU, weak_cpu_all},
    {DSB_CONTROL_CPU, weak_cpu_zero},
    {DSB_CONTROL_CPU, weak_cpu_no_period},
    {DSB_CONTROL_CPU, weak_cpu_wrap},
    {DSB_CONTROL_CPU, weak_cpu_wrap_period},
    {DSB_CONTROL_PIDS, weak_pids},
    {DSB_CONTROL_PIDS, weak_pids_all},
    {DSB_CONTROL_PIDS, weak_pids_zero},
    {DSB_CONTROL_NOFILE, weak_nofile},
    {DSB_CONTROL_CORE, weak_core},
    {DSB_CONTROL_CORE, weak_core_all},
    {DSB_CONTROL_FSIZE, weak_fsize},
    {DSB_CONTROL_FSIZE, weak_fsize_all},
    {DSB_CONTROL_NETWORK, weak_network},
    {DSB_CONTROL_USER, weak_uid},
    {DSB_CONTROL_USER, weak_other_uid},
    {DSB_CONTROL_USER, weak_gid},
    {DSB_CONTROL_USER, weak_groups},
    {DSB_CONTROL_ROOTFS, weak_rootfs},
    {DSB_CONTROL_CAPABILITIES, weak_capabilities},
    {DSB_CONTROL_NO_NEW_PRIVS, weak_no_new_privs},
    {DSB_CONTROL_SECCOMP, weak_seccomp},
    {DSB_CONTROL_NAMESPACES, weak_namespaces},
    {DSB_CONTROL_DEVICES, weak_privileged},
    {DSB_CONTROL_DEVICES, weak_devices},
    {DSB_CONTROL_RUNTIME, weak_runtime},
};

static void test_weaker(void **state)
{
    struct fixture *f = *state;
    const struct dsb_observed good = f->facts;
    uint64_t covered = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(weaker); i++) {
        unsigned control = weaker[i].control;
        covered |= DSB_BIT(control);
        for (int stage = 0; stage < 2; stage++) {
            gboolean (*verify)(struct fixture *, uint64_t, GError **) = stage == 0 ? inspect : hello;
            GError *error = NULL;
            f->facts = good;
            weaker[i].weaken(&f->facts);
            assert_false(dsb_control_holds((enum dsb_control) control, &f->resolved->spec, &f->facts));
            if (verify(f, 0, &error))
                fail_msg("case %zu (%s) passed stage %d", i, dsb_control_name(control), stage);
            assert_int_equal(row(f, control)->verdict, DSB_VERDICT_REFUSED);
            assert_string_equal(row(f, control)->source, stage == 0 ? "engine" : "inside");
            g_autofree char *remedy = g_strdup_printf(" allow_unenforced=%s", dsb_control_name(control));
            assert_non_null(strstr(error->message, remedy));
            assert_refused(error, row(f, control)->measured);
            /* all the others allowed: still refused; this one allowed: unenforced */
            error = NULL;
            assert_false(verify(f, DSB_CONTROLS_ALL & ~DSB_BIT(control), &error));
            g_clear_error(&error);
            assert_true(verify(f, DSB_BIT(control), NULL));
            assert_int_equal(row(f, control)->verdict, DSB_VERDICT_UNENFORCED);
            /* taking the bit out of the spec does not get past what was resolved */
            struct dsb_spec spec = f->resolved->spec;
            spec.required &= ~DSB_BIT(control);
            assert_false(stage == 0 ? dsb_verify_inspect(f->report, &spec, &f->facts, 0, &error)
                                    : dsb_verify_hello(f->report, &spec, &f->facts, 0, &error));
            g_clear_error(&error);
        }
    }
    assert_true(covered == (DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE));
}

static void test_unknown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        GError *error = NULL;
        f->facts.known = DSB_CONTROLS_ALL & ~DSB_BIT(i);
        gboolean engine_must = (ENGINE_KNOWS & DSB_BIT(i)) != 0;
        gboolean inside_must = (INSIDE_KNOWS & DSB_BIT(i)) != 0;
        assert_int_equal(inspect(f, 0, &error), !engine_must);
        if (engine_must) {
            assert_string_equal(row(f, i)->measured, "unknown");
            assert_refused(error, "nothing is known about");
        }
        error = NULL;
        assert_int_equal(hello(f, 0, &error), !inside_must);
        if (inside_must) {
            assert_string_equal(row(f, i)->measured, "unknown");
            assert_int_equal(row(f, i)->verdict, DSB_VERDICT_REFUSED);
            assert_refused(error, dsb_control_name(i));
            assert_true(hello(f, DSB_BIT(i), NULL));
            assert_int_equal(row(f, i)->verdict, DSB_VERDICT_UNENFORCED);
        }
    }
    /* the empty report is nothing */
    GError *error = NULL;
    f->facts = (struct dsb_observed){0};
    assert_false(inspect(f, 0, &error));
    g_clear_error(&error);
    assert_false(hello(f, 0, &error));
    g_clear_error(&error);
}

static void tight_tmp(struct dsb_observed *o) { o->tmp_bytes = 0; }
static void tight_memory(struct dsb_observed *o) { o->memory_bytes -= 4096; }
static void tight_swap(struct dsb_observed *o) { o->swap_bytes = 0; }
static void tight_cpu(struct dsb_observed *o) { o->cpu_quota_us /= 2; }
static void same_cpu(struct dsb_observed *o) { o->cpu_quota_us *= 2, o->cpu_period_us *= 2; }
static void tight_pids(struct dsb_observed *o) { o->pids = 1; }
static void tight_core(struct dsb_observed *o) { o->core = 0; }
static void tight_nofile(struct dsb_observed *o) { o->nofile = 64; }

static void test_tighter_is_fine(void **state)
{
    static void (*const tighten[])(struct dsb_observed *) = {
        tight_tmp, tight_memory, tight_swap, tight_cpu, same_cpu, tight_pids, tight_core, tight_nofile,
    };
    struct fixture *f = *state;
    const struct dsb_observed good = f->facts;
    for (gsize i = 0; i < G_N_ELEMENTS(tighten); i++) {
        f->facts = good;
        tighten[i](&f->facts);
        assert_true(inspect(f, 0, NULL));
        assert_true(hello(f, 0, NULL));
    }
    /* full asked, none found */
    f->facts = good;
    f->resolved->spec.network = DSB_NETWORK_FULL;
    assert_true(hello(f, 0, NULL));
    f->facts.network = DSB_NETWORK_FULL;
    assert_true(hello(f, 0, NULL));
}

/* The kernel rounds a tmpfs up to whole pages; that is not weaker. */
static void test_page_rounding(void **state)
{
    struct fixture *f = *state;
    f->resolved->spec.tmp_bytes = 10 * PLUS_PAGE + 1;
    f->facts.tmp_bytes = 11 * PLUS_PAGE;
    assert_true(hello(f, 0, NULL));
    f->facts.tmp_bytes = 11 * PLUS_PAGE + 1;
    assert_false(hello(f, 0, NULL));
}

/* What the engine claims, the measurement overrules, both ways. */
static void test_stages_overwrite(void **state)
{
    struct fixture *f = *state;
    assert_true(inspect(f, 0, NULL));
    f->facts.memory_bytes = DSB_UNLIMITED;
    assert_false(hello(f, 0, NULL));
    assert_string_equal(row(f, DSB_CONTROL_MEMORY)->measured, "unlimited");
    assert_string_equal(row(f, DSB_CONTROL_MEMORY)->source, "inside");
    dsb_report_set(f->report, DSB_CONTROL_DISK, "10MiB", "core", DSB_VERDICT_ENFORCED);
    assert_string_equal(row(f, DSB_CONTROL_DISK)->measured, "10MiB");
}

/* A runtime that nobody named is told, not judged. */
static void test_runtime_not_required(void **state)
{
    struct fixture *f = *state;
    f->resolved->spec.runtime = NULL;
    f->resolved->spec.required &= ~DSB_BIT(DSB_CONTROL_RUNTIME);
    dsb_report_free(f->report);
    f->report = dsb_report_new(f->resolved);
    assert_true(plan(f, DSB_CONTROLS_ALL & ~DSB_BIT(DSB_CONTROL_RUNTIME), 0, NULL));
    assert_true(inspect(f, 0, NULL));
    assert_string_equal(row(f, DSB_CONTROL_RUNTIME)->asked, "default");
    assert_string_equal(row(f, DSB_CONTROL_RUNTIME)->measured, "crun");
    assert_int_equal(row(f, DSB_CONTROL_RUNTIME)->verdict, DSB_VERDICT_ENFORCED);
}

static void test_names(void **state)
{
    (void) state;
    assert_string_equal(dsb_verdict_name(DSB_VERDICT_ENFORCED), "enforced");
    assert_string_equal(dsb_verdict_name(DSB_VERDICT_UNENFORCED), "unenforced");
    assert_string_equal(dsb_verdict_name(DSB_VERDICT_REFUSED), "refused");
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_all_in_force),    CASE(test_plan),
        CASE(test_plan_limits),     CASE(test_weaker),
        CASE(test_unknown),         CASE(test_page_rounding),
        CASE(test_tighter_is_fine), CASE(test_stages_overwrite),
        CASE(test_names),           CASE(test_runtime_not_required),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
