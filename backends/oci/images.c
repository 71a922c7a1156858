/* SPDX-License-Identifier: MIT */
/*
 * Images as unpacked root file systems: a directory for each, called by its digest, and a file for each name. Both come
 * to be by one rename, so what is there is whole.
 */
#include "oci/oci.h"

#include "common/json.h"
#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES ".names"
#define ABOUT "image.json"
#define ROOTFS "rootfs"
#define ABOUT_MAX (1024 * 1024)
#define ENV_MAX 1000
#define DIGEST "sha256:"
#define DIGEST_HEX 64
#define BEGINNING_MIN 4

static gboolean is_hex(const char *text)
{
    return strlen(text) == DIGEST_HEX && strspn(text, "0123456789abcdef") == DIGEST_HEX;
}

gboolean dsbo_images_ready(const char *images, GError **error)
{
    g_autofree char *names = g_build_filename(images, NAMES, NULL);
    if (g_mkdir_with_parents(names, 0700) != 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot make the directory of images %s: %s",
                    images, dsb_errno_text(errno));
        return FALSE;
    }
    if (dsbe_directory_ok(images) && dsbe_directory_ok(names))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "others could change the images in %s: it and the directories above must be yours or root's, and nobody "
                "else's to write",
                images);
    return FALSE;
}

/* A name with a tag, as that of a file. */
static char *name_path(const char *images, const char *name)
{
    const char *slash = strrchr(name, '/');
    gboolean tagged = strchr(slash != NULL ? slash : name, ':') != NULL;
    g_autofree char *whole = g_strconcat(name, tagged ? "" : ":latest", NULL);
    g_autofree char *file = g_uri_escape_string(whole, ":", FALSE);
    return g_build_filename(images, NAMES, file, NULL);
}

/* The only one whose digest begins so (new), or NULL. */
static char *by_beginning(const char *images, const char *hex)
{
    g_autofree char *found = NULL;
    gsize n = strlen(hex);
    if (n < BEGINNING_MIN || strspn(hex, "0123456789abcdef") != n)
        return NULL;
    g_autoptr(GDir) dir = g_dir_open(images, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        if (!is_hex(entry) || strncmp(entry, hex, n) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = g_strdup(entry);
    }
    return g_steal_pointer(&found);
}

/* The digest's digits that a name stands for (new), or NULL. */
static char *resolve(const char *images, const char *name)
{
    const char *hex = g_str_has_prefix(name, DIGEST) ? name + strlen(DIGEST) : name;
    if (is_hex(hex))
        return g_strdup(hex);
    gsize size = 0;
    g_autofree char *path = name_path(images, name);
    g_autofree char *text = dsbe_read_file(path, 1024, &size, NULL);
    if (text == NULL)
        return by_beginning(images, hex);
    g_strstrip(text);
    return is_hex(text) ? g_steal_pointer(&text) : NULL;
}

static GStrv read_env(json_object *about)
{
    g_autoptr(GStrvBuilder) env = g_strv_builder_new();
    json_object *list = json_member(about, "env");
    gsize n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (gsize i = 0; i < n && i < ENV_MAX; i++) {
        const char *entry = json_object_get_string(json_object_array_get_idx(list, i));
        if (entry != NULL && *entry != '=' && strchr(entry, '=') != NULL)
            g_strv_builder_add(env, entry);
    }
    return g_strv_builder_end(env);
}

gboolean dsbo_image_find(const char *images, const char *name, struct dsbo_image *image, GError **error)
{
    struct stat st;
    gsize size = 0;
    g_autofree char *hex = resolve(images, name);
    g_autofree char *dir = hex != NULL ? g_build_filename(images, hex, NULL) : NULL;
    g_autofree char *rootfs = hex != NULL ? g_build_filename(dir, ROOTFS, NULL) : NULL;
    if (hex == NULL || lstat(rootfs, &st) != 0 || !S_ISDIR(st.st_mode)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND,
                    "no image %s in %s: make one with 'dsandbox image build --from-packages' or from an archive", name,
                    images);
        return FALSE;
    }
    if (!dsbe_directory_ok(dir) || !dsb_is_closed(&st)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "others could change image %s in %s", name, images);
        return FALSE;
    }
    g_autofree char *about_path = g_build_filename(dir, ABOUT, NULL);
    g_autofree char *text = dsbe_read_file(about_path, ABOUT_MAX, &size, error);
    g_autoptr(json_object) about = text != NULL ? dsbe_json_parse(text, size, error) : NULL;
    if (about == NULL)
        return FALSE;
    *image = (struct dsbo_image){
        .id = g_strconcat(DIGEST, hex, NULL), .rootfs = g_steal_pointer(&rootfs), .env = read_env(about)};
    return TRUE;
}

void dsbo_image_clear(struct dsbo_image *image)
{
    g_clear_pointer(&image->id, g_free);
    g_clear_pointer(&image->rootfs, g_free);
    g_clear_pointer(&image->env, g_strfreev);
}

static gboolean write_file(const char *path, const char *text, GError **error)
{
    g_autoptr(GError) local = NULL;
    if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &local))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write %s: %s", path, local->message);
    return FALSE;
}

gboolean dsbo_image_name(const char *images, const char *hex, const char *name, GError **error)
{
    g_autofree char *path = name_path(images, name);
    return write_file(path, hex, error);
}

gboolean dsbo_image_keep(const char *images, const char *fresh, const char *hex, const char *name, const char *const *env,
                         GError **error)
{
    g_autofree char *from = g_build_filename(images, fresh, NULL);
    g_autofree char *to = g_build_filename(images, hex, NULL);
    g_autofree char *about_path = g_build_filename(from, ABOUT, NULL);
    g_autoptr(json_object) about = json_object_new_object();
    json_object *list = json_object_new_array();
    for (; env != NULL && *env != NULL; env++)
        json_object_array_add(list, json_object_new_string(*env));
    json_object_object_add(about, "env", list);
    if (!write_file(about_path, json_text(about), error))
        return FALSE;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot make %s: %s", to, dsb_errno_text(errno));
        return FALSE;
    }
    return dsbo_image_name(images, hex, name, error);
}
