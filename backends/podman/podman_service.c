/* SPDX-License-Identifier: MIT */
/*
 * Podman needs no daemon, but its HTTP interface does: where nobody listens, a service is started that
 * leaves by itself when idle. A lock file keeps several processes from starting one each.
 */
#include "podman/endpoint.h"

#include "common/child.h"
#include "common/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_SECONDS "30"
#define POLL_US 20000
#define LOG_TAIL 512

struct dsb_podman_service {
    char *program, *runtime, *socket, *log, *lock;
    pid_t child; /* the service we started last, until it was reaped; guarded by the lock file */
};

static char *file_in(const char *dir, const char *runtime, const char *suffix)
{
    g_autofree char *name = g_strconcat("podman", runtime ? "-" : "", runtime ? runtime : "", suffix, NULL);
    return g_build_filename(dir, name, NULL);
}

struct dsb_podman_service *dsb_podman_service_new(const char *runtime_dir, const char *runtime, GError **error)
{
    g_autofree char *program = dsbe_find_program("podman", dsbe_path_list());
    if (!program || !runtime_dir) {
        g_autofree char *unsafe = g_find_program_in_path("podman");
        g_autofree char *why =
            unsafe
                ? g_strdup_printf(" (%s is not run: it, or a directory above it, is somebody else's to change)", unsafe)
                : g_strdup("");
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                    "no Podman answers, and there is no podman program to start%s: install podman, or give an endpoint",
                    why);
        return NULL;
    }
    if (runtime && !dsb_is_word(runtime, "._-", 32)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is not the name of an OCI runtime", runtime);
        return NULL;
    }
    struct dsb_podman_service *service = g_new0(struct dsb_podman_service, 1);
    service->program = g_steal_pointer(&program);
    service->runtime = g_strdup(runtime);
    g_autofree char *state = dsb_podman_state();
    g_autofree char *suffix = g_strdup_printf("-%s.sock", state);
    service->socket = file_in(runtime_dir, runtime, suffix);
    service->log = file_in(runtime_dir, runtime, ".log");
    service->lock = file_in(runtime_dir, runtime, ".lock");
    if (strlen(service->socket) < sizeof(((struct sockaddr_un *) NULL)->sun_path))
        return service;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is too long for the path of a socket", service->socket);
    dsb_podman_service_free(service);
    return NULL;
}

void dsb_podman_service_free(void *data)
{
    struct dsb_podman_service *service = data;
    if (!service)
        return;
    g_free(service->program);
    g_free(service->runtime);
    g_free(service->socket);
    g_free(service->log);
    g_free(service->lock);
    g_free(service);
}

const char *dsb_podman_service_socket(const struct dsb_podman_service *service) { return service->socket; }

