/* SPDX-License-Identifier: MIT */
/* Processes: the interpreter's start, and the end of all of them. */
#include "init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_FD 3
#define FIRST_FD 4 /* what an interpreter gets besides */
#define CHUNK (64 * KIB) /* a packet of a session's socket */
#define REAP_TIMEOUT_MS 5000

extern char **environ;

int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t now_ms(void) { return now_us() / 1000; }

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

void close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
#endif
    for (int fd = (int) first; fd < 4096; fd++)
        close(fd);
}

/*
 * The interpreter's own environment, which is not the code's. No options: they would come to every Python that the code
 * starts. What they would do is done here: no PYTHON variable of the image, no home with packages of the code's in it, UTF-8
 * whatever the image says. (kernel.py takes our own directory from the path.) No byte code: the code has that variable too.
 */
static char **interpreter_environment(void)
{
    static char *kept[1024];
    static const char *const ours[] = {"HOME=/nonexistent", "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"};
    static const char *const without[] = {"PYTHON", "HOME=", "LANG=", "LC_"};
    size_t n = 0;

    for (char **e = environ; *e && n < sizeof kept / sizeof *kept - 8; e++) {
        bool keep = true;
        for (size_t i = 0; i < sizeof without / sizeof *without; i++)
            keep = keep && strncmp(*e, without[i], strlen(without[i])) != 0;
        if (keep)
            kept[n++] = *e;
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        kept[n++] = (char *) (uintptr_t) ours[i];
    kept[n] = NULL;
    return kept;
}

/* 0 and 1 lead to the log as well, so that the streams are made on what they will be: pipes. */
static bool place_descriptors(int control, int log, const int *fds, int nfds)
{
    for (int fd = 0; fd < CONTROL_FD; fd++)
        if (dup2(log, fd) != fd)
            return false;
    if (dup2(control, CONTROL_FD) < 0)
        return false;
    for (int i = 0; i < nfds; i++)
        if (dup2(fds[i] < 0 ? log : fds[i], FIRST_FD + i) < 0)
            return false;
    close_from((unsigned) (FIRST_FD + nfds));
    return true;
}

void process_begin(void)
{
    sigset_t none;

    setsid();
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static _Noreturn void exec_kernel(int control, int log, const int *fds, int nfds, const char *python, const char *script)
{
    const char *argv[] = {python, script, NULL};

    process_begin();
    if (place_descriptors(control, log, fds, nfds)) {
        if (chdir("/sandbox") < 0 && chdir("/") < 0)
            _exit(126);
        execve(python, (char *const *) argv, interpreter_environment());
        dprintf(2, "cannot start %s: %s", python, strerror(errno));
    }
    _exit(127);
}

bool kernel_start(struct kernel *k, int socket_type, const int *fds, int nfds, const char *python, const char *script)
{
    int pair[2], log[2];

    if (socketpair(AF_UNIX, socket_type | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    if (pipe2(log, O_CLOEXEC) < 0)
        return false;
    int child_control = fd_high(pair[1]), child_log = fd_high(log[1]);
    pid_t pid = fork();
    if (pid == 0)
        exec_kernel(child_control, child_log, fds, nfds, python, script);
    close(child_control);
    close(child_log);
    if (pid < 0)
        return false;
    k->pid = pid;
    k->control = fd_high(pair[0]);
    k->log = fd_high(log[0]);
    fd_nonblock(k->log);
    return true;
}

/* Waits when the socket is full, but not for ever: what is at the other end may have been stopped. */
static bool send_part(int control, const unsigned char *data, size_t size, int64_t until, size_t *sent)
{
    for (;;) {
        ssize_t n = send(control, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            *sent = (size_t) n;
            return true;
        }
        int64_t left = until - now_ms();
        if (n == 0 || (errno != EAGAIN && errno != EINTR) || left <= 0)
            return false;
        poll(&(struct pollfd){.fd = control, .events = POLLOUT}, 1, (int) left);
    }
}

bool kernel_send(int control, const struct message *m, int64_t wait_ms)
{
    unsigned char header[MESSAGE_HEADER];
    int64_t until = now_ms() + wait_ms;
    size_t sent;

    header[0] = (unsigned char) m->type;
    put_number(header + 1, m->n, 4);
    put_number(header + 5, m->number, 4);
    put_number(header + 9, m->nonce, 8);
    if (!send_part(control, header, sizeof header, until, &sent) || sent != sizeof header)
        return false;
    for (size_t at = 0; at < m->n; at += sent)
        if (!send_part(control, m->data + at, m->n - at < CHUNK ? m->n - at : CHUNK, until, &sent))
            return false;
    return true;
}

/* Not pid 1, as in tests: kill(-1) would reach processes that are not ours. Orphans come to us, round by round. */
static int kill_children(pid_t keep)
{
    char path[64], text[4096], *save = NULL;
    int n = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int) getpid());
    if (read_file(path, text, sizeof text) < 0)
        return 0;
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        pid_t pid = (pid_t) atoi(word);
        if (pid > 1 && pid != keep) {
            kill(pid, SIGKILL);
            n++;
        }
    }
    return n;
}

static int kill_namespace(pid_t keep)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d))) {
        pid_t pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t) atoi(e->d_name) : 0;
        if (pid > 1 && pid != keep) {
            kill(pid, SIGKILL);
            n++;
        }
    }
    if (d)
        closedir(d);
    return n;
}

bool kill_others(pid_t keep)
{
    int64_t deadline = now_ms() + REAP_TIMEOUT_MS;
    bool alive = true, pid1 = getpid() == 1;
    int round = 0, n;

    /* Who is stopped forks no more, so that one pass over /proc sees them all. */
    if (pid1)
        kill(-1, SIGSTOP);
    do {
        n = pid1 ? kill_namespace(keep) : kill_children(keep);
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            alive = alive && pid != keep;
        if (n == 0)
            break;
        usleep(round++ < 20 ? 200 : 5000);
    } while (now_ms() < deadline);
    if (alive && n == 0)
        kill(keep, SIGCONT);
    return alive && n == 0;
}

void kill_everything(void)
{
    int64_t deadline = now_ms() + REAP_TIMEOUT_MS;
    int round = 0;

    do {
        if (getpid() == 1)
            kill(-1, SIGKILL);
        else
            kill_children(0);
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return;
        usleep(round++ < 20 ? 200 : 5000);
    } while (now_ms() < deadline);
}
