/* SPDX-License-Identifier: MIT */
#include "broker/service_socket.h"

#include "client/client.h"
#include "client/service_lock.h"
#include "client/socket_path.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define LOCK_SECONDS 25 /* longer than a service takes to end, shorter than programs wait for its start */
#define LOCK_STEP_US 10000
#define ASK_US (1 * G_USEC_PER_SEC) /* between questions to one that may leave */
#define ANSWER_MS 10000

struct service_socket {
    char *path;     /* of the socket */
    char *locks[2]; /* beside it, and in the state directory */
    int fds[2];     /* -1: not held */
    enum lock_state state;
    gboolean stay;
    dev_t device;   /* of our socket's file */
    ino_t inode;    /* 0: there is none */
};

/* Who listens there, as a process of ours; -1: nobody, or one that cannot be named here. */
static gint64 listening_process(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {.pid = -1};
    socklen_t size = sizeof peer;
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    gboolean known = fd >= 0 && connect(fd, (const struct sockaddr *) &address, sizeof address) == 0 &&
                     getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
    if (fd >= 0)
        close(fd);
    return known && peer.pid > 0 ? peer.pid : -1;
}

/* One of an older version says nothing of it, and would be killed by the question. */
static void ask_to_leave(const struct service_socket *own)
{
    struct lock_holder holder;
    if (lock_holder(own->path, &holder, NULL) && holder.yields && holder.pid == listening_process(own->path))
        kill((pid_t) holder.pid, SIGUSR1);
}

static gboolean told_to_end(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
                                         sigismember(&pending, SIGHUP) == 1);
}

struct turn {
    gint64 deadline, ask; /* monotonic */
    gboolean said;
};

static void say_once(const struct service_socket *own, struct turn *turn)
{
    if (!turn->said)
        service_log("waiting for the end of another service on %s", own->path);
    turn->said = TRUE;
}

/* FALSE: it stands in the way. */
static gboolean await_other(const struct service_socket *own, struct turn *turn)
{
    gint64 now = g_get_monotonic_time();
    if (!own->stay)
        return !dsb_client_answers(own->path, ANSWER_MS);
    if (now < turn->ask)
        return TRUE;
    if (dsb_client_answers(own->path, ANSWER_MS)) {
        turn->deadline = now + LOCK_SECONDS * (gint64) G_USEC_PER_SEC;
        ask_to_leave(own);
    }
    turn->ask = now + ASK_US;
    return TRUE;
}

/*
 * The locks outlive what they stand for: a service that was killed has them until the kernel has taken all that it had,
 * one that is told to end until its sessions have ended. Only one that answers stands in the way.
 */
static gboolean may_wait(const struct service_socket *own, struct turn *turn, GError **error)
{
    if (own->stay && told_to_end()) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CANCELLED, "told to end while another service has the socket %s",
                    own->path);
        return FALSE;
    }
    if (!await_other(own, turn)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY, "a service has the socket %s already", own->path);
        return FALSE;
    }
    if (g_get_monotonic_time() > turn->deadline) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY, "a service has the socket %s, and neither answers nor ends",
                    own->path);
        return FALSE;
    }
    say_once(own, turn);
    g_usleep(LOCK_STEP_US);
    return TRUE;
}

