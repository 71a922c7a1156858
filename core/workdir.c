/* SPDX-License-Identifier: MIT */
#include "workdir.h"

#include "strictjson.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCKS ".locks"
#define EPHEMERAL ".run-"
#define MAX_DEPTH 64
#define MAX_ENTRIES 200000
#define MAX_SCAN_US (2 * G_USEC_PER_SEC)

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

static int open_dir_at(int dir, const char *name)
{
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
                                       | RESOLVE_NO_XDEV };
    return (int) syscall(SYS_openat2, dir, name, &how, sizeof how);
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

static int open_base(const char *base, GError **error)
{
    struct stat st;
    if (mkdir(base, 0700) < 0 && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create the base directory (choose another with --base-dir)", base);
        return -1;
    }
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        fail(error, DSB_ERROR_DENIED, "cannot open the base directory (a link or no directory? choose another with --base-dir)", base);
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

static int take_lock(int base, const char *name, GError **error)
{
    if (mkdirat(base, LOCKS, 0700) < 0 && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create", LOCKS);
        return -1;
    }
    g_autofree char *path = g_strconcat(LOCKS "/", name, NULL);
    for (;;) {
        struct stat opened, named;
        int fd = openat(base, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
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
        if (fstat(fd, &opened) == 0 && fstatat(base, path, &named, AT_SYMLINK_NOFOLLOW) == 0
            && opened.st_ino == named.st_ino)
            return fd;
        close(fd);
    }
}

static gboolean open_session(struct dsb_workdir *dir, uid_t uid, gid_t gid, GError **error)
{
    struct stat st;
    gboolean made = mkdirat(dir->base_fd, dir->name, 0700) == 0;
    if (!made && errno != EEXIST)
        return fail(error, DSB_ERROR_DENIED, "cannot create the session directory", dir->path);
    dir->fd = open_dir_at(dir->base_fd, dir->name);
    if (dir->fd < 0 || fstat(dir->fd, &st) < 0)
        return fail(error, DSB_ERROR_DENIED, "cannot open the session directory", dir->path);
    if (made && (st.st_uid != uid || st.st_gid != gid)) {
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
    dir->dev = st.st_dev;
    dir->ino = st.st_ino;
    return TRUE;
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
    dir->base_fd = open_base(base, error);
    if (dir->base_fd >= 0)
        dir->lock_fd = take_lock(dir->base_fd, dir->name, error);
    if (dir->lock_fd < 0 || !open_session(dir, uid, gid, error)) {
        dsb_workdir_close(dir);
        return FALSE;
    }
    dir->ephemeral = g_str_has_prefix(name, EPHEMERAL);
    *out = dir;
    return TRUE;
}

/* Depth-first removal below an open directory. The container is gone by now, so nothing moves. */
static void remove_content(int fd, unsigned depth)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || depth >= 4096)
            continue;
        int child = open_dir_at(fd, entry->d_name);
        if (child < 0 && errno == EACCES) {
            int handle = openat(fd, entry->d_name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
            if (handle >= 0) {
                g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", handle);
                if (chmod(link, 0700) == 0)
                    child = open_dir_at(fd, entry->d_name);
                close(handle);
            }
        }
        if (child >= 0) {
            if (fchmod(child, 0700) < 0)
                g_debug("fchmod: %s", g_strerror(errno));
            remove_content(child, depth + 1);
            close(child);
        }
        unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(stream);
}

static void remove_tree(int base, const char *name)
{
    int fd = open_dir_at(base, name);
    if (fd < 0)
        return;
    remove_content(fd, 0);
    close(fd);
    unlinkat(base, name, AT_REMOVEDIR);
}

static void drop_lock(int base, const char *name)
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
        remove_tree(dir->base_fd, dir->name);
        drop_lock(dir->base_fd, dir->name);
    }
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    if (dir->base_fd >= 0)
        close(dir->base_fd);
    g_free(dir->path);
    g_free(dir->name);
    g_free(dir);
}

static int64_t stamp(const struct timespec *at)
{
    return (int64_t) at->tv_sec * 1000000000 + at->tv_nsec;
}

static void scan_into(int fd, const char *prefix, unsigned depth, gint64 deadline, struct dsb_scan *scan)
{
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        scan->truncated = TRUE;
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (scan->inodes >= MAX_ENTRIES || (scan->inodes % 256 == 0 && g_get_monotonic_time() > deadline)) {
            scan->truncated = TRUE;
            break;
        }
        if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        scan->inodes++;
        scan->bytes += (uint64_t) st.st_blocks * 512;
        g_autofree char *path = g_strconcat(prefix, entry->d_name, NULL);
        if (S_ISDIR(st.st_mode)) {
            int child = depth < MAX_DEPTH ? open_dir_at(dirfd(stream), entry->d_name) : -1;
            g_autofree char *below = g_strconcat(path, "/", NULL);
            if (child >= 0)
                scan_into(child, below, depth + 1, deadline, scan);
            else
                scan->truncated = TRUE;
        } else if (scan->files != NULL && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))) {
            struct dsb_file_entry *file = g_new(struct dsb_file_entry, 1);
            *file = (struct dsb_file_entry){ .size = (uint64_t) st.st_size,
                                             .ino = st.st_ino,
                                             .mtime_ns = stamp(&st.st_mtim),
                                             .ctime_ns = stamp(&st.st_ctim) };
            g_hash_table_insert(scan->files, g_steal_pointer(&path), file);
        }
    }
    closedir(stream);
}

void dsb_workdir_scan(const struct dsb_workdir *dir, gboolean want_files, struct dsb_scan *scan)
{
    *scan = (struct dsb_scan){ 0 };
    if (want_files)
        scan->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    int fd = open_dir_at(dir->fd, ".");
    if (fd >= 0)
        scan_into(fd, "", 0, g_get_monotonic_time() + MAX_SCAN_US, scan);
    else
        scan->truncated = TRUE;
}

void dsb_scan_clear(struct dsb_scan *scan)
{
    g_clear_pointer(&scan->files, g_hash_table_unref);
}

unsigned dsb_workdir_gc(const char *base, gboolean dry_run)
{
    unsigned removed = 0;
    int base_fd = open_base(base != NULL ? base : DSB_DEFAULT_BASE_DIR, NULL);
    int copy = base_fd >= 0 ? openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        if (!g_str_has_prefix(entry->d_name, EPHEMERAL))
            continue;
        int lock = take_lock(base_fd, entry->d_name, NULL);
        if (lock < 0)
            continue;
        removed++;
        if (!dry_run) {
            remove_tree(base_fd, entry->d_name);
            drop_lock(base_fd, entry->d_name);
        }
        close(lock);
    }
    if (stream != NULL)
        closedir(stream);
    if (base_fd >= 0)
        close(base_fd);
    return removed;
}
