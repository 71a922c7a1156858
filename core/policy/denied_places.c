/* SPDX-License-Identifier: MIT */
#include "policy/denied_places.h"

#include "policy/fields.h"

#include <string.h>

/* Host paths that would hand over the machine, everything below them, and what they are in. */
const char *const dsb_denied_places[] = {
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/boot",
    "/root",
    "/var/lib/docker",
    "/var/lib/containers",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    NULL,
};
/* Engines of ordinary users keep their images there. */
static const char *const denied_parts[] = {"/.local/share/containers", "/.local/share/docker", NULL};

const char *dsb_bind_source_problem(const char *source)
{
    g_autofree char *ended = g_strconcat(source, "/", NULL);
    if (strcmp(source, "/") == 0)
        return "must not be the whole file system";
    for (const char *const *path = dsb_denied_places; *path != NULL; path++) {
        if (dsb_path_below(source, *path))
            return "is not given away: nothing of /etc, /proc, /sys, /dev, /run, /boot, /root and the engines' "
                   "directories in /var/lib is";
        if (dsb_path_below(*path, source))
            return "is not given away: it has a directory like /var/run in it";
    }
    for (const char *const *part = denied_parts; *part != NULL; part++) {
        g_autofree char *inside = g_strconcat(*part, "/", NULL);
        if (strstr(ended, inside) != NULL)
            return "is not given away: an engine keeps its images there";
    }
    if (g_str_has_suffix(source, ".sock"))
        return "is not given away: a socket can be an engine's, and an engine is the machine";
    return NULL;
}
