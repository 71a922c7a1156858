/* SPDX-License-Identifier: MIT */
/* What callers of the library give, looked at once in the same words. */
#include "common/given.h"

#include <dsandbox/error.h>
#include <fcntl.h>
#include <sys/stat.h>

gboolean dsb_given(const void *pointer, const char *what, GError **error)
{
    if (pointer != NULL)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is missing (NULL)", what);
    return FALSE;
}

gboolean dsb_given_fd(int fd, const char *what, GError **error)
{
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    struct stat st;
    const char *why = NULL;
    if (fd < 0)
        why = "is no descriptor";
    else if (flags < 0)
        why = "is not an open descriptor";
    else if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH))
        why = "is a descriptor that cannot be read";
    else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        why = "is the descriptor of a directory";
    if (why != NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %d %s", what, fd, why);
    return why == NULL;
}
