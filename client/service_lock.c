/* SPDX-License-Identifier: MIT */
#include "client/service_lock.h"

#include "client/socket_path.h"
#include "common/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 100 /* to lock a file before somebody removes it */
#define PREFIX "service-"
#define ENDING "ending"
#define YIELDS "yields"

char *lock_lasting_path(const char *state_dir, const char *socket_path, GError **error)
{
    g_autofree char *owner = dsb_owner_label();
    if (owner == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "a service cannot be looked for: %s", dsb_errno_text(errno));
        return NULL;
    }
    const char *place = strrchr(owner, '.');
    g_autofree char *key = g_strconcat(socket_path, "\n", place != NULL ? place : "", NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key, -1);
    return g_strdup_printf("%s/" PREFIX "%.16s.pid", state_dir, sum);
}

gboolean lock_is_at(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

int lock_take(const char *path, GError **error)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = socket_open_lock(path, error);
        if (fd < 0)
            return -1;
        gboolean locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        int why = errno;
        if (locked && lock_is_at(fd, path))
            return fd;
        close(fd);
        if (locked)
            continue; /* its last owner removed it meanwhile */
        g_set_error(error, DSB_ERROR, why == EWOULDBLOCK ? DSB_ERROR_BUSY : DSB_ERROR_DENIED, "cannot lock %s: %s",
                    path, why == EWOULDBLOCK ? "a service has it" : g_strerror(why));
        return -1;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY, "cannot lock %s: it comes and goes", path);
    return -1;
}

void lock_sign(int fd, enum lock_state state)
{
    static const char *const words[] = {[LOCK_STAYS] = "", [LOCK_YIELDS] = " " YIELDS, [LOCK_ENDING] = " " ENDING};
    char text[64] = "";
    int size = snprintf(text, sizeof text, "%d%s\n", (int) getpid(), words[state]);
    /* Written before the rest goes: whoever reads meanwhile finds the number. */
    if (pwrite(fd, text, (size_t) size, 0) == size && ftruncate(fd, size) < 0)
        g_debug("ftruncate: %s", g_strerror(errno));
}

/* Only what nobody holds: whoever is about to takes a new one then. */
static void sweep_one(const char *path)
{
    g_autoptr(GError) error = NULL;
    int fd = lock_take(path, &error);
    if (fd < 0)
        return;
    unlink(path);
    close(fd);
}

void lock_sweep(const char *state_dir)
{
    const char *name;
    g_autoptr(GDir) dir = g_dir_open(state_dir, 0, NULL);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(state_dir, name, NULL);
        if (g_str_has_prefix(name, PREFIX) && g_str_has_suffix(name, ".pid"))
            sweep_one(path);
    }
}

static gboolean look(const char *path, struct lock_holder *holder, GError **error)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return TRUE;
    gboolean is_free = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
    gboolean known = fd >= 0 && (is_free || errno == EWOULDBLOCK) && read(fd, text, sizeof text - 1) >= 0;
    if (!known)
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot read %s: %s", path,
                    dsb_errno_text(errno));
    if (fd >= 0)
        close(fd);
    if (!known || is_free)
        return known;
    holder->pid = MAX(0, g_ascii_strtoll(text, NULL, 10));
    holder->ending = strstr(text, " " ENDING) != NULL;
    holder->yields = strstr(text, " " YIELDS) != NULL;
    return TRUE;
}

gboolean lock_holder(const char *socket_path, struct lock_holder *holder, GError **error)
{
    g_autofree char *beside = socket_sibling(socket_path, ".pid");
    g_autofree char *state_dir = socket_state_dir();
    g_autofree char *lasting = lock_lasting_path(state_dir, socket_path, error);
    *holder = (struct lock_holder){.pid = -1};
    return lasting != NULL && look(beside, holder, error) && (holder->pid >= 0 || look(lasting, holder, error));
}
