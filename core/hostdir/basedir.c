/* SPDX-License-Identifier: MIT */
/* The directory of all session directories: where it is, and whether it is this user's alone. */
#include "hostdir/basedir.h"

#include "common/trust.h"

#include <dsandbox/files.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SHARED "/tmp/sandboxes"

/* Of what cannot be looked at, the file system is that of what is above it. */
static unsigned long file_system(const char *path)
{
    struct statfs fs;
    g_autofree char *place = g_strdup(path);
    while (statfs(place, &fs) < 0) {
        if (strcmp(place, "/") == 0 || strcmp(place, ".") == 0)
            return 0;
        char *above = g_path_get_dirname(place);
        g_free(place);
        place = above;
    }
    return (unsigned long) fs.f_type;
}

const char *dsb_base_keeps_out(const char *path, const char *otherwise)
{
    switch (file_system(path)) {
    case FUSE_SUPER_MAGIC:
        return "; it is on a FUSE file system, which only the user who mounted it can look into: mount it with "
               "allow_other, or choose another base_dir";
    case NFS_SUPER_MAGIC:
        return "; it is on NFS, whose server takes root, or all users, for nobody (root_squash, all_squash): choose "
               "another base_dir";
    default:
        return otherwise;
    }
}

static gboolean fail(GError **error, enum dsb_error_code code, const char *what, const char *path)
{
    int problem = errno;
    const char *why = problem == EACCES ? dsb_base_keeps_out(path, "") : "";
    g_set_error(error, DSB_ERROR, dsb_errno_code(problem, code), "%s %s: %s%s", what, path, dsb_errno_text(problem),
                why);
    return FALSE;
}

char *dsb_base_problem(const char *base)
{
    struct stat st;
    if (lstat(base, &st) < 0)
        return errno == ENOENT ? NULL : g_strdup_printf("%s: %s", base, g_strerror(errno));
    if (dsb_is_own_dir(&st))
        return NULL;
    if (!S_ISDIR(st.st_mode))
        return g_strdup_printf("%s is no directory", base);
    return g_strdup_printf("%s belongs to uid %u with mode %03o", base, (unsigned) st.st_uid,
                           (unsigned) (st.st_mode & 0777));
}

static gboolean is_there_and_ours(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && dsb_is_own_dir(&st);
}

/*
 * Whoever came first has /tmp/sandboxes. One who came later keeps his own also when the first one's has gone: his
 * sessions are there. Where others can write, anybody may have made a directory of that name: opening it says so.
 */
char *dsb_base_choose(const char *shared)
{
    struct stat st;
    g_autofree char *own = g_strdup_printf("%s-%u", shared, (unsigned) geteuid());
    gboolean mine = !is_there_and_ours(shared) && (is_there_and_ours(own) || lstat(shared, &st) == 0);
    return mine ? g_steal_pointer(&own) : g_strdup(shared);
}

const char *dsb_default_base_dir(void)
{
    g_autofree char *base = dsb_base_choose(SHARED);
    return g_intern_string(base);
}

const char *dsb_base_take_default(void)
{
    const char *base = dsb_default_base_dir();
    if (g_str_equal(base, SHARED))
        mkdir(base, 0700);
    return dsb_default_base_dir();
}

int dsb_base_open(const char *base, gboolean make, GError **error)
{
    struct stat st;
    if (base == NULL)
        base = dsb_default_base_dir();
    gboolean made = make && mkdir(base, 0700) == 0;
    if (make && !made && errno != EEXIST) {
        fail(error, DSB_ERROR_DENIED, "cannot create the base directory (choose another base_dir)", base);
        return -1;
    }
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        fail(error, DSB_ERROR_NOT_FOUND, "there is no base directory", base);
        return -1;
    }
    if (fd < 0) {
        fail(error, DSB_ERROR_DENIED,
             "cannot open the base directory (a link or no directory? choose another base_dir)", base);
        return -1;
    }
    if (fstat(fd, &st) == 0 && dsb_is_own_dir(&st)) {
        /* Not waited for: where others may read it, they could hold it. */
        if (flock(fd, LOCK_SH | LOCK_NB) < 0)
            g_debug("%s: %s", base, g_strerror(errno));
        return fd;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "base directory %s belongs to uid %u with mode %03o: it must be yours (uid %u) and writable by nobody "
                "else%s",
                base, (unsigned) st.st_uid, (unsigned) (st.st_mode & 0777), (unsigned) geteuid(),
                dsb_base_keeps_out(base, "; choose another base_dir"));
    close(fd);
    if (made)
        rmdir(base);
    return -1;
}
