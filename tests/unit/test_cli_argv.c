/* SPDX-License-Identifier: MIT */
/* The docker-cli backend without an engine: translation (golden files), classification, which engine it is. */
#include "docker-cli/docker_cli.h"
#include "spec_parts.h"

#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const argv[] = {"/opt/dsandbox/dsb-init", "--proto=1", "--flag like", NULL};
static const struct dsb_bind *const binds[] = {
    BIND("/tmp/sandboxes/s1", "/sandbox", FALSE),
    BIND("/usr/libexec/dsandbox/guest", "/opt/dsandbox", TRUE),
    BIND("/data/models", "/models", TRUE),
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
    .swap_bytes = 0,
    .cpu_quota_us = 150000,
    .cpu_period_us = 100000,
    .pids = 128,
    .nofile = 1024,
    .core = 0,
    .fsize = 1073741824,
    .network = DSB_NETWORK_NONE,
    .uid = 1000,
    .gid = 1001,
    .keep_id = TRUE,
    .rootfs_read_only = TRUE,
    .no_new_privs = TRUE,
    .seccomp_json = "{}",
    .seccomp_path = "/usr/libexec/dsandbox/guest/seccomp.json",
    .life_seconds = 3600,
};

#define ALL_LIMITS                                                                                                     \
    (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS))

static const struct dsbc_facts docker = {.info = {.limits_available = ALL_LIMITS}};
static const struct dsbc_facts podman = {.podman = TRUE, .nproc = 32768, .info = {.limits_available = ALL_LIMITS}};
static const struct dsbc_facts rootless = {
    .podman = TRUE, .nproc = DSB_UNLIMITED, .info = {.limits_available = ALL_LIMITS, .rootless = TRUE}};

static char *joined(const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    g_autoptr(GPtrArray) words = dsbc_create_argv(spec, facts);
    GString *text = g_string_new(NULL);
    for (guint i = 0; words->pdata[i] != NULL; i++) {
        g_autofree char *escaped = g_strescape(words->pdata[i], "\"");
        g_string_append_printf(text, "%s\n", escaped);
    }
    return g_string_free(text, FALSE);
}

/** DSB_GOLDEN_UPDATE=1 writes the files anew. */
static void matches_golden(const char *name, const struct dsb_spec *spec, const struct dsbc_facts *facts)
{
    g_autofree char *is = joined(spec, facts);
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_GOLDEN"), name, NULL);
    if (g_getenv("DSB_GOLDEN_UPDATE") != NULL)
        assert_true(g_file_set_contents(path, is, -1, NULL));
    g_autofree char *expected = NULL;
    if (!g_file_get_contents(path, &expected, NULL, NULL))
        fail_msg("no golden file %s", path);
    assert_string_equal(is, expected);
}

static void translates(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec;
    matches_golden("docker.argv", &spec, &docker);
    matches_golden("podman.argv", &spec, &podman);
    matches_golden("podman-rootless.argv", &spec, &rootless);

    struct dsbc_facts facts = podman;
    g_strlcpy(facts.runtime, "runc", sizeof facts.runtime);
    matches_golden("podman-hybrid.argv", &spec, &facts);
    facts = docker;
    facts.selinux = TRUE;
    spec.network = DSB_NETWORK_FULL;
    spec.runtime = "runsc";
    spec.n_binds = 3;
    spec.swap_bytes = 268435456;
    matches_golden("docker-selinux-network-runtime.argv", &spec, &facts);
    facts = podman;
    facts.selinux = TRUE;
    matches_golden("podman-selinux-network-runtime.argv", &spec, &facts);

    facts = docker;
    facts.info.limits_available = 0;
    matches_golden("docker-no-limits.argv", &base_spec, &facts);
}

