/* SPDX-License-Identifier: MIT */
/* The backend oci without a runtime: its bundle (golden file), its images from archives, its records. */
#include "oci/oci.h"
#include "oci/unpack.h"
#include "spec_parts.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <glib/gstdio.h>

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

/* ---- archives ---- */

/* One entry: `to` is where a link leads, or the content. */
struct entry {
    const char *name;
    unsigned type;
    const char *to;
};
#define HARD 0

static void write_archive(const char *path, const struct entry *entries, gsize n)
{
    struct archive *archive = archive_write_new();
    archive_write_set_format_pax_restricted(archive);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (gsize i = 0; i < n; i++) {
        struct archive_entry *entry = archive_entry_new();
        gboolean file = entries[i].type == AE_IFREG;
        archive_entry_set_pathname(entry, entries[i].name);
        archive_entry_set_filetype(entry, entries[i].type == HARD ? AE_IFREG : entries[i].type);
        archive_entry_set_perm(entry, 0755);
        archive_entry_set_uid(entry, (int) geteuid());
        archive_entry_set_gid(entry, (int) getegid());
        if (entries[i].type == HARD)
            archive_entry_set_hardlink(entry, entries[i].to);
        if (entries[i].type == AE_IFLNK)
            archive_entry_set_symlink(entry, entries[i].to);
        archive_entry_set_size(entry, file ? (int64_t) strlen(entries[i].to) : 0);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        if (file)
            archive_write_data(archive, entries[i].to, strlen(entries[i].to));
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

struct place {
    char *path, *archive, *root;
    int root_fd;
};

static int set_up(void **state)
{
    struct place *place = g_new0(struct place, 1);
    place->path = g_dir_make_tmp("dsb-oci-XXXXXX", NULL);
    place->archive = g_build_filename(place->path, "a.tar", NULL);
    place->root = g_build_filename(place->path, "root", NULL);
    assert_int_equal(mkdir(place->root, 0755), 0);
    place->root_fd = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    close(place->root_fd);
    assert_true(dsbo_remove_tree(AT_FDCWD, place->path));
    g_free(place->path);
    g_free(place->archive);
    g_free(place->root);
    g_free(place);
    return 0;
}

static gboolean extract(struct place *place, const struct entry *entries, gsize n, enum dsbo_archive kind, GError **error)
{
    write_archive(place->archive, entries, n);
    int fd = open(place->archive, O_RDONLY | O_CLOEXEC);
    gboolean ok = dsbo_extract(fd, place->root_fd, kind, -1, error);
    close(fd);
    return ok;
}

/* The content of a file in a directory, or NULL (g_free). */
static char *content(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static void assert_content(const char *dir, const char *name, const char *expected)
{
    g_autofree char *text = content(dir, name);
    if (expected == NULL)
        assert_null(text);
    else
        assert_string_equal(text != NULL ? text : "(none)", expected);
}

static void layers_hide_and_replace(void **state)
{
    struct place *place = *state;
    static const struct entry first[] = {
        {"./a/", AE_IFDIR, NULL},       {"./a/one", AE_IFREG, "1"},    {"./a/two", AE_IFREG, "2"},
        {"b/", AE_IFDIR, NULL},         {"b/three", AE_IFREG, "3"},    {"d", AE_IFREG, "file"},
        {"e/", AE_IFDIR, NULL},         {"e/below", AE_IFREG, "x"},    {"same", AE_IFREG, "old"},
        {"link-of-same", HARD, "same"}, {"dev", AE_IFCHR, NULL},       {"lib", AE_IFLNK, "a"},
    };
    static const struct entry second[] = {
        {"a/.wh.one", AE_IFREG, ""}, {"b/four", AE_IFREG, "4"}, {"b/.wh..wh..opq", AE_IFREG, ""},
        {"d/", AE_IFDIR, NULL},      {"d/in", AE_IFREG, "i"},   {"e", AE_IFREG, "now a file"},
        {"same", AE_IFREG, "new"},   {".wh.gone", AE_IFREG, ""},
    };
    g_autoptr(GError) error = NULL;
    mode_t mask = umask(022);
    g_autofree char *before = g_get_current_dir();
    assert_true(extract(place, first, G_N_ELEMENTS(first), DSBO_LAYER, &error));
    assert_content(place->root, "a/one", "1");
    assert_content(place->root, "dev", NULL);
    assert_true(extract(place, second, G_N_ELEMENTS(second), DSBO_LAYER, &error));
    assert_content(place->root, "a/one", NULL);
    assert_content(place->root, "a/.wh.one", NULL);
    assert_content(place->root, "a/two", "2");
    assert_content(place->root, "b/three", NULL);
    assert_content(place->root, "b/four", "4");
    assert_content(place->root, "d/in", "i");
    assert_content(place->root, "e", "now a file");
    assert_content(place->root, "same", "new");
    assert_content(place->root, "link-of-same", "old");
    assert_content(place->root, "lib/two", "2");
    /* The process's own directory and mask are as they were. */
    g_autofree char *after = g_get_current_dir();
    assert_string_equal(before, after);
    assert_int_equal(umask(mask), 022);
}

static void leads_nowhere_else(void **state)
{
    struct place *place = *state;
    g_autofree char *outside = g_build_filename(place->path, "outside", NULL);
    assert_int_equal(mkdir(outside, 0755), 0);
    g_autofree char *victim = g_build_filename(outside, "victim", NULL);
    assert_true(g_file_set_contents(victim, "v", -1, NULL));
    const struct entry through[] = {{"out", AE_IFLNK, outside}, {"out/new", AE_IFREG, "n"}};
    const struct entry up[] = {{"../outside/new", AE_IFREG, "n"}};
    const struct entry hide[] = {{"out", AE_IFLNK, outside}, {"out/.wh.victim", AE_IFREG, ""}};
    const struct entry hard[] = {{"mine", HARD, "../outside/victim"}};
    const struct entry *const bad[] = {through, up, hard};
    const gsize n[] = {2, 1, 1};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(extract(place, bad[i], n[i], DSBO_LAYER, &error));
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    }
    extract(place, hide, 1, DSBO_LAYER, NULL); /* the link is there, then it is gone through */
    extract(place, hide + 1, 1, DSBO_LAYER, NULL);
    assert_content(outside, "victim", "v");
    assert_content(outside, "new", NULL);
    const struct entry top[] = {{"/etc/name", AE_IFREG, "n"}}; /* is below the top like everything else */
    assert_true(extract(place, top, 1, DSBO_PLAIN, NULL));
    assert_content(place->root, "etc/name", "n");
}

/* ---- images ---- */

static void unpack_and_check(struct place *place, const char *name, const char *expected_env)
{
    g_autoptr(GError) error = NULL;
    g_auto(dsbo_image) found = {0};
    g_autofree char *images = g_build_filename(place->path, "images", NULL);
    assert_true(dsbo_images_ready(images, &error));
    if (!dsbo_unpack(images, place->archive, name, -1, &error))
        fail_msg("%s", error->message);
    assert_true(dsbo_image_find(images, name, &found, &error));
    assert_content(found.rootfs, "etc/os", "mine");
    g_autofree char *joined = g_strjoinv(" ", found.env);
    assert_string_equal(joined, expected_env);
    g_auto(dsbo_image) again = {0};
    assert_true(dsbo_image_find(images, found.id, &again, &error));
    assert_string_equal(again.rootfs, found.rootfs);
    g_auto(dsbo_image) part = {0};
    g_autofree char *beginning = g_strndup(found.id, strlen("sha256:") + 12);
    assert_true(dsbo_image_find(images, beginning, &part, &error));
    assert_string_equal(part.id, found.id);
    g_autofree char *sandbox = g_build_filename(found.rootfs, "sandbox", NULL);
    assert_true(g_file_test(sandbox, G_FILE_TEST_IS_DIR));
    g_autofree char *mtab = g_build_filename(found.rootfs, "etc", "mtab", NULL);
    g_autofree char *target = g_file_read_link(mtab, NULL);
    assert_string_equal(target, "/proc/mounts");
    /* Once more: the same, and nothing half made is left. */
    assert_true(dsbo_unpack(images, place->archive, "other:tag", -1, &error));
    g_autoptr(GDir) dir = g_dir_open(images, 0, NULL);
    for (const char *entry; (entry = g_dir_read_name(dir)) != NULL;)
        assert_false(g_str_has_prefix(entry, ".new-"));
    /* What others could change is none. */
    assert_int_equal(chmod(found.rootfs, 0777), 0);
    assert_false(dsbo_image_find(images, name, &again, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_DENIED));
    assert_int_equal(chmod(found.rootfs, 0755), 0);
}

static void image_of_a_root(void **state)
{
    struct place *place = *state;
    static const struct entry entries[] = {{"./", AE_IFDIR, NULL}, {"./etc/", AE_IFDIR, NULL}, {"./etc/os", AE_IFREG, "mine"}};
    write_archive(place->archive, entries, G_N_ELEMENTS(entries));
    unpack_and_check(place, "example.org:5000/name", "");
}

/* A layer as the content of an entry of the outer archive. */
static char *layer(struct place *place, gsize *size)
{
    static const struct entry entries[] = {{"etc/", AE_IFDIR, NULL}, {"etc/os", AE_IFREG, "mine"}};
    g_autofree char *path = g_build_filename(place->path, "layer.tar", NULL);
    char *text = NULL;
    write_archive(path, entries, G_N_ELEMENTS(entries));
    assert_true(g_file_get_contents(path, &text, size, NULL));
    return text;
}

#define CONFIG "{\"config\":{\"Env\":[\"PATH=/x\",\"A=b\"],\"Volumes\":{\"/v\":{}}}}"

/* The outer archive by `tar`, since a layer has bytes of any kind. */
static void archive_directory(struct place *place, const char *dir)
{
    const char *const command[] = {"tar", "-C", dir, "-cf", place->archive, ".", NULL};
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **) command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
}

static void put(const char *dir, const char *name, const char *text, gssize size)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
    assert_true(g_file_set_contents(path, text, size, NULL));
}

