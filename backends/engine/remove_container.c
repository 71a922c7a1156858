/* SPDX-License-Identifier: MIT */
/* Removing a container while the engine may be doing the same. */
#include "engine/engine.h"

#include <string.h>

#define TRIES 50
#define PAUSE_US 100000

static gboolean is_in_progress(const GError *error) { return strstr(error->message, "in progress") != NULL; }

/* What engines say when two removals meet, or one meets the end of what runs: of a conflict, and of a failure in the middle
   (Docker 20.10, Podman 4.3). */
static gboolean meets_another(const GError *error)
{
    return is_in_progress(error) || strstr(error->message, "directory not empty") != NULL ||
           strstr(error->message, "resource busy") != NULL || strstr(error->message, "container state improper") != NULL;
}

gboolean dsbe_remove(gboolean (*once)(void *data, GError **error), void *data, int cancel_fd, GError **error)
{
    for (int left = TRIES - 1;; left--) {
        g_autoptr(GError) local = NULL;
        if (once(data, &local) || g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND))
            return TRUE;
        gboolean hurry = dsbe_cancel_pending(&cancel_fd);
        if (meets_another(local) && left > 0 && !hurry) {
            g_usleep(PAUSE_US);
            continue;
        }
        if (is_in_progress(local) && hurry)
            return TRUE; /* the engine is at it, and nobody waits for that */
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
}
