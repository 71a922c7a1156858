/* SPDX-License-Identifier: MIT */
#include "client/session_socket.h"

#include "client/socket_path.h"
#include "common/shortage.h"
#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SUFFIX ".sessions"
#define BACKLOG 4
#define LOOK_MAX 10000 /* names */

struct session_socket {
    char *socket_path, *name;
    int fd;
    dev_t device; /* of our socket's file */
    ino_t inode;
};

/* No path that we are given fits into the address of a socket for sure; one through a descriptor does, and stays there. */
static struct sockaddr_un address_of(int dir, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir, name);
    return address;
}

int session_socket_open(const char *socket_path)
{
    struct stat st;
    g_autofree char *path = socket_sibling(socket_path, SUFFIX);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -1;
    if (fstat(dir, &st) == 0 && dsb_is_private_dir(&st))
        return dir;
    close(dir);
    errno = EPERM;
    return -1;
}

static int make_dir(const char *socket_path, GError **error)
{
    g_autofree char *path = socket_sibling(socket_path, SUFFIX);
    if (!socket_check_dir(socket_path, error))
        return -1;
    gboolean made = mkdir(path, 0700) == 0;
    if (made && chmod(path, 0700) < 0) /* whatever mask a backend has set */
        g_debug("%s: %s", path, g_strerror(errno));
    int dir = made || errno == EEXIST ? session_socket_open(socket_path) : -1;
    if (dir < 0)
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "%s: %s", path,
                    errno == EPERM ? "not a directory that is yours alone" : dsb_errno_text(errno));
    return dir;
}

/* What has our own number in its name is of a process that is dead. */
static gboolean bind_it(struct session_socket *own, int dir)
{
    struct stat st;
    struct sockaddr_un address = address_of(dir, own->name);
    if (unlinkat(dir, own->name, 0) < 0 && errno != ENOENT)
        return FALSE;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return FALSE;
    if (bind(fd, (const struct sockaddr *) &address, sizeof address) < 0 || fchmodat(dir, own->name, 0600, 0) < 0 ||
        listen(fd, BACKLOG) < 0 || fstatat(dir, own->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        int code = errno;
        close(fd);
        errno = code;
        return FALSE;
    }
    if (own->fd >= 0)
        close(own->fd);
    own->fd = fd;
    own->device = st.st_dev;
    own->inode = st.st_ino;
    return TRUE;
}

static gboolean make(struct session_socket *own, GError **error)
{
    int dir = make_dir(own->socket_path, error);
    if (dir < 0)
        return FALSE;
    gboolean ok = bind_it(own, dir);
    if (!ok)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "socket %s: %s", own->name, dsb_errno_text(errno));
    close(dir);
    return ok;
}

struct session_socket *session_socket_new(const char *socket_path, const char *session, GError **error)
{
    struct session_socket *own = g_new0(struct session_socket, 1);
    own->socket_path = g_strdup(socket_path);
    own->name = g_strdup_printf("%s@%d", session, (int) getpid());
    own->fd = -1;
    if (make(own, error))
        return own;
    session_socket_free(own);
    return NULL;
}

int session_socket_fd(const struct session_socket *own) { return own->fd; }

static gboolean is_ours(const struct session_socket *own, int dir)
{
    struct stat st;
    return dir >= 0 && fstatat(dir, own->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == own->device &&
           st.st_ino == own->inode;
}

gboolean session_socket_repair(struct session_socket *own, gboolean *again)
{
    int dir = session_socket_open(own->socket_path);
    *again = !is_ours(own, dir);
    if (dir >= 0)
        close(dir);
    return !*again || make(own, NULL);
}

void session_socket_free(struct session_socket *own)
{
    if (own == NULL)
        return;
    int dir = own->fd >= 0 ? session_socket_open(own->socket_path) : -1;
    if (is_ours(own, dir))
        unlinkat(dir, own->name, 0);
    if (dir >= 0)
        close(dir);
    if (own->fd >= 0)
        close(own->fd);
    g_free(own->socket_path);
    g_free(own->name);
    g_free(own);
}

/* --- from outside ------------------------------------------------------------- */

char *session_socket_parse(const char *name, pid_t *pid)
{
    const char *at = strrchr(name, '@');
    guint64 number = 0;
    if (at == NULL || at == name || !g_ascii_string_to_unsigned(at + 1, 10, 1, G_MAXINT, &number, NULL))
        return NULL;
    *pid = (pid_t) number;
    return g_strndup(name, (gsize) (at - name));
}

pid_t session_socket_peer(int fd)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid() ? peer.pid : -1;
}

int session_socket_connect(int dir, const char *name)
{
    struct stat st;
    struct sockaddr_un address = address_of(dir, name);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *) &address, sizeof address) == 0)
        return fd;
    int code = errno;
    if (fd >= 0)
        close(fd);
    errno = code;
    return -1;
}

gboolean session_socket_forget(const char *socket_path, pid_t dead)
{
    const char *name;
    int dir = session_socket_open(socket_path);
    gboolean none = dir < 0 && !dsb_errno_is_shortage(errno);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", dir);
    g_autoptr(GDir) names = dir >= 0 ? g_dir_open(path, 0, NULL) : NULL;
    for (guint i = 0; names != NULL && i < LOOK_MAX && (name = g_dir_read_name(names)) != NULL; i++) {
        pid_t pid = 0;
        g_autofree char *session = session_socket_parse(name, &pid);
        if (session != NULL && pid == dead)
            unlinkat(dir, name, 0);
    }
    if (dir >= 0)
        close(dir);
    return none || names != NULL;
}

gboolean session_socket_any(const char *socket_path)
{
    const char *name;
    gboolean any = FALSE;
    g_autofree char *path = socket_sibling(socket_path, SUFFIX);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    if (dsb_file_shortage(error) != 0)
        return TRUE; /* there may be one: the service can tell */
    for (guint i = 0; dir != NULL && !any && i < LOOK_MAX && (name = g_dir_read_name(dir)) != NULL; i++)
        any = strchr(name, '@') != NULL;
    return any;
}
