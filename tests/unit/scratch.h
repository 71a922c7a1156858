/* SPDX-License-Identifier: MIT */
#ifndef DSB_TEST_SCRATCH_H
#define DSB_TEST_SCRATCH_H

#include "hostdir/remove_tree.h"
#include "hostdir/workdir.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* On tmpfs where there is one, for tests that make many files. */
static inline const char *scratch_fast(void) { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir(); }

/* A directory for one test. */
static inline char *scratch_make(const char *base, int *fd)
{
    g_autofree char *name = g_strdup_printf("%s/dsb-test-XXXXXX", base);
    if (g_mkdtemp(name) == NULL)
        return NULL;
    *fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return g_steal_pointer(&name);
}

static inline int scratch_remove(char *path, int fd)
{
    const struct dsb_remove_limits limits = {10000000, 60000};
    int problem = dsb_remove_content(fd, &limits);
    close(fd);
    problem = g_rmdir(path) != 0 ? -1 : problem;
    g_free(path);
    return problem;
}

/* A session's directory (NULL: an ephemeral one), opened for our own files. */
static inline gboolean scratch_session(const char *base, const char *session, struct dsb_workdir **out, GError **error)
{
    struct dsb_workdir *dir = NULL;
    if (!dsb_workdir_open(base, session, &dir, error))
        return FALSE;
    if (dsb_workdir_enter(dir, geteuid(), getegid(), error)) {
        *out = dir;
        return TRUE;
    }
    dsb_workdir_close(dir);
    return FALSE;
}

/* `levels` directories named "d" below `top`; a descriptor of the deepest. */
static inline int scratch_deep(int top, unsigned levels)
{
    int fd = dup(top);
    for (unsigned i = 0; i < levels && fd >= 0; i++) {
        int next = mkdirat(fd, "d", 0700) == 0 ? openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        close(fd);
        fd = next;
    }
    return fd;
}

static inline gboolean scratch_file(int dir, const char *name, gsize size)
{
    g_autofree char *bytes = g_strnfill(size, 'x');
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    gboolean ok = fd >= 0 && write(fd, bytes, size) == (ssize_t) size;
    if (fd >= 0)
        close(fd);
    return ok;
}

static inline gboolean scratch_files(int dir, unsigned n)
{
    char name[16];
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%u", i);
        if (!scratch_file(dir, name, 0))
            return FALSE;
    }
    return TRUE;
}

/* Runs `function` as somebody without rights; returns what it did (below 100). */
static inline int scratch_as_nobody(int (*function)(int), int fd)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                               setresuid(NOBODY, NOBODY, NOBODY) != 0))
            _exit(100);
        _exit(function(fd));
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

#endif
