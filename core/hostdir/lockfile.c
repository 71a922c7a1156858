/* SPDX-License-Identifier: MIT */
/* Locks that are files. */
#include "hostdir/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define AWAIT_MS 2000
#define STEP_MS 20

/* The holder before us may have removed the file between our open and our lock. */
static bool is_still_there(int dir, const char *path, int fd)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

int dsb_lock_file(int dir, const char *path, int flags)
{
    for (;;) {
        int fd = openat(dir, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int problem = errno;
            close(fd);
            errno = problem;
            return -1;
        }
        if (is_still_there(dir, path, fd))
            return fd;
        close(fd);
    }
}

int dsb_await_lock_file(int dir, const char *path, int flags)
{
    int fd = dsb_lock_file(dir, path, flags);
    for (int waited = 0; fd < 0 && errno == EWOULDBLOCK && waited < AWAIT_MS; waited += STEP_MS) {
        usleep(STEP_MS * 1000);
        fd = dsb_lock_file(dir, path, flags);
    }
    return fd;
}

void dsb_unlock_file(int fd)
{
    flock(fd, LOCK_UN);
    close(fd);
}
