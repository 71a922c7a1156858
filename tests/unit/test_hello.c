/* SPDX-License-Identifier: MIT */
#include "attest/hello.h"

#include "attest/mounts.h"
#include "attest/controls.h"
#include "attest/verify.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_MEASURED (DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE & ~DSB_BIT(DSB_CONTROL_RUNTIME))

#define MOUNT(target, fstype, options)                                                                                 \
    "{\"target\":\"" target "\",\"fstype\":\"" fstype "\",\"options\":\"" options "\",\"super_options\":\"rw\"}"
#define TMPFS(target, options, size)                                                                                   \
    "{\"target\":\"" target "\",\"fstype\":\"tmpfs\",\"options\":\"" options                                           \
    "\",\"super_options\":\"rw\",\"size\":" size ",\"inodes\":1000}"
#define FLAGS "rw,nosuid,nodev,noexec,relatime"

#define OUR_MOUNTS                                                                                                     \
    TMPFS("/tmp", FLAGS, "104857600")                                                                                  \
    "," TMPFS("/run", FLAGS, "65536") "," TMPFS("/var/tmp", FLAGS, "65536") "," MOUNT(                                 \
        "/sandbox", "ext4", "rw,relatime") "," MOUNT("/opt/dsandbox", "ext4", "ro,relatime")

#define DOCKER_MOUNTS                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      \
    MOUNT("/", "overlay", "ro,relatime")                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   \
    "," MOUNT("/proc", "proc",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                             \
              "rw,nosuid,nodev,noexec,relatime") "," TMPFS("/dev", "rw,nosuid", "67108864") "," MOUNT("/dev/pts", "devpts", "rw,nosuid,noexec,relatime") "," MOUNT("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime") "," MOUNT("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec,relatime") "," MOUNT("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec") "," TMPFS("/dev/shm", FLAGS, "67108864") "," OUR_MOUNTS "," MOUNT("/etc/resolv.conf", "ext4", "ro,relatime") "," MOUNT("/etc/hostname",                                                                                                                                                                                      \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "ext4", "ro,relatime") "," MOUNT("/etc/hosts",                                                                                                                                                        \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      "ext4",                                                                                                                                                              \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      "ro,relatime") "," MOUNT("/proc/bus",                                                                                                                                \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                               "proc",                                                                                                                                     \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                               "ro,nosuid,nodev,noexec,relatime") "," MOUNT("/proc/sys",                                                                                   \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "proc", "ro,relatime") "," TMPFS("/proc/acpi", "ro,relatime", "8422") "," TMPFS("/proc/kcore", \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "rw,nosuid", "67108864") "," TMPFS("/sys/firmware", "ro,relatime", "8421")

#define INTERFACE(name, more) "{\"name\":\"" name "\"" more "}"
#define UP ",\"up\":true"
#define DOWN ",\"up\":false"
#define LO INTERFACE("lo", UP)
#define DEVICE(name, type, major, minor)                                                                               \
    "{\"name\":\"" name "\",\"type\":\"" type "\",\"major\":" major ",\"minor\":" minor "}"
#define ZERO DEVICE("zero", "c", "1", "5")
#define DEVICES                                                                                                        \
    DEVICE("null", "c", "1", "3")                                                                                      \
    "," ZERO "," DEVICE("full", "c", "1", "7") "," DEVICE("random", "c", "1", "8") "," DEVICE(                         \
        "urandom", "c", "1", "9") "," DEVICE("tty", "c", "5", "0") "," DEVICE("console", "c", "136", "0")

#define HELLO(mounts)                                                                                                  \
    "{\"protocol\":7,\"version\":\"0.1.0\",\"pid\":1,\"uid\":[1234,1234,1234,1234],\"gid\":[5678,5678,5678,5678],"     \
    "\"groups\":[5678],\"caps\":{\"inh\":\"0000000000000000\",\"prm\":\"0000000000000000\","                           \
    "\"eff\":\"0000000000000000\",\"bnd\":\"0000000000000000\",\"amb\":\"0000000000000000\"},\"no_new_privs\":1,"      \
    "\"seccomp\":{\"mode\":2,\"marker\":true},\"cgroup\":{\"version\":2,\"memory\":536870912,\"swap\":0,"              \
    "\"cpu_quota\":100000,\"cpu_period\":100000,\"pids\":128},\"mounts\":[" mounts "],\"interfaces\":[" LO "],"        \
    "\"rlimits\":{\"nofile\":[1024,1024],\"core\":[0,0],\"fsize\":[1073741824,1073741824]},"                           \
    "\"volume\":{\"dev\":2049,\"ino\":77,\"use\":\"\"},\"namespaces\":{\"pid\":11,\"ipc\":12,\"uts\":13,\"net\":14,\"mnt\":15,"     \
    "\"cgroup\":16,\"user\":17},\"devices\":[" DEVICES "],"                                                            \
    "\"hostname\":\"sandbox\",\"python\":\"/usr/bin/python3\"}"