/** Each field of the spec must reach the arguments: a change of one that does not show is a lost control. */
static void loses_no_field(void **state)
{
    (void) state;
    const struct dsb_bind *const other_binds[] = {BIND("/tmp/sandboxes/s2", "/sandbox", FALSE),
                                                  BIND("/usr/libexec/dsandbox/guest", "/opt/dsandbox", FALSE)};
    struct dsb_spec specs[23];
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
    specs[11].network = DSB_NETWORK_FULL;
    specs[12].uid++;
    specs[13].gid++;
    specs[14].rootfs_read_only = FALSE;
    specs[15].no_new_privs = FALSE;
    specs[16].seccomp_path = "/other.json";
    specs[17].runtime = "crun";
    specs[18].binds = other_binds;
    specs[19].workdir = "/other";
    specs[20].n_env = 1;
    specs[21].n_labels = 2;
    specs[22].tmp_exec = TRUE;
    const struct dsbc_facts *const all[] = {&docker, &podman, &rootless};
    for (gsize f = 0; f < G_N_ELEMENTS(all); f++) {
        g_autofree char *base = joined(&base_spec, all[f]);
        for (gsize i = 0; i < G_N_ELEMENTS(specs); i++) {
            g_autofree char *changed = joined(&specs[i], all[f]);
            if (g_str_equal(base, changed))
                fail_msg("change %zu is lost", i);
        }
    }
}

static void refuses_what_the_engine_cannot(void **state)
{
    (void) state;
    assert_null(dsbc_spec_refusal(&base_spec, &docker));
    static const enum dsb_control limits[] = {DSB_CONTROL_MEMORY, DSB_CONTROL_SWAP, DSB_CONTROL_CPU, DSB_CONTROL_PIDS};
    for (gsize i = 0; i < G_N_ELEMENTS(limits); i++) {
        struct dsbc_facts facts = docker;
        struct dsb_spec spec = base_spec;
        facts.info.limits_available &= ~DSB_BIT(limits[i]);
        assert_non_null(dsbc_spec_refusal(&spec, &facts));
        spec.required &= ~DSB_BIT(limits[i]);
        assert_null(dsbc_spec_refusal(&spec, &facts));
    }
    struct dsb_spec spec = base_spec;
    spec.seccomp_path = NULL;
    assert_non_null(dsbc_spec_refusal(&spec, &docker));
    spec = base_spec;
    spec.n_binds = 0;
    assert_non_null(dsbc_spec_refusal(&spec, &docker));
}

static void compacts_json(void **state)
{
    (void) state;
    g_autofree char *text = dsbc_compact_json("{ \"a b\" :\t[ 1,\r\n 2 ], \"q\\\" \\\\\" : \" \" }\n");
    assert_string_equal(text, "{\"a b\":[1,2],\"q\\\" \\\\\":\" \"}");
}

static void classifies(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        enum dsb_error_code code;
        gboolean advice;
    } table[] = {
        {"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
         DSB_ERROR_UNAVAILABLE, TRUE},
        {"permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "
         "\"http://x/info\": dial unix /var/run/docker.sock: connect: permission denied",
         DSB_ERROR_DENIED, TRUE},
        {"Error response from daemon: No such image: nope:1", DSB_ERROR_NOT_FOUND, TRUE},
        {"Error: nope: image not known", DSB_ERROR_NOT_FOUND, TRUE},
        {"Error: No such container: x", DSB_ERROR_NOT_FOUND, FALSE},
        {"Error: no container with name or ID \"x\" found: no such container", DSB_ERROR_NOT_FOUND, FALSE},
        {"Conflict. The container name \"/x\" is already in use by container \"y\"", DSB_ERROR_CONFLICT, FALSE},
        {"client version 1.52 is too new. Maximum supported API version is 1.41", DSB_ERROR_UNSUPPORTED, TRUE},
        {"unknown flag: --pull", DSB_ERROR_UNSUPPORTED, TRUE},
        {"docker: Error response from daemon: Unknown runtime specified x", DSB_ERROR_INVALID, TRUE},
        {"error during connect: Get \"https://h:2376/info\": x509: certificate signed by unknown authority",
         DSB_ERROR_DENIED, TRUE},
        {"error during connect: Get \"https://h:2376/info\": remote error: tls: certificate required", DSB_ERROR_DENIED,
         TRUE},
        {"Error response from daemon: Client sent an HTTP request to an HTTPS server.", DSB_ERROR_UNAVAILABLE, TRUE},
        {"error during connect: Get \"https://h/info\": http: server gave HTTP response to HTTPS client",
         DSB_ERROR_UNAVAILABLE, TRUE},
        {"Error response from daemon: Get \"https://registry/v2/\": x509: certificate signed by unknown authority",
         DSB_ERROR_FAILED, FALSE},
        {"something else", DSB_ERROR_FAILED, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        const char *advice = NULL;
        assert_int_equal(dsbc_classify(table[i].text, &advice), table[i].code);
        assert_non_null(advice);
        if (strstr(table[i].text, "TLS") || strstr(table[i].text, "tls") || strstr(table[i].text, "HTTPS"))
            assert_true(strstr(advice, "group") == NULL && strstr(advice, "DOCKER_") != NULL);
        assert_int_equal(*advice != '\0', table[i].advice);
    }
}

