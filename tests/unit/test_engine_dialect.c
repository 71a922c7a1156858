/* SPDX-License-Identifier: MIT */
/*
 * What a dialect says and understands, against files: DSB_GOLDEN_DIR/create-*.json are the requests,
 * inspect-*.json recorded answers. DSB_GOLDEN_UPDATE=1 writes the requests anew. Then every fact of an
 * answer is weakened, and `observe` must notice.
 */
#include "engine/engine.h"
#include "spec_parts.h"

#include "common/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECCOMP                                                                                                        \
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":"         \
    "[\"mkdir\",\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]}"
#define LIMITS                                                                                                         \
    (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS))

static const struct dsb_pair *const labels[] = {PAIR(DSB_LABEL_OWNER, "owner-1"), PAIR(DSB_LABEL_SESSION, "s1")};
static const struct dsb_pair *const env[] = {PAIR("HOME", "/tmp"), PAIR("A", "b=\"c\"")};
static const struct dsb_bind *const binds[] = {BIND("/srv/session/sb", "/sandbox", FALSE),
                                               BIND("/srv/session/guest", "/opt/dsandbox", TRUE),
                                               BIND("/srv/data", "/data", TRUE)};
static const char *const argv[] = {"/opt/dsandbox/dsb-init", "--one", NULL};

static struct dsb_spec base_spec(void)
{
    return (struct dsb_spec){
        .struct_size = sizeof(struct dsb_spec),
        .required = DSB_CONTROLS_ALL,
        .name = "dsb-0123456789",
        .image = "sha256:0123456789abcdef",
        .labels = labels,
        .n_labels = G_N_ELEMENTS(labels),
        .argv = argv,
        .env = env,
        .n_env = G_N_ELEMENTS(env),
        .workdir = "/sandbox",
        .hostname = "sandbox",
        .binds = binds,
        .n_binds = 2,
        .tmp_bytes = 100000000,
        .small_tmp_bytes = 65536,
        .shm_bytes = 67108864,
        .memory_bytes = 536870912,
        .cpu_quota_us = 100000,
        .cpu_period_us = 100000,
        .pids = 128,
        .nofile = 1024,
        .fsize = 1073741824,
        .uid = 1000,
        .gid = 1000,
        .rootfs_read_only = TRUE,
        .no_new_privs = TRUE,
        .seccomp_json = SECCOMP,
        .seccomp_path = "/usr/share/dsandbox/seccomp.json",
        .life_seconds = 3600,
    };
}

static char *golden_path(const char *name)
{
    const char *dir = g_getenv("DSB_GOLDEN_DIR");
    assert_non_null(dir);
    return g_build_filename(dir, name, NULL);
}

static char *read_golden(const char *name)
{
    g_autofree char *path = golden_path(name);
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        fail_msg("cannot read %s", path);
    return text;
}

static json_object *load(const char *name)
{
    g_autofree char *text = read_golden(name);
    json_object *root = dsbe_json_parse(text, strlen(text), NULL);
    assert_non_null(root);
    return root;
}

static void check_create(const struct dsbe_dialect *dialect, const struct dsb_spec *spec, uint64_t available,
                         const char *name)
{
    struct dsbe_facts facts = {.info = {.limits_available = available}, .nproc = 4096};
    g_autoptr(json_object) body = dialect->create_body(spec, &facts);
    g_autofree char *text =
        g_strconcat(json_object_to_json_string_ext(body, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE),
                    "\n", NULL);
    if (g_getenv("DSB_GOLDEN_UPDATE")) {
        g_autofree char *path = golden_path(name);
        assert_true(g_file_set_contents(path, text, -1, NULL));
    }
    g_autofree char *wanted = read_golden(name);
    assert_string_equal(text, wanted);
}

static void test_create_docker(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec();
    check_create(&dsbe_docker, &spec, LIMITS, "create-docker-default.json");
    spec.uid = spec.gid = 61000;
    check_create(&dsbe_docker, &spec, LIMITS, "create-docker-service-user.json");
    spec = base_spec();
    spec.runtime = "runsc";
    spec.network = DSB_NETWORK_FULL;
    spec.n_binds = 3;
    spec.swap_bytes = 1 << 20;
    check_create(&dsbe_docker, &spec, LIMITS, "create-docker-runtime-network.json");
    spec = base_spec();
    spec.required &= ~LIMITS;
    check_create(&dsbe_docker, &spec, DSB_BIT(DSB_CONTROL_PIDS), "create-docker-no-limits.json");
    spec = base_spec();
    spec.tmp_exec = TRUE;
    check_create(&dsbe_docker, &spec, LIMITS, "create-docker-tmp-exec.json");
}