static void image_of_docker_save(void **state)
{
    struct place *place = *state;
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    put(dir, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"l1/layer.tar\"],\"RepoTags\":[\"n:1\"]}]", -1);
    put(dir, "c.json", CONFIG, -1);
    put(dir, "l1/layer.tar", bytes, (gssize) size);
    archive_directory(place, dir);
    unpack_and_check(place, "saved:1", "PATH=/x A=b");
}

static void image_of_a_layout(void **state)
{
    struct place *place = *state;
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    g_autofree char *layer_hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *) bytes, size);
    g_autofree char *config_hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, CONFIG, -1);
    g_autofree char *manifest = g_strdup_printf("{\"config\":{\"digest\":\"sha256:%s\"},\"layers\":[{\"digest\":\"sha256:%s\"}]}",
                                                config_hex, layer_hex);
    g_autofree char *manifest_hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, manifest, -1);
    g_autofree char *index = g_strdup_printf("{\"manifests\":[{\"digest\":\"sha256:%s\"}]}", manifest_hex);
    g_autofree char *layer_path = g_strconcat("blobs/sha256/", layer_hex, NULL);
    g_autofree char *config_path = g_strconcat("blobs/sha256/", config_hex, NULL);
    g_autofree char *manifest_path = g_strconcat("blobs/sha256/", manifest_hex, NULL);
    put(dir, "oci-layout", "{}", -1);
    put(dir, "index.json", index, -1);
    put(dir, layer_path, bytes, (gssize) size);
    put(dir, config_path, CONFIG, -1);
    put(dir, manifest_path, manifest, -1);
    archive_directory(place, dir);
    unpack_and_check(place, "layout:1", "PATH=/x A=b");
}

