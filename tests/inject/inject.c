/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a service that is tested: the Nth call of one class, and some after it, fail with a chosen errno, in
 * the processes of a chosen name. What to do stands in a file that the test and all processes share, so that one service meets many faults.
 *
 * Memory is no class: GLib ends a process that has none, and where the size comes from others there are bounds.
 */
#undef _FILE_OFFSET_BITS /* both names of a function are defined here, and neither stands for the other */
#include "inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct inject *shared;
static char program[PATH_MAX]; /* the last part of its path, whatever it was called by */

/* The next definition of a function: the C library's. */
#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DSB_TEST_INJECT");
    int fd = path != NULL ? (int) syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (map == MAP_FAILED || n <= 0)
        return;
    const char *name = memrchr(program, '/', (size_t) n);
    memmove(program, name + 1, strlen(name));
    shared = map;
}

static int concerns_us(int class)
{
    if (shared == NULL || shared->class != class || strcmp(shared->process, program) != 0)
        return 0;
    for (int i = 0; i < INJECT_SPARED; i++)
        if (shared->spared[i] == (uint32_t) getpid())
            return 0;
    return 1;
}

/* Who called: so that a finding can be found. */
static void note(const char *function)
{
    void *frames[INJECT_FRAMES + 2];
    int n = backtrace(frames, INJECT_FRAMES + 2);
    size_t used = (size_t) snprintf(shared->where, sizeof shared->where, "%s", function);
    for (int i = 2; i < n && used < sizeof shared->where; i++) {
        Dl_info info = {0};
        dladdr(frames[i], &info);
        const char *file = info.dli_fname != NULL ? strrchr(info.dli_fname, '/') : NULL;
        used += (size_t) snprintf(shared->where + used, sizeof shared->where - used, " < %s+0x%zx",
                                  info.dli_sname != NULL ? info.dli_sname : file != NULL ? file + 1 : "?",
                                  (size_t) ((char *) frames[i] - (char *) info.dli_fbase));
    }
}

/* 1: this call is to fail, and errno says how. */
static int fails(int class, const char *function)
{
    if (!concerns_us(class))
        return 0;
    uint32_t number = atomic_fetch_add(&shared->count, 1) + 1;
    if (shared->nth == 0 || number < shared->nth || number - shared->nth >= shared->span)
        return 0;
    if (number == shared->nth)
        note(function);
    shared->pid = (uint32_t) getpid();
    atomic_store(&shared->fired, 1);
    errno = shared->error;
    return 1;
}

/* --- descriptors ---------------------------------------------------------------- */

