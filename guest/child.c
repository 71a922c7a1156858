/* SPDX-License-Identifier: MIT */
/* Processes: the interpreter's start, and the end of all of them. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_FD 3
#define SEND_TIMEOUT_S 20
#define REAP_TIMEOUT_MS 5000

extern char **environ;

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int fd_high(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

    if (high >= 0)
        close(fd);
    return high;
}

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void fd_nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static void close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
#endif
    for (int fd = (int) first; fd < 4096; fd++)
        close(fd);
}

static _Noreturn void exec_kernel(int control, int log, const char *python, const char *script)
{
    /* Isolated, UTF-8 whatever the image's locale is, and no byte code left in the session's directory. */
    const char *argv[] = {python, "-I", "-B", "-X", "utf8", script, NULL};
    sigset_t none;

    setsid();
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (dup2(log, 2) == 2 && dup2(control, CONTROL_FD) == CONTROL_FD) {
        close_from(CONTROL_FD + 1);
        if (chdir("/sandbox") < 0 && chdir("/") < 0)
            _exit(126);
        execve(python, (char *const *) argv, environ);
        dprintf(2, "cannot start %s: %s", python, strerror(errno));
    }
    _exit(127);
}

bool kernel_start(struct kernel *k, const char *python, const char *script)
{
    int pair[2], log[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    if (pipe2(log, O_CLOEXEC) < 0)
        return false;
    int child_control = fd_high(pair[1]), child_log = fd_high(log[1]);
    pid_t pid = fork();
    if (pid == 0)
        exec_kernel(child_control, child_log, python, script);
    close(child_control);
    close(child_log);
    if (pid < 0)
        return false;
    k->pid = pid;
    k->control = fd_high(pair[0]);
    k->log = fd_high(log[0]);
    fd_nonblock(k->log);
    setsockopt(k->control, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = SEND_TIMEOUT_S}, sizeof(struct timeval));
    return true;
}

bool kernel_send(const struct kernel *k, char type, const unsigned char *data, size_t n, const int *fds, int nfds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    unsigned char header[5] = {(unsigned char) type, n & 0xff, n >> 8 & 0xff, n >> 16 & 0xff, n >> 24 & 0xff};
    struct iovec part = {header, sizeof header};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (nfds > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE((size_t) nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t) nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t) nfds * sizeof(int));
    }
    if (sendmsg(k->control, &message, MSG_NOSIGNAL) != (ssize_t) sizeof header)
        return false;
    while (n > 0) {
        ssize_t r = send(k->control, data, n, MSG_NOSIGNAL);
        if (r <= 0)
            return false;
        data += r;
        n -= (size_t) r;
    }
    return true;
}

/* Not pid 1, as in tests: kill(-1) would reach processes that are not ours. */
static void kill_children(void)
{
    char path[64], text[4096], *save = NULL;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int) getpid());
    if (read_file(path, text, sizeof text) < 0)
        return;
    for (char *pid = strtok_r(text, " ", &save); pid; pid = strtok_r(NULL, " ", &save))
        kill((pid_t) atoi(pid), SIGKILL);
}

void kill_everything(void)
{
    int64_t deadline = now_ms() + REAP_TIMEOUT_MS;
    int round = 0;

    do {
        if (getpid() == 1)
            kill(-1, SIGKILL);
        else
            kill_children();
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return;
        usleep(round++ < 20 ? 200 : 5000);
    } while (now_ms() < deadline);
}
