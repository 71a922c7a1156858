/* SPDX-License-Identifier: MIT */
/*
 * An image from an archive: a root file system, what `docker save` writes, or an OCI image layout. It is unpacked beside
 * the others under a name that nobody looks for, and becomes an image by one rename.
 */
#include "oci/unpack.h"

#include "common/fd.h"
#include "common/json.h"
#include "common/openat2.h"
#include "oci/oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FRESH ".new-"
#define FRESH_TRIES 10
#define PARTS "parts"
#define ROOTFS "rootfs"
#define JSON_MAX (4 * 1024 * 1024)
#define LAYERS_MAX 500
#define DIGEST "sha256:"
#define INDEXES_MAX 3

/* What is being made. */
struct making {
    const char *images;
    char *fresh; /* its directory's name */
    int dir, rootfs, cancel_fd;
    char *digest; /* 64 digits */
    GStrv env;
};

static gboolean fail(GError **error, enum dsb_error_code code, const char *what)
{
    g_set_error(error, DSB_ERROR, dsb_errno_code(errno, code), "%s: %s", what, dsb_errno_text(errno));
    return FALSE;
}

static gboolean not_an_image(GError **error, const char *why)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the archive is no image: %s", why);
    return FALSE;
}

/* "" where it is no text. */
static const char *text_at(json_object *list, gsize i)
{
    json_object *one = json_object_array_get_idx(list, i);
    return json_object_is_type(one, json_type_string) ? json_object_get_string(one) : "";
}

/* ---- parts ---- */

static char *checksum(int fd, int cancel_fd, GError **error)
{
    g_autofree guchar *buffer = g_malloc(1 << 18);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gssize n = 0;
    if (lseek(fd, 0, SEEK_SET) != 0) {
        fail(error, DSB_ERROR_INVALID, "cannot read it from its beginning");
        return NULL;
    }
    while ((n = read(fd, buffer, 1 << 18)) > 0) {
        g_checksum_update(sum, buffer, n);
        if (dsbe_cancel_pending(&cancel_fd)) {
            dsbe_set_cancelled(error);
            return NULL;
        }
    }
    if (n < 0) {
        fail(error, DSB_ERROR_FAILED, "cannot read it");
        return NULL;
    }
    return g_strdup(g_checksum_get_string(sum));
}

/* A file among the parts, by a path that leads nowhere else. */
static int open_part(const struct making *making, const char *path, GError **error)
{
    g_autofree char *whole = g_build_filename(PARTS, path, NULL);
    struct stat st;
    int fd = dsb_openat2(making->dir, whole, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, TRUE);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    g_autofree char *line = dsbe_one_line(path, strlen(path));
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the archive is no image: there is no file \"%s\" in it", line);
    return -1;
}

/* `sha256:…` as a path; NULL: it is none. */
static char *blob_path(const char *digest)
{
    const char *hex = g_str_has_prefix(digest, DIGEST) ? digest + strlen(DIGEST) : "";
    return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64 ? g_build_filename("blobs/sha256", hex, NULL) : NULL;
}

static json_object *read_part(const struct making *making, const char *path, char **digest, GError **error)
{
    g_auto(dsb_fd) fd = open_part(making, path, error);
    if (fd < 0)
        return NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[16384];
    gssize n = 0;
    while (text->len <= JSON_MAX && (n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, n);
    if (n < 0 || text->len > JSON_MAX) {
        not_an_image(error, "a part of it is too large, or cannot be read");
        return NULL;
    }
    if (digest != NULL)
        *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) text->str, text->len);
    return dsbe_json_parse(text->str, text->len, error);
}

/* The image is called by its configuration's digest, which names the layers by theirs: other content is none of it. */
static gboolean add_layer(const struct making *making, const char *path, const char *diff_id, GError **error)
{
    g_auto(dsb_fd) fd = open_part(making, path, error);
    g_autofree char *digest = fd >= 0 ? dsbo_content_digest(fd, making->cancel_fd, error) : NULL;
    if (digest == NULL)
        return FALSE;
    if (!g_str_has_prefix(diff_id, DIGEST) || strcmp(diff_id + strlen(DIGEST), digest) != 0)
        return not_an_image(error, "a layer is not the one that its configuration names");
    return dsbo_extract(fd, making->rootfs, DSBO_LAYER, making->cancel_fd, error);
}

/* `docker save` writes equal layers once, and links for the others, which are not followed: the first of them is as good. */
static const char *first_like(GPtrArray *layers, json_object *ids, guint i)
{
    guint first = 0;
    while (strcmp(text_at(ids, first), text_at(ids, i)) != 0)
        first++;
    return layers->pdata[first];
}

