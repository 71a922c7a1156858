/* SPDX-License-Identifier: MIT */
/* A uid of its own for each sandbox of root on a rootful engine. */
#include "hostdir/uid_pool.h"

#include "common/shortage.h"
#include "common/trust.h"
#include "hostdir/lockfile.h"
#include "hostdir/subids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "/run/dsandbox"
#define POOL PLACE "/uids"
#define NEXT "next" /* where the search for a free one goes on: one that was just given back is not taken at once */
#define FILE_MAX (1u << 20)
#define PATH_BYTES 4096
#define ENTRY_BYTES 16384
#define DIRS_MAX 100000

/*
 * The first is the builder's choice; by default above what directory services and systemd use and below 2^31. In a
 * container that has few ids root may give away only these; no distribution uses the second.
 */
static const struct dsb_id_range ranges[] = {{DSB_UID_FIRST, DSB_UID_COUNT}, {60578, 606}};

static gboolean fail(GError **error, enum dsb_error_code code, const char *what)
{
    g_set_error(error, DSB_ERROR, dsb_errno_code(errno, code), "%s %s: %s", what, POOL, dsb_errno_text(errno));
    return FALSE;
}

static gboolean is_pools(const struct dsb_uid_pool *pool, uint32_t uid)
{
    return dsb_id_range_has(&(struct dsb_id_range){pool->first, pool->count}, uid);
}

gboolean dsb_uids_ours(uint32_t uid)
{
    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++)
        if (dsb_id_range_has(&ranges[i], uid))
            return TRUE;
    return FALSE;
}

/* What the kernel says of ids must be known: without it a uid could be given that is somebody's. */
static char *read_ids(const char *file, GError **error)
{
    g_autoptr(GError) local = NULL;
    char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(file, &text, &size, &local) && !g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "a uid for the sandbox cannot be chosen: %s", local->message);
    else if (text == NULL || size > FILE_MAX)
        return g_free(text), g_strdup("");
    return text;
}

/* Whether one line of /proc/self/uid_map has the whole range. */
static gboolean is_mapped(const char *text, struct dsb_id_range range)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        uint64_t first = 0, there = 0, count = 0;
        if (sscanf(*line, "%" G_GINT64_MODIFIER "u %" G_GINT64_MODIFIER "u %" G_GINT64_MODIFIER "u", &first, &there,
                   &count) == 3 &&
            range.first >= first && (uint64_t) range.first + range.count <= first + count)
            return TRUE;
    }
    return FALSE;
}

static gboolean choose_range(struct dsb_uid_pool *pool, GError **error)
{
    g_autofree char *users = read_ids("/proc/self/uid_map", error);
    g_autofree char *groups = users != NULL ? read_ids("/proc/self/gid_map", error) : NULL;
    if (groups == NULL)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++)
        if (is_mapped(users, ranges[i]) && is_mapped(groups, ranges[i])) {
            pool->first = ranges[i].first;
            pool->count = ranges[i].count;
            return TRUE;
        }
    g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                "user: auto gives each sandbox of root's a uid of its own, from %u on, and this user namespace has none "
                "of them; name user as UID:GID",
                ranges[0].first);
    return FALSE;
}

gboolean dsb_uids_open(struct dsb_uid_pool *pool, GError **error)
{
    struct stat st;
    *pool = (struct dsb_uid_pool){.fd = -1};
    if (!choose_range(pool, error))
        return FALSE;
    if ((mkdir(PLACE, 0700) < 0 && errno != EEXIST) || (mkdir(POOL, 0700) < 0 && errno != EEXIST))
        return fail(error, DSB_ERROR_DENIED, "cannot make the directory of sandboxes' uids,");
    pool->fd = open(POOL, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (pool->fd >= 0 && fstat(pool->fd, &st) == 0 && dsb_is_own_dir(&st))
        return TRUE;
    errno = pool->fd < 0 ? errno : EPERM;
    dsb_uids_close(pool);
    return fail(error, DSB_ERROR_DENIED, "cannot use the directory of sandboxes' uids,");
}

void dsb_uids_close(struct dsb_uid_pool *pool)
{
    if (pool->fd >= 0)
        close(pool->fd);
    pool->fd = -1;
}

/* ---- who else could have it ---- */

/* Of rootless engines: USER:FIRST:COUNT. */
static GArray *subordinate_ids(GError **error)
{
    static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(struct dsb_id_range));
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *text = read_ids(files[i], error);
        if (text == NULL)
            return NULL;
        dsb_subids_add(found, text);
    }
    return g_steal_pointer(&found);
}

