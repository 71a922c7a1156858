/* SPDX-License-Identifier: MIT */
#include "mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPARE_MS 5000
#define NAME_BYTES 4096

/* The first range that /etc/subuid or /etc/subgid gives the invoker. */
static gboolean find_range(const char *file, unsigned *start, unsigned *count)
{
    char names[NAME_BYTES];
    struct passwd entry, *found = NULL;
    g_autofree char *text = NULL;
    g_autofree char *uid = g_strdup_printf("%u", (unsigned) geteuid());
    if (!g_file_get_contents(file, &text, NULL, NULL))
        return FALSE;
    getpwuid_r(geteuid(), &entry, names, sizeof names, &found);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) parts = g_strsplit(lines[i], ":", 3);
        if (g_strv_length(parts) != 3 ||
            !(g_str_equal(parts[0], uid) || (found && g_str_equal(parts[0], found->pw_name))))
            continue;
        if (sscanf(parts[1], "%u", start) == 1 && sscanf(parts[2], "%u", count) == 1 && *count > 0)
            return TRUE;
    }
    return FALSE;
}

/* newuidmap and newgidmap are the system's own way of giving us ids. */
static gboolean map(const char *tool, const char *ranges, pid_t child, unsigned self)
{
    unsigned start = 0, count = 0;
    int status = -1;
    char *none[] = {NULL};
    if (!find_range(ranges, &start, &count))
        return FALSE;
    g_autofree char *text = g_strdup_printf("%s %d 0 %u 1 1 %u %u", tool, (int) child, self, start, count);
    g_auto(GStrv) argv = g_strsplit(text, " ", -1);
    GSpawnFlags flags = G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL;
    return g_spawn_sync("/", argv, none, flags, NULL, NULL, NULL, NULL, &status, NULL) && status == 0;
}

_Noreturn static void be_child(int (*work)(void *data), void *data, int in, int out)
{
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int result = unshare(CLONE_NEWUSER) == 0 ? 0 : ENOTSUP;
    if (write(out, &result, sizeof result) != sizeof result || result != 0 || read(in, &go, 1) != 1)
        _exit(1);
    result = setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0 ? work(data) : ENOTSUP;
    _exit(write(out, &result, sizeof result) == sizeof result ? 0 : 1);
}

static int wait_for(int fd, unsigned ms)
{
    int result = ENOTSUP;
    struct pollfd poll_fd = {fd, POLLIN, 0};
    if (poll(&poll_fd, 1, (int) ms) == 0)
        return ETIMEDOUT;
    return read(fd, &result, sizeof result) == sizeof result ? result : ENOTSUP;
}

static int lead(pid_t child, int to_child, int from_child, unsigned ms)
{
    int result = wait_for(from_child, SPARE_MS);
    if (result != 0)
        return result;
    if (!map("/usr/bin/newuidmap", "/etc/subuid", child, geteuid()) ||
        !map("/usr/bin/newgidmap", "/etc/subgid", child, getegid()) || write(to_child, "", 1) != 1)
        return ENOTSUP;
    return wait_for(from_child, ms);
}

int dsb_mapped_run(int (*work)(void *data), void *data, unsigned ms)
{
    int there[2], back[2];
    if (geteuid() == 0)
        return ENOTSUP;
    if (pipe2(there, O_CLOEXEC) < 0)
        return ENOTSUP;
    if (pipe2(back, O_CLOEXEC) < 0) {
        close(there[0]);
        close(there[1]);
        return ENOTSUP;
    }
    pid_t child = fork();
    if (child == 0)
        be_child(work, data, there[0], back[1]);
    close(there[0]);
    close(back[1]);
    int result = child > 0 ? lead(child, there[1], back[0], ms) : ENOTSUP;
    close(there[1]);
    close(back[0]);
    if (child > 0 && waitpid(child, NULL, WNOHANG) == 0) {
        kill(child, SIGKILL); /* it is done, or is to be */
        waitpid(child, NULL, 0);
    }
    return result;
}

struct clearing {
    int fd;
    const struct dsb_tree_limits *limits;
};

static int clear(void *data)
{
    const struct clearing *clearing = data;
    return dsb_tree_clear(clearing->fd, clearing->limits);
}

int dsb_mapped_clear(int fd, const struct dsb_tree_limits *limits)
{
    struct clearing clearing = {fd, limits};
    int problem = dsb_tree_clear(fd, limits);
    if (problem != EACCES && problem != EPERM)
        return problem;
    int second = dsb_mapped_run(clear, &clearing, limits->ms + SPARE_MS);
    return second == ENOTSUP ? problem : second == ETIMEDOUT ? EOVERFLOW : second;
}