static const struct dsb_host_facts host = {
    .volume_dev = 2049, .volume_ino = 77, .binds = {{2049, 500}}, .ns_ino = {1, 2, 3, 4, 5, 6}};

static int setup(void **state)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    const char *json = "{\"binds\":[{\"source\":\"/srv/a\",\"target\":\"/data\"}]}";
    assert_true(dsb_policy_load(policy, json, strlen(json), "x", NULL));
    const struct dsb_resolve_input input = {
        .workdir = "/home/u/sandboxes/s1",
        .guest_dir = "/opt/guest",
        .image = "img",
        .name = "dsb-a",
        .owner = "me",
        .deadline = 1,
        .invoker_uid = 1234,
        .invoker_gid = 5678,
        .seccomp_json = "{}",
    };
    struct dsb_resolved *resolved = NULL;
    assert_true(dsb_resolve(policy, &input, &resolved, NULL));
    resolved->spec.n_binds = 5; /* test_extra_binds has the others */
    *state = resolved;
    return 0;
}

static int teardown(void **state)
{
    dsb_resolved_free(*state);
    return 0;
}

static struct dsb_observed parse(const struct dsb_resolved *resolved, const char *json)
{
    struct dsb_observed facts = {0};
    GError *error = NULL;
    if (!dsb_hello_parse(json, strlen(json), &resolved->spec, &host, &facts, &error))
        fail_msg("%s: %s", error->message, json);
    return facts;
}

/* The one control that does not hold or is not known; DSB_N_CONTROLS: all is well. */
static unsigned failing(const struct dsb_resolved *resolved, const struct dsb_observed *facts)
{
    unsigned found = DSB_N_CONTROLS;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        gboolean known = (facts->known & DSB_BIT(i)) != 0;
        if ((ALL_MEASURED & DSB_BIT(i)) == 0)
            assert_false(known);
        else if (!known || !dsb_control_holds((enum dsb_control) i, &resolved->spec, facts))
            found = found == DSB_N_CONTROLS ? i : DSB_N_CONTROLS + 1;
    }
    return found;
}

/* The text with one piece of it exchanged, which must be in it once. */
static char *exchange(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL || strstr(at + 1, from) != NULL)
        fail_msg("\"%s\" is not there once", from);
    return g_strdup_printf("%.*s%s%s", (int) (at - text), text, to, at + strlen(from));
}

static void test_docker(void **state)
{
    const struct dsb_resolved *resolved = *state;
    struct dsb_observed facts = parse(resolved, HELLO(DOCKER_MOUNTS));
    assert_true(facts.known == ALL_MEASURED);
    assert_int_equal(failing(resolved, &facts), DSB_N_CONTROLS);
    assert_int_equal(facts.struct_size, sizeof(facts));
    assert_int_equal(facts.memory_bytes, 536870912);
    assert_int_equal(facts.volume_dev, 2049);
    assert_int_equal(facts.volume_ino, 77);
    assert_int_equal(facts.uid, 1234);
    assert_int_equal(facts.gid, 5678);
    assert_int_equal(facts.foreign_mounts, 0);
    assert_int_equal(facts.shm_bytes, 67108864);
    assert_null(dsb_hello_foreign(HELLO(DOCKER_MOUNTS), strlen(HELLO(DOCKER_MOUNTS)), &resolved->spec));
    g_autoptr(dsb_report) report = dsb_report_new(resolved);
    assert_true(dsb_verify_hello(report, &resolved->spec, &facts, 0, NULL));
}

