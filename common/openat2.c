/* SPDX-License-Identifier: MIT */
/* openat2, and the same in single steps where there is none. */
#include "common/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where a walk is. */
struct place {
    int fd;
    bool ours; /* fd is to be closed */
    bool beneath;
    uint64_t mount; /* on which it has to stay, where it is beneath */
};

static int failed(int fd, int number)
{
    if (fd >= 0)
        close(fd);
    errno = number;
    return -1;
}

/* 0, or an errno. */
static int look(int fd, mode_t *type, uint64_t *mount)
{
    struct statx facts;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &facts) < 0)
        return errno;
    *type = facts.stx_mode & S_IFMT;
    *mount = facts.stx_mnt_id;
    return (facts.stx_mask & STATX_MNT_ID) != 0 ? 0 : ENOSYS;
}

/* What is allowed of an opened descriptor. 0, or an errno. */
static int problem_of(const struct place *at, int fd, bool links)
{
    mode_t type;
    uint64_t mount;
    int problem = look(fd, &type, &mount);
    if (problem != 0)
        return problem;
    if (at->beneath && mount != at->mount)
        return EXDEV;
    return type == S_IFLNK && !links ? ELOOP : 0;
}

/* A handle of one component: neither followed nor opened. */
static int handle_of(const struct place *at, const char *name, bool links)
{
    int fd = openat(at->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int problem = fd < 0 ? errno : problem_of(at, fd, links);
    return problem == 0 ? fd : failed(fd, problem);
}

static int begin(struct place *at, int dir, const char *path, bool beneath)
{
    mode_t type;
    *at = (struct place){.fd = dir, .beneath = beneath};
    if (*path == '/' && beneath)
        return EXDEV;
    if (*path == '/')
        at->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    at->ours = *path == '/';
    if (*path == '/' && at->fd < 0)
        return errno;
    if (!beneath)
        return 0;
    return at->fd == AT_FDCWD ? EXDEV : look(at->fd, &type, &at->mount);
}

static void leave(const struct place *at)
{
    int number = errno;
    if (at->ours)
        close(at->fd);
    errno = number;
}

/* The kernel's, for a link in the last place. */
static int word_for_link(int flags)
{
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return EEXIST;
    return (flags & O_DIRECTORY) != 0 ? ENOTDIR : ELOOP;
}

/* The last component. What is looked at first is what is opened, but for a change that O_NOFOLLOW and a second look see. */
static int open_last(const struct place *at, const char *name, int flags, mode_t mode)
{
    int handle = handle_of(at, name, (flags & O_PATH) != 0);
    if (handle < 0 && errno == ELOOP)
        return failed(-1, word_for_link(flags));
    if (handle < 0 && (errno != ENOENT || (flags & O_CREAT) == 0))
        return -1;
    if (handle >= 0)
        close(handle);
    int fd = openat(at->fd, name, flags | O_NOFOLLOW, mode);
    int problem = fd < 0 ? errno : problem_of(at, fd, (flags & O_PATH) != 0);
    return problem == 0 ? fd : failed(fd, problem);
}

static bool goes_up(const char *name) { return strcmp(name, "..") == 0; }

static int walk(struct place *at, char *path, int flags, mode_t mode)
{
    char *name = path + strspn(path, "/");
    for (;;) {
        char *end = strchr(name, '/');
        if (end != NULL)
            *end = '\0';
        if (goes_up(name))
            return failed(-1, EXDEV);
        if (end == NULL)
            return open_last(at, *name != '\0' ? name : ".", flags, mode);
        int next = handle_of(at, name, false);
        if (next < 0)
            return -1;
        leave(at);
        at->fd = next;
        at->ours = true;
        name = end + 1 + strspn(end + 1, "/");
    }
}

static int in_steps(int dir, const char *path, int flags, mode_t mode, bool beneath)
{
    struct place at;
    char copy[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof copy)
        return failed(-1, size == 0 ? ENOENT : ENAMETOOLONG);
    memcpy(copy, path, size + 1);
    int problem = begin(&at, dir, path, beneath);
    int fd = problem == 0 ? walk(&at, copy, flags, mode) : failed(-1, problem);
    leave(&at);
    return fd;
}

int dsb_openat2(int dir, const char *path, int flags, mode_t mode, bool beneath)
{
    static atomic_bool is_missing; /* asked once: valgrind says several lines each time */
    if (atomic_load(&is_missing))
        return in_steps(dir, path, flags, mode, beneath);
    struct open_how how = {.flags = (unsigned) flags,
                           .mode = (flags & O_CREAT) != 0 ? mode : 0,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                                      (beneath ? (unsigned) (RESOLVE_BENEATH | RESOLVE_NO_XDEV) : 0)};
    int fd = (int) syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0 || errno != ENOSYS)
        return fd;
    atomic_store(&is_missing, true);
    return in_steps(dir, path, flags, mode, beneath);
}
