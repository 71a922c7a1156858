/* SPDX-License-Identifier: MIT */
/* The backend oci without a runtime: its bundle (golden file), its records, its groups. */
#include "oci/oci.h"
#include "oci_place.h"
#include "spec_parts.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const char *const argv[] = {"/opt/dsandbox/dsb-init", "--flag like", NULL};
static const struct dsb_bind *const binds[] = {
    BIND("/tmp/sandboxes/s1", "/sandbox", FALSE),
    BIND("/usr/libexec/dsandbox/guest", "/opt/dsandbox", TRUE),
};
static const struct dsb_pair *const env[] = {PAIR("HOME", "/tmp"), PAIR("TEXT", "a=b, \"c\" $d\n")};
static const struct dsb_pair *const labels[] = {
    PAIR(DSB_LABEL_OWNER, "o1"), PAIR(DSB_LABEL_SESSION, "s1"), PAIR(DSB_LABEL_DEADLINE, "17")};

static const struct dsb_spec base_spec = {
    .struct_size = sizeof(struct dsb_spec),
    .required = DSB_CONTROLS_ALL,
    .name = "dsb-0123",
    .image = "sha256:abcd",
    .labels = labels,
    .n_labels = 3,
    .argv = argv,
    .env = env,
    .n_env = 2,
    .workdir = "/sandbox",
    .hostname = "sandbox",
    .binds = binds,
    .n_binds = 2,
    .tmp_bytes = 104857600,
    .small_tmp_bytes = 65536,
    .shm_bytes = 67108864,
    .memory_bytes = 536870912,
    .cpu_quota_us = 150000,
    .cpu_period_us = 100000,
    .pids = 128,
    .nofile = 1024,
    .fsize = 1073741824,
    .network = DSB_NETWORK_NONE,
    .uid = 1000,
    .gid = 1001,
    .rootfs_read_only = TRUE,
    .no_new_privs = TRUE,
    .seccomp_json = "{\"defaultAction\":\"SCMP_ACT_ERRNO\"}",
};

static char *image_env[] = {(char *) "PATH=/opt/bin:/bin", (char *) "HOME=/root", NULL};
static const struct dsbo_image image = {(char *) "sha256:ab", (char *) "/images/ab/rootfs", image_env};
static const struct dsb_engine_info all = {.limits_available = DSB_CONTROLS_LIMITS};

/* ---- translation ---- */

static char *bundle_of(const struct dsb_spec *spec, uint64_t limits)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_object) bundle = dsbo_bundle(spec, &image, image.rootfs, limits, "/dsandbox/dsb-0123", &error);
    assert_non_null(bundle);
    return g_strconcat(json_object_to_json_string_ext(bundle, JSON_C_TO_STRING_PRETTY), "\n", NULL);
}

/** DSB_GOLDEN_UPDATE=1 writes the file anew. */
static void translates(void **state)
{
    (void) state;
    g_autofree char *is = bundle_of(&base_spec, DSB_CONTROLS_LIMITS);
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_GOLDEN"), "bundle-oci.json", NULL);
    if (g_getenv("DSB_GOLDEN_UPDATE") != NULL)
        assert_true(g_file_set_contents(path, is, -1, NULL));
    g_autofree char *expected = NULL;
    if (!g_file_get_contents(path, &expected, NULL, NULL))
        fail_msg("no golden file %s", path);
    assert_string_equal(is, expected);
}

/** Each field of the spec must reach the bundle: a change of one that does not show is a lost control. */
static void loses_no_field(void **state)
{
    (void) state;
    static const char *const other_argv[] = {"/opt/dsandbox/dsb-init", NULL};
    const struct dsb_bind *const other_binds[] = {BIND("/tmp/sandboxes/s1", "/sandbox", FALSE),
                                                  BIND("/usr/libexec/dsandbox/guest", "/opt/dsandbox", FALSE)};
    struct dsb_spec specs[19];
    for (gsize i = 0; i < G_N_ELEMENTS(specs); i++)
        specs[i] = base_spec;
    specs[0].tmp_bytes++;
    specs[1].small_tmp_bytes++;
    specs[2].shm_bytes++;
    specs[3].memory_bytes++;
    specs[4].swap_bytes++;
    specs[5].cpu_quota_us++;
    specs[6].cpu_period_us++;
    specs[7].pids++;
    specs[8].nofile++;
    specs[9].core++;
    specs[10].fsize++;
    specs[11].uid++;
    specs[12].gid++;
    specs[13].no_new_privs = FALSE;
    specs[14].seccomp_json = "{}";
    specs[15].tmp_exec = TRUE;
    specs[16].binds = other_binds;
    specs[17].argv = other_argv;
    specs[18].n_env = 1;
    g_autofree char *base = bundle_of(&base_spec, DSB_CONTROLS_LIMITS);
    for (gsize i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autofree char *other = bundle_of(&specs[i], DSB_CONTROLS_LIMITS);
        if (strcmp(base, other) == 0)
            fail_msg("change %zu does not show", i);
    }
    g_autofree char *none = bundle_of(&base_spec, 0);
    assert_null(strstr(none, "\"memory\"")); /* a limit that cannot be held would fail the start */
    assert_null(strstr(none, "\"pids\""));
}

