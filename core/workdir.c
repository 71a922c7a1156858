/* SPDX-License-Identifier: MIT */
#include "workdir.h"

#include "beneath.h"
#include "mapped.h"
#include "strictjson.h"

#include <dirent.h>
#include <dsandbox/files.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCKS ".locks"
#define EPHEMERAL ".run-"

static gboolean fail(GError **error, enum dsb_error_code code, const char *what, const char *path)
{
    g_set_error(error, DSB_ERROR, (int) code, "%s %s: %s", what, path, g_strerror(errno));
    return FALSE;
}

gboolean dsb_session_id_valid(const char *id)
{
    gsize n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n >= 1 && n <= 64 && id[n] == '\0' && g_ascii_isalnum(id[0]);
}

char *dsb_workdir_plan(const char *base, const char *session, char **name, GError **error)
{
    if (base == NULL)
        base = DSB_DEFAULT_BASE_DIR;
    if (!g_path_is_absolute(base)) {
        g_autofree char *quoted = dsb_quoted(base);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "base directory %s is not an absolute path", quoted);
        return NULL;
    }
    if (session != NULL && !dsb_session_id_valid(session)) {
        g_autofree char *quoted = dsb_quoted(session);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "session id %s is not valid: use 1 to 64 of A-Z a-z 0-9 _ . -, the first a letter or digit",
                    quoted);
        return NULL;
    }
    if (session != NULL) {
        *name = g_strdup(session);
    } else {
        uint64_t random[2];
        if (getrandom(random, sizeof random, 0) != sizeof random)
            g_error("getrandom: %s", g_strerror(errno));
        *name = g_strdup_printf(EPHEMERAL "%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", random[0], random[1]);
    }
    g_autofree char *clean = g_canonicalize_filename(base, "/");
    return g_build_filename(clean, *name, NULL);
}

int dsb_workdir_open_base(const char *base, gboolean make, GError **error)
{
    struct stat st;
    if (base == NULL)
        base = DSB_DEFAULT_BASE_DIR;
    if (make && mkdir(base, 0700) < 0 && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create the base directory (choose another with --base-dir)", base);
        return -1;
    }
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        fail(error, DSB_ERROR_NOT_FOUND, "there is no base directory", base);
        return -1;
    }
    if (fd < 0) {
        fail(error, DSB_ERROR_DENIED,
             "cannot open the base directory (a link or no directory? choose another with --base-dir)", base);
        return -1;
    }
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return fd;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "base directory %s belongs to uid %u with mode %03o: it must be yours (uid %u) and writable by nobody "
                "else; choose another with --base-dir",
                base, (unsigned) st.st_uid, (unsigned) (st.st_mode & 0777), (unsigned) geteuid());
    close(fd);
    return -1;
}

/* -1 without an error: there is no such lock, and `make` did not ask for one. */
static int take_lock(int base, const char *name, gboolean make, GError **error)
{
    g_autofree char *path = g_strconcat(LOCKS "/", name, NULL);
    for (;;) {
        struct stat opened, named;
        int fd = openat(base, path, O_RDWR | (make ? O_CREAT : 0) | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno == ENOENT && !make)
            return -1;
        if (fd < 0) {
            fail(error, DSB_ERROR_DENIED, "cannot open the lock of session", name);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY,
                        "session '%s' is in use by another process; wait for it, or use another --session", name);
            close(fd);
            return -1;
        }
        /* The holder before us may have removed the file between our open and our lock. */
        if (fstat(fd, &opened) == 0 && fstatat(base, path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            opened.st_ino == named.st_ino)
            return fd;
        close(fd);
    }
}

int dsb_workdir_lock(int base, const char *name, GError **error)
{
    if (mkdirat(base, LOCKS, 0700) < 0 && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create", LOCKS);
        return -1;
    }
    return take_lock(base, name, TRUE, error);
}

static gboolean open_session(struct dsb_workdir *dir, uid_t uid, gid_t gid, GError **error)
{
    struct stat st;
    gboolean made = mkdirat(dir->base_fd, dir->name, 0700) == 0;
    if (!made && errno != EEXIST)
        return fail(error, DSB_ERROR_DENIED, "cannot create the session directory", dir->path);
    dir->fd = dsb_open_dir(dir->base_fd, dir->name, true);
    if (dir->fd < 0 || fstat(dir->fd, &st) < 0)
        return fail(error, DSB_ERROR_DENIED, "cannot open the session directory", dir->path);
    /* Nobody but us can have made it: files may have been laid ready in it. */
    gboolean ours = made || st.st_uid == geteuid();
    if (ours && (st.st_uid != uid || st.st_gid != gid)) {
        if (fchown(dir->fd, uid, gid) < 0)
            return fail(error, DSB_ERROR_DENIED, "cannot give the sandbox user the session directory", dir->path);
        st.st_uid = uid;
    }
    if (st.st_uid != uid) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                    "session directory %s belongs to uid %u, but this run's user is uid %u: use another --session, or "
                    "the --user and kind of engine that made it",
                    dir->path, (unsigned) st.st_uid, (unsigned) uid);
        return FALSE;
    }
    /* Code can change it, and then neither the next run nor, perhaps, its owner could use it; or others could. */
    mode_t mode = (st.st_mode | 0700) & 0755;
    if ((st.st_mode & 07777) != mode && fchmod(dir->fd, mode) < 0)
        return fail(error, DSB_ERROR_DENIED, "cannot repair the mode of the session directory", dir->path);
    dir->dev = st.st_dev;
    dir->ino = st.st_ino;
    return TRUE;
}

