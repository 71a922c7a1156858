/* SPDX-License-Identifier: MIT */
/* Where Podman is, and what of the host matters for its containers. */
#include "endpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ROOT_SOCKET "/run/podman/podman.sock"

struct dsbe_endpoint *dsb_podman_endpoint(const char *given, gboolean *chosen, GError **error)
{
    const char *host = given && *given ? given : g_getenv("CONTAINER_HOST");
    *chosen = host && *host;
    if (*chosen && g_str_has_prefix(host, "ssh://")) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                    "engine address \"%s\": a Podman behind ssh is not supported, forward its socket and give that",
                    host);
        return NULL;
    }
    if (*chosen)
        return dsbe_endpoint_parse(host, FALSE, error);
    if (getuid() == 0)
        return dsbe_endpoint_parse(ROOT_SOCKET, FALSE, error);
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *path = runtime && runtime[0] == '/'
                                ? g_build_filename(runtime, "podman", "podman.sock", NULL)
                                : g_strdup_printf("/run/user/%u/podman/podman.sock", (guint) getuid());
    return dsbe_endpoint_parse(path, FALSE, error);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* "Max processes  SOFT  HARD  processes" of /proc/PID/limits; readable for everyone. */
static gboolean read_nproc(pid_t pid, uint64_t *value)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/limits", (int) pid);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    const char *line = strstr(text, "Max processes");
    char soft[32], hard[32];
    if (!line || sscanf(line + strlen("Max processes"), " %31s %31s", soft, hard) != 2)
        return FALSE;
    if (strcmp(hard, "unlimited") == 0) {
        *value = RLIM_INFINITY;
        return TRUE;
    }
    guint64 number = 0;
    if (!g_ascii_string_to_unsigned(hard, 10, 0, G_MAXUINT64, &number, NULL))
        return FALSE;
    *value = number;
    return TRUE;
}

uint64_t dsb_podman_nproc(const char *socket_path)
{
    struct rlimit own = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NPROC, &own);
    int fd = socket_path ? connect_to(socket_path) : -1;
    if (fd < 0)
        return own.rlim_max;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    uint64_t value = own.rlim_max;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0)
        (void) read_nproc(peer.pid, &value);
    close(fd);
    return value;
}