/* Rootless Podman: binds for devices, identity files and its own marker. */
static void test_podman(void **state)
{
    const struct dsb_resolved *resolved = *state;
    static const char *const more[] = {
        MOUNT("/dev/null", "devtmpfs", "rw,nosuid"),
        MOUNT("/dev/zero", "devtmpfs", "rw,nosuid"),
        MOUNT("/dev/full", "tmpfs", "rw,nosuid"),
        MOUNT("/dev/random", "devtmpfs", "rw"),
        MOUNT("/dev/urandom", "devtmpfs", "rw"),
        MOUNT("/dev/tty", "devtmpfs", "rw"),
        MOUNT("/dev/console", "devpts", "rw"),
        MOUNT("/run/.containerenv", "tmpfs", "ro,nosuid,nodev"),
        MOUNT("/etc/passwd", "ext4", "ro,nosuid,nodev"),
        MOUNT("/etc/group", "ext4", "ro"),
        MOUNT("/proc/timer_list", "devtmpfs", "rw,nosuid"),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(more); i++) {
        g_autofree char *mounts = g_strconcat("\"mounts\":[" DOCKER_MOUNTS ",", more[i], "]", NULL);
        g_autofree char *json = exchange(HELLO(""), "\"mounts\":[]", mounts);
        struct dsb_observed facts = parse(resolved, json);
        if (failing(resolved, &facts) != DSB_N_CONTROLS)
            fail_msg("%s: %s fails", more[i], dsb_control_name(failing(resolved, &facts)));
    }
}

/* As the engines really have it (recorded; kernel with cgroup v1): what must fail, and nothing else. */
static const struct {
    const char *file;
    uint64_t failing;
} recorded[] = {
    {"hello-docker.json", 0},
    {"hello-podman.json", 0},
    {"hello-podman-rootless.json",
     DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS)},
};

static void test_recorded(void **state)
{
    struct dsb_resolved *resolved = *state;
    g_autofree char *here = g_path_get_dirname(__FILE__);
    for (gsize i = 0; i < G_N_ELEMENTS(recorded); i++) {
        g_autofree char *path = g_build_filename(here, recorded[i].file, NULL);
        g_autofree char *json = NULL;
        gsize size = 0;
        assert_true(g_file_get_contents(path, &json, &size, NULL));
        resolved->spec.uid = strstr(path, "rootless") != NULL ? 1000 : 1234;
        resolved->spec.gid = strstr(path, "rootless") != NULL ? 1000 : 5678;
        struct dsb_host_facts recorder = host;
        recorder.volume_dev = 65024;
        recorder.volume_ino = 10953077;
        struct dsb_observed facts = {0};
        assert_true(dsb_hello_parse(json, size, &resolved->spec, &recorder, &facts, NULL));
        assert_null(dsb_hello_foreign(json, size, &resolved->spec));
        g_autoptr(dsb_report) report = dsb_report_new(resolved);
        assert_int_equal(dsb_verify_hello(report, &resolved->spec, &facts, 0, NULL), recorded[i].failing == 0);
        assert_true(dsb_verify_hello(report, &resolved->spec, &facts, recorded[i].failing, NULL));
    }
}

