/* SPDX-License-Identifier: MIT */
#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static int add_actions(posix_spawn_file_actions_t *actions, const struct child *child)
{
    /* Who comes first must not be in the place of one that comes later. */
    const int from[] = {child->in, child->out, child->err, child->link}, n = child->link < 0 ? 3 : 4;
    int code = 0;
    for (int i = 0; i < n && code == 0; i++)
        code = from[i] < 0 ? posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0)
                           : posix_spawn_file_actions_adddup2(actions, from[i], i);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(actions, n);
    if (code == 0 && child->directory != NULL)
        code = posix_spawn_file_actions_addchdir_np(actions, child->directory);
    return code;
}

static int set_attributes(posix_spawnattr_t *attributes, gboolean session)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setpgroup(attributes, 0);
    short own = session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
    return posix_spawnattr_setflags(attributes, (short) (POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | own));
}

static int start(const struct child *child, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (child->link >= 0 && child->link < 3)
        return EBADF;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int code = add_actions(&actions, child);
    if (code == 0)
        code = set_attributes(&attributes, child->session);
    if (code == 0)
        code = posix_spawn(pid, child->program, &actions, &attributes, child->argv,
                           child->environment != NULL ? child->environment : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

struct start {
    const struct child *child;
    pid_t *pid;
    int code;
};

static void *start_with_umask(void *data)
{
    struct start *how = data;
    if (unshare(CLONE_FS) == 0)
        umask(022);
    how->code = start(how->child, how->pid);
    return NULL;
}

int child_start(const struct child *child, pid_t *pid)
{
    struct start how = {child, pid, EAGAIN};
    if (!child->usual_umask)
        return start(child, pid);
    /* All threads of a process have one umask, but one that has left them. */
    GThread *thread = g_thread_try_new("start", start_with_umask, &how, NULL);
    if (thread != NULL)
        g_thread_join(thread);
    return how.code;
}
