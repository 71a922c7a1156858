/* SPDX-License-Identifier: MIT */
/* A session directory: named, locked, opened, removed. */
#include "hostdir/workdir.h"

#include "common/ids.h"
#include "common/strictjson.h"
#include "hostdir/basedir.h"
#include "hostdir/lockfile.h"
#include "hostdir/safe_open.h"
#include "hostdir/unfinished.h"
#include "hostdir/userns.h"

#include <dirent.h>
#include <dsandbox/files.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean fail(GError **error, enum dsb_error_code code, const char *what, const char *path)
{
    g_set_error(error, DSB_ERROR, dsb_errno_code(errno, code), "%s %s: %s", what, path, dsb_errno_text(errno));
    return FALSE;
}

gboolean dsb_workdir_is_ephemeral(const char *name)
{
    return g_str_has_prefix(name, DSB_EPHEMERAL) || g_str_has_prefix(name, DSB_POOLED);
}

static gboolean check_id(const char *session, GError **error)
{
    if (dsb_session_id_valid(session))
        return TRUE;
    g_autofree char *quoted = dsb_quoted(session);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "session id %s is not valid: use 1 to 64 of A-Z a-z 0-9 _ . -, the first a letter or digit", quoted);
    return FALSE;
}

static char *place(const char *base, const char *name)
{
    g_autofree char *clean = g_canonicalize_filename(base, "/");
    return g_build_filename(clean, name, NULL);
}

char *dsb_workdir_plan(const char *base, const char *session, char **name, GError **error)
{
    if (base == NULL)
        base = dsb_default_base_dir();
    if (!g_path_is_absolute(base)) {
        g_autofree char *quoted = dsb_quoted(base);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "base directory %s is not an absolute path", quoted);
        return NULL;
    }
    if (session != NULL && !check_id(session, error))
        return NULL;
    *name = session != NULL ? g_strdup(session) : dsb_random_id(DSB_EPHEMERAL);
    return place(base, *name);
}

/* -1 without an error: there is no such lock, and `make` did not ask for one. */
static int take_lock(int base, const char *name, gboolean make, GError **error)
{
    g_autofree char *path = g_strconcat(DSB_LOCKS "/", name, NULL);
    int fd = make ? dsb_await_lock_file(base, path, O_CREAT) : dsb_lock_file(base, path, 0);
    if (fd < 0 && errno == EWOULDBLOCK)
        g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY,
                    "session '%s' is in use by another process; wait for it, or use another session", name);
    else if (fd < 0 && (errno != ENOENT || make))
        fail(error, DSB_ERROR_DENIED, "cannot open the lock of session", name);
    return fd;
}

int dsb_workdir_lock(int base, const char *name, GError **error)
{
    if (mkdirat(base, DSB_LOCKS, 0700) < 0 && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create in the base directory (choose another base_dir)", DSB_LOCKS);
        return -1;
    }
    return take_lock(base, name, TRUE, error);
}

/* 0: it is not there, or root's. */
static uint32_t owner(int base, const char *name)
{
    struct stat st;
    return fstatat(base, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) ? st.st_uid : 0;
}

gboolean dsb_workdir_claim(struct dsb_workdir *dir, GError **error)
{
    if (!dsb_uids_open(&dir->uids, error))
        return FALSE;
    dir->uid_fd =
        dsb_uids_claim(&dir->uids, dir->base_fd, dir->path, owner(dir->base_fd, dir->name), &dir->own_uid, error);
    return dir->uid_fd >= 0;
}

gboolean dsb_workdir_enter(struct dsb_workdir *dir, uid_t uid, gid_t gid, GError **error)
{
    struct stat st;
    gboolean made = mkdirat(dir->base_fd, dir->name, 0700) == 0;
    dir->made |= made;
    if (!made && errno != EEXIST)
        return fail(error, DSB_ERROR_DENIED, "cannot create the session directory", dir->path);
    dir->fd = dsb_open_dir(dir->base_fd, dir->name, true);
    if (dir->fd < 0 || fstat(dir->fd, &st) < 0)
        return fail(error, DSB_ERROR_DENIED, "cannot open the session directory", dir->path);
    /* Nobody but us can have made it: files may have been laid ready in it. */
    gboolean ours = made || st.st_uid == geteuid();
    if (ours && (st.st_uid != uid || st.st_gid != gid)) {
        if (fchown(dir->fd, uid, gid) < 0)
            return fail(error, DSB_ERROR_DENIED,
                        "cannot give the sandbox user the session directory (choose another base_dir)", dir->path);
        st.st_uid = uid;
    }
    if (st.st_uid != uid) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                    "session directory %s belongs to uid %u, but this run's user is uid %u: use another session, or "
                    "the user and kind of engine that made it",
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
    if (pwrite(lock_fd, "x", 1, 0) != 1 || ftruncate(lock_fd, 1) < 0)
        g_debug("a lock cannot be marked: %s", g_strerror(errno)); /* that says nothing of who had it before */
    return marked;
}

