/* SPDX-License-Identifier: MIT */
/* Opens files and directories below a hostile directory, and nothing outside of it. */
#include "hostdir/safe_open.h"

#include "common/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER 0700u

int dsb_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
    int more = O_CLOEXEC | O_NOFOLLOW | ((flags & O_PATH) != 0 ? 0 : O_NONBLOCK | O_NOCTTY);
    return dsb_openat2(dir, path, flags | more, mode, true);
}

/* For our own directories only; the superuser needs none of it. chmod by handle, since fchmod takes no O_PATH one. */
static bool unlock_handle(int handle)
{
    struct stat st;
    char link[32];
    if (fstat(handle, &st) < 0 || (st.st_mode & OWNER) == OWNER || st.st_uid != geteuid())
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    return chmod(link, (st.st_mode & 07777) | OWNER) == 0;
}

int dsb_open_dir(int dir, const char *path, bool unlock)
{
    int fd = dsb_open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0 && unlock)
        unlock_handle(fd);
    if (fd >= 0 || errno != EACCES || !unlock)
        return fd;
    int handle = dsb_open_beneath(dir, path, O_PATH | O_DIRECTORY, 0);
    if (handle < 0 && errno == EACCES && unlock_handle(dir)) /* "." of a directory that nobody may search */
        handle = dsb_open_beneath(dir, path, O_PATH | O_DIRECTORY, 0);
    if (handle < 0)
        return -1;
    /* Of the handle, not by name again: another directory may be there by now. */
    if (unlock_handle(handle))
        fd = dsb_open_beneath(handle, ".", O_RDONLY | O_DIRECTORY, 0);
    close(handle);
    errno = EACCES;
    return fd;
}

void dsb_unlock_dir(int dir, const char *name)
{
    int handle = dsb_open_beneath(dir, name, O_PATH | O_DIRECTORY, 0);
    if (handle < 0)
        return;
    unlock_handle(handle);
    close(handle);
}