/* A byte in the lock says that it is held, until close: whoever finds it there comes after a holder that was killed. */
static gboolean mark(int lock_fd)
{
    struct stat st;
    gboolean marked = fstat(lock_fd, &st) < 0 || st.st_size > 0;
    return pwrite(lock_fd, "x", 1, 0) != 1 || marked;
}

gboolean dsb_workdir_open(const char *base, const char *name, uid_t uid, gid_t gid, struct dsb_workdir **out,
                          GError **error)
{
    struct dsb_workdir *dir = g_new0(struct dsb_workdir, 1);
    dir->base_fd = dir->fd = dir->lock_fd = -1;
    if (base == NULL)
        base = DSB_DEFAULT_BASE_DIR;
    dir->name = g_strdup(name);
    dir->path = g_build_filename(base, name, NULL);
    dir->base_fd = dsb_workdir_open_base(base, TRUE, error);
    if (dir->base_fd >= 0)
        dir->lock_fd = dsb_workdir_lock(dir->base_fd, dir->name, error);
    if (dir->lock_fd < 0 || !open_session(dir, uid, gid, error)) {
        dsb_workdir_close(dir);
        return FALSE;
    }
    dir->ephemeral = g_str_has_prefix(name, EPHEMERAL);
    dir->stale = mark(dir->lock_fd);
    *out = dir;
    return TRUE;
}

int dsb_workdir_remove(int base, const char *name)
{
    const struct dsb_tree_limits limits = {DSB_FILES_REMOVE_MAX, DSB_FILES_REMOVE_MS};
    if (unlinkat(base, name, AT_REMOVEDIR) == 0) /* an empty one needs no descriptor, where there may be none left */
        return 0;
    int fd = dsb_open_dir(base, name, true);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int problem = dsb_mapped_clear(fd, &limits);
    close(fd);
    if (problem != 0)
        return problem;
    return unlinkat(base, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

void dsb_workdir_drop_lock(int base, const char *name)
{
    g_autofree char *path = g_strconcat(LOCKS "/", name, NULL);
    unlinkat(base, path, 0);
}

void dsb_workdir_close(struct dsb_workdir *dir)
{
    if (dir == NULL)
        return;
    if (dir->fd >= 0)
        close(dir->fd);
    if (dir->ephemeral) {
        dsb_workdir_remove(dir->base_fd, dir->name);
        dsb_workdir_drop_lock(dir->base_fd, dir->name);
    }
    if (dir->lock_fd >= 0 && !dir->stale && ftruncate(dir->lock_fd, 0) < 0)
        g_debug("ftruncate: %s", g_strerror(errno)); /* then the next holder looks once more than needed */
    if (dir->lock_fd >= 0) {
        /* A child that another thread is just making holds a copy of the descriptor until it becomes its program. */
        flock(dir->lock_fd, LOCK_UN);
        close(dir->lock_fd);
    }
    if (dir->base_fd >= 0)
        close(dir->base_fd);
    g_free(dir->path);
    g_free(dir->name);
    g_free(dir);
}

static DIR *open_stream(int base, const char *name)
{
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL && fd >= 0)
        close(fd);
    return stream;
}

/* Returns whether it went, or would. */
static gboolean collect(int base, const char *name, gboolean dry_run)
{
    g_autoptr(GError) error = NULL;
    int lock = take_lock(base, name, FALSE, &error);
    if (error != NULL)
        return FALSE; /* somebody holds it */
    if (lock < 0 && !dry_run)
        lock = dsb_workdir_lock(base, name, NULL);
    gboolean gone = dry_run || (lock >= 0 && dsb_workdir_remove(base, name) == 0);
    if (gone && !dry_run)
        dsb_workdir_drop_lock(base, name);
    if (lock >= 0)
        close(lock);
    return gone;
}

/* Locks of directories that are not there any more. */
static void collect_locks(int base)
{
    DIR *stream = open_stream(base, LOCKS);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.' && !g_str_has_prefix(entry->d_name, EPHEMERAL))
            continue;
        int lock = take_lock(base, entry->d_name, FALSE, NULL);
        if (lock < 0)
            continue;
        if (fstatat(base, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            dsb_workdir_drop_lock(base, entry->d_name);
        close(lock);
    }
    if (stream != NULL)
        closedir(stream);
}

unsigned dsb_workdir_gc(const char *base, gboolean dry_run)
{
    unsigned removed = 0;
    int base_fd = dsb_workdir_open_base(base, FALSE, NULL);
    DIR *stream = base_fd >= 0 ? open_stream(base_fd, ".") : NULL;
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;)
        if (g_str_has_prefix(entry->d_name, EPHEMERAL))
            removed += collect(base_fd, entry->d_name, dry_run);
    if (stream != NULL)
        closedir(stream);
    if (base_fd >= 0 && !dry_run)
        collect_locks(base_fd);
    if (base_fd >= 0)
        close(base_fd);
    return removed;
}
