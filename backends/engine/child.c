/* SPDX-License-Identifier: MIT */
/* Programs that backends start: what they get of our environment, and of us. */
#include "engine/engine.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

const char *dsbe_path_list(void)
{
    const char *given = g_getenv("PATH");
    return given && *given ? given : DEFAULT_PATH;
}

const char *const dsbe_passed[] = {
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    NULL,
};

static GStrv pass(GStrv environment, const char *const *names)
{
    for (; *names; names++)
        if (g_getenv(*names))
            environment = g_environ_setenv(environment, *names, g_getenv(*names), TRUE);
    return environment;
}

GStrv dsbe_environment(const char *const *more)
{
    g_autofree char *safe = dsbe_safe_path(dsbe_path_list());
    return pass(pass(g_environ_setenv(NULL, "PATH", safe, TRUE), dsbe_passed), more);
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct dsbe_child *child)
{
    const int from[] = {child->in, child->out, child->err};
    int code = 0;
    for (int i = 0; i < 3 && code == 0; i++)
        code = from[i] < 0 ? posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0)
                           : posix_spawn_file_actions_adddup2(actions, from[i], i);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    if (code == 0 && child->directory)
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

int dsbe_spawn(const struct dsbe_child *child, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int code = add_actions(&actions, child);
    if (code == 0)
        code = set_attributes(&attributes, child->session);
    if (code == 0)
        code = posix_spawn(pid, child->program, &actions, &attributes, child->argv, child->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}
