/* SPDX-License-Identifier: MIT */
/* What programs that backends start get of our environment. */
#include "engine/engine.h"

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