static gboolean is_in(const GArray *found, uint32_t uid)
{
    for (guint i = 0; i < found->len; i++)
        if (dsb_id_range_has(&g_array_index(found, struct dsb_id_range, i), uid))
            return TRUE;
    return FALSE;
}

/* 1, 0, or -1 with an error: one that could not be looked up may have a name. */
static int has_name(uint32_t id, GError **error)
{
    char names[ENTRY_BYTES];
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    int users = getpwuid_r(id, &user, names, sizeof names, &found_user);
    int groups = getgrgid_r(id, &group, names, sizeof names, &found_group);
    int shortage = dsb_errno_is_shortage(users) ? users : dsb_errno_is_shortage(groups) ? groups : 0;
    if (shortage != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "uid %u could not be looked up: %s", id,
                    dsb_errno_text(shortage));
        return -1;
    }
    return found_user != NULL || found_group != NULL || users == ERANGE || groups == ERANGE;
}

/* One that cannot be looked at may be of the uid; one that is gone is not. */
static gboolean may_be_of(const char *pid, const char *uids)
{
    g_autofree char *status = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%s/status", pid);
    g_autoptr(GError) error = NULL;
    if (g_file_get_contents(path, &status, NULL, &error))
        return strstr(status, uids) != NULL;
    return dsb_file_shortage(error) != 0;
}

static gboolean has_process(uint32_t uid)
{
    g_autofree char *uids = g_strdup_printf("\nUid:\t%u\t", uid);
    gboolean found = FALSE;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; !found && proc != NULL && (entry = readdir(proc)) != NULL;)
        found = g_ascii_isdigit(entry->d_name[0]) && may_be_of(entry->d_name, uids);
    if (proc != NULL)
        closedir(proc);
    return found || proc == NULL;
}

/* ---- claims ---- */

static void name_claim(uint32_t uid, char name[16]) { snprintf(name, 16, "%u", uid); }

static gboolean is_owner(const char *path, uint32_t uid)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid;
}

/* The directory that has the uid says so itself; the file only says where it is. */
static gboolean is_kept(int claim, uint32_t uid)
{
    char path[PATH_BYTES];
    ssize_t n = pread(claim, path, sizeof path - 1, 0);
    path[MAX(n, 0)] = '\0';
    return n > 0 && is_owner(path, uid);
}

static void write_path(int claim, const char *path)
{
    if (ftruncate(claim, 0) < 0 || pwrite(claim, path, strlen(path), 0) < 0)
        g_debug("claim of a uid: %s", g_strerror(errno)); /* then it counts as given back when the sandbox is gone */
}

void dsb_uids_moved(int claim, const char *path) { write_path(claim, path); }

void dsb_uids_give_back(const struct dsb_uid_pool *pool, uint32_t uid)
{
    char name[16];
    name_claim(uid, name);
    int claim = dsb_lock_file(pool->fd, name, 0);
    if (claim < 0)
        return;
    if (!is_kept(claim, uid) && !has_process(uid))
        unlinkat(pool->fd, name, 0);
    dsb_unlock_file(claim);
}

static DIR *open_stream(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL && fd >= 0)
        close(fd);
    return stream;
}

void dsb_uids_gc(const struct dsb_uid_pool *pool)
{
    DIR *stream = open_stream(pool->fd);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;)
        if (g_ascii_isdigit(entry->d_name[0]))
            dsb_uids_give_back(pool, (uint32_t) g_ascii_strtoull(entry->d_name, NULL, 10));
    if (stream != NULL)
        closedir(stream);
}

