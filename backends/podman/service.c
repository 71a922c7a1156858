/* SPDX-License-Identifier: MIT */
/*
 * Podman needs no daemon, but its HTTP interface does: where nobody listens, a service is started that
 * leaves by itself when idle. A lock file keeps several processes from starting one each.
 */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_SECONDS "30"
#define START_TIMEOUT_US (30 * G_USEC_PER_SEC)
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

static gboolean is_plain_name(const char *text)
{
    return g_ascii_isalnum(*text) && strlen(text) <= 32 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

struct dsb_podman_service *dsb_podman_service_new(const char *runtime_dir, const char *runtime, GError **error)
{
    g_autofree char *program = dsbe_find_program("podman", g_getenv("PATH"));
    if (!program || !runtime_dir) {
        g_autofree char *unsafe = g_find_program_in_path("podman");
        g_autofree char *why =
            unsafe
                ? g_strdup_printf(" (%s is not run: it, or a directory above it, is somebody else's to change)", unsafe)
                : g_strdup("");
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                    "no Podman answers, and there is no podman program to start%s: install podman, or give --host",
                    why);
        return NULL;
    }
    if (runtime && !is_plain_name(runtime)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is not the name of an OCI runtime", runtime);
        return NULL;
    }
    struct dsb_podman_service *service = g_new0(struct dsb_podman_service, 1);
    service->program = g_steal_pointer(&program);
    service->runtime = g_strdup(runtime);
    service->socket = file_in(runtime_dir, runtime, ".sock");
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

static gboolean answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* EAGAIN: it listens, and has a long queue. */
    gboolean good = fd >= 0 && (connect(fd, (struct sockaddr *) &address, sizeof address) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return good;
}

/* What Podman needs of our environment, and nothing else. */
static GStrv make_environment(void)
{
    static const char *const names[] = {"HOME",
                                        "USER",
                                        "LOGNAME",
                                        "LANG",
                                        "LC_ALL",
                                        "TMPDIR",
                                        "XDG_RUNTIME_DIR",
                                        "XDG_CONFIG_HOME",
                                        "XDG_DATA_HOME",
                                        "XDG_CACHE_HOME",
                                        "DBUS_SESSION_BUS_ADDRESS",
                                        "CONTAINERS_CONF",
                                        "CONTAINERS_STORAGE_CONF",
                                        "CONTAINERS_REGISTRIES_CONF",
                                        "REGISTRY_AUTH_FILE",
                                        "HTTP_PROXY",
                                        "HTTPS_PROXY",
                                        "NO_PROXY",
                                        "http_proxy",
                                        "https_proxy",
                                        "no_proxy"};
    const char *path_list = g_getenv("PATH");
    g_autofree char *safe = dsbe_safe_path(path_list ? path_list : DSBE_DEFAULT_PATH);
    GStrv environment = g_environ_setenv(NULL, "PATH", safe, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_getenv(names[i]))
            environment = g_environ_setenv(environment, names[i], g_getenv(names[i]), TRUE);
    return environment;
}

/* In a session of its own: it outlives us, and a terminal's signals do not reach it. */
static int spawn_service(const struct dsb_podman_service *service, pid_t *pid)
{
    g_auto(GStrv) environment = make_environment();
    g_autofree char *url = g_strconcat("unix://", service->socket, NULL);
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
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, service->log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
                                     0600);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    /* conmon leaves a file "oom" where it is, when a container runs out of memory. */
    g_autofree char *home = g_path_get_dirname(service->log);
    posix_spawn_file_actions_addchdir_np(&actions, home);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int failed = posix_spawn(pid, service->program, &actions, &attributes, (char *const *) argv->pdata, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
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

static gboolean start_and_wait(struct dsb_podman_service *service, gint64 deadline, int cancel_fd, GError **error)
{
    if (service->child > 0)
        (void) waitpid(service->child, NULL, WNOHANG); /* the one before left when it was idle */
    service->child = 0;
    pid_t pid = 0;
    int failed = spawn_service(service, &pid);
    if (failed) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "cannot run %s: %s", service->program, g_strerror(failed));
        return FALSE;
    }
    service->child = pid;
    while (!answers(service->socket)) {
        int status = 0;
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
    if (answers(service->socket))
        return TRUE;
    int lock = open(service->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "cannot use \"%s\": %s", service->lock, g_strerror(errno));
        return FALSE;
    }
    deadline = MIN(deadline, g_get_monotonic_time() + START_TIMEOUT_US);
    gboolean good = dsbe_take_lock(lock, deadline, cancel_fd, "another start of podman system service", error) &&
                    (answers(service->socket) || start_and_wait(service, deadline, cancel_fd, error));
    close(lock);
    return good;
}