static void reads_facts(void **state)
{
    (void) state;
    static const char docker_info[] =
        "{\"ServerVersion\":\"20.10.24\",\"DefaultRuntime\":\"runc\",\"CgroupVersion\":\"2\",\"CgroupDriver\":"
        "\"systemd\",\"MemoryLimit\":true,\"SwapLimit\":true,\"CpuCfsQuota\":true,\"PidsLimit\":true,"
        "\"SecurityOptions\":[\"name=seccomp,profile=default\",\"name=selinux\",\"name=rootless\"]}";
    static const char docker_version[] =
        "{\"Server\":{\"ApiVersion\":\"1.41\",\"Components\":[{\"Name\":\"Engine\"}]}}";
    static const char podman_version[] = "{\"Server\":{\"Components\":[{\"Name\":\"Podman Engine\"}]}}";
    static const char podman_info[] =
        "{\"host\":{\"cgroupVersion\":\"v2\",\"cgroupManager\":\"systemd\",\"cgroupControllers\":[\"memory\",\"cpu\","
        "\"pids\"],\"ociRuntime\":{\"name\":\"crun\"},\"security\":{\"rootless\":true,\"selinuxEnabled\":false},"
        "\"serviceIsRemote\":false},\"version\":{\"APIVersion\":\"4.3.1\",\"Version\":\"4.3.1\"}}";
    struct dsbc_facts facts = {0};
    g_autoptr(GError) error = NULL;
    assert_true(dsbc_parse_facts(docker_info, docker_version, &facts, &error));
    assert_string_equal(facts.info.product, "docker");
    assert_string_equal(facts.info.api, "1.41");
    assert_true(facts.selinux && facts.info.rootless && !facts.podman);
    assert_true(facts.info.limits_available == ALL_LIMITS);

    assert_false(dsbc_parse_facts(docker_info, podman_version, &facts, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED));
    assert_non_null(strstr(error->message, "use backend podman"));
    g_clear_error(&error);

    memset(&facts, 0, sizeof facts);
    assert_true(dsbc_parse_facts(podman_info, NULL, &facts, &error));
    assert_string_equal(facts.info.product, "podman");
    assert_true(facts.podman && facts.info.rootless && facts.info.local);
    assert_false(dsbc_parse_facts("{}", NULL, &facts, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED));
    g_clear_error(&error);
    assert_false(dsbc_parse_facts("nonsense", NULL, &facts, &error));
    assert_non_null(error);
}