#define DESCRIPTOR(name, parameters, arguments)                                                                        \
    int name parameters { return fails(INJECT_DESCRIPTORS, #name) ? -1 : REAL(name) arguments; }

DESCRIPTOR(pipe, (int fds[2]), (fds))
DESCRIPTOR(pipe2, (int fds[2], int flags), (fds, flags))
DESCRIPTOR(socket, (int domain, int type, int protocol), (domain, type, protocol))
DESCRIPTOR(socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
DESCRIPTOR(accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags))
DESCRIPTOR(accept, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
DESCRIPTOR(dup, (int fd), (fd))
DESCRIPTOR(memfd_create, (const char *name, unsigned flags), (name, flags))
/* Declared here, for their headers do not go with <fcntl.h>'s older relatives everywhere. */
int eventfd(unsigned value, int flags);
int timerfd_create(int clock, int flags);
int signalfd(int fd, const void *mask, int flags);
int epoll_create1(int flags);
int inotify_init1(int flags);
DESCRIPTOR(eventfd, (unsigned value, int flags), (value, flags))
DESCRIPTOR(timerfd_create, (int clock, int flags), (clock, flags))
DESCRIPTOR(signalfd, (int fd, const void *mask, int flags), (fd, mask, flags))
DESCRIPTOR(epoll_create1, (int flags), (flags))
DESCRIPTOR(inotify_init1, (int flags), (flags))

static int makes(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

/* Makes a descriptor, and perhaps a file. */
static int open_fails(const char *function, int flags)
{
    return fails(INJECT_DESCRIPTORS, function) || (makes(flags) && fails(INJECT_DISK, function));
}

#define MODE(flags, mode)                                                                                              \
    do {                                                                                                               \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = makes(flags) ? (mode_t) va_arg(args, int) : 0;                                                          \
        va_end(args);                                                                                                  \
    } while (0)

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        mode_t mode;                                                                                                   \
        MODE(flags, mode);                                                                                             \
        return open_fails(#name, flags) ? -1 : REAL(name)(path, flags, mode);                                          \
    }
#define OPENAT(name)                                                                                                   \
    int name(int dir, const char *path, int flags, ...)                                                                \
    {                                                                                                                  \
        mode_t mode;                                                                                                   \
        MODE(flags, mode);                                                                                             \
        return open_fails(#name, flags) ? -1 : REAL(name)(dir, path, flags, mode);                                     \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
DESCRIPTOR(__open_2, (const char *path, int flags), (path, flags))
DESCRIPTOR(__open64_2, (const char *path, int flags), (path, flags))
DESCRIPTOR(__openat_2, (int dir, const char *path, int flags), (dir, path, flags))
DESCRIPTOR(__openat64_2, (int dir, const char *path, int flags), (dir, path, flags))

DIR *opendir(const char *path) { return fails(INJECT_DESCRIPTORS, "opendir") ? NULL : REAL(opendir)(path); }
FILE *fopen(const char *path, const char *mode) { return fails(INJECT_DESCRIPTORS, "fopen") ? NULL : REAL(fopen)(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fails(INJECT_DESCRIPTORS, "fopen64") ? NULL : REAL(fopen64)(path, mode); }

#define FCNTL(name)                                                                                                    \
    int name(int fd, int command, ...)                                                                                 \
    {                                                                                                                  \
        va_list args;                                                                                                  \
        va_start(args, command);                                                                                       \
        void *argument = va_arg(args, void *);                                                                         \
        va_end(args);                                                                                                  \
        if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && fails(INJECT_DESCRIPTORS, "fcntl"))                  \
            return -1;                                                                                                 \
        return REAL(name)(fd, command, argument);                                                                      \
    }
int fcntl64(int fd, int command, ...);
FCNTL(fcntl)
FCNTL(fcntl64)

long syscall(long number, ...)
{
    va_list args;
    long a[6];
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    static __typeof__(&syscall) real;
    if (real == NULL)
        real = REAL(syscall);
    if (number == SYS_pidfd_open && fails(INJECT_DESCRIPTORS, "pidfd_open"))
        return -1;
    if (number == SYS_openat2 && open_fails("openat2", (int) ((const uint64_t *) a[2])[0]))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Descriptors that come over a socket, and have no place here: the kernel closes them, and says that some are missing. */
ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t n = REAL(recvmsg)(fd, message, flags);
    if (n < 0 || message->msg_controllen == 0)
        return n;
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    int saved = errno;
    if (part != NULL && part->cmsg_type == SCM_RIGHTS && fails(INJECT_DESCRIPTORS, "recvmsg")) {
        for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
            close(((const int *) CMSG_DATA(part))[i]);
        message->msg_controllen = 0;
        message->msg_flags |= MSG_CTRUNC;
    }
    errno = saved;
    return n;
}

/* And those that may not go: of all that a user's processes have sent, the kernel lets so many wait to be taken. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (message->msg_controllen > 0 && fails(INJECT_SENT, "sendmsg"))
        return -1;
    return REAL(sendmsg)(fd, message, flags);
}

/* --- threads and processes --------------------------------------------------------- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    if (fails(INJECT_THREADS, "pthread_create"))
        return shared->error;
    return REAL(pthread_create)(thread, attributes, start, argument);
}

pid_t fork(void) { return fails(INJECT_PROCESSES, "fork") ? -1 : REAL(fork)(); }

#define SPAWN(name)                                                                                                    \
    int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,                                  \
             const posix_spawnattr_t *attributes, char *const argv[], char *const env[])                               \
    {                                                                                                                  \
        if (fails(INJECT_PROCESSES, #name))                                                                            \
            return shared->error;                                                                                      \
        return REAL(name)(pid, path, actions, attributes, argv, env);                                                  \
    }
SPAWN(posix_spawn)
SPAWN(posix_spawnp)

/* --- files -------------------------------------------------------------------------- */

static int is_file(int fd)
{
    struct stat st;
    int saved = errno, file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    errno = saved;
    return file;
}

#define ON_DISK(type, name, parameters, arguments)                                                                     \
    type name parameters { return fails(INJECT_DISK, #name) ? -1 : REAL(name) arguments; }
#define ON_FILE(type, name, parameters, arguments)                                                                     \
    type name parameters { return concerns_us(INJECT_DISK) && is_file(fd) && fails(INJECT_DISK, #name) ? -1 : REAL(name) arguments; }

ON_DISK(int, mkdir, (const char *path, mode_t mode), (path, mode))
ON_DISK(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
ON_DISK(int, rename, (const char *from, const char *to), (from, to))
ON_DISK(int, renameat, (int dir, const char *from, int other, const char *to), (dir, from, other, to))
ON_DISK(int, renameat2, (int dir, const char *from, int other, const char *to, unsigned flags), (dir, from, other, to, flags))
ON_DISK(int, link, (const char *from, const char *to), (from, to))
ON_DISK(int, linkat, (int dir, const char *from, int other, const char *to, int flags), (dir, from, other, to, flags))
ON_FILE(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
ON_FILE(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
ON_FILE(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
ON_FILE(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
ON_FILE(int, fsync, (int fd), (fd))
ON_FILE(int, fdatasync, (int fd), (fd))
ON_FILE(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FILE(int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FILE(int, fallocate, (int fd, int mode, off_t from, off_t size), (fd, mode, from, size))
