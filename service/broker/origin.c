/* SPDX-License-Identifier: MIT */
#include "broker/origin.h"

#include <string.h>

/* The machine's own, with or without a port. */
static gboolean is_local(const char *authority)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize size = strlen(names[i]);
        if (g_ascii_strncasecmp(authority, names[i], size) != 0)
            continue;
        const char *port = authority + size;
        return *port == '\0' || (*port == ':' && strspn(port + 1, "0123456789") == strlen(port + 1));
    }
    return FALSE;
}

static const char *authority_of(const char *origin)
{
    if (g_ascii_strncasecmp(origin, "http://", 7) == 0)
        return origin + 7;
    return g_ascii_strncasecmp(origin, "https://", 8) == 0 ? origin + 8 : "";
}

gboolean origin_is_good(enum reach reach, const char *host, const char *origin)
{
    const char *authority = origin != NULL ? authority_of(origin) : NULL;
    if (reach == REACH_LOOPBACK && (host == NULL || !is_local(host)))
        return FALSE;
    if (authority == NULL)
        return TRUE;
    if (reach == REACH_NETWORK)
        return host != NULL && g_ascii_strcasecmp(authority, host) == 0;
    return is_local(authority);
}