static void finds_programs(void **state)
{
    (void) state;
    g_autofree char *dir = g_strdup("/tmp/dsb-path-XXXXXX");
    assert_non_null(g_mkdtemp(dir));
    g_autofree char *program = g_build_filename(dir, "docker", NULL);
    assert_true(g_file_set_contents(program, "#!/bin/sh\n", -1, NULL));
    assert_int_equal(chmod(program, 0755), 0);
    g_autofree char *found = dsbe_find_program("docker", dir);
    assert_string_equal(found, program);
    static const struct {
        mode_t directory, file;
    } bad[] = {{0777, 0755}, {0775, 0755}, {0755, 0757}, {0755, 0775}, {0755, 0644}, {01777, 0755}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_int_equal(chmod(dir, bad[i].directory), 0);
        assert_int_equal(chmod(program, bad[i].file), 0);
        assert_null(dsbe_find_program("docker", dir));
        assert_false(dsbe_program_ok(program));
    }
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(program, 0755), 0);
    assert_true(dsbe_program_ok(program));
    assert_null(dsbe_find_program("docker", ".:relative:"));
    if (geteuid() == 0) { /* what belongs to somebody else can be changed by them */
        assert_int_equal(chown(program, 12345, 0), 0);
        assert_false(dsbe_program_ok(program));
        assert_int_equal(chown(program, 0, 0), 0);
        assert_int_equal(chown(dir, 12345, 0), 0);
        assert_false(dsbe_program_ok(program));
        assert_int_equal(chown(dir, 0, 0), 0);
    }
    /* A link counts as what it points at. */
    g_autofree char *open_dir = g_build_filename(dir, "open", NULL);
    g_autofree char *target = g_build_filename(open_dir, "target", NULL);
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    assert_int_equal(mkdir(open_dir, 0755), 0);
    assert_true(g_file_set_contents(target, "#!/bin/sh\n", -1, NULL));
    assert_int_equal(chmod(target, 0755), 0);
    assert_int_equal(symlink(target, link), 0);
    assert_true(dsbe_program_ok(link));
    assert_int_equal(chmod(open_dir, 0777), 0);
    assert_false(dsbe_program_ok(link));
    g_autofree char *list = g_strconcat(open_dir, ":", dir, ":relative", NULL);
    g_autofree char *safe = dsbe_safe_path(list);
    assert_string_equal(safe, dir);
    unlink(link);
    unlink(target);
    rmdir(open_dir);
    unlink(program);
    rmdir(dir);
}

/* ---- which engine ---- */

static void write_context(const char *config, const char *name, const char *host)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
    g_autofree char *dir = g_build_filename(config, "contexts", "meta", digest, NULL);
    g_autofree char *file = g_build_filename(dir, "meta.json", NULL);
    g_autofree char *text = g_strdup_printf("{\"Endpoints\":{\"docker\":{\"Host\":\"%s\"}}}", host);
    assert_int_equal(g_mkdir_with_parents(dir, 0700), 0);
    assert_true(g_file_set_contents(file, text, -1, NULL));
}