static void test_create_podman(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec();
    check_create(&dsbe_libpod, &spec, LIMITS, "create-podman-default.json");
    spec.keep_id = TRUE;
    check_create(&dsbe_libpod, &spec, LIMITS, "create-podman-keep-id.json");
    spec = base_spec();
    spec.runtime = "runsc";
    spec.network = DSB_NETWORK_FULL;
    spec.n_binds = 3;
    spec.swap_bytes = 1 << 20;
    check_create(&dsbe_libpod, &spec, LIMITS, "create-podman-runtime-network.json");
    spec = base_spec();
    spec.required &= ~LIMITS;
    check_create(&dsbe_libpod, &spec, 0, "create-podman-no-limits.json");
    spec = base_spec();
    spec.tmp_exec = TRUE;
    check_create(&dsbe_libpod, &spec, LIMITS, "create-podman-tmp-exec.json");
}

/* A required limit is always asked for, even when the engine seems unable: it must then fail or be noticed. */
static void test_required_limits_stay(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec();
    struct dsbe_facts facts = {.nproc = 4096};
    g_autoptr(json_object) docker = dsbe_docker.create_body(&spec, &facts);
    g_autoptr(json_object) podman = dsbe_libpod.create_body(&spec, &facts);
    int64_t value = 0;
    assert_true(dsbe_json_int(docker, "HostConfig.MemorySwap", &value));
    assert_true(dsbe_json_int(podman, "resource_limits.memory.swap", &value));
    assert_true(dsbe_json_int(podman, "resource_limits.cpu.quota", &value));
    assert_true(dsbe_json_int(podman, "resource_limits.pids.limit", &value));
}

/* What no policy sets is as the service has it, whatever an administrator has set for all containers. */
static void test_limits_of_the_service(void **state)
{
    (void) state;
    struct dsb_spec spec = base_spec();
    struct dsbe_facts facts = {.nproc = 4096, .others = {{"cpu", UINT64_MAX, UINT64_MAX}, {"stack", 8388608, UINT64_MAX}}};
    g_autoptr(json_object) body = dsbe_libpod.create_body(&spec, &facts);
    json_object *list = dsbe_json_at(body, "r_limits");
    assert_int_equal(json_object_array_length(list), 6);
    assert_string_equal(json_object_to_json_string_ext(json_object_array_get_idx(list, 4), JSON_C_TO_STRING_PLAIN),
                        "{\"type\":\"cpu\",\"hard\":18446744073709551615,\"soft\":18446744073709551615}");
    assert_string_equal(json_object_to_json_string_ext(json_object_array_get_idx(list, 5), JSON_C_TO_STRING_PLAIN),
                        "{\"type\":\"stack\",\"hard\":18446744073709551615,\"soft\":8388608}");
}

struct recording {
    const struct dsbe_dialect *dialect;
    const char *file;
    gboolean limits;
    uint32_t uid;
};

static const struct recording recordings[] = {
    {&dsbe_docker, "inspect-docker-20.10.json", TRUE, 61234},
    {&dsbe_libpod, "inspect-podman-4.3-root.json", TRUE, 61234},
    {&dsbe_libpod, "inspect-podman-4.3-rootless.json", FALSE, 1000},
};

static struct dsb_observed observe(const struct recording *recording, json_object *root)
{
    struct dsb_spec spec = base_spec();
    struct dsb_observed observed = {.struct_size = sizeof observed};
    recording->dialect->observe(root, &spec, &observed);
    return observed;
}

