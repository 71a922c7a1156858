/* SPDX-License-Identifier: MIT */
/* The sources of extra binds, as they are on this host just before the container is made. */
#include "attest/bind_sources.h"

#include "common/openat2.h"
#include "common/strictjson.h"
#include "policy/denied_places.h"
#include "policy/fields.h"
#include "policy/resolve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_ENTRIES 100000

static gboolean refuse(const char *source, const char *why, GError **error)
{
    g_autofree char *quoted = dsb_quoted(source);
    g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED, "binds: %s %s", quoted, why);
    return FALSE;
}

/* The same place by another name: a mount of it somewhere else, or of the whole file system. */
static gboolean is_denied_place(const struct stat *st)
{
    struct stat other;
    if (stat("/", &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino)
        return TRUE;
    for (const char *const *path = dsb_denied_places; *path != NULL; path++)
        if (stat(*path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino)
            return TRUE;
    return FALSE;
}

/* File systems through which the kernel is spoken to, wherever they are mounted. */
static gboolean is_kernel_fs(int fd)
{
    static const long kinds[] = {PROC_SUPER_MAGIC,   SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                                 DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,      SECURITYFS_MAGIC,
                                 BPF_FS_MAGIC,       NSFS_MAGIC,    EFIVARFS_MAGIC,     PSTOREFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if ((unsigned long) fs.f_type == (unsigned long) kinds[i])
            return TRUE;
    return FALSE;
}

/* Read-only or not, whoever can see a socket can connect to it. */
static const char *socket_in(int handle)
{
    int fd = openat(handle, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    const char *problem = NULL;
    if (stream == NULL) {
        if (fd >= 0)
            close(fd);
        return "cannot be read by you, so that it cannot be checked";
    }
    unsigned n = 0;
    for (struct dirent *entry; problem == NULL && (entry = readdir(stream)) != NULL; n++) {
        struct stat st;
        gboolean unknown = entry->d_type == DT_UNKNOWN;
        if (entry->d_type == DT_SOCK ||
            (unknown && fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode)))
            problem = "has a socket in it: it can be an engine's, and an engine is the machine";
        else if (n >= MAX_ENTRIES)
            problem = "has too many entries to be checked";
    }
    closedir(stream);
    return problem;
}

static const char *problem_of(int handle, struct stat *st)
{
    if (fstat(handle, st) < 0)
        return "cannot be looked at";
    if (S_ISLNK(st->st_mode))
        return "is a symbolic link; give the real path";
    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return "is neither a directory nor a regular file";
    if (is_denied_place(st))
        return "is another name of a place that is not given away";
    if (is_kernel_fs(handle))
        return "is on a file system of the kernel";
    if (S_ISDIR(st->st_mode))
        return socket_in(handle);
    return faccessat(handle, "", R_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 ? NULL : "cannot be read by you";
}

static gboolean check(const char *source, struct dsb_identity *identity, GError **error)
{
    struct stat st;
    const char *problem = dsb_bind_source_problem(source);
    if (problem != NULL)
        return refuse(source, problem, error);
    int handle = dsb_openat2(AT_FDCWD, source, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, false);
    if (handle < 0 && errno == ELOOP)
        return refuse(source, "has a symbolic link in its path; give the real path", error);
    if (handle < 0 && (errno == ENOENT || errno == ENOTDIR))
        return refuse(source, "is not there (on the host of dsandbox, where it has to be checked)", error);
    if (handle < 0)
        return refuse(source, g_strerror(errno), error);
    problem = problem_of(handle, &st);
    close(handle);
    if (problem != NULL)
        return refuse(source, problem, error);
    *identity = (struct dsb_identity){st.st_dev, st.st_ino};
    return TRUE;
}

gboolean dsb_bind_sources_check(const struct dsb_spec *spec, struct dsb_host_facts *host, GError **error)
{
    gsize fixed = dsb_fixed_binds(spec);
    for (gsize i = fixed; i < spec->n_binds; i++) {
        const char *source = spec->binds[i]->source;
        if (i - fixed >= G_N_ELEMENTS(host->binds))
            return refuse(source, "is one too many", error);
        if (strcmp(source, spec->binds[0]->source) == 0) /* same_path: the session directory, which we hold */
            host->binds[i - fixed] = (struct dsb_identity){host->volume_dev, host->volume_ino};
        else if (!check(source, &host->binds[i - fixed], error))
            return FALSE;
    }
    return TRUE;
}