/* What is exchanged, by what, and the one control that must fail by it. */
static const struct {
    const char *from, *to;
    unsigned control;
} weaker[] = {
    {"\"uid\":[1234,1234,1234,1234]", "\"uid\":[1234,1234,0,1234]", DSB_CONTROL_USER},
    {"\"uid\":[1234,1234,1234,1234]", "\"uid\":[0,0,0,0]", DSB_CONTROL_USER},
    {"\"gid\":[5678,5678,5678,5678]", "\"gid\":[5678,5678,5678,0]", DSB_CONTROL_USER},
    {"\"groups\":[5678]", "\"groups\":[5678,27]", DSB_CONTROL_USER},
    {"\"groups\":[5678]", "\"groups\":[0]", DSB_CONTROL_USER},
    {"\"uid\":[1234,1234,1234,1234]", "\"uid\":[]", DSB_CONTROL_USER},
    {"\"groups\":[5678],", "", DSB_CONTROL_USER},
    {"\"inh\":\"0000000000000000\"", "\"inh\":\"0000000000000400\"", DSB_CONTROL_CAPABILITIES},
    {"\"prm\":\"0000000000000000\"", "\"prm\":\"0000000000000001\"", DSB_CONTROL_CAPABILITIES},
    {"\"eff\":\"0000000000000000\"", "\"eff\":\"000001ffffffffff\"", DSB_CONTROL_CAPABILITIES},
    {"\"bnd\":\"0000000000000000\"", "\"bnd\":\"00000000a80425fb\"", DSB_CONTROL_CAPABILITIES},
    {"\"amb\":\"0000000000000000\"", "\"amb\":\"8000000000000000\"", DSB_CONTROL_CAPABILITIES},
    {",\"amb\":\"0000000000000000\"", "", DSB_CONTROL_CAPABILITIES},
    {"\"no_new_privs\":1", "\"no_new_privs\":0", DSB_CONTROL_NO_NEW_PRIVS},
    {"\"no_new_privs\":1,", "", DSB_CONTROL_NO_NEW_PRIVS},
    {"\"mode\":2", "\"mode\":0", DSB_CONTROL_SECCOMP},
    {"\"mode\":2,", "", DSB_CONTROL_SECCOMP},
    {"\"marker\":true", "\"marker\":false", DSB_CONTROL_SECCOMP},
    {"\"memory\":536870912", "\"memory\":536870913", DSB_CONTROL_MEMORY},
    {"\"memory\":536870912", "\"memory\":-1", DSB_CONTROL_MEMORY},
    {"\"memory\":536870912", "\"memory\":18446744073709551616", DSB_CONTROL_MEMORY},
    {"\"memory\":536870912,", "", DSB_CONTROL_MEMORY},
    {"\"swap\":0", "\"swap\":4096", DSB_CONTROL_SWAP},
    {"\"swap\":0", "\"swap\":-1", DSB_CONTROL_SWAP},
    {"\"swap\":0,", "", DSB_CONTROL_SWAP},
    {"\"cpu_quota\":100000", "\"cpu_quota\":-1", DSB_CONTROL_CPU},
    {"\"cpu_quota\":100000", "\"cpu_quota\":100001", DSB_CONTROL_CPU},
    {"\"cpu_period\":100000", "\"cpu_period\":50000", DSB_CONTROL_CPU},
    {"\"cpu_period\":100000,", "", DSB_CONTROL_CPU},
    {"\"pids\":128", "\"pids\":-1", DSB_CONTROL_PIDS},
    {"\"nofile\":[1024,1024]", "\"nofile\":[1024,1048576]", DSB_CONTROL_NOFILE},
    {"\"nofile\":[1024,1024]", "\"nofile\":[1024]", DSB_CONTROL_NOFILE},
    {"\"core\":[0,0]", "\"core\":[0,-1]", DSB_CONTROL_CORE},
    {"\"fsize\":[1073741824,1073741824]", "\"fsize\":[1073741824,-1]", DSB_CONTROL_FSIZE},
    {LO, LO "," INTERFACE("eth0", DOWN), DSB_CONTROL_NETWORK},
    {LO, INTERFACE("lo0", UP), DSB_CONTROL_NETWORK},
    {LO, LO "," INTERFACE("tunl0", UP), DSB_CONTROL_NETWORK}, /* a real tunnel by that name */
    {LO, LO "," INTERFACE("sit0", ""), DSB_CONTROL_NETWORK},
    {"\"interfaces\":[" LO "],", "", DSB_CONTROL_NETWORK},
    {"\"ino\":77", "\"ino\":78", DSB_CONTROL_VOLUME},
    {"\"dev\":2049", "\"dev\":2050", DSB_CONTROL_VOLUME},
    {"\"volume\":{\"dev\":2049,\"ino\":77,\"use\":\"\"},", "", DSB_CONTROL_VOLUME},
    {",\"use\":\"\"", "", DSB_CONTROL_VOLUME},
    {"\"use\":\"\"", "\"use\":\"make a file: Permission denied\"", DSB_CONTROL_VOLUME},
    {"\"pid\":1,", "\"pid\":2,", DSB_CONTROL_NAMESPACES},
    {"\"pid\":11", "\"pid\":1", DSB_CONTROL_NAMESPACES},
    {"\"ipc\":12", "\"ipc\":2", DSB_CONTROL_NAMESPACES},
    {"\"uts\":13", "\"uts\":3", DSB_CONTROL_NAMESPACES},
    {"\"net\":14", "\"net\":4", DSB_CONTROL_NAMESPACES},
    {"\"mnt\":15", "\"mnt\":5", DSB_CONTROL_NAMESPACES},
    {"\"cgroup\":16", "\"cgroup\":6", DSB_CONTROL_NAMESPACES},
    {"\"cgroup\":16,", "", DSB_CONTROL_NAMESPACES},
    {ZERO, DEVICE("sda", "b", "8", "0"), DSB_CONTROL_DEVICES},
    {ZERO, DEVICE("fuse", "c", "10", "229"), DSB_CONTROL_DEVICES},
    {ZERO, DEVICE("net/tun", "c", "10", "200"), DSB_CONTROL_DEVICES},
    {ZERO, DEVICE("zero", "b", "1", "5"), DSB_CONTROL_DEVICES},    /* a RAM disk by that name */
    {ZERO, DEVICE("zero", "c", "1", "1"), DSB_CONTROL_DEVICES},    /* the machine's memory by that name */
    {ZERO, DEVICE("console", "c", "4", "1"), DSB_CONTROL_DEVICES}, /* the machine's own console */
    {ZERO, "{\"name\":\"zero\"}", DSB_CONTROL_DEVICES},
    /* mounts */
    {MOUNT("/", "overlay", "ro,relatime"), MOUNT("/", "overlay", "rw,relatime"), DSB_CONTROL_ROOTFS},
    {MOUNT("/sandbox", "ext4", "rw,relatime"), MOUNT("/sandbox", "ext4", "ro,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/sandbox", "ext4", "rw,relatime"), MOUNT("/sandboxes", "ext4", "rw,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/opt/dsandbox", "ext4", "ro,relatime"), MOUNT("/opt/dsandbox", "ext4", "rw,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/etc", "ext4", "ro,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/etc/hosts", "ext4", "rw"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/etc/passwd", "tmpfs", "rw"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/run/.containerenv", "tmpfs", "rw"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/run/secrets", "tmpfs", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/home", "ext4", "ro,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/run/docker.sock", "tmpfs", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/sandbox/x", "ext4", "rw"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/dev/sda", "devtmpfs", "rw"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/data", "ext4", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/host", "tmpfs", "rw,nosuid,nodev"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/mnt", "overlay", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/mnt/proc", "proc", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/", "ext4", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/sys/fs/bpf", "bpf", "ro"), DSB_CONTROL_VOLUME},
    {MOUNT("/etc/hosts", "ext4", "ro,relatime"), MOUNT("/proc/1", "ext4", "ro"), DSB_CONTROL_VOLUME},
    {"\"fstype\":\"sysfs\"", "\"fstype\":\"ext4\"", DSB_CONTROL_VOLUME},
    {"\"/dev\",\"fstype\":\"tmpfs\"", "\"/dev\",\"fstype\":\"devtmpfs\"", DSB_CONTROL_VOLUME},
    {MOUNT("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec,relatime"),
     MOUNT("/sys/fs/cgroup", "cgroup2", "rw,nosuid,nodev,noexec,relatime"), DSB_CONTROL_VOLUME},
    {MOUNT("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec,relatime"),
     TMPFS("/sys/fs/cgroup", "rw,nosuid,nodev,noexec,relatime", "1048576"), DSB_CONTROL_VOLUME},
    {TMPFS("/tmp", FLAGS, "104857600"), TMPFS("/tmp", FLAGS, "104861696"), DSB_CONTROL_TMP},
    {TMPFS("/tmp", FLAGS, "104857600"), TMPFS("/tmp", "rw,nosuid,nodev", "104857600"), DSB_CONTROL_TMP},
    {TMPFS("/tmp", FLAGS, "104857600"), TMPFS("/tmp", "rw,nosuid,noexec", "104857600"), DSB_CONTROL_VOLUME},
    {TMPFS("/tmp", FLAGS, "104857600"), TMPFS("/tmp", FLAGS, "0"), DSB_CONTROL_TMP}, /* a tmpfs without limit */
    {TMPFS("/tmp", FLAGS, "104857600"), MOUNT("/tmp", "tmpfs", FLAGS), DSB_CONTROL_TMP},
    {TMPFS("/run", FLAGS, "65536"), TMPFS("/run", FLAGS, "1048576"), DSB_CONTROL_TMP},
    {TMPFS("/var/tmp", FLAGS, "65536"), TMPFS("/var/tmp", FLAGS, "0"), DSB_CONTROL_TMP},
    {TMPFS("/dev/shm", FLAGS, "67108864"), TMPFS("/dev/shm", FLAGS, "67112960"), DSB_CONTROL_SHM},
    {TMPFS("/dev/shm", FLAGS, "67108864"), TMPFS("/dev/shm", FLAGS, "0"), DSB_CONTROL_SHM},
};

