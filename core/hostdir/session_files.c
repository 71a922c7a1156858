/* SPDX-License-Identifier: MIT */
/* The files of a session for its owner: listed, read, removed. dsandbox/files.h. */
#include "hostdir/session_files.h"

#include "common/ids.h"
#include "common/given.h"
#include "hostdir/basedir.h"
#include "hostdir/safe_open.h"
#include "hostdir/unfinished.h"
#include "hostdir/userns.h"
#include "hostdir/scan.h"
#include "hostdir/walk.h"
#include "hostdir/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 255
#define SESSIONS_MAX 100000
#define COPY_BYTES (64u << 10)
#define ROW_COST 1024
#define HIDDEN_MAX 5

static const struct dsb_remove_limits remove_limits = {DSB_FILES_REMOVE_MAX, DSB_FILES_REMOVE_MS};

const char *dsb_file_type_name(enum dsb_file_type type)
{
    static const char *const names[] = {"file", "directory", "link", "other"};
    return (gsize) type < G_N_ELEMENTS(names) ? names[type] : "other";
}

void dsb_file_info_free(struct dsb_file_info *info)
{
    if (info == NULL)
        return;
    g_free(info->path);
    g_free(info);
}

gboolean dsb_files_fail(int problem, const char *what, const char *path, GError **error)
{
    static const struct {
        int problem;
        enum dsb_error_code code;
        const char *why;
    } known[] = {
        {ENOENT, DSB_ERROR_NOT_FOUND, "there is no such file"},
        {ENOTDIR, DSB_ERROR_INVALID, "part of the path is no directory"},
        {EISDIR, DSB_ERROR_CONFLICT, "it is a directory"},
        {ENOTEMPTY, DSB_ERROR_CONFLICT, "the directory has content"},
        {EEXIST, DSB_ERROR_CONFLICT, "the directory has content"},
        {ELOOP, DSB_ERROR_DENIED, "it is a symbolic link, or has one in its path"},
        {EXDEV, DSB_ERROR_DENIED, "it is outside, or on another mount"},
        {EBUSY, DSB_ERROR_DENIED, "something is mounted there"},
        {EACCES, DSB_ERROR_DENIED, "permission denied"},
        {EPERM, DSB_ERROR_DENIED, "operation not permitted"},
        {ENXIO, DSB_ERROR_INVALID, "it is not a regular file"},
        {ENAMETOOLONG, DSB_ERROR_INVALID, "the name is too long"},
        {EOVERFLOW, DSB_ERROR_LIMIT,
         "there is too much of it; what was found first is removed, try again for the rest"},
    };
    g_autofree char *shown = g_utf8_make_valid(path != NULL && *path != '\0' ? path : "the session directory", -1);
    enum dsb_error_code code = DSB_ERROR_FAILED;
    const char *why = dsb_errno_text(problem);
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        if (known[i].problem == problem) {
            code = known[i].code;
            why = known[i].why;
        }
    g_set_error(error, DSB_ERROR, (int) code, "cannot %s %s: %s", what, shown, why);
    return FALSE;
}

static gboolean invalid(const char *path, const char *why, GError **error)
{
    g_autofree char *shown = g_utf8_make_valid(path, -1);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "path '%.200s' %s", shown, why);
    return FALSE;
}