/* As Docker's own client: an address, DOCKER_HOST, DOCKER_CONTEXT, the setting, the default; empty is not set. */
static void finds_the_engine(void **state)
{
    (void) state;
    static const char *const names[] = {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"};
    static const struct {
        const char *given, *host, *context, *endpoint, *passed;
    } cases[] = {
        {"tcp://127.0.0.1:9", "unix:///host", "other", "tcp://127.0.0.1:9", NULL},
        {NULL, "unix:///host", "other", "unix:///host", NULL},
        {"", "", "other", "unix:///other", "other"},
        {NULL, NULL, "", "unix:///current", "current"},
        {NULL, NULL, NULL, "unix:///current", "current"},
        {NULL, NULL, "default", "unix:///var/run/docker.sock", NULL},
        {NULL, NULL, "absent", "context:absent", "absent"},
    };
    g_autofree char *dir = g_strdup("/tmp/dsb-context-XXXXXX"), *before = g_get_current_dir();
    assert_non_null(g_mkdtemp(dir));
    g_autofree char *config = g_build_filename(dir, "docker", NULL);
    write_context(config, "current", "unix:///current");
    write_context(config, "other", "unix:///other");
    g_autofree char *settings = g_build_filename(config, "config.json", NULL);
    assert_true(g_file_set_contents(settings, "{\"currentContext\":\"current\"}", -1, NULL));
    assert_int_equal(chdir(dir), 0);
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        gsize k = i / 2;
        const char *values[] = {cases[k].host, cases[k].context, i % 2 ? config : "docker"}; /* relative, too */
        for (gsize n = 0; n < G_N_ELEMENTS(names); n++)
            values[n] ? (void) g_setenv(names[n], values[n], TRUE) : g_unsetenv(names[n]);
        g_auto(dsbe_docker_place) place = {0};
        dsbe_docker_find(cases[k].given, &place);
        assert_string_equal(place.config, config);
        assert_int_equal(place.address == NULL, strcmp(cases[k].endpoint, "context:absent") == 0);
        struct dsbc_cli cli = {0};
        struct dsb_open_params params = {.struct_size = sizeof params, .endpoint = cases[k].given, .cancel_fd = -1};
        g_autoptr(GError) error = NULL;
        if (!dsbc_setup(&cli, &params, &error)) { /* where there is no such program, the place is all there is */
            assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE));
            assert_string_equal(place.address ? place.address : "context:absent", cases[k].endpoint);
        } else {
            assert_string_equal(cli.endpoint, cases[k].endpoint);
            const char *passed = g_environ_getenv(cli.env, "DOCKER_CONTEXT");
            assert_int_equal(passed == NULL, cases[k].passed == NULL);
            if (passed != NULL)
                assert_string_equal(passed, cases[k].passed);
        }
        dsbc_teardown(&cli);
    }
    for (gsize n = 0; n < G_N_ELEMENTS(names); n++)
        g_unsetenv(names[n]);
    assert_int_equal(chdir(before), 0);
    char *const clean[] = {(char *) "/bin/rm", (char *) "-r", dir, NULL}, *const none[] = {NULL};
    g_auto(dsbe_output) output = {0};
    assert_true(dsbe_capture(clean, none, 5000, -1, &output, NULL));
}

/* What an engine said is remembered for the same question, for some time, in a file that is ours. */
static void remembers_facts(void **state)
{
    (void) state;
    g_autofree char *dir = g_strdup("/tmp/dsb-facts-XXXXXX");
    assert_non_null(g_mkdtemp(dir));
    g_autofree char *path = dsbe_cache_path(dir, "one"), *other = dsbe_cache_path(dir, "other");
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    assert_string_not_equal(path, other);
    assert_true(g_str_has_prefix(path, dir));
    g_autoptr(json_object) facts = json_tokener_parse("{\"a\":1}");
    assert_null(dsbe_cache_recall(path, "key", 60));
    assert_true(dsbe_cache_remember(path, "key", facts, NULL));
    g_autoptr(json_object) back = dsbe_cache_recall(path, "key", 60);
    assert_true(json_object_equal(back, facts));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_null(dsbe_cache_recall(path, "another key", 60));
    assert_null(dsbe_cache_recall(path, "", 60));
    assert_null(dsbe_cache_recall(other, "key", 60));
    assert_int_equal(symlink(path, link), 0);
    assert_null(dsbe_cache_recall(link, "key", 60));
    for (int seconds = -120; seconds <= 120; seconds += 240) { /* too old; of the future */
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = st.st_mtime + seconds}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        assert_null(dsbe_cache_recall(path, "key", 60));
    }
    assert_true(g_file_set_contents(path, "{\"key\":\"key\"", -1, NULL));
    assert_null(dsbe_cache_recall(path, "key", 60));
    if (geteuid() == 0) {
        assert_true(dsbe_cache_remember(path, "key", facts, NULL));
        assert_int_equal(chown(path, 12345, 0), 0);
        assert_null(dsbe_cache_recall(path, "key", 60));
    }
    g_autoptr(GError) error = NULL;
    assert_false(dsbe_cache_remember("/nothing/here", "key", facts, &error));
    assert_non_null(error);
    unlink(link);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translates),
        cmocka_unit_test(loses_no_field),
        cmocka_unit_test(refuses_what_the_engine_cannot),
        cmocka_unit_test(compacts_json),
        cmocka_unit_test(classifies),
        cmocka_unit_test(reads_facts),
        cmocka_unit_test(finds_programs),
        cmocka_unit_test(finds_the_engine),
        cmocka_unit_test(remembers_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