static void test_weaker(void **state)
{
    const struct dsb_resolved *resolved = *state;
    uint64_t covered = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(weaker); i++) {
        g_autofree char *json = exchange(HELLO(DOCKER_MOUNTS), weaker[i].from, weaker[i].to);
        struct dsb_observed facts = parse(resolved, json);
        unsigned control = failing(resolved, &facts);
        if (control != weaker[i].control)
            fail_msg("%s: %s fails, not %s", weaker[i].to, dsb_control_name(control),
                     dsb_control_name(weaker[i].control));
        covered |= DSB_BIT(control);
        g_autoptr(dsb_report) report = dsb_report_new(resolved);
        GError *error = NULL;
        assert_false(dsb_verify_hello(report, &resolved->spec, &facts, 0, &error));
        assert_int_equal(error->code, DSB_ERROR_REFUSED);
        g_error_free(error);
    }
    assert_true(covered == ALL_MEASURED);
}

/* Different, and still not weaker. */
static void test_harmless(void **state)
{
    static const char *const exchanges[][2] = {
        {"\"groups\":[5678]", "\"groups\":[]"},
        {LO, LO "," INTERFACE("tunl0", DOWN) "," INTERFACE("sit0", DOWN)},
        {LO "],", "],"},
        {"\"memory\":536870912", "\"memory\":1048576"},
        {"\"hostname\":\"sandbox\"", "\"hostname\":\"sandbox\",\"later\":{\"a\":[1]}"},
        {MOUNT("/opt/dsandbox", "ext4", "ro,relatime"), MOUNT("/etc/group", "ext4", "ro")}, /* guest in the image */
        {TMPFS("/run", FLAGS, "65536"), TMPFS("/var/lib/data", "rw,nosuid,nodev,noexec", "65536")}, /* VOLUME masked */
        {"\"options\":\"ro,relatime\",\"super_options\":\"rw\"}," MOUNT("/proc", "proc",
                                                                        "rw,nosuid,nodev,noexec,relatime"),
         "\"options\":\"rw,relatime\",\"super_options\":\"ro,lowerdir=x\"}," MOUNT("/proc", "proc", "rw")},
    };
    const struct dsb_resolved *resolved = *state;
    for (gsize i = 0; i < G_N_ELEMENTS(exchanges); i++) {
        g_autofree char *json = exchange(HELLO(DOCKER_MOUNTS), exchanges[i][0], exchanges[i][1]);
        struct dsb_observed facts = parse(resolved, json);
        if (failing(resolved, &facts) != DSB_N_CONTROLS)
            fail_msg("%s: %s fails", exchanges[i][1], dsb_control_name(failing(resolved, &facts)));
    }
}