static void test_observe(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(recordings); i++) {
        const struct recording *recording = &recordings[i];
        g_autoptr(json_object) root = load(recording->file);
        struct dsb_observed seen = observe(recording, root);
        uint64_t all = DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE;
        if (recording->dialect == &dsbe_libpod)
            all &= ~DSB_BIT(DSB_CONTROL_SECCOMP); /* Podman does not say which profile */
        else
            assert_true(seen.seccomp_ours);
        assert_int_equal(seen.known, all);
        assert_true(seen.volume_present && seen.guest_read_only);
        assert_int_equal(seen.foreign_mounts, 0);
        assert_int_equal(seen.tmp_bytes, 100000000);
        assert_int_equal(seen.small_tmp_bytes, 65536);
        assert_false(seen.tmp_exec);
        assert_int_equal(seen.shm_bytes, 67108864);
        assert_int_equal(seen.memory_bytes, recording->limits ? 536870912 : DSB_UNLIMITED);
        assert_int_equal(seen.swap_bytes, recording->limits ? 0 : DSB_UNLIMITED);
        assert_int_equal(seen.cpu_quota_us, recording->limits ? 100000 : DSB_UNLIMITED);
        assert_int_equal(seen.cpu_period_us, 100000);
        assert_int_equal(seen.pids, recording->limits ? 128 : DSB_UNLIMITED);
        assert_int_equal(seen.nofile, 1024);
        assert_int_equal(seen.core, 0);
        assert_int_equal(seen.fsize, 1073741824);
        assert_int_equal(seen.network, DSB_NETWORK_NONE);
        assert_int_equal(seen.uid, recording->uid);
        assert_int_equal(seen.gid, recording->uid);
        assert_int_equal(seen.extra_groups, 0);
        assert_true(seen.rootfs_read_only && seen.no_new_privs && !seen.privileged);
        assert_int_equal(seen.capabilities, 0);
        assert_int_equal(seen.shared_namespaces, 0);
        assert_int_equal(seen.extra_devices, 0);
        assert_string_equal(seen.runtime, "runc");
    }
}

/* A time zone of containers.conf is a mount in Podman 4 and a link in Podman 5: the engine's word is the same. */
static void test_observe_time_zone(void **state)
{
    (void) state;
    const struct recording *recording = &recordings[G_N_ELEMENTS(recordings) - 1];
    g_autoptr(json_object) root = load(recording->file);
    json_add(dsbe_json_at(root, "Config"), "Timezone", "Asia/Tokyo");
    assert_int_equal(observe(recording, root).foreign_mounts, 1);
}

/* Replace or add the value at a dotted path. */
static void weaken(json_object *root, const char *path, const char *value)
{
    const char *dot = strrchr(path, '.');
    g_autofree char *parent = dot ? g_strndup(path, (gsize) (dot - path)) : NULL;
    json_object *object = parent ? dsbe_json_at(root, parent) : root;
    assert_non_null(object);
    json_object *changed = json_tokener_parse(value);
    json_object_object_add(object, dot ? dot + 1 : path, changed);
}

static gboolean is_weaker(const struct dsb_observed *seen, enum dsb_control control)
{
    if (!(seen->known & DSB_BIT(control)))
        return TRUE;
    switch (control) {
    case DSB_CONTROL_VOLUME:
        return !seen->volume_present || !seen->guest_read_only || seen->foreign_mounts > 0;
    case DSB_CONTROL_TMP:
        return seen->tmp_bytes > 100000000 || seen->small_tmp_bytes > 65536 || seen->tmp_exec;
    case DSB_CONTROL_SHM:
        return seen->shm_bytes > 67108864;
    case DSB_CONTROL_MEMORY:
        return seen->memory_bytes > 536870912;
    case DSB_CONTROL_SWAP:
        return seen->swap_bytes > 0;
    case DSB_CONTROL_CPU:
        return seen->cpu_quota_us > seen->cpu_period_us;
    case DSB_CONTROL_PIDS:
        return seen->pids > 128;
    case DSB_CONTROL_NOFILE:
        return seen->nofile > 1024;
    case DSB_CONTROL_CORE:
        return seen->core > 0;
    case DSB_CONTROL_FSIZE:
        return seen->fsize > 1073741824;
    case DSB_CONTROL_NETWORK:
        return seen->network != DSB_NETWORK_NONE;
    case DSB_CONTROL_USER:
        return seen->uid == 0 || seen->gid == 0 || seen->extra_groups > 0;
    case DSB_CONTROL_ROOTFS:
        return !seen->rootfs_read_only;
    case DSB_CONTROL_CAPABILITIES:
        return seen->capabilities != 0;
    case DSB_CONTROL_NO_NEW_PRIVS:
        return !seen->no_new_privs;
    case DSB_CONTROL_SECCOMP:
        return !seen->seccomp_ours;
    case DSB_CONTROL_NAMESPACES:
        return seen->shared_namespaces != 0;
    case DSB_CONTROL_DEVICES:
        return seen->privileged || seen->extra_devices > 0;
    case DSB_CONTROL_DISK:
    case DSB_CONTROL_TIME:
    case DSB_CONTROL_OUTPUT:
    case DSB_CONTROL_RUNTIME:
    case DSB_N_CONTROLS:
        return FALSE;
    }
    return FALSE;
}

