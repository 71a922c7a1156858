/* SPDX-License-Identifier: MIT */
/* The backend oci's images: archives of any kind, hostile ones too. */
#include "oci/oci.h"
#include "oci_place.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

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

/** Rights that libarchive gives last must not go through a link that took the place of a directory. */
static void rights_stay_inside(void **state)
{
    struct place *place = *state;
    struct stat st;
    g_autoptr(GError) error = NULL;
    g_autofree char *victim = g_build_filename(place->path, "victim", NULL);
    assert_int_equal(mkdir(victim, 0700), 0);
    const struct entry entries[] = {{"x/", AE_IFDIR, NULL}, {"x/victim/", AE_IFDIR, NULL}, {"x", AE_IFLNK, place->path}};
    assert_true(extract(place, entries, G_N_ELEMENTS(entries), DSBO_LAYER, &error));
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static gboolean extract_bytes(struct place *place, const char *bytes, gsize n, GError **error)
{
    put(place->path, "a.tar", bytes, (gssize) n);
    int fd = open(place->archive, O_RDONLY | O_CLOEXEC);
    gboolean ok = dsbo_extract(fd, place->root_fd, DSBO_PLAIN, -1, error);
    close(fd);
    return ok;
}

/** An archive must not choose a program that is started to read it. */
static void starts_no_program(void **state)
{
    struct place *place = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *before = g_strdup(g_getenv("PATH"));
    g_autofree char *program = g_build_filename(place->path, "lrzip", NULL);
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n: >%s/started\n", place->path);
    char bytes[1024] = "LRZI\0\6";
    put(place->path, "lrzip", script, -1);
    assert_int_equal(chmod(program, 0755), 0);
    g_setenv("PATH", place->path, TRUE);
    gboolean ok = extract_bytes(place, bytes, sizeof bytes, &error);
    g_setenv("PATH", before, TRUE);
    assert_false(ok);
    assert_content(place->path, "started", NULL);
}

static void has_bounds(void **state)
{
    struct place *place = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) deep = g_string_new("d");
    for (int i = 0; i < 300; i++)
        g_string_append(deep, "/d");
    const struct entry entries[] = {{deep->str, AE_IFREG, "x"}};
    assert_false(extract(place, entries, 1, DSBO_PLAIN, &error));
    assert_non_null(strstr(error->message, "too deep"));
    g_clear_error(&error);
    char header[1024] = "big"; /* its size is 2^40 bytes, in base 256 */
    unsigned sum = 0;
    memcpy(header + 100, "0000644", 8);
    memcpy(header + 108, "0000000", 8);
    memcpy(header + 116, "0000000", 8);
    memcpy(header + 124, "\200\0\0\0\0\0\1\0\0\0\0\0", 12);
    memcpy(header + 136, "00000000000", 12);
    memcpy(header + 148, "        0", 9);
    memcpy(header + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char) header[i];
    g_snprintf(header + 148, 8, "%06o", sum);
    assert_false(extract_bytes(place, header, sizeof header, &error));
    assert_non_null(strstr(error->message, "too large"));
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

/* Whoever gives the id gets that image; a name is looked up each time. */
static void name_that_comes_to_mean_another_image(void **state)
{
    struct place *place = *state;
    static const char *const contents[] = {"mine", "another's"};
    g_autoptr(GError) error = NULL;
    g_autofree char *images = g_build_filename(place->path, "images", NULL), *first = NULL;
    assert_true(dsbo_images_ready(images, &error));
    for (gsize i = 0; i < G_N_ELEMENTS(contents); i++) {
        const struct entry entries[] = {
            {"./", AE_IFDIR, NULL}, {"./etc/", AE_IFDIR, NULL}, {"./etc/os", AE_IFREG, contents[i]}};
        g_auto(dsbo_image) found = {0};
        write_archive(place->archive, entries, G_N_ELEMENTS(entries));
        assert_true(dsbo_unpack(images, place->archive, "name:1", -1, &error));
        assert_true(dsbo_image_find(images, "name:1", &found, &error));
        assert_content(found.rootfs, "etc/os", contents[i]);
        if (first == NULL)
            first = g_strdup(found.id);
    }
    g_auto(dsbo_image) again = {0};
    assert_true(dsbo_image_find(images, first, &again, &error));
    assert_content(again.rootfs, "etc/os", "mine");
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

/* With the digest of its one layer (g_free). */
static char *config_of(const char *bytes, gsize size)
{
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) bytes, size);
    return g_strdup_printf("{\"config\":{\"Env\":[\"PATH=/x\",\"A=b\"],\"Volumes\":{\"/v\":{}}},"
                           "\"rootfs\":{\"diff_ids\":[\"sha256:%s\"]}}", hex);
}

