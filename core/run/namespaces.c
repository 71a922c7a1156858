/* SPDX-License-Identifier: MIT */
#include "run/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOUGH 15000u
#define CLONING "kernel.unprivileged_userns_clone"

/* The user's own first: it gives the right to make the others. */
static const struct {
    int flag;
    const char *name;
} spaces[] = {{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mnt"}, {CLONE_NEWPID, "pid"},      {CLONE_NEWIPC, "ipc"},
              {CLONE_NEWUTS, "uts"},   {CLONE_NEWNET, "net"}, {CLONE_NEWCGROUP, "cgroup"}};

/* A number of /proc/sys; -1: there is none. */
static gint64 read_setting(const char *name)
{
    g_autofree char *path = g_strconcat("/proc/sys/", name, NULL);
    g_autofree char *text = NULL;
    guint64 value = 0;
    g_strdelimit(path, ".", '/');
    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !g_ascii_string_to_unsigned(g_strchomp(text), 10, 0, G_MAXINT64, &value, NULL))
        return -1;
    return (gint64) value;
}

/* Which cannot be made, and why (errno); -1: all can. By use, in a process that ends with them. */
static int try_all(gsize n, int *why)
{
    int ends[2], failed[2] = {-1, 0};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < (int) n; i++)
            if (unshare(spaces[i].flag) < 0) {
                failed[0] = i;
                failed[1] = errno;
                break;
            }
        _exit(write(ends[1], failed, sizeof failed) != sizeof failed);
    }
    close(ends[1]);
    if (pid > 0 && read(ends[0], failed, sizeof failed) != sizeof failed)
        failed[0] = -1;
    close(ends[0]);
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    *why = failed[1];
    return failed[0];
}

static char *set_to(const char *setting, gint64 value)
{
    return g_strdup_printf("as root: sysctl -w %s=%" G_GINT64_FORMAT
                           " (and the same line in a file of /etc/sysctl.d, so that it stays)",
                           setting, value);
}

char *dsb_namespaces_problem(char **remedy)
{
    /* There each program needs a profile of its own: what this one may not, an engine may. */
    gboolean profiles = read_setting("kernel.apparmor_restrict_unprivileged_userns") == 1;
    int why = 0;
    int which = try_all(profiles ? 1 : G_N_ELEMENTS(spaces), &why);
    if (which < 0)
        return NULL;
    g_autofree char *limit = g_strdup_printf("user.max_%s_namespaces", spaces[which].name);
    gint64 most = read_setting(limit);
    if (why == ENOSPC && most >= 0) {
        *remedy = set_to(limit, MAX(2 * most, (gint64) ENOUGH));
        return g_strdup_printf("no more of kind %s can be made: %s is %" G_GINT64_FORMAT, spaces[which].name, limit,
                               most);
    }
    if (which == 0 && read_setting(CLONING) == 0) {
        *remedy = set_to(CLONING, 1);
        return g_strdup("users cannot make them: " CLONING " is 0");
    }
    *remedy = g_strdup("let users of this machine make them; where it is a container, let its seccomp profile allow "
                       "unshare");
    return g_strdup_printf("those of kind %s cannot be made: %s", spaces[which].name, g_strerror(why));
}