/* *shortage: errno of why it could not be tried. */
static gboolean answers(const char *path, int *shortage)
{
    *shortage = 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* EAGAIN: it listens, and has a long queue. */
    if (fd < 0 && dsb_errno_is_shortage(errno))
        *shortage = errno;
    gboolean good = fd >= 0 && (connect(fd, (struct sockaddr *) &address, sizeof address) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return good;
}

const char *const dsb_podman_passed[] = {
    "USER",           "LOGNAME",            "LANG",       "LC_ALL",      "TMPDIR",
    "XDG_CACHE_HOME", "REGISTRY_AUTH_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy",     "https_proxy",        "no_proxy",   NULL,
};

/* In a session of its own: it outlives us, and a terminal's signals do not reach it. 0, or an errno. */
static int spawn_service(const struct dsb_podman_service *service, pid_t *pid)
{
    g_auto(GStrv) environment = dsbe_environment(dsb_podman_passed);
    g_autofree char *url = g_strconcat("unix://", service->socket, NULL);
    /* conmon leaves a file "oom" where it is, when a container runs out of memory. */
    g_autofree char *home = g_path_get_dirname(service->log);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, (char *) "podman");
    if (service->runtime) {
        g_ptr_array_add(argv, (char *) "--runtime");
        g_ptr_array_add(argv, service->runtime);
    }
    g_ptr_array_add(argv, (char *) "system");
    g_ptr_array_add(argv, (char *) "service");
    g_ptr_array_add(argv, (char *) "--time");
    g_ptr_array_add(argv, (char *) IDLE_SECONDS);
    g_ptr_array_add(argv, url);
    g_ptr_array_add(argv, NULL);
    int log = open(service->log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (log < 0)
        return errno;
    const struct child child = {.program = service->program,
                                .directory = home,
                                .argv = (char *const *) argv->pdata,
                                .environment = environment,
                                .in = -1,
                                .out = -1,
                                .err = log,
                                .link = -1,
                                .session = TRUE};
    int failed = child_start(&child, pid);
    close(log);
    return failed;
}

static char *log_tail(const struct dsb_podman_service *service)
{
    uint64_t size = 0;
    char text[LOG_TAIL];
    int fd = dsbe_open_regular(service->log, &size, NULL);
    gssize n = fd >= 0 ? pread(fd, text, sizeof text, size > LOG_TAIL ? (off_t) (size - LOG_TAIL) : 0) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 ? dsbe_one_line(text, (gsize) n) : g_strdup("no message");
}

static void end_child(struct dsb_podman_service *service)
{
    if (service->child > 0) {
        kill(service->child, SIGKILL);
        waitpid(service->child, NULL, 0);
    }
    service->child = 0;
}

static gboolean late(GError **error, const char *what)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "%s did not end in time", what);
    return FALSE;
}

static gboolean cannot_ask(const struct dsb_podman_service *service, int shortage, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the engine at \"%s\" cannot be asked: %s", service->socket,
                dsb_errno_text(shortage));
    return FALSE;
}

static gboolean start_and_wait(struct dsb_podman_service *service, gint64 deadline, int cancel_fd, GError **error)
{
    if (service->child > 0)
        (void) waitpid(service->child, NULL, WNOHANG); /* the one before left when it was idle */
    service->child = 0;
    pid_t pid = 0;
    int shortage = 0;
    int failed = spawn_service(service, &pid);
    if (failed) {
        int code = failed == EAGAIN ? DSB_ERROR_FAILED : dsb_errno_code(failed, DSB_ERROR_UNAVAILABLE);
        g_set_error(error, DSB_ERROR, code, "cannot run %s: %s",
                    service->program, dsb_errno_text(failed));
        return FALSE;
    }
    service->child = pid;
    while (!answers(service->socket, &shortage)) {
        int status = 0;
        if (shortage != 0) {
            end_child(service);
            return cannot_ask(service, shortage, error);
        }
        if (waitpid(pid, &status, WNOHANG) == pid) {
            service->child = 0;
            g_autofree char *tail = log_tail(service);
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "podman system service did not start: %s", tail);
            return FALSE;
        }
        gint64 now = g_get_monotonic_time();
        enum dsbe_wait wait =
            now < deadline ? dsbe_wait(-1, 0, MIN(deadline, now + POLL_US), cancel_fd) : DSBE_WAIT_READY;
        if (wait == DSBE_WAIT_TIMEOUT)
            continue;
        end_child(service);
        return wait == DSBE_WAIT_CANCELLED ? dsbe_set_cancelled(error)
                                           : late(error, "the start of podman system service");
    }
    return TRUE;
}

/* The lock is held by whoever starts the service, at most for the time that takes. */
gboolean dsb_podman_service_ensure(void *data, gint64 deadline, int cancel_fd, GError **error)
{
    struct dsb_podman_service *service = data;
    int shortage = 0;
    if (answers(service->socket, &shortage))
        return TRUE;
    if (shortage != 0)
        return cannot_ask(service, shortage, error);
    int lock = open(service->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot use \"%s\": %s", service->lock,
                    dsb_errno_text(errno));
        return FALSE;
    }
    gboolean good = dsbe_take_lock(lock, deadline, cancel_fd, "another start of podman system service", error) &&
                    (answers(service->socket, &shortage) || start_and_wait(service, deadline, cancel_fd, error));
    close(lock);
    return good;
}