#define MOUNT(type, source, target, rw)                                                                                \
    "{\"Type\":\"" type "\",\"Source\":\"" source "\",\"Destination\":\"" target "\",\"RW\":" rw "}"
#define SANDBOX MOUNT("bind", "/srv/session/sb", "/sandbox", "true")
#define GUEST MOUNT("bind", "/srv/session/guest", "/opt/dsandbox", "false")

static const struct {
    enum dsb_control control;
    const char *path, *value;
} weakenings[] = {
    {DSB_CONTROL_VOLUME, "Mounts", "[]"},
    {DSB_CONTROL_VOLUME, "Mounts", "null"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" SANDBOX "," GUEST "," MOUNT("bind", "/etc", "/x", "false") "]"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" SANDBOX "," GUEST "," MOUNT("volume", "v", "/data", "true") "]"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" SANDBOX "," MOUNT("bind", "/srv/session/guest", "/opt/dsandbox", "true") "]"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" GUEST "," MOUNT("bind", "/srv/other", "/sandbox", "true") "]"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" GUEST "," MOUNT("volume", "/srv/session/sb", "/sandbox", "true") "]"},
    {DSB_CONTROL_VOLUME, "Mounts", "[" SANDBOX "," GUEST "," MOUNT("tmpfs", "", "/opt", "true") "]"},
    {DSB_CONTROL_VOLUME, "HostConfig.Tmpfs", "{\"/tmp\":\"size=1\",\"/opt\":\"size=1\"}"},
    {DSB_CONTROL_TMP, "HostConfig.Tmpfs", "{}"},
    {DSB_CONTROL_TMP, "HostConfig.Tmpfs", "{\"/tmp\":\"rw\",\"/run\":\"size=64k\",\"/var/tmp\":\"size=64k\"}"},
    {DSB_CONTROL_TMP, "HostConfig.Tmpfs", "{\"/tmp\":\"size=1k\",\"/run\":\"size=64k\",\"/var/tmp\":\"size=1g\"}"},
    {DSB_CONTROL_TMP, "HostConfig.Tmpfs", "{\"/tmp\":\"size=1k\",\"/run\":\"size=64k\",\"/var/tmp\":\"size=1%\"}"},
    {DSB_CONTROL_TMP, "HostConfig.Tmpfs", "{\"/tmp\":\"exec,size=1k\",\"/run\":\"size=64k\",\"/var/tmp\":\"size=64k\"}"},
    {DSB_CONTROL_SHM, "HostConfig.ShmSize", "0"},
    {DSB_CONTROL_SHM, "HostConfig.ShmSize", "1073741824"},
    {DSB_CONTROL_MEMORY, "HostConfig.Memory", "0"},
    {DSB_CONTROL_MEMORY, "HostConfig.Memory", "\"536870912\""},
    {DSB_CONTROL_SWAP, "HostConfig.MemorySwap", "-1"},
    {DSB_CONTROL_SWAP, "HostConfig.MemorySwap", "0"},
    {DSB_CONTROL_SWAP, "HostConfig.MemorySwap", "1073741824"},
    {DSB_CONTROL_CPU, "HostConfig.CpuQuota", "0"},
    {DSB_CONTROL_CPU, "HostConfig.CpuQuota", "-1"},
    {DSB_CONTROL_CPU, "HostConfig.CpuPeriod", "1000"},
    {DSB_CONTROL_PIDS, "HostConfig.PidsLimit", "0"},
    {DSB_CONTROL_PIDS, "HostConfig.PidsLimit", "null"},
    {DSB_CONTROL_NOFILE, "HostConfig.Ulimits", "[]"},
    {DSB_CONTROL_NOFILE, "HostConfig.Ulimits", "[{\"Name\":\"nofile\",\"Hard\":-1}]"},
    {DSB_CONTROL_CORE, "HostConfig.Ulimits", "[{\"Name\":\"RLIMIT_CORE\",\"Hard\":1}]"},
    {DSB_CONTROL_FSIZE, "HostConfig.Ulimits", "null"},
    {DSB_CONTROL_NETWORK, "HostConfig.NetworkMode", "\"host\""},
    {DSB_CONTROL_NETWORK, "HostConfig.NetworkMode", "\"\""},
    {DSB_CONTROL_USER, "Config.User", "\"\""},
    {DSB_CONTROL_USER, "Config.User", "\"0:0\""},
    {DSB_CONTROL_USER, "Config.User", "\"root:1\""},
    {DSB_CONTROL_USER, "Config.User", "\"1000\""},
    {DSB_CONTROL_USER, "HostConfig.GroupAdd", "[\"docker\"]"},
    {DSB_CONTROL_ROOTFS, "HostConfig.ReadonlyRootfs", "false"},
    {DSB_CONTROL_CAPABILITIES, "HostConfig.CapAdd", "[\"CAP_SYS_ADMIN\"]"},
    {DSB_CONTROL_CAPABILITIES, "HostConfig.CapDrop", "null"},
    {DSB_CONTROL_CAPABILITIES, "HostConfig.Privileged", "true"},
    {DSB_CONTROL_NO_NEW_PRIVS, "HostConfig.SecurityOpt", "[]"},
    {DSB_CONTROL_NO_NEW_PRIVS, "HostConfig.SecurityOpt", "[\"no-new-privileges:false\"]"},
    {DSB_CONTROL_SECCOMP, "HostConfig.SecurityOpt", "[\"seccomp=unconfined\"]"},
    {DSB_CONTROL_SECCOMP, "HostConfig.SecurityOpt", "[\"seccomp={}\"]"},
    {DSB_CONTROL_NAMESPACES, "HostConfig.PidMode", "\"host\""},
    {DSB_CONTROL_NAMESPACES, "HostConfig.IpcMode", "\"container:1\""},
    {DSB_CONTROL_NAMESPACES, "HostConfig.UTSMode", "\"host\""},
    {DSB_CONTROL_NAMESPACES, "HostConfig.NetworkMode", "\"ns:/proc/1/ns/net\""},
    {DSB_CONTROL_NAMESPACES, "HostConfig.IpcMode", "null"},
    {DSB_CONTROL_DEVICES, "HostConfig.Privileged", "true"},
    {DSB_CONTROL_DEVICES, "HostConfig.Devices", "[{\"PathOnHost\":\"/dev/sda\"}]"},
};