/* The host cannot compare: not known, so refused unless allowed. */
static void test_host_unknown(void **state)
{
    const struct dsb_resolved *resolved = *state;
    const char *json = HELLO(DOCKER_MOUNTS);
    struct dsb_observed facts = {0};
    struct dsb_host_facts unknown = host;
    unknown.volume_ino = 0;
    assert_true(dsb_hello_parse(json, strlen(json), &resolved->spec, &unknown, &facts, NULL));
    assert_int_equal(failing(resolved, &facts), DSB_CONTROL_VOLUME);
    for (unsigned i = 0; i < 6; i++) {
        unknown = host;
        unknown.ns_ino[i] = 0;
        assert_true(dsb_hello_parse(json, strlen(json), &resolved->spec, &unknown, &facts, NULL));
        assert_int_equal(failing(resolved, &facts), DSB_CONTROL_NAMESPACES);
        assert_true((facts.known & DSB_BIT(DSB_CONTROL_NAMESPACES)) == 0);
    }
    /* one shared is enough to know that it is weaker */
    unknown.ns_ino[0] = 11;
    assert_true(dsb_hello_parse(json, strlen(json), &resolved->spec, &unknown, &facts, NULL));
    assert_true((facts.known & DSB_BIT(DSB_CONTROL_NAMESPACES)) != 0);
    assert_int_equal(facts.shared_namespaces, DSB_NS_PID);
}

#define BOUND(options, identity)                                                                                       \
    "{\"target\":\"/data\",\"fstype\":\"ext4\",\"options\":\"" options "\",\"super_options\":\"rw\"" identity "}"
#define THE_SOURCE ",\"dev\":2049,\"ino\":500"