static gboolean add_layers(struct making *making, const char *config, GPtrArray *layers, GError **error)
{
    g_autoptr(json_object) root = read_part(making, config, &making->digest, error);
    if (root == NULL)
        return FALSE;
    json_object *env = dsbe_json_at(root, "config.Env");
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    for (gsize i = 0; i < json_length(env); i++)
        g_strv_builder_add(list, text_at(env, i));
    making->env = g_strv_builder_end(list);
    json_object *ids = dsbe_json_at(root, "rootfs.diff_ids");
    if (layers->len == 0 || layers->len != json_length(ids))
        return not_an_image(error, "it has no layers, or others than its configuration says");
    for (guint i = 0; i < layers->len; i++)
        if (!add_layer(making, first_like(layers, ids, i), text_at(ids, i), error))
            return FALSE;
    return TRUE;
}

/* ---- docker save ---- */

static gboolean from_docker(struct making *making, GError **error)
{
    g_autoptr(json_object) root = read_part(making, "manifest.json", NULL, error);
    if (root == NULL)
        return FALSE;
    if (json_length(root) != 1)
        return not_an_image(error, "there must be one in it, not several: save one alone");
    json_object *image = json_object_array_get_idx(root, 0), *list = dsbe_json_at(image, "Layers");
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < json_length(list) && i < LAYERS_MAX; i++)
        g_ptr_array_add(layers, g_strdup(text_at(list, i)));
    if (json_length(list) > LAYERS_MAX)
        return not_an_image(error, "it has too many layers");
    return add_layers(making, dsbe_json_string(image, "Config", ""), layers, error);
}

/* ---- OCI ---- */

/* The manifest for this machine among several, or the only one; "" : there is none. */
static const char *choose(json_object *manifests)
{
    static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    struct utsname machine;
    const char *architecture = "";
    uname(&machine);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(machine.machine, names[i][0]) == 0)
            architecture = names[i][1];
    if (json_length(manifests) == 1)
        return dsbe_json_string(json_object_array_get_idx(manifests, 0), "digest", "");
    for (gsize i = 0; i < json_length(manifests); i++) {
        json_object *one = json_object_array_get_idx(manifests, i);
        if (strcmp(dsbe_json_string(one, "platform.architecture", ""), architecture) == 0 &&
            strcmp(dsbe_json_string(one, "platform.os", ""), "linux") == 0)
            return dsbe_json_string(one, "digest", "");
    }
    return "";
}

static gboolean from_layout(struct making *making, GError **error)
{
    g_autoptr(json_object) root = read_part(making, "index.json", NULL, error);
    for (int i = 0; root != NULL && i < INDEXES_MAX && dsbe_json_at(root, "manifests") != NULL; i++) {
        g_autofree char *path = blob_path(choose(dsbe_json_at(root, "manifests")));
        if (path == NULL)
            return not_an_image(error, "none of its manifests is for this machine");
        json_object *next = read_part(making, path, NULL, error);
        json_object_put(root);
        root = next;
    }
    if (root == NULL)
        return FALSE;
    g_autofree char *config = blob_path(dsbe_json_string(root, "config.digest", ""));
    json_object *list = dsbe_json_at(root, "layers");
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < json_length(list); i++) {
        char *path = blob_path(dsbe_json_string(json_object_array_get_idx(list, i), "digest", ""));
        if (path == NULL || i >= LAYERS_MAX) {
            g_free(path);
            return not_an_image(error, "its layers cannot be used");
        }
        g_ptr_array_add(layers, path);
    }
    return config != NULL ? add_layers(making, config, layers, error) : not_an_image(error, "it has no configuration");
}