/* The pool is emptied by each boot; base directories may not be. What is in one is noted before it gets more. */
static void note_base(const struct dsb_uid_pool *pool, int base, const char *path)
{
    struct stat st;
    char marker[64];
    if (fstat(base, &st) < 0)
        return;
    snprintf(marker, sizeof marker, "base-%llx-%llx", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
    if (faccessat(pool->fd, marker, F_OK, 0) == 0)
        return;
    g_autofree char *parent = g_path_get_dirname(path);
    DIR *stream = open_stream(base);
    for (unsigned n = 0; stream != NULL && n < DIRS_MAX; n++) {
        char name[16];
        const struct dirent *entry = readdir(stream);
        if (entry == NULL)
            break;
        if (entry->d_name[0] == '.' || fstatat(base, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(st.st_mode) || !is_pools(pool, st.st_uid))
            continue;
        name_claim(st.st_uid, name);
        int claim = dsb_lock_file(pool->fd, name, O_CREAT | O_EXCL);
        g_autofree char *directory = g_build_filename(parent, entry->d_name, NULL);
        if (claim >= 0) {
            write_path(claim, directory);
            dsb_unlock_file(claim);
        }
    }
    if (stream != NULL)
        closedir(stream);
    int made = openat(pool->fd, marker, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (made >= 0)
        close(made);
}

static uint32_t first_to_try(const struct dsb_uid_pool *pool)
{
    uint32_t offset = 0;
    int fd = openat(pool->fd, NEXT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    gboolean known = fd >= 0 && read(fd, &offset, sizeof offset) == sizeof offset;
    if (fd >= 0)
        close(fd);
    if (!known && getrandom(&offset, sizeof offset, 0) != sizeof offset)
        offset = 0;
    return offset % pool->count;
}

static void remember_next(const struct dsb_uid_pool *pool, uint32_t offset)
{
    int fd = openat(pool->fd, NEXT, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (pwrite(fd, &offset, sizeof offset, 0) < 0)
        g_debug("%s: %s", NEXT, g_strerror(errno)); /* only a hint */
    close(fd);
}

/* -1 with an error, or *full: all are taken. */
static int claim_fresh(const struct dsb_uid_pool *pool, uint32_t *uid, gboolean *full, GError **error)
{
    g_autoptr(GArray) subordinate = subordinate_ids(error);
    if (subordinate == NULL)
        return -1;
    uint32_t start = first_to_try(pool);
    for (uint32_t i = 0; i < pool->count; i++) {
        char name[16];
        uint32_t offset = (uint32_t) (((uint64_t) start + i) % pool->count);
        name_claim(pool->first + offset, name);
        if (is_in(subordinate, pool->first + offset))
            continue;
        int claim = dsb_lock_file(pool->fd, name, O_CREAT | O_EXCL);
        if (claim < 0 && errno != EEXIST && errno != EWOULDBLOCK) {
            fail(error, DSB_ERROR_DENIED, "cannot claim a uid in");
            return -1;
        }
        if (claim < 0)
            continue;
        int named = has_name(pool->first + offset, error);
        if (named == 0) {
            *uid = pool->first + offset;
            remember_next(pool, offset + 1);
            return claim;
        }
        unlinkat(pool->fd, name, 0);
        dsb_unlock_file(claim);
        if (named < 0)
            return -1;
    }
    *full = TRUE;
    return -1;
}

static int claim_again(const struct dsb_uid_pool *pool, uint32_t uid, GError **error)
{
    char name[16];
    name_claim(uid, name);
    int claim = dsb_await_lock_file(pool->fd, name, O_CREAT);
    if (claim < 0 && errno == EWOULDBLOCK)
        g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY,
                    "the session's directory belongs to uid %u, which another sandbox uses at the moment; wait for its "
                    "end, or use another session",
                    uid);
    else if (claim < 0)
        fail(error, DSB_ERROR_DENIED, "cannot claim a uid in");
    return claim;
}

int dsb_uids_claim(const struct dsb_uid_pool *pool, int base, const char *path, uint32_t owner, uint32_t *uid,
                   GError **error)
{
    gboolean full = FALSE, still_full = FALSE;
    note_base(pool, base, path);
    gboolean again = owner != 0 && is_pools(pool, owner);
    int claim = again ? claim_again(pool, *uid = owner, error) : claim_fresh(pool, uid, &full, error);
    if (full) {
        dsb_uids_gc(pool);
        claim = claim_fresh(pool, uid, &still_full, error);
    }
    if (claim >= 0)
        write_path(claim, path);
    if (still_full)
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT,
                    "all %u uids for sandboxes of root, from %u on, are taken: end sandboxes, or delete sessions "
                    "with their files, or name user as UID:GID",
                    pool->count, pool->first);
    return claim;
}

void dsb_uids_release(const struct dsb_uid_pool *pool, int claim, uint32_t uid, gboolean keep)
{
    char name[16];
    name_claim(uid, name);
    if (!keep)
        unlinkat(pool->fd, name, 0);
    dsb_unlock_file(claim);
}
