/* SPDX-License-Identifier: MIT */
/* The files of a session for its owner: written. dsandbox/files.h. */
#include "hostdir/session_files.h"

#include "common/given.h"
#include "common/ids.h"
#include "hostdir/safe_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (64u << 10)
#define HIDDEN ".new-"

/* ---- directories ---- */

/* A directory below `parent`, made when it is not there. */
static int enter_dir(const struct dsb_files *files, int parent, const char *name)
{
    int fd = dsb_files_open_dir(parent, name, O_RDONLY);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
        return -1;
    fd = dsb_files_open_dir(parent, name, O_RDONLY);
    /* Whatever is there by now is a directory inside the session; its owner shall be the session's. */
    if (fd >= 0 && geteuid() != files->uid && fchown(fd, files->uid, files->gid) < 0) {
        int problem = errno;
        close(fd);
        errno = problem;
        return -1;
    }
    return fd;
}

/* Returns the directory of `path`'s last part, made as far as it is missing; -1 with errno. */
static int make_parents(const struct dsb_files *files, const char *path)
{
    int dir = fcntl(files->fd, F_DUPFD_CLOEXEC, 3);
    const char *slash;
    while (dir >= 0 && (slash = strchr(path, '/')) != NULL) {
        g_autofree char *name = g_strndup(path, (gsize) (slash - path));
        int next = enter_dir(files, dir, name);
        int problem = errno;
        close(dir);
        errno = problem;
        dir = next;
        path = slash + 1;
    }
    return dir;
}

gboolean dsb_files_mkdir(struct dsb_files *files, const char *path, GError **error)
{
    if (!dsb_files_check(files, path, error))
        return FALSE;
    g_autofree char *whole = g_strconcat(path, "/", NULL);
    int fd = make_parents(files, whole);
    if (fd < 0)
        return dsb_files_fail(errno, "make directory", path, error);
    close(fd);
    return TRUE;
}

/* ---- one file, piece by piece ---- */

struct dsb_file_put {
    struct dsb_files *files;
    char *path;
    int fd;
    char *hidden; /* its name at the top of the session until it has its own; NULL: it has none */
};

/* Without a name, so that nothing is left of it when we are killed; by one that nobody knows where that cannot be. */
static int open_new(struct dsb_file_put *put)
{
    int fd = dsb_open_beneath(put->files->fd, ".", O_WRONLY | O_TMPFILE, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    put->hidden = dsb_random_id(HIDDEN);
    fd = dsb_open_beneath(put->files->fd, put->hidden, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        g_clear_pointer(&put->hidden, g_free);
    return fd;
}

struct dsb_file_put *dsb_files_put_begin(struct dsb_files *files, const char *path, GError **error)
{
    if (!dsb_files_check(files, path, error))
        return NULL;
    struct dsb_file_put *put = g_new0(struct dsb_file_put, 1);
    put->files = files;
    put->path = g_strdup(path);
    put->fd = open_new(put);
    if (put->fd >= 0)
        return put;
    dsb_files_fail(errno, "write", path, error);
    dsb_files_put_free(put);
    return NULL;
}

void dsb_files_put_free(struct dsb_file_put *put)
{
    if (put == NULL)
        return;
    if (put->fd >= 0)
        close(put->fd); /* first: NFS keeps what is open, under another name */
    if (put->hidden != NULL)
        unlinkat(put->files->fd, put->hidden, 0);
    g_free(put->hidden);
    g_free(put->path);
    g_free(put);
}

gboolean dsb_files_put_add(struct dsb_file_put *put, const void *bytes, gsize size, GError **error)
{
    const uint8_t *from = bytes;
    if (!dsb_given(put, "the file to write", error) || (size > 0 && !dsb_given(bytes, "what to write", error)))
        return FALSE;
    while (size > 0) {
        ssize_t n = write(put->fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dsb_files_fail(n < 0 ? errno : EIO, "write", put->path, error);
        from += n;
        size -= (gsize) n;
    }
    return TRUE;
}

/* It gets a hidden name in `dir`, since a link does not replace what is there. Returns an errno. */
static int give_name(struct dsb_file_put *put, int dir, const char *name)
{
    char handle[32];
    if (put->hidden != NULL) {
        if (renameat(put->files->fd, put->hidden, dir, name) < 0)
            return errno;
        g_clear_pointer(&put->hidden, g_free);
        return 0;
    }
    snprintf(handle, sizeof handle, "/proc/self/fd/%d", put->fd);
    g_autofree char *hidden = dsb_random_id(HIDDEN);
    if (linkat(AT_FDCWD, handle, dir, hidden, AT_SYMLINK_FOLLOW) < 0)
        return errno;
    int problem = renameat(dir, hidden, dir, name) < 0 ? errno : 0;
    if (problem != 0)
        unlinkat(dir, hidden, 0);
    return problem;
}

static int finish(struct dsb_file_put *put, int dir, mode_t mode)
{
    const struct dsb_files *files = put->files;
    g_autofree char *name = g_path_get_basename(put->path);
    struct stat st;
    if (geteuid() != files->uid && fchown(put->fd, files->uid, files->gid) < 0)
        return errno;
    if (fchmod(put->fd, mode & 0777) < 0)
        return errno;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return EISDIR;
    return give_name(put, dir, name);
}

gboolean dsb_files_put_end(struct dsb_file_put *put, uint32_t mode, GError **error)
{
    if (!dsb_given(put, "the file to write", error))
        return FALSE;
    int dir = make_parents(put->files, put->path);
    int problem = dir < 0 ? errno : finish(put, dir, mode != 0 ? mode : 0644);
    if (dir >= 0)
        close(dir);
    return problem == 0 || dsb_files_fail(problem, "write", put->path, error);
}

/* ---- the whole at once ---- */

gboolean dsb_files_write(struct dsb_files *files, const char *path, const void *bytes, gsize size, uint32_t mode,
                         GError **error)
{
    g_autoptr(dsb_file_put) put = dsb_files_put_begin(files, path, error);
    return put != NULL && dsb_files_put_add(put, bytes, size, error) && dsb_files_put_end(put, mode, error);
}

static gboolean copy_all(struct dsb_file_put *put, int fd, uint64_t max, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(COPY_BYTES);
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read(fd, buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dsb_files_fail(errno, "write", put->path, error);
        if (n == 0)
            return TRUE;
        total += (uint64_t) n;
        if (total > max) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "there are more than %" G_GUINT64_FORMAT " bytes", max);
            return FALSE;
        }
        if (!dsb_files_put_add(put, buffer, (gsize) n, error))
            return FALSE;
    }
}

gboolean dsb_files_write_fd(struct dsb_files *files, const char *path, int fd, uint64_t max, uint32_t mode,
                            GError **error)
{
    if (!dsb_given_fd(fd, "fd", error))
        return FALSE;
    g_autoptr(dsb_file_put) put = dsb_files_put_begin(files, path, error);
    return put != NULL && copy_all(put, fd, max, error) && dsb_files_put_end(put, mode, error);
}