static gboolean from_image(struct making *making, int archive, GError **error)
{
    if (mkdirat(making->dir, PARTS, 0700) != 0)
        return fail(error, DSB_ERROR_FAILED, "cannot make a directory");
    g_auto(dsb_fd) parts = openat(making->dir, PARTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parts < 0 || !dsbo_extract(archive, parts, DSBO_PLAIN, making->cancel_fd, error))
        return parts >= 0 ? FALSE : fail(error, DSB_ERROR_FAILED, "cannot open a directory");
    gboolean docker = faccessat(parts, "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!(docker ? from_docker(making, error) : from_layout(making, error)))
        return FALSE;
    return dsbo_remove_tree(making->dir, PARTS) || fail(error, DSB_ERROR_FAILED, "cannot remove the parts");
}

/* ---- one image ---- */

/* Of makers that were killed: who lives has its lock. */
static void remove_abandoned(const char *images)
{
    g_auto(dsb_fd) top = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(GDir) dir = g_dir_open(images, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        g_auto(dsb_fd) fd = -1;
        if (!g_str_has_prefix(name, FRESH))
            continue;
        fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            dsbo_remove_tree(top, name);
    }
}

/* Whoever looks for abandoned ones may just have taken it, since the lock comes after the directory: then another one. */
static gboolean make_fresh(struct making *making, GError **error)
{
    for (int i = 0; i < FRESH_TRIES; i++) {
        struct stat held, there;
        g_autofree char *path = g_build_filename(making->images, FRESH "XXXXXX", NULL);
        if (g_mkdtemp_full(path, 0700) == NULL)
            break;
        dsb_fd_clear(&making->dir);
        g_free(making->fresh);
        making->fresh = g_path_get_basename(path);
        making->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (making->dir >= 0 && flock(making->dir, LOCK_EX | LOCK_NB) == 0 && fstat(making->dir, &held) == 0 &&
            lstat(path, &there) == 0 && held.st_ino == there.st_ino)
            return TRUE;
    }
    return fail(error, DSB_ERROR_FAILED, "cannot make a directory among the images");
}

static gboolean begin(struct making *making, GError **error)
{
    remove_abandoned(making->images);
    if (!make_fresh(making, error))
        return FALSE;
    if (mkdirat(making->dir, ROOTFS, 0755) == 0)
        making->rootfs = openat(making->dir, ROOTFS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (making->rootfs < 0 || fchmod(making->rootfs, 0755) != 0)
        return fail(error, DSB_ERROR_FAILED, "cannot use a directory among the images");
    return TRUE;
}

static void end(struct making *making)
{
    g_auto(dsb_fd) top = open(making->images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (making->fresh != NULL && top >= 0)
        dsbo_remove_tree(top, making->fresh);
    dsb_fd_clear(&making->rootfs);
    dsb_fd_clear(&making->dir);
    g_free(making->fresh);
    g_free(making->digest);
    g_strfreev(making->env);
}

static gboolean is_there(const char *images, const char *digest)
{
    g_auto(dsbo_image) image = {0};
    return dsbo_image_find(images, digest, &image, NULL);
}

/* Where every sandbox has something: a runtime that does not find a place makes it, and then it is there for all. */
static const struct {
    const char *parent, *name;
    mode_t type;
} places[] = {
    {"", "proc", S_IFDIR},       {"", "sys", S_IFDIR},        {"", "dev", S_IFDIR},
    {"", "tmp", S_IFDIR},        {"", "run", S_IFDIR},        {"", "var", S_IFDIR},
    {"", "sandbox", S_IFDIR},    {"", "etc", S_IFDIR},        {"", "opt", S_IFDIR},
    {"var", "tmp", S_IFDIR},     {"opt", "dsandbox", S_IFDIR}, {"etc", "hosts", S_IFREG},
    {"etc", "hostname", S_IFREG}, {"etc", "resolv.conf", S_IFREG}, {"etc", "mtab", S_IFLNK},
};

static gboolean make_place(int parent, const char *name, mode_t type)
{
    if (type == S_IFDIR)
        return mkdirat(parent, name, 0755) == 0 || errno == EEXIST;
    if (type == S_IFLNK) /* as every engine has it */
        return symlinkat("/proc/mounts", parent, name) == 0 || errno == EEXIST;
    g_auto(dsb_fd) fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd >= 0 || errno == EEXIST;
}

static gboolean make_places(int rootfs)
{
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        gboolean top = *places[i].parent == '\0';
        g_auto(dsb_fd) parent = top ? fcntl(rootfs, F_DUPFD_CLOEXEC, 3)
                                    : dsb_openat2(rootfs, places[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, TRUE);
        gboolean elsewhere = parent < 0 && (errno == ELOOP || errno == ENOTDIR); /* a link: the runtime follows it inside */
        if (!elsewhere && (parent < 0 || !make_place(parent, places[i].name, places[i].type)))
            return FALSE;
    }
    return TRUE;
}

static gboolean make(struct making *making, int archive, gboolean image, const char *name, GError **error)
{
    if (!begin(making, error))
        return FALSE;
    if (!(image ? from_image(making, archive, error)
                : dsbo_extract(archive, making->rootfs, DSBO_PLAIN, making->cancel_fd, error)))
        return FALSE;
    if (!make_places(making->rootfs) || syncfs(making->rootfs) != 0)
        return fail(error, DSB_ERROR_FAILED, "cannot finish the image");
    return dsbo_image_keep(making->images, making->fresh, making->digest, name, (const char *const *) making->env, error);
}

gboolean dsbo_unpack(const char *images, const char *path, const char *name, int cancel_fd, GError **error)
{
    uint64_t size = 0;
    gboolean image = FALSE, ok = FALSE;
    g_auto(dsb_fd) archive = dsbe_open_regular(path, &size, error);
    struct making making = {.images = images, .dir = -1, .rootfs = -1, .cancel_fd = cancel_fd};
    if (archive < 0)
        return FALSE;
    if (dsbo_is_image(archive, &image, error)) {
        making.digest = image ? NULL : checksum(archive, cancel_fd, error);
        if (making.digest != NULL && is_there(images, making.digest))
            ok = dsbo_image_name(images, making.digest, name, error);
        else if (image || making.digest != NULL)
            ok = make(&making, archive, image, name, error);
    }
    end(&making);
    if (!ok)
        g_prefix_error(error, "%s: ", path);
    return ok;
}
