/* SPDX-License-Identifier: MIT */
/* Work as the superuser of a user namespace, which may remove what rootless containers left. */
#include "hostdir/userns.h"

#include "common/child.h"
#include "hostdir/subids.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPARE_MS 5000
#define NAME_BYTES 4096

/* The first range that /etc/subuid or /etc/subgid gives the invoker; its count is 0 where there is none. */
static struct dsb_id_range find_range(const char *file)
{
    char names[NAME_BYTES];
    struct passwd entry, *found = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(struct dsb_id_range));
    getpwuid_r(geteuid(), &entry, names, sizeof names, &found);
    gboolean any = g_file_get_contents(file, &text, NULL, NULL) &&
                   dsb_subids_of(text, found != NULL ? found->pw_name : NULL, geteuid(), ranges);
    return any ? g_array_index(ranges, struct dsb_id_range, 0) : (struct dsb_id_range){0};
}

/* newuidmap and newgidmap are the system's own way of giving us ids. */
static gboolean map(const char *tool, const char *ranges, pid_t child, unsigned self)
{
    int status = -1;
    char *none[] = {NULL};
    const struct dsb_id_range range = find_range(ranges);
    if (range.count == 0)
        return FALSE;
    g_autofree char *text = g_strdup_printf("%s %d 0 %u 1 1 %u %u", tool, (int) child, self, range.first, range.count);
    g_auto(GStrv) argv = g_strsplit(text, " ", -1);
    const struct child mapper = {
        .program = tool, .argv = argv, .environment = none, .in = -1, .out = -1, .err = -1, .link = -1};
    pid_t pid = 0;
    if (child_start(&mapper, &pid) != 0)
        return FALSE;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0;
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

int dsb_userns_run(int (*work)(void *data), void *data, unsigned ms)
{
    int there[2], back[2];
    if (geteuid() == 0)
        return ENOTSUP;
    if (pipe2(there, O_CLOEXEC) < 0)
        return errno;
    if (pipe2(back, O_CLOEXEC) < 0) {
        int problem = errno;
        close(there[0]);
        close(there[1]);
        return problem;
    }
    pid_t child = fork();
    int problem = errno;
    if (child == 0)
        be_child(work, data, there[0], back[1]);
    close(there[0]);
    close(back[1]);
    int result = child > 0 ? lead(child, there[1], back[0], ms) : problem;
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
    const struct dsb_remove_limits *limits;
};

static int clear(void *data)
{
    const struct clearing *clearing = data;
    return dsb_remove_content(clearing->fd, clearing->limits);
}

int dsb_userns_remove_content(int fd, const struct dsb_remove_limits *limits)
{
    struct clearing clearing = {fd, limits};
    int problem = dsb_remove_content(fd, limits);
    if (problem != EACCES && problem != EPERM)
        return problem;
    int second = dsb_userns_run(clear, &clearing, limits->ms + SPARE_MS);
    return second == ENOTSUP ? problem : second == ETIMEDOUT ? EOVERFLOW : second;
}
