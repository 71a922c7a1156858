/* SPDX-License-Identifier: MIT */
#include "common/runtime_dir.h"

#include "common/trust.h"

#include <sys/stat.h>
#include <unistd.h>

static gboolean is_ours(const char *dir)
{
    struct stat st;
    return g_path_is_absolute(dir) && stat(dir, &st) == 0 && dsb_is_own_dir(&st);
}

char *dsb_runtime_dir(void)
{
    const char *xdg = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *login = g_strdup_printf("/run/user/%u", (unsigned) geteuid());
    if (xdg != NULL && is_ours(xdg))
        return g_build_filename(xdg, "dsandbox", NULL);
    if (is_ours(login))
        return g_build_filename(login, "dsandbox", NULL);
    return g_strdup_printf("/tmp/.dsandbox-%u", (unsigned) geteuid());
}