static void refuses(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec;
    assert_null(dsbo_refusal(&spec, &all));
    spec.required |= UINT64_C(1) << 63;
    assert_non_null(dsbo_refusal(&spec, &all));
    spec = base_spec;
    const struct dsb_engine_info no_pids = {.limits_available = DSB_CONTROLS_LIMITS & ~DSB_BIT(DSB_CONTROL_PIDS)};
    assert_non_null(dsbo_refusal(&spec, &no_pids));
    spec.network = DSB_NETWORK_FULL;
    assert_non_null(dsbo_refusal(&spec, &all));
    spec = base_spec;
    spec.rootfs_read_only = FALSE;
    assert_non_null(dsbo_refusal(&spec, &all));
    spec = base_spec;
    spec.seccomp_json = NULL;
    assert_non_null(dsbo_refusal(&spec, &all));
    spec.seccomp_json = "{";
    g_autoptr(GError) error = NULL;
    assert_null(dsbo_bundle(&spec, &image, "/r", 0, "/x", &error));
    assert_non_null(error);
}

/* ---- records ---- */

static void records(void **state)
{
    struct place *place = *state;
    g_autoptr(GError) error = NULL;
    g_auto(dsbo_record) record = {0};
    assert_true(dsbo_record_make(place->root, "dsb-1", &base_spec, "/usr/bin/crun", "/dsandbox/dsb-1", &error));
    assert_false(dsbo_record_make(place->root, "dsb-1", &base_spec, "/usr/bin/crun", "/dsandbox/dsb-1", &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_CONFLICT));
    g_clear_error(&error);
    assert_false(dsbo_record_make(place->root, "../x", &base_spec, "/usr/bin/crun", "/x", &error));
    g_clear_error(&error);
    assert_true(dsbo_record_read(place->root, "dsb-1", &record, &error));
    assert_string_equal(record.owner, "o1");
    assert_string_equal(record.session, "s1");
    assert_int_equal(record.deadline, 17);
    assert_string_equal(record.cgroup, "/dsandbox/dsb-1");
    g_auto(GStrv) names = dsbo_record_names(place->root, &error);
    assert_int_equal(g_strv_length(names), 1);
    g_autofree char *deep = g_build_filename(place->root, "dsb-1", "state", "dsb-1", NULL);
    put(deep, "state.json", "{}", -1);
    assert_true(dsbo_record_remove(place->root, "dsb-1", &error));
    assert_true(dsbo_record_remove(place->root, "dsb-1", &error)); /* gone is gone */
    g_auto(dsbo_record) none = {0};
    assert_false(dsbo_record_read(place->root, "dsb-1", &none, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND));
    g_autoptr(GDir) dir = g_dir_open(place->root, 0, NULL);
    assert_null(g_dir_read_name(dir));
}

static int hold(struct place *place, gboolean alone, GError **error)
{
    g_clear_error(error);
    return dsbo_record_hold(place->root, "dsb-1", alone, g_get_monotonic_time() + 100000, error);
}

/** A runtime whose parent was killed holds its container as long as it lives. */
static void runtimes_hold(void **state)
{
    struct place *place = *state;
    g_autoptr(GError) error = NULL;
    struct dsbe_child child = {-1, -1};
    char *const command[] = {(char *) "/bin/sleep", (char *) "600", NULL};
    const int theirs[] = {-1, -1, -1};
    assert_int_equal(hold(place, FALSE, &error), -1);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND));
    g_clear_error(&error);
    assert_true(dsbo_record_make(place->root, "dsb-1", &base_spec, "/usr/bin/runc", "/dsandbox/dsb-1", &error));
    int held = hold(place, FALSE, &error);
    assert_true(held >= 0);
    const struct dsbo_start start = {command, NULL, theirs, held, NULL, NULL, NULL, &child};
    assert_true(dsbo_places_spawn(&start, &error));
    close(held); /* as when its parent is killed */
    assert_int_equal(hold(place, TRUE, &error), -1);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_TIMEOUT));
    dsbe_child_end(&child);
    held = hold(place, TRUE, &error);
    assert_true(held >= 0);
    assert_int_equal(hold(place, FALSE, &error), -1);
    assert_true(dsbo_record_remove(place->root, "dsb-1", NULL));
    close(held);
    assert_int_equal(hold(place, TRUE, &error), -1);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND));
}

