/* SPDX-License-Identifier: MIT */
/* What programs that backends start get of our environment. */
#include "engine/engine.h"

#include "common/engine_variables.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

const char *dsbe_path_list(void)
{
    const char *given = g_getenv("PATH");
    return given && *given ? given : DEFAULT_PATH;
}

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
    return pass(pass(g_environ_setenv(NULL, "PATH", safe, TRUE), dsb_engine_variables), more);
}