static void test_extra_binds(void **state)
{
    struct dsb_resolved *resolved = *state;
    resolved->spec.n_binds = 6;
    struct dsb_observed facts = parse(resolved, HELLO(DOCKER_MOUNTS));
    assert_int_equal(failing(resolved, &facts), DSB_CONTROL_VOLUME); /* asked for, and not there */
    facts = parse(resolved, HELLO(DOCKER_MOUNTS "," BOUND("ro,relatime", THE_SOURCE)));
    assert_int_equal(failing(resolved, &facts), DSB_N_CONTROLS);
    facts = parse(resolved, HELLO(DOCKER_MOUNTS "," BOUND("rw,relatime", THE_SOURCE)));
    assert_int_equal(failing(resolved, &facts), DSB_CONTROL_VOLUME);
    assert_int_equal(facts.foreign_mounts, 1);
    /* something else than what was looked at, or nobody knows */
    static const char *const others[] = {HELLO(DOCKER_MOUNTS "," BOUND("ro", ",\"dev\":2049,\"ino\":501")),
                                         HELLO(DOCKER_MOUNTS "," BOUND("ro", ",\"dev\":2050,\"ino\":500")),
                                         HELLO(DOCKER_MOUNTS "," BOUND("ro", ""))};
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        facts = parse(resolved, others[i]);
        assert_int_equal(failing(resolved, &facts), DSB_CONTROL_VOLUME);
    }
    g_autofree char *foreign =
        dsb_hello_foreign(HELLO(DOCKER_MOUNTS "," MOUNT("/data", "ext4", "rw")),
                          strlen(HELLO(DOCKER_MOUNTS "," MOUNT("/data", "ext4", "rw"))), &resolved->spec);
    assert_string_equal(foreign, "/data (ext4)");
    resolved->spec.n_binds = 5;
}

/* A mount over another at the same place is what counts. */
static void test_overmount(void **state)
{
    const struct dsb_resolved *resolved = *state;
    struct dsb_observed facts = parse(resolved, HELLO(DOCKER_MOUNTS "," TMPFS("/tmp", FLAGS, "204857600")));
    assert_int_equal(failing(resolved, &facts), DSB_CONTROL_TMP);
    facts = parse(resolved, HELLO(DOCKER_MOUNTS "," MOUNT("/opt/dsandbox", "tmpfs", "rw")));
    assert_int_equal(failing(resolved, &facts), DSB_CONTROL_VOLUME);
}

static void test_no_mounts(void **state)
{
    const struct dsb_resolved *resolved = *state;
    struct dsb_observed facts = parse(resolved, HELLO(""));
    const uint64_t of_mounts =
        DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) | DSB_BIT(DSB_CONTROL_ROOTFS);
    assert_true((facts.known & of_mounts) == 0);
    facts = parse(resolved, "{\"protocol\":7}");
    assert_true(facts.known == 0);
}

static void test_bad_text(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"protocol\":1}",
        "{\"protocol\":8}",
        "{\"protocol\":\"1\"}",
        "{\"protocol\":7,\"protocol\":7}",
        "{\"protocol\":7}{}",
        "{\"protocol\":7,\"uid\":1}",
        "{\"protocol\":7,\"uid\":[\"0\",1,1,1]}",
        "{\"protocol\":7,\"uid\":[-1,1,1,1]}",
        "{\"protocol\":7,\"uid\":[4294968530,1234,1234,1234]}",
        "{\"protocol\":7,\"uid\":[1,1,1,1,1]}",
        "{\"protocol\":7,\"uid\":[1.5,1,1,1]}",
        "{\"protocol\":7,\"groups\":[1],\"uid\":[1,1,1,1],\"gid\":[1,1,1,1],\"groups\":{}}",
        "{\"protocol\":7,\"caps\":[]}",
        "{\"protocol\":7,\"caps\":{\"inh\":0}}",
        "{\"protocol\":7,\"caps\":{\"inh\":\"\"}}",
        "{\"protocol\":7,\"caps\":{\"inh\":\"-1\"}}",
        "{\"protocol\":7,\"caps\":{\"inh\":\"zz\"}}",
        "{\"protocol\":7,\"caps\":{\"inh\":\"10000000000000000\"}}",
        "{\"protocol\":7,\"caps\":{\"inh\":\"0\\u0000f\"}}",
        "{\"protocol\":7,\"no_new_privs\":true}",
        "{\"protocol\":7,\"seccomp\":{\"mode\":2,\"marker\":1}}",
        "{\"protocol\":7,\"cgroup\":{\"memory\":\"max\"}}",
        "{\"protocol\":7,\"cgroup\":{\"memory\":-2}}",
        "{\"protocol\":7,\"cgroup\":{\"memory\":1e6}}",
        "{\"protocol\":7,\"cgroup\":{\"memory\":null}}",
        "{\"protocol\":7,\"cgroup\":{\"cpu_quota\":1,\"cpu_period\":-1}}",
        "{\"protocol\":7,\"mounts\":{}}",
        "{\"protocol\":7,\"mounts\":[1]}",
        "{\"protocol\":7,\"mounts\":[{\"target\":\"/\"}]}",
        "{\"protocol\":7,\"mounts\":[{\"target\":1,\"fstype\":\"a\",\"options\":\"\",\"super_options\":\"\"}]}",
        ("{\"protocol\":7,\"mounts\":[{\"target\":\"/"
         "\\u0000\",\"fstype\":\"a\",\"options\":\"\",\"super_options\":\"\"}]}"),
        "{\"protocol\":7,\"interfaces\":[1]}",
        "{\"protocol\":7,\"interfaces\":[\"lo\"]}",
        "{\"protocol\":7,\"interfaces\":[{\"name\":\"tunl0\",\"up\":0}]}",
        "{\"protocol\":7,\"devices\":[{\"name\":1}]}",
        "{\"protocol\":7,\"interfaces\":\"lo\"}",
        "{\"protocol\":7,\"rlimits\":{\"nofile\":[1,\"x\"]}}",
        "{\"protocol\":7,\"rlimits\":{\"nofile\":[1,2,3]}}",
        "{\"protocol\":7,\"volume\":{\"dev\":-1,\"ino\":1}}",
        "{\"protocol\":7,\"namespaces\":{\"pid\":\"x\"}}",
        "{\"protocol\":7,\"devices\":[null]}",
        "{\"protocol\":7,\"x\":[[[[[[[[1]]]]]]]]}",
        "{\"protocol\":7,\"hostname\":\"\xff\"}",
        "{\"protocol\":7",
    };
    const struct dsb_resolved *resolved = *state;
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct dsb_observed facts = {.known = 42};
        GError *error = NULL;
        if (dsb_hello_parse(bad[i], strlen(bad[i]), &resolved->spec, &host, &facts, &error))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(error->domain, DSB_ERROR);
        assert_int_equal(error->code, DSB_ERROR_PROTOCOL);
        g_error_free(error);
        assert_int_equal(facts.known, 42);
    }
}