static gboolean open_as(const char *base, const char *session, gboolean pooled, struct dsb_workdir **out, GError **error)
{
    struct dsb_workdir *dir = g_new0(struct dsb_workdir, 1);
    dir->base_fd = dir->fd = dir->lock_fd = dir->uids.fd = dir->uid_fd = -1;
    if (base == NULL)
        base = dsb_base_take_default();
    dir->path = dsb_workdir_plan(base, session, &dir->name, error);
    if (dir->path != NULL && pooled) {
        g_free(dir->name);
        g_free(dir->path);
        dir->name = dsb_random_id(DSB_POOLED);
        dir->path = place(base, dir->name);
    }
    if (dir->path != NULL)
        dir->base_fd = dsb_base_open(base, TRUE, error);
    if (dir->base_fd >= 0)
        dir->lock_fd = dsb_workdir_lock(dir->base_fd, dir->name, error);
    if (dir->lock_fd < 0) {
        dsb_workdir_close(dir);
        return FALSE;
    }
    dir->ephemeral = session == NULL;
    dir->former = dsb_unfinished_label(dir->lock_fd);
    dir->stale = mark(dir->lock_fd);
    *out = dir;
    return TRUE;
}

gboolean dsb_workdir_open(const char *base, const char *session, struct dsb_workdir **out, GError **error)
{
    return open_as(base, session, FALSE, out, error);
}

gboolean dsb_workdir_open_pooled(const char *base, struct dsb_workdir **out, GError **error)
{
    return open_as(base, NULL, TRUE, out, error);
}

