/* SPDX-License-Identifier: MIT */
/* Where Podman is, and what of the host matters for its containers. */
#include "podman/endpoint.h"

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

static gboolean read_number(const char *word, uint64_t *value)
{
    guint64 number = 0;
    gboolean endless = strcmp(word, "unlimited") == 0;
    if (!endless && !g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, &number, NULL))
        return FALSE;
    *value = endless ? RLIM_INFINITY : number;
    return TRUE;
}

/* "Max processes  SOFT  HARD  processes" in the text of /proc/PID/limits. */
static gboolean read_limit(const char *text, const char *label, uint64_t *soft, uint64_t *hard)
{
    const char *line = strstr(text, label);
    char words[2][32];
    return line && sscanf(line + strlen(label), " %31s %31s", words[0], words[1]) == 2 && read_number(words[0], soft) &&
           read_number(words[1], hard);
}

static void read_limits(pid_t pid, struct dsbe_facts *facts)
{
    static const struct {
        const char *type, *label;
    } others[DSBE_N_OTHER_LIMITS] = {{"as", "Max address space"},       {"cpu", "Max cpu time"},
                                     {"data", "Max data size"},         {"memlock", "Max locked memory"},
                                     {"msgqueue", "Max msgqueue size"}, {"sigpending", "Max pending signals"},
                                     {"stack", "Max stack size"}};
    g_autofree char *path = g_strdup_printf("/proc/%d/limits", (int) pid); /* readable for everyone */
    g_autofree char *text = NULL;
    uint64_t soft = 0, hard = 0;
    gsize n = 0;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return;
    if (read_limit(text, "Max processes", &soft, &hard))
        facts->nproc = hard;
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        if (read_limit(text, others[i].label, &soft, &hard))
            facts->others[n++] = (struct dsbe_rlimit){others[i].type, soft, hard};
}

void dsb_podman_limits(const char *socket_path, struct dsbe_facts *facts)
{
    struct rlimit own = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NPROC, &own);
    facts->nproc = own.rlim_max;
    int fd = socket_path ? connect_to(socket_path) : -1;
    if (fd < 0)
        return;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0)
        read_limits(peer.pid, facts);
    close(fd);
}
