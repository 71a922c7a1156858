/* SPDX-License-Identifier: MIT */
/* What is asked past dsandbox: of the engine, and where there is none, of the kernel and of the backend's records. */
#include "outside.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* As an operator would: both engines understand Docker's requests. The answer, at most 1 MiB of it (g_free). */
static char *ask_engine(const struct dsb_run_options *options, const char *method, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *socket_path = options->endpoint;
    GString *answer = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, g_str_has_prefix(socket_path, "unix://") ? socket_path + 7 : socket_path,
              sizeof address.sun_path);
    g_autofree char *request = g_strdup_printf(
        "%s /v1.40%s HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, path);
    if (connect(fd, (const struct sockaddr *) &address, sizeof address) == 0 &&
        write(fd, request, strlen(request)) == (ssize_t) strlen(request))
        while (answer->len < 1 << 20 && (n = read(fd, buffer, sizeof buffer)) > 0)
            g_string_append_len(answer, buffer, n);
    close(fd);
    return g_string_free(answer, FALSE);
}

/* Of the backend oci, which has no engine to ask. What the script says (g_free); NULL: it failed. */
static char *ask_shell(const char *script, const char *argument)
{
    const char *argv[] = {"sh", "-c", script, "sh", argument, NULL};
    char *said = NULL;
    int status = -1;
    if (g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &said, NULL, &status, NULL) &&
        status == 0)
        return said;
    g_free(said);
    return NULL;
}

/* A container's control groups have its name. */
static const char kill_first[] = "for group in /sys/fs/cgroup/dsandbox/\"$1\" /sys/fs/cgroup/*/dsandbox/\"$1\"; do\n"
                                 "    for pid in $(cat \"$group/cgroup.procs\"); do\n"
                                 "        ! grep -q 'NSpid:.*\t1$' \"/proc/$pid/status\" || exec kill -9 \"$pid\"\n"
                                 "    done\n"
                                 "done 2>/dev/null\n"
                                 "exit 1";
static const char list_owners[] = "cd \"$1/dsandbox/oci\" && { grep -rs owner .; true; }";

gboolean outside_kill(const struct dsb_run_options *options, const char *id)
{
    if (g_str_equal(options->backend, "oci")) {
        g_autofree char *said = ask_shell(kill_first, id);
        return said != NULL;
    }
    g_autofree char *path = g_strdup_printf("/containers/%s/kill", id);
    g_autofree char *answer = ask_engine(options, "POST", path);
    /* Podman 4.3 kills, waits, and may find the container removed meanwhile: 500. That it ended is looked at by all. */
    gboolean killed = strstr(answer, " 204 ") != NULL || strstr(answer, "no such container") != NULL;
    if (!killed)
        fprintf(stderr, "     kill: %s\n", answer);
    return killed;
}

/* One container's row. Docker 20.10 goes on listing some that it does not know any more. */
static gboolean is_known(const struct dsb_run_options *options, const char *row)
{
    if (strstr(row, "\"State\":\"removing\"") == NULL && strstr(row, "\"State\":\"dead\"") == NULL)
        return TRUE;
    g_autofree char *path = g_strdup_printf("/containers/%.64s/json", row);
    g_autofree char *answer = ask_engine(options, "GET", path);
    return strstr(answer, " 404 ") == NULL;
}

char *outside_list(const struct dsb_run_options *options)
{
    if (g_str_equal(options->backend, "oci"))
        return ask_shell(list_owners, g_getenv("XDG_RUNTIME_DIR"));
    g_autofree char *answer = ask_engine(options, "GET", "/containers/json?all=1");
    g_auto(GStrv) rows = g_strsplit(answer, "{\"Id\":\"", -1);
    if (strstr(answer, " 200 ") == NULL)
        return NULL;
    g_autoptr(GString) known = g_string_new(rows[0]);
    for (char **row = rows + 1; *row != NULL; row++)
        if (is_known(options, *row))
            g_string_append(known, *row);
    return g_string_free(g_steal_pointer(&known), FALSE);
}