/* With the session's lock. */
static gboolean rename_to(struct dsb_workdir *dir, int lock, const char *session, GError **error)
{
    struct stat st;
    if (fstat(lock, &st) < 0 || st.st_size > 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "the last holder of session '%s' was killed", session);
        return FALSE;
    }
    if (renameat2(dir->base_fd, dir->name, dir->base_fd, session, RENAME_NOREPLACE) == 0)
        return TRUE;
    if (errno == EEXIST || errno == ENOTEMPTY)
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "session '%s' has a directory already", session);
    else
        fail(error, DSB_ERROR_FAILED, "cannot rename the session directory", dir->path);
    if (fstatat(dir->base_fd, session, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        dsb_workdir_drop_lock(dir->base_fd, session);
    return FALSE;
}

gboolean dsb_workdir_become(struct dsb_workdir *dir, const char *session, GError **error)
{
    if (!check_id(session, error))
        return FALSE;
    int lock = dsb_workdir_lock(dir->base_fd, session, error);
    if (lock < 0)
        return FALSE;
    if (!rename_to(dir, lock, session, error)) {
        dsb_unlock_file(lock);
        return FALSE;
    }
    mark(lock);
    dsb_workdir_drop_lock(dir->base_fd, dir->name);
    dsb_unlock_file(dir->lock_fd);
    g_autofree char *base = g_path_get_dirname(dir->path);
    g_free(dir->path);
    g_free(dir->name);
    dir->path = place(base, session);
    dir->name = g_strdup(session);
    dir->lock_fd = lock;
    dir->ephemeral = FALSE;
    if (dir->uid_fd >= 0)
        dsb_uids_moved(dir->uid_fd, dir->path);
    return TRUE;
}

static int remove_tree(int base, const char *name)
{
    const struct dsb_remove_limits limits = {DSB_FILES_REMOVE_MAX, DSB_FILES_REMOVE_MS};
    if (unlinkat(base, name, AT_REMOVEDIR) == 0) /* an empty one needs no descriptor, where there may be none left */
        return 0;
    int fd = dsb_open_dir(base, name, true);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int problem = dsb_userns_remove_content(fd, &limits);
    close(fd);
    if (problem != 0)
        return problem;
    return unlinkat(base, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

int dsb_workdir_remove(int base, const char *name)
{
    struct dsb_uid_pool pool;
    uint32_t uid = owner(base, name);
    int problem = remove_tree(base, name);
    if (problem == 0 && dsb_uids_ours(uid) && geteuid() == 0 && dsb_uids_open(&pool, NULL)) {
        dsb_uids_give_back(&pool, uid);
        dsb_uids_close(&pool);
    }
    return problem;
}

void dsb_workdir_drop_lock(int base, const char *name)
{
    g_autofree char *path = g_strconcat(DSB_LOCKS "/", name, NULL);
    unlinkat(base, path, 0);
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
    if (gone && !dry_run && !dsb_unfinished_is_noted(lock))
        dsb_workdir_drop_lock(base, name);
    if (lock >= 0)
        close(lock);
    return gone;
}

/* One, so that nobody waits long, of a run that was killed: each run takes as much away as one can leave behind. */
static void collect_one(int base)
{
    gboolean done = FALSE;
    DIR *stream = open_stream(base, ".");
    for (struct dirent *entry; stream != NULL && !done && (entry = readdir(stream)) != NULL;)
        done = dsb_workdir_is_ephemeral(entry->d_name) && collect(base, entry->d_name, FALSE);
    if (stream != NULL)
        closedir(stream);
}

/* Of a session that did not come to be: its empty directory, and its lock. */
static void unmake(const struct dsb_workdir *dir)
{
    struct stat st;
    if (!dir->unused || dir->stale || dir->lock_fd < 0)
        return;
    if (dir->made)
        unlinkat(dir->base_fd, dir->name, AT_REMOVEDIR);
    if (fstatat(dir->base_fd, dir->name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        dsb_workdir_drop_lock(dir->base_fd, dir->name);
}

void dsb_workdir_close(struct dsb_workdir *dir)
{
    if (dir == NULL)
        return;
    if (dir->fd >= 0)
        close(dir->fd);
    if (dir->ephemeral) {
        dsb_workdir_remove(dir->base_fd, dir->name);
        if (!dir->stale)
            dsb_workdir_drop_lock(dir->base_fd, dir->name);
        collect_one(dir->base_fd);
    } else {
        unmake(dir);
    }
    if (dir->lock_fd >= 0 && !dir->stale && ftruncate(dir->lock_fd, 0) < 0)
        g_debug("ftruncate: %s", g_strerror(errno)); /* then the next holder looks once more than needed */
    if (dir->uid_fd >= 0)
        dsb_uids_release(&dir->uids, dir->uid_fd, dir->own_uid, dir->stale || owner(dir->base_fd, dir->name) == dir->own_uid);
    dsb_uids_close(&dir->uids);
    if (dir->lock_fd >= 0)
        dsb_unlock_file(dir->lock_fd);
    if (dir->base_fd >= 0)
        close(dir->base_fd);
    g_free(dir->path);
    g_free(dir->name);
    g_free(dir->former);
    g_free(dir);
}

/* Locks of directories that are not there any more. */
static void collect_locks(int base)
{
    DIR *stream = open_stream(base, DSB_LOCKS);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.' && !dsb_workdir_is_ephemeral(entry->d_name))
            continue;
        int lock = take_lock(base, entry->d_name, FALSE, NULL);
        if (lock < 0)
            continue;
        if (!dsb_unfinished_is_noted(lock) && fstatat(base, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno == ENOENT)
            dsb_workdir_drop_lock(base, entry->d_name);
        close(lock);
    }
    if (stream != NULL)
        closedir(stream);
}

/* Of directories that were removed by hand, or whose last process was not gone yet. */
static void collect_uids(void)
{
    struct dsb_uid_pool pool;
    if (geteuid() != 0 || !dsb_uids_open(&pool, NULL))
        return;
    dsb_uids_gc(&pool);
    dsb_uids_close(&pool);
}

unsigned dsb_workdir_gc(const char *base, gboolean dry_run)
{
    unsigned removed = 0;
    int base_fd = dsb_base_open(base, FALSE, NULL);
    DIR *stream = base_fd >= 0 ? open_stream(base_fd, ".") : NULL;
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;)
        if (dsb_workdir_is_ephemeral(entry->d_name))
            removed += collect(base_fd, entry->d_name, dry_run);
    if (stream != NULL)
        closedir(stream);
    if (base_fd >= 0 && !dry_run)
        collect_locks(base_fd);
    if (!dry_run)
        collect_uids();
    if (base_fd >= 0)
        close(base_fd);
    return removed;
}