/* ---- control groups ---- */

/** All that is in a container's group is killed: a record that names another group must not be believed. */
static void groups_of_others(void **state)
{
    struct place *place = *state;
    static const char *const bad[] = {"",           "/",   "/dsandbox", "/dsandbox/", "/dsandbox/..", "/dsandbox/../docker",
                                      "dsandbox/x", "//x"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(dsbo_record) record = {0};
        assert_true(dsbo_record_make(place->root, "dsb-1", &base_spec, "/usr/bin/runc", bad[i], NULL));
        assert_false(dsbo_record_read(place->root, "dsb-1", &record, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_FAILED));
        assert_true(dsbo_record_remove(place->root, "dsb-1", NULL));
    }
}

/** What cannot be looked at is not what is empty. */
static void unknown_is_not_none(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    gboolean ended = dsbo_cgroup_kill("/dsandbox/dsb-none", g_get_monotonic_time(), &error);
    gboolean removed = dsbo_cgroup_remove("/dsandbox/dsb-none", g_get_monotonic_time(), NULL);
    GArray *pids = dsbo_cgroup_processes("/dsandbox/dsb-none", NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(ended);
    assert_non_null(error);
    assert_false(removed);
    assert_null(pids);
}

#define FREEZER "/sys/fs/cgroup/freezer"

static void write_word(const char *dir, const char *file, const char *word)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, word, strlen(word)) == (ssize_t) strlen(word));
    close(fd);
}

/** runc freezes while it sets devices; one that is killed there leaves a frozen group. */
static void ends_what_is_frozen(void **state)
{
    (void) state;
    if (geteuid() != 0 || access(FREEZER "/cgroup.procs", W_OK) != 0)
        skip(); /* version 2 kills what is frozen */
    g_autoptr(GError) error = NULL;
    g_autofree char *cgroup = g_strdup_printf("/dsandbox/dsb-test-%d", (int) getpid());
    g_autofree char *dir = g_strconcat(FREEZER, cgroup, NULL);
    assert_int_equal(g_mkdir_with_parents(dir, 0755), 0);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    g_autofree char *number = g_strdup_printf("%d", (int) pid);
    write_word(dir, "cgroup.procs", number);
    write_word(dir, "freezer.state", "FROZEN");
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGCHLD, &ignore, &before); /* nothing stays to be waited for */
    gboolean ended = dsbo_cgroup_kill(cgroup, g_get_monotonic_time() + 10 * G_USEC_PER_SEC, &error);
    sigaction(SIGCHLD, &before, NULL);
    if (!ended)
        write_word(dir, "freezer.state", "THAWED");
    gboolean removed = dsbo_cgroup_remove(cgroup, g_get_monotonic_time() + 10 * G_USEC_PER_SEC, NULL);
    assert_true(ended);
    assert_true(removed);
    assert_int_not_equal(access(dir, F_OK), 0);
}

/* ---- what the kernel says: of ourselves, which nobody confined ---- */

static void observes_what_is(void **state)
{
    (void) state;
    struct dsb_observed facts = {.struct_size = sizeof facts};
    dsbo_observe(getpid(), &base_spec, &facts);
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_NAMESPACES)) != 0);
    assert_int_equal(facts.shared_namespaces, 63);
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_USER)) != 0);
    assert_int_equal(facts.uid, geteuid());
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_VOLUME)) != 0);
    assert_false(facts.volume_present);
    assert_false(facts.guest_read_only);
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS)) != 0);
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_NOFILE)) != 0);
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_SECCOMP)) == 0);
    struct dsb_observed nobody = {.struct_size = sizeof nobody};
    dsbo_observe(G_MAXINT32 - 1, &base_spec, &nobody);
    assert_int_equal(nobody.known, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translates),
        cmocka_unit_test(loses_no_field),
        cmocka_unit_test(refuses),
        cmocka_unit_test_setup_teardown(records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runtimes_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups_of_others, set_up, tear_down),
        cmocka_unit_test(unknown_is_not_none),
        cmocka_unit_test(ends_what_is_frozen),
        cmocka_unit_test(observes_what_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