static gboolean check_path(const char *path, GError **error)
{
    if (path == NULL || *path == '\0')
        return invalid("", "is empty", error);
    if (strlen(path) > DSB_FILES_PATH_MAX)
        return invalid(path, "is too long", error);
    for (const char *part = path;; part++) {
        gsize n = strcspn(part, "/");
        if (n == 0)
            return invalid(path, "is absolute, or has an empty part", error);
        if (n > NAME_MAX_BYTES)
            return invalid(path, "has a part of more than 255 bytes", error);
        if ((n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return invalid(path, "has a part '.' or '..'", error);
        part += n;
        if (*part == '\0')
            return TRUE;
    }
}

gboolean dsb_files_check(const struct dsb_files *files, const char *path, GError **error)
{
    return dsb_given(files, "the session's files", error) && check_path(path, error);
}

gboolean dsb_files_of(int fd, struct dsb_files *files)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return FALSE;
    *files = (struct dsb_files){fd, st.st_uid, st.st_gid};
    return TRUE;
}

struct dsb_files *dsb_files_open(const char *base_dir, const char *session, GError **error)
{
    struct dsb_files found;
    g_autofree char *name = NULL;
    if (session == NULL)
        session = "";
    g_autofree char *path = dsb_workdir_plan(base_dir, session, &name, error);
    int base = path != NULL ? dsb_base_open(base_dir, FALSE, error) : -1;
    if (base < 0)
        return NULL;
    int fd = dsb_open_dir(base, name, true);
    int problem = fd < 0 || !dsb_files_of(fd, &found) ? errno : 0;
    close(base);
    if (problem != 0) {
        if (fd >= 0)
            close(fd);
        dsb_files_fail(problem, "open session", session, error);
        return NULL;
    }
    return g_memdup2(&found, sizeof found);
}

void dsb_files_close(struct dsb_files *files)
{
    if (files == NULL)
        return;
    close(files->fd);
    g_free(files);
}

/* With the dot, a link says that it is one (ELOOP, not ENOTDIR). */
int dsb_files_open_dir(int dir, const char *path, int flags)
{
    g_autofree char *dotted = g_strconcat(path, "/.", NULL);
    return dsb_open_beneath(dir, dotted, flags | O_DIRECTORY, 0);
}

/* The directory that has the last part of a path, for *at calls. */
static int open_parent(const struct dsb_files *files, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    return dsb_files_open_dir(files->fd, parent, O_PATH);
}

/* ---- look ---- */

static int64_t clamped_ns(const struct timespec *at)
{
    int64_t seconds = at->tv_sec;
    if (seconds > G_MAXINT64 / 1000000000 - 1)
        return G_MAXINT64;
    if (seconds < G_MININT64 / 1000000000 + 1)
        return G_MININT64;
    return seconds * 1000000000 + at->tv_nsec;
}

static struct dsb_file_info *info_of(const char *path, const struct stat *st)
{
    struct dsb_file_info *info = g_new(struct dsb_file_info, 1);
    *info = (struct dsb_file_info){
        .path = g_strdup(path),
        .type = S_ISREG(st->st_mode)   ? DSB_FILE_REGULAR
                : S_ISDIR(st->st_mode) ? DSB_FILE_DIRECTORY
                : S_ISLNK(st->st_mode) ? DSB_FILE_LINK
                                       : DSB_FILE_OTHER,
        .mode = st->st_mode & 07777,
        .size = (uint64_t) MAX(st->st_size, 0),
        .allocated = (uint64_t) st->st_blocks * 512,
        .mtime_ns = clamped_ns(&st->st_mtim),
        .ino = st->st_ino,
        .ctime_ns = clamped_ns(&st->st_ctim),
    };
    return info;
}

struct listing {
    GPtrArray *infos;
    const char *prefix;
    gsize cost;
};

static gboolean add_info(void *data, const char *path, guint depth, const struct stat *st)
{
    struct listing *listing = data;
    (void) depth;
    listing->cost += dsb_path_cost(path) + (listing->prefix != NULL ? strlen(listing->prefix) : 0);
    if (listing->cost > DSB_FILES_BUDGET)
        return FALSE;
    struct dsb_file_info *info = info_of(path, st);
    if (listing->prefix != NULL && *listing->prefix != '\0') {
        g_autofree char *below = info->path;
        info->path = g_strconcat(listing->prefix, "/", below, NULL);
    }
    g_ptr_array_add(listing->infos, info);
    return TRUE;
}

gsize dsb_path_cost(const char *path)
{
    gsize cost = ROW_COST;
    for (const char *at = path; *at != '\0'; at++) /* as JSON \u00xx, or in base64 beside it */
        cost += g_ascii_isprint(*at) && *at != '"' && *at != '\\' ? 2 : 6;
    return cost;
}

static int by_path(gconstpointer a, gconstpointer b)
{
    const struct dsb_file_info *const *first = a, *const *second = b;
    return strcmp((*first)->path, (*second)->path);
}

/* The directory that a list or a removal is about; the session's own for NULL and "". */
static int open_listed(const struct dsb_files *files, const char *path, GError **error)
{
    gboolean top = path == NULL || *path == '\0';
    if (!dsb_given(files, "the session's files", error) || (!top && !check_path(path, error)))
        return -1;
    int fd = dsb_files_open_dir(files->fd, top ? "." : path, O_RDONLY);
    if (fd < 0)
        dsb_files_fail(errno, "list", path, error);
    return fd;
}

GPtrArray *dsb_files_list(struct dsb_files *files, const char *path, gboolean recursive, gsize max, gboolean *truncated,
                          GError **error)
{
    int fd = open_listed(files, path, error);
    if (fd < 0)
        return NULL;
    struct listing listing = {g_ptr_array_new_with_free_func((GDestroyNotify) dsb_file_info_free), path, 0};
    struct dsb_walk walk = {.max_entries = max == 0 ? DSB_FILES_LIST_MAX : MIN(max, DSB_FILES_LIST_MAX),
                            .max_depth = DSB_FILES_DEPTH_MAX,
                            .shallow = !recursive,
                            .deadline_us = g_get_monotonic_time() + DSB_FILES_LIST_MS * 1000,
                            .visit = add_info,
                            .data = &listing};
    dsb_walk_run(&walk, fd);
    close(fd);
    if (walk.shortage != 0) {
        g_ptr_array_unref(listing.infos);
        dsb_files_fail(walk.shortage, "list", path, error);
        return NULL;
    }
    g_ptr_array_sort(listing.infos, by_path);
    if (truncated != NULL)
        *truncated = walk.truncated || walk.hidden;
    return listing.infos;
}

gboolean dsb_files_usage(struct dsb_files *files, uint64_t max_inodes, uint64_t *bytes, uint64_t *inodes, GError **error)
{
    struct dsb_scan scan = {.hidden = TRUE};
    int fd = open_listed(files, NULL, error);
    if (fd < 0)
        return FALSE;
    /* Directories that move or go while we look hide for once what is in them; those that hide every time do so on purpose. */
    for (int i = 0; i < HIDDEN_MAX && scan.hidden && scan.shortage == 0; i++)
        dsb_scan_run(fd, FALSE, max_inodes + 1, &scan);
    close(fd);
    if (bytes != NULL)
        *bytes = scan.bytes;
    if (inodes != NULL)
        *inodes = scan.inodes;
    g_autofree char *reason = scan.inodes <= max_inodes ? dsb_scan_over(&scan, UINT64_MAX, UINT64_MAX) : NULL;
    dsb_scan_clear(&scan);
    if (reason != NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, reason);
    return reason == NULL;
}

struct dsb_file_info *dsb_files_stat(struct dsb_files *files, const char *path, GError **error)
{
    struct stat st;
    if (!dsb_files_check(files, path, error))
        return NULL;
    /* O_PATH with O_NOFOLLOW gives a link itself, but NO_SYMLINKS refuses it: so the directory first. */
    g_autofree char *name = g_path_get_basename(path);
    int parent = open_parent(files, path);
    int problem = parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    if (parent >= 0)
        close(parent);
    if (problem == 0)
        return info_of(path, &st);
    dsb_files_fail(problem, "look at", path, error);
    return NULL;
}

/* ---- read ---- */

int dsb_files_open_read(struct dsb_files *files, const char *path, uint64_t *size, GError **error)
{
    struct stat st;
    if (!dsb_files_check(files, path, error))
        return -1;
    /* Looked at before it is opened, since opening a device or FIFO may have effects; and again after. */
    int handle = dsb_open_beneath(files->fd, path, O_PATH, 0);
    int problem = handle < 0 || fstat(handle, &st) < 0 ? errno : 0;
    if (problem == 0 && !S_ISREG(st.st_mode))
        problem = S_ISLNK(st.st_mode) ? ELOOP : ENXIO;
    if (handle >= 0)
        close(handle);
    int fd = problem == 0 ? dsb_open_beneath(files->fd, path, O_RDONLY, 0) : -1;
    if (fd < 0 && problem == 0)
        problem = errno;
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        problem = ENXIO;
    else if (fd >= 0 && (uint64_t) st.st_size > DSB_FILES_SIZE_MAX)
        problem = EFBIG;
    if (problem == 0) {
        if (size != NULL)
            *size = (uint64_t) st.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    dsb_files_fail(problem, "read", path, error);
    return -1;
}

GBytes *dsb_files_read(struct dsb_files *files, const char *path, gsize max, GError **error)
{
    uint64_t size = 0;
    int fd = dsb_files_open_read(files, path, &size, error);
    if (fd < 0)
        return NULL;
    GByteArray *bytes = g_byte_array_new();
    g_autofree uint8_t *buffer = g_malloc(COPY_BYTES);
    ssize_t n = 1;
    max = MIN(max, (gsize) G_MAXUINT32 - COPY_BYTES);
    while (size <= max && bytes->len <= max && (n = read(fd, buffer, COPY_BYTES)) > 0)
        g_byte_array_append(bytes, buffer, (guint) n);
    int problem = n < 0 ? errno : 0;
    close(fd);
    if (problem == 0 && size <= max && bytes->len <= max)
        return g_byte_array_free_to_bytes(bytes);
    g_byte_array_unref(bytes);
    if (problem != 0)
        dsb_files_fail(problem, "read", path, error);
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "the file has more than %" G_GSIZE_FORMAT " bytes", max);
    return NULL;
}

/* ---- remove ---- */

/* Returns an errno; ENOTEMPTY for a directory with content, unless `recursive`. */
static int remove_name(int dir, const char *name, gboolean recursive)
{
    if (unlinkat(dir, name, 0) == 0)
        return 0;
    if (errno != EISDIR)
        return errno;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    if ((errno != ENOTEMPTY && errno != EEXIST) || !recursive)
        return errno;
    int fd = dsb_open_dir(dir, name, true);
    if (fd < 0)
        return errno;
    int problem = dsb_userns_remove_content(fd, &remove_limits);
    close(fd);
    return problem != 0 ? problem : unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

gboolean dsb_files_remove(struct dsb_files *files, const char *path, gboolean recursive, GError **error)
{
    if (!dsb_files_check(files, path, error))
        return FALSE;
    g_autofree char *name = g_path_get_basename(path);
    int dir = open_parent(files, path);
    int problem = dir < 0 ? errno : remove_name(dir, name, recursive);
    if (dir >= 0)
        close(dir);
    return problem == 0 || dsb_files_fail(problem, "remove", path, error);
}

gboolean dsb_files_clear(struct dsb_files *files, GError **error)
{
    if (!dsb_given(files, "the session's files", error))
        return FALSE;
    int problem = dsb_userns_remove_content(files->fd, &remove_limits);
    return problem == 0 || dsb_files_fail(problem, "empty", NULL, error);
}

/* ---- sessions ---- */

gboolean dsb_files_delete_session(const char *base_dir, const char *session, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) local = NULL;
    g_autofree char *path = dsb_workdir_plan(base_dir, session != NULL ? session : "", &name, error);
    if (path == NULL)
        return FALSE;
    int base = dsb_base_open(base_dir, FALSE, &local);
    if (base < 0 && g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND))
        return TRUE;
    int lock = base >= 0 ? dsb_workdir_lock(base, name, &local) : -1;
    int problem = lock >= 0 ? dsb_workdir_remove(base, name) : 0;
    if (lock >= 0 && problem == 0 && !dsb_unfinished_is_noted(lock)) /* its container may still be there */
        dsb_workdir_drop_lock(base, name);
    if (lock >= 0)
        close(lock);
    if (base >= 0)
        close(base);
    if (local == NULL && problem != 0) {
        dsb_files_fail(problem, "remove session", session, error);
        g_prefix_error(error, "what is left is in %s (is a part of it immutable, or mounted?): remove it there: ", path);
    }
    if (local == NULL)
        return problem == 0;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    const char *const *first = a, *const *second = b;
    return strcmp(*first, *second);
}

char **dsb_files_sessions(const char *base_dir, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    int base = dsb_base_open(base_dir, FALSE, &local);
    DIR *stream = base >= 0 ? fdopendir(base) : NULL;
    if (local != NULL && !g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    for (struct dirent *entry; stream != NULL && names->len < SESSIONS_MAX && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (dsb_session_id_valid(entry->d_name) && fstatat(base, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    if (stream != NULL)
        closedir(stream);
    g_ptr_array_sort(names, by_name);
    g_ptr_array_add(names, NULL);
    return (char **) g_ptr_array_steal(names, NULL);
}