static void test_observe_notices(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(recordings); i++) {
        for (gsize k = 0; k < G_N_ELEMENTS(weakenings); k++) {
            g_autoptr(json_object) root = load(recordings[i].file);
            weaken(root, weakenings[k].path, weakenings[k].value);
            struct dsb_observed seen = observe(&recordings[i], root);
            if (!is_weaker(&seen, weakenings[k].control))
                fail_msg("%s: %s = %s went unnoticed", recordings[i].file, weakenings[k].path, weakenings[k].value);
        }
    }
}

static void test_observe_nothing(void **state)
{
    (void) state;
    static const char *const texts[] = {"{}", "[]", "{\"HostConfig\":[],\"Config\":1,\"Mounts\":{}}"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        for (gsize k = 0; k < G_N_ELEMENTS(recordings); k++) {
            g_autoptr(json_object) root = json_tokener_parse(texts[i]);
            struct dsb_observed seen = observe(&recordings[k], root);
            assert_int_equal(seen.known, 0);
        }
    }
}

static void test_info(void **state)
{
    (void) state;
    static const struct {
        const struct dsbe_dialect *dialect;
        const char *text;
        gboolean rootless;
        uint32_t cgroup;
        uint64_t limits;
    } cases[] = {
        {&dsbe_docker,
         "{\"MemoryLimit\":true,\"SwapLimit\":true,\"CpuCfsQuota\":true,\"PidsLimit\":true,\"CgroupDriver\":"
         "\"systemd\",\"CgroupVersion\":\"2\",\"SecurityOptions\":[\"name=rootless\"]}",
         TRUE, 2, LIMITS},
        {&dsbe_docker, "{\"MemoryLimit\":true,\"PidsLimit\":true,\"CgroupDriver\":\"none\",\"CgroupVersion\":\"1\"}",
         FALSE, 1, 0},
        {&dsbe_docker, "{\"PidsLimit\":true,\"CgroupDriver\":\"cgroupfs\"}", FALSE, 0, DSB_BIT(DSB_CONTROL_PIDS)},
        {&dsbe_docker, "{\"PidsLimit\":true,\"CgroupDriver\":\"cgroupfs\",\"SecurityOptions\":[\"name=userns\"]}", FALSE, 0,
         DSB_BIT(DSB_CONTROL_PIDS)},
        {&dsbe_libpod,
         "{\"host\":{\"cgroupVersion\":\"v1\",\"cgroupManager\":\"systemd\",\"cgroupControllers\":[\"memory\"],"
         "\"security\":{\"rootless\":true}}}",
         TRUE, 1, 0},
        {&dsbe_libpod,
         "{\"host\":{\"cgroupVersion\":\"v2\",\"cgroupManager\":\"cgroupfs\",\"cgroupControllers\":[\"memory\"],"
         "\"security\":{\"rootless\":true}}}",
         TRUE, 2, 0},
        {&dsbe_libpod,
         "{\"host\":{\"cgroupVersion\":\"v2\",\"cgroupManager\":\"systemd\",\"cgroupControllers\":[\"memory\","
         "\"pids\"],\"security\":{\"rootless\":true}}}",
         TRUE, 2, LIMITS & ~DSB_BIT(DSB_CONTROL_CPU)},
        {&dsbe_libpod,
         "{\"host\":{\"cgroupVersion\":\"v1\",\"cgroupManager\":\"cgroupfs\",\"cgroupControllers\":[\"cpu\","
         "\"memory\",\"pids\"],\"security\":{\"rootless\":false}}}",
         FALSE, 1, LIMITS},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_object) root = json_tokener_parse(cases[i].text);
        struct dsb_engine_info info = {0};
        cases[i].dialect->parse_info(root, &info);
        assert_int_equal(info.rootless, cases[i].rootless);
        assert_int_equal(info.cgroup_version, cases[i].cgroup);
        assert_int_equal(info.limits_available, cases[i].limits);
        assert_int_equal(info.maps_users, cases[i].dialect == &dsbe_docker && strstr(cases[i].text, "SecurityOptions") != NULL);
    }
}