/* Every cut of the text is an error, not a crash and not a pass. */
static void test_cut_short(void **state)
{
    const struct dsb_resolved *resolved = *state;
    const char *json = HELLO(DOCKER_MOUNTS);
    for (gsize n = 0; n < strlen(json); n++) {
        struct dsb_observed facts = {0};
        g_autofree char *cut = g_malloc(n + 1); /* its own block, so that reading on is seen */
        memcpy(cut, json, n);
        char *exact = g_memdup2(cut, n);
        assert_false(dsb_hello_parse(exact != NULL ? exact : "", n, &resolved->spec, &host, &facts, NULL));
        g_free(exact);
    }
}

/* Guest files of another version: which, and what to do. */
static void test_another_version(void **state)
{
    const struct dsb_resolved *resolved = *state;
    static const char *const told[][2] = {{"{\"protocol\":1,\"uid\":1}", "install those of this one"},
                                          {"{\"protocol\":8,\"uid\":1}", "update dsandbox"},
                                          {"{\"uid\":1}", "another version"}};
    for (gsize i = 0; i < G_N_ELEMENTS(told); i++) {
        struct dsb_observed facts = {0};
        g_autoptr(GError) error = NULL;
        assert_false(dsb_hello_parse(told[i][0], strlen(told[i][0]), &resolved->spec, &host, &facts, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL));
        assert_non_null(strstr(error->message, "\"protocol\""));
        assert_non_null(strstr(error->message, told[i][1]));
    }
}

static void test_too_large(void **state)
{
    const struct dsb_resolved *resolved = *state;
    struct dsb_observed facts = {0};
    GError *error = NULL;
    g_autofree char *pad = g_strnfill(300 * 1024, ' ');
    g_autofree char *json = g_strdup_printf("%s%s", HELLO(DOCKER_MOUNTS), pad);
    assert_false(dsb_hello_parse(json, strlen(json), &resolved->spec, &host, &facts, &error));
    assert_int_equal(error->code, DSB_ERROR_PROTOCOL);
    g_error_free(error);
    GString *many = g_string_new("{\"protocol\":7,\"interfaces\":[" LO);
    for (unsigned i = 0; i < 2000; i++)
        g_string_append(many, "," LO);
    g_string_append(many, "]}");
    error = NULL;
    assert_false(dsb_hello_parse(many->str, many->len, &resolved->spec, &host, &facts, &error));
    assert_int_equal(error->code, DSB_ERROR_PROTOCOL);
    g_error_free(error);
    g_string_free(many, TRUE);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_docker),       CASE(test_podman),      CASE(test_weaker),    CASE(test_harmless),
        CASE(test_host_unknown), CASE(test_extra_binds), CASE(test_overmount), CASE(test_no_mounts),
        CASE(test_bad_text),     CASE(test_cut_short),   CASE(test_too_large), CASE(test_recorded),
        CASE(test_another_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