static gboolean await_lock(struct service_socket *own, int which, GError **error)
{
    struct turn turn = {.deadline = g_get_monotonic_time() + LOCK_SECONDS * (gint64) G_USEC_PER_SEC};
    for (;;) {
        g_autoptr(GError) local = NULL;
        own->fds[which] = lock_take(own->locks[which], &local);
        if (own->fds[which] >= 0) {
            lock_sign(own->fds[which], own->state);
            return TRUE;
        }
        if (!g_error_matches(local, DSB_ERROR, DSB_ERROR_BUSY)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (!may_wait(own, &turn, error))
            return FALSE;
    }
}

struct service_socket *service_socket_take(const struct options *options, GError **error)
{
    struct service_socket *own = g_new0(struct service_socket, 1);
    own->path = g_strdup(options->socket);
    own->locks[0] = socket_sibling(own->path, ".pid");
    own->locks[1] = lock_lasting_path(options->state_dir, own->path, error);
    own->fds[0] = own->fds[1] = -1;
    own->stay = options->stay;
    /* One with options of its own is for who started it, as long as he wants. */
    own->state = options->plain ? LOCK_YIELDS : LOCK_STAYS;
    lock_sweep(options->state_dir);
    /* The lasting one first: who has it makes the other one anew when it is gone. */
    if (own->locks[1] != NULL && socket_check_dir(own->path, error) && await_lock(own, 1, error) && await_lock(own, 0, error))
        return own;
    service_socket_free(own);
    return NULL;
}

static gboolean socket_is_ours(const struct service_socket *own)
{
    struct stat st;
    return own->inode != 0 && lstat(own->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == own->device &&
           st.st_ino == own->inode;
}

static gboolean has_lock(const struct service_socket *own, int which)
{
    return own->fds[which] >= 0 && lock_is_at(own->fds[which], own->locks[which]);
}

gboolean service_socket_is_good(const struct service_socket *own)
{
    return socket_is_ours(own) && has_lock(own, 0) && has_lock(own, 1);
}

/* The socket's file of a service that is dead may go, since we hold the locks; anything else may not. */
static gboolean clear_path(const char *path, GError **error)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return TRUE;
    if (S_ISSOCK(st.st_mode) && st.st_uid == geteuid() && unlink(path) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "%s is in the way: it is not a socket of yours", path);
    return FALSE;
}

static gboolean remember(struct service_socket *own, GError **error)
{
    struct stat st;
    if (lstat(own->path, &st) < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "%s is gone again: %s", own->path,
                    dsb_errno_text(errno));
        return FALSE;
    }
    own->device = st.st_dev;
    own->inode = st.st_ino;
    return TRUE;
}

GSocket *service_socket_bind(struct service_socket *own, GError **error)
{
    if (!clear_path(own->path, error))
        return NULL;
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(own->path);
    g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, error);
    if (socket == NULL)
        return NULL;
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, BACKLOG);
    mode_t old = umask(0177);
    gboolean ok = g_socket_bind(socket, address, FALSE, error);
    umask(old);
    if (ok && remember(own, error) && g_socket_listen(socket, error))
        return g_steal_pointer(&socket);
    if (error != NULL && g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_NO_SPACE)) {
        g_clear_error(error);
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, dsb_errno_text(ENOSPC));
    } else if (error != NULL && *error != NULL) {
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_DENIED;
    }
    g_prefix_error(error, "cannot listen on %s: ", own->path);
    return NULL;
}

static gboolean lock_again(struct service_socket *own, int which, GError **error)
{
    if (has_lock(own, which))
        return TRUE;
    int fd = lock_take(own->locks[which], error);
    if (fd < 0)
        return FALSE;
    if (own->fds[which] >= 0)
        close(own->fds[which]);
    own->fds[which] = fd;
    lock_sign(fd, own->state);
    return TRUE;
}

gboolean service_socket_repair(struct service_socket *own, GSocket **socket, GError **error)
{
    *socket = NULL;
    if (!socket_check_dir(own->path, error) || !lock_again(own, 1, error) || !lock_again(own, 0, error))
        return FALSE;
    if (socket_is_ours(own))
        return TRUE;
    *socket = service_socket_bind(own, error);
    return *socket != NULL;
}

void service_socket_ending(struct service_socket *own)
{
    for (int i = 0; i < 2; i++)
        if (own->fds[i] >= 0)
            lock_sign(own->fds[i], LOCK_ENDING);
    if (socket_is_ours(own))
        unlink(own->path);
    own->inode = 0;
}

void service_socket_free(struct service_socket *own)
{
    if (own == NULL)
        return;
    service_socket_ending(own);
    /* The other one stays: programs of other versions look at it without the care that its absence needs. */
    if (has_lock(own, 1))
        unlink(own->locks[1]);
    for (int i = 0; i < 2; i++) {
        if (own->fds[i] >= 0)
            close(own->fds[i]);
        g_free(own->locks[i]);
    }
    g_free(own->path);
    g_free(own);
}