static void bad_archives_leave_nothing(void **state)
{
    struct place *place = *state;
    static const char *const manifests[] = {
        "[]", "{", "[{\"Config\":\"c.json\",\"Layers\":[\"../../a.tar\"]}]", "[{\"Config\":\"c.json\",\"Layers\":[]}]",
        "[{\"Config\":\"/etc/passwd\",\"Layers\":[\"c.json\"]}]"};
    g_autofree char *images = g_build_filename(place->path, "images", NULL);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    assert_true(dsbo_images_ready(images, NULL));
    for (gsize i = 0; i <= G_N_ELEMENTS(manifests); i++) {
        g_autoptr(GError) error = NULL;
        if (i == G_N_ELEMENTS(manifests)) {
            assert_true(g_file_set_contents(place->archive, "no archive", -1, NULL));
        } else {
            put(dir, "manifest.json", manifests[i], -1);
            put(dir, "c.json", CONFIG, -1);
            archive_directory(place, dir);
        }
        assert_false(dsbo_unpack(images, place->archive, "bad:1", -1, &error));
        assert_non_null(error);
    }
    g_autoptr(GDir) entries = g_dir_open(images, 0, NULL);
    assert_string_equal(g_dir_read_name(entries), ".names");
    assert_null(g_dir_read_name(entries));
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
        cmocka_unit_test_setup_teardown(layers_hide_and_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leads_nowhere_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_a_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_docker_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_a_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_archives_leave_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records, set_up, tear_down),
        cmocka_unit_test(observes_what_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
