/* SPDX-License-Identifier: MIT */
#include "client/socket_path.h"

#include "common/runtime_dir.h"
#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

char *socket_default_path(void)
{
    g_autofree char *dir = dsb_runtime_dir();
    return g_build_filename(dir, "api.sock", NULL);
}

char *socket_state_dir(void)
{
    const char *xdg = g_getenv("XDG_STATE_HOME");
    if (xdg != NULL && g_path_is_absolute(xdg))
        return g_build_filename(xdg, "dsandbox", NULL);
    return g_build_filename(g_get_home_dir(), ".local", "state", "dsandbox", NULL);
}

char *socket_sibling(const char *socket_path, const char *suffix)
{
    gsize size = strlen(socket_path);
    if (g_str_has_suffix(socket_path, ".sock"))
        size -= strlen(".sock");
    g_autofree char *stem = g_strndup(socket_path, size);
    return g_strconcat(stem, suffix, NULL);
}

gboolean socket_check_dir(const char *socket_path, GError **error)
{
    struct stat st;
    g_autofree char *dir = g_path_get_dirname(socket_path);
    g_autofree char *ours = dsb_runtime_dir();
    if (!g_path_is_absolute(socket_path) || strlen(socket_path) >= sizeof((struct sockaddr_un *) NULL)->sun_path) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the socket %s must be an absolute path of at most %zu bytes",
                    socket_path, sizeof((struct sockaddr_un *) NULL)->sun_path - 1);
        return FALSE;
    }
    gboolean is_default = strcmp(dir, ours) == 0;
    if (is_default && mkdir(dir, 0700) < 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED),
                    "cannot make %s: %s; dsandbox doctor says what to do", dir,
                    g_strerror(errno));
        return FALSE;
    }
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is not a directory", dir);
        return FALSE;
    }
    if (is_default ? dsb_is_private_dir(&st) : dsb_is_trusted(&st))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "the directory %s of the service's socket is not yours alone; remove it, or set XDG_RUNTIME_DIR", dir);
    return FALSE;
}

int socket_open_lock(const char *path, GError **error)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 || fstat(fd, &st) < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot open %s: %s", path,
                    dsb_errno_text(errno));
        return -1;
    }
    if (S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return fd;
    close(fd);
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "%s is not a file of yours", path);
    return -1;
}