static void test_negotiate(void **state)
{
    (void) state;
    static const struct {
        const struct dsbe_dialect *dialect;
        const char *api, *libpod, *prefix;
    } cases[] = {
        {&dsbe_docker, "1.39", NULL, NULL},     {&dsbe_docker, "1.40", NULL, "/v1.40"},
        {&dsbe_docker, "1.41", NULL, "/v1.41"}, {&dsbe_docker, "1.55", NULL, "/v1.44"},
        {&dsbe_docker, "1.x", NULL, NULL},      {&dsbe_docker, "2.0", NULL, NULL},
        {&dsbe_docker, NULL, NULL, NULL},       {&dsbe_docker, "1.41", "4.3.1", NULL},
        {&dsbe_libpod, "1.41", NULL, NULL},     {&dsbe_libpod, "1.41", "4.3.1", "/v4.0.0/libpod"},
        {&dsbe_libpod, "1.40", "4.2.0", NULL},  {&dsbe_libpod, "1.44", "6.0.0-dev", "/v4.0.0/libpod"},
        {&dsbe_libpod, "1.44", "3.9.9", NULL},  {&dsbe_libpod, "1.44", "x", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct dsbe_response ping = {.api_version = (char *) cases[i].api, .libpod_version = (char *) cases[i].libpod};
        struct dsb_engine_info info = {0};
        g_autoptr(GError) error = NULL;
        g_autofree char *prefix = cases[i].dialect->negotiate(&ping, &info, &error);
        assert_string_equal(prefix ? prefix : "", cases[i].prefix ? cases[i].prefix : "");
        assert_int_equal(error != NULL, cases[i].prefix == NULL);
        if (error)
            assert_int_equal(error->code, DSB_ERROR_UNSUPPORTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_docker),
        cmocka_unit_test(test_create_podman),
        cmocka_unit_test(test_required_limits_stay),
        cmocka_unit_test(test_limits_of_the_service),
        cmocka_unit_test(test_observe_time_zone),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_observe_notices),
        cmocka_unit_test(test_observe_nothing),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_negotiate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