/* The outer archive by `tar`, since a layer has bytes of any kind. */
static void archive_directory(struct place *place, const char *dir)
{
    const char *const command[] = {"tar", "-C", dir, "-cf", place->archive, ".", NULL};
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **) command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
}

static void image_of_docker_save(void **state)
{
    struct place *place = *state;
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    put(dir, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"l1/layer.tar\"],\"RepoTags\":[\"n:1\"]}]", -1);
    g_autofree char *config = config_of(bytes, size);
    put(dir, "c.json", config, -1);
    put(dir, "l1/layer.tar", bytes, (gssize) size);
    archive_directory(place, dir);
    unpack_and_check(place, "saved:1", "PATH=/x A=b");
}

/** As Docker 20 writes two layers of the same content. */
static void image_with_equal_layers(void **state)
{
    struct place *place = *state;
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *) bytes, size);
    g_autofree char *config = g_strdup_printf("{\"rootfs\":{\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}", hex, hex);
    g_autofree char *link = g_build_filename(dir, "l2", "layer.tar", NULL);
    put(dir, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"l1/layer.tar\",\"l2/layer.tar\"]}]", -1);
    put(dir, "c.json", config, -1);
    put(dir, "l1/layer.tar", bytes, (gssize) size);
    put(dir, "l2/VERSION", "1.0", -1);
    assert_int_equal(symlink("../l1/layer.tar", link), 0);
    archive_directory(place, dir);
    unpack_and_check(place, "equal:1", "");
}

static void image_of_a_layout(void **state)
{
    struct place *place = *state;
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    g_autofree char *layer_hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *) bytes, size);
    g_autofree char *config = config_of(bytes, size);
    g_autofree char *config_hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, config, -1);
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
    put(dir, config_path, config, -1);
    put(dir, manifest_path, manifest, -1);
    archive_directory(place, dir);
    unpack_and_check(place, "layout:1", "PATH=/x A=b");
}

static void bad_archives_leave_nothing(void **state)
{
    struct place *place = *state;
    static const char *const manifests[] = {
        "[]", "{", "[{\"Config\":\"c.json\",\"Layers\":[\"../../a.tar\"]}]", "[{\"Config\":\"c.json\",\"Layers\":[]}]",
        "[{\"Config\":\"/etc/passwd\",\"Layers\":[\"c.json\"]}]", "[{\"Config\":\"c.json\",\"Layers\":[null]}]",
        "[{\"Config\":\"c.json\",\"Layers\":[\"other.tar\"]}]", /* not the layer that c.json names */
        "[{\"Config\":\"c.json\",\"Layers\":[\"layer.tar\",\"layer.tar\"]}]"};
    gsize size = 0;
    g_autofree char *bytes = layer(place, &size);
    g_autofree char *config = config_of(bytes, size);
    g_autofree char *images = g_build_filename(place->path, "images", NULL);
    g_autofree char *dir = g_build_filename(place->path, "outer", NULL);
    assert_true(dsbo_images_ready(images, NULL));
    for (gsize i = 0; i <= G_N_ELEMENTS(manifests); i++) {
        g_autoptr(GError) error = NULL;
        if (i == G_N_ELEMENTS(manifests)) {
            assert_true(g_file_set_contents(place->archive, "no archive", -1, NULL));
        } else {
            put(dir, "manifest.json", manifests[i], -1);
            put(dir, "c.json", config, -1);
            put(dir, "layer.tar", bytes, (gssize) size);
            g_autofree char *other = g_memdup2(bytes, size);
            *(char *) memmem(other, size, "mine", 4) = 'M'; /* only headers have sums */
            put(dir, "other.tar", other, (gssize) size);
            archive_directory(place, dir);
        }
        assert_false(dsbo_unpack(images, place->archive, "bad:1", -1, &error));
        assert_non_null(error);
    }
    g_autoptr(GDir) entries = g_dir_open(images, 0, NULL);
    assert_string_equal(g_dir_read_name(entries), ".names");
    assert_null(g_dir_read_name(entries));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layers_hide_and_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leads_nowhere_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rights_stay_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(starts_no_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(has_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_a_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(name_that_comes_to_mean_another_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_docker_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_with_equal_layers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(image_of_a_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_archives_leave_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
