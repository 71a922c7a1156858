/* SPDX-License-Identifier: MIT */
/*
 * Places for binds that an image lacks. A runtime would make them in the image's directory, and so in every sandbox of it:
 * they are made in a directory of the container's own, which lies over the image's. That mount is in a namespace that only
 * the runtime and the container are in, so it ends with them, whoever is killed.
 */
#include "oci/oci.h"

#include "common/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean fail(GError **error, const char *what, const char *path)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s %s: %s", what, path, dsb_errno_text(errno));
    return FALSE;
}

/* What is below these is made in memory, with the mount. */
static gboolean is_in_memory(const char *target)
{
    static const char *const tops[] = {"/tmp/", "/run/", "/var/tmp/", "/dev/"};
    for (gsize i = 0; i < G_N_ELEMENTS(tops); i++)
        if (g_str_has_prefix(target, tops[i]))
            return TRUE;
    return FALSE;
}

/* A directory of the layer, with the rights that the image's own has. */
static gboolean add_directory(int layer, int image, const char *path, GError **error)
{
    struct stat st = {.st_mode = S_IFDIR | 0755};
    g_auto(dsb_fd) there = dsb_openat2(image, path, O_PATH | O_CLOEXEC, 0, TRUE);
    if (there < 0 && errno != ENOENT)
        return fail(error, "the image cannot hold a bind: a link or something else is in the way at", path);
    gboolean known = there >= 0 && fstat(there, &st) == 0;
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return fail(error, "the image cannot hold a bind below", path);
    }
    if (mkdirat(layer, path, 0755) != 0)
        return errno == EEXIST || fail(error, "cannot make", path);
    if (known && (fchownat(layer, path, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
                  fchmodat(layer, path, st.st_mode & 07777, 0) != 0))
        return fail(error, "cannot make", path);
    return TRUE;
}

static gboolean add_place(int layer, int image, const char *target, gboolean directory, GError **error)
{
    const char *path = target + 1;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        g_autofree char *parent = g_strndup(path, (gsize) (slash - path));
        if (!add_directory(layer, image, parent, error))
            return FALSE;
    }
    if (directory)
        return add_directory(layer, image, path, error);
    g_auto(dsb_fd) made = openat(layer, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    return made >= 0 || fail(error, "cannot make", path);
}

/* Its own rights are those of the root that is seen. */
static int open_layer(const char *path, GError **error)
{
    if (mkdir(path, 0755) == 0) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fchmod(fd, 0755) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
    }
    fail(error, "cannot make", path);
    return -1;
}

gboolean dsbo_places_make(const char *rootfs, const char *layer_path, const struct dsb_spec *spec, gboolean *some,
                          GError **error)
{
    g_auto(dsb_fd) image = open(rootfs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), layer = -1;
    struct stat st;
    if (image < 0)
        return fail(error, "cannot open", rootfs);
    *some = FALSE;
    for (gsize i = 0; i < spec->n_binds; i++) {
        const struct dsb_bind *bind = spec->binds[i];
        g_auto(dsb_fd) place = dsb_openat2(image, bind->target + 1, O_PATH | O_CLOEXEC, 0, TRUE);
        if (place >= 0 || is_in_memory(bind->target))
            continue;
        if (stat(bind->source, &st) != 0)
            return fail(error, "cannot bind", bind->source);
        if (layer < 0)
            layer = open_layer(layer_path, error);
        if (layer < 0 || !add_place(layer, image, bind->target, S_ISDIR(st.st_mode), error))
            return FALSE;
        *some = TRUE;
    }
    return TRUE;
}

/* ---- the mount ---- */

struct job {
    const struct dsbo_start *start;
    gboolean ok;
    GError *error;
};

/*
 * Two lower directories and none above: the kernel lets nobody write. By descriptors, since a path may have a colon, and
 * opened in the namespace that they are mounted in.
 */
static gboolean mount_layers(const struct dsbo_start *start, GError **error)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return fail(error, "cannot make a mount namespace for", start->root);
    g_auto(dsb_fd) layer = open(start->layer, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    g_auto(dsb_fd) image = open(start->image, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    g_autofree char *options = g_strdup_printf("lowerdir=/proc/self/fd/%d:/proc/self/fd/%d", layer, image);
    if (layer < 0 || image < 0 || (mkdir(start->root, 0755) != 0 && errno != EEXIST))
        return fail(error, "cannot use", start->root);
    if (mount("overlay", start->root, "overlay", MS_RDONLY, options) != 0)
        return fail(error, "the places that the image lacks cannot be laid over it at", start->root);
    return TRUE;
}

static gboolean spawn(const struct dsbo_start *start, GError **error)
{
    const int *theirs = start->theirs;
    return dsbe_spawn(start->argv, start->env, theirs[0], theirs[1], theirs[2], start->held, start->child, error);
}

static void *work(void *data)
{
    struct job *job = data;
    const struct dsbo_start *start = job->start;
    job->ok = mount_layers(start, &job->error) && spawn(start, &job->error);
    return NULL;
}

gboolean dsbo_places_spawn(const struct dsbo_start *start, GError **error)
{
    struct job job = {.start = start};
    g_autoptr(GError) local = NULL;
    if (start->layer == NULL)
        return spawn(start, error);
    GThread *thread = g_thread_try_new("places", work, &job, &local); /* with its namespace, it goes */
    if (thread == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot start a thread: %s", local->message);
        return FALSE;
    }
    g_thread_join(thread);
    if (job.error != NULL)
        g_propagate_error(error, job.error);
    return job.ok;
}
