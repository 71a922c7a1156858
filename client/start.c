/* SPDX-License-Identifier: MIT */
#include "client/start.h"

#include "client/client.h"
#include "client/socket_path.h"
#include "common/engine_variables.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_SECONDS 30
#define STEP_MS 10
#define LOG_BYTES_MAX (1 << 20)
#define LAST_WORDS 512
#define LAST_WORD_BYTES 1024 /* of a line in the log */

char *dsb_client_helper(const char *built_in, const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    if (self != NULL && g_str_has_prefix(self, DSB_BUILD_DIR "/"))
        return g_build_filename(DSB_BUILD_DIR, built_in, name, NULL);
    return g_build_filename(DSB_HELPER_DIR, name, NULL);
}

char **client_environment(void)
{
    static const char *const names[] = {"PATH",   "USER",              "LOGNAME", "LANG", "TZ",
                                        "TMPDIR", "BUILDAH_ISOLATION", "G_DEBUG", NULL};
    static const char *const prefixes[] = {"LC_",   "XDG_",  "DOCKER_", "CONTAINER_", "DSB_",
                                           "ASAN_", "LSAN_", "UBSAN_",  "TSAN_",      NULL};
    g_auto(GStrv) all = g_get_environ();
    GPtrArray *kept = g_ptr_array_new();
    for (char **variable = all; *variable != NULL; variable++) {
        g_autofree char *name = g_strndup(*variable, strcspn(*variable, "="));
        gboolean good = g_strv_contains(names, name) || g_strv_contains(dsb_engine_variables, name);
        for (const char *const *prefix = prefixes; *prefix != NULL; prefix++)
            good |= g_str_has_prefix(name, *prefix);
        if (good)
            g_ptr_array_add(kept, g_strdup(*variable));
    }
    g_ptr_array_add(kept, NULL);
    return (char **) g_ptr_array_free(kept, FALSE);
}

/* A service that cannot say why it does not start would not start with so little, either. */
static gboolean has_room(int log, const char *path, GError **error)
{
    struct stat st;
    struct rlimit limit;
    if (fstat(log, &st) < 0 || getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY ||
        limit.rlim_max > (rlim_t) st.st_size + LAST_WORD_BYTES)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "file too large: a service needs more than %llu for its log %s alone (ulimit -f)",
                (unsigned long long) limit.rlim_max, path);
    return FALSE;
}

static int open_log(const char *socket_path, GError **error)
{
    struct stat st;
    g_autofree char *path = socket_sibling(socket_path, ".log");
    int fd = socket_open_lock(path, error);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_size > LOG_BYTES_MAX && ftruncate(fd, 0) < 0)
        g_debug("%s: %s", path, g_strerror(errno));
    /* The service and its helpers write to it, and others may: each line goes behind what is there. */
    if (fcntl(fd, F_SETFL, O_APPEND) < 0)
        g_debug("%s: %s", path, g_strerror(errno));
    if (has_room(fd, path, error))
        return fd;
    close(fd);
    return -1;
}

static void new_session(gpointer data)
{
    (void) data;
    setsid();
}

/* *alive gets a descriptor that ends with the service. */
static gboolean spawn(const char *socket_path, int *alive, GError **error)
{
    int fds[2];
    g_autofree char *program = dsb_client_helper("service", "dsandbox-serve");
    g_autofree char *ours = socket_default_path();
    gboolean is_default = strcmp(ours, socket_path) == 0;
    const char *argv[] = {program, is_default ? NULL : "--socket", socket_path, NULL};
    g_auto(GStrv) env = client_environment();
    int log = open_log(socket_path, error);
    if (log < 0)
        return FALSE;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        close(log);
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "pipe: %s", g_strerror(errno));
        return FALSE;
    }
    const int target = 3;
    gboolean ok =
        g_spawn_async_with_pipes_and_fds("/", argv, (const char *const *) env, G_SPAWN_DEFAULT, new_session, NULL, -1,
                                         log, log, &fds[1], &target, 1, NULL, NULL, NULL, NULL, error);
    close(log);
    close(fds[1]);
    if (ok) {
        *alive = fds[0];
        return TRUE;
    }
    close(fds[0]);
    g_prefix_error(error, "the service could not be started: ");
    if (error != NULL && *error != NULL)
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_UNAVAILABLE;
    return FALSE;
}

static gboolean did_not_start(const char *socket_path, const char *how, GError **error)
{
    g_autofree char *path = socket_sibling(socket_path, ".log");
    g_autofree char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, NULL))
        size = 0;
    if (text != NULL)
        g_strchomp(text);
    const char *line = text != NULL ? strrchr(text, '\n') : NULL;
    line = line != NULL ? line + 1 : text;
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "the service %s; its last words, in %s: %.*s", how, path,
                LAST_WORDS, line != NULL ? line : "");
    return FALSE;
}

/* What is waited for, and until when. */
struct waiting {
    const char *socket_path;
    gboolean (*answers)(void *data);
    void *data;
    int cancel_fd;
    gint64 deadline;
};

/* TRUE: go on; *news: `fd` became readable. */
static gboolean step(const struct waiting *waiting, int fd, gboolean *news, GError **error)
{
    struct pollfd fds[] = {{fd, POLLIN, 0}, {waiting->cancel_fd, POLLIN, 0}};
    if (poll(fds, G_N_ELEMENTS(fds), STEP_MS) <= 0)
        return TRUE;
    *news = fds[0].revents != 0;
    if (fds[1].revents == 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled while the service was started");
    return FALSE;
}

static gboolean wait_for(const struct waiting *waiting, int alive, GError **error)
{
    while (g_get_monotonic_time() < waiting->deadline) {
        gboolean ended = FALSE;
        if (waiting->answers(waiting->data))
            return TRUE;
        if (!step(waiting, alive, &ended, error))
            return FALSE;
        /* It ended: perhaps another one was faster. */
        if (ended)
            return waiting->answers(waiting->data) ||
                   did_not_start(waiting->socket_path, "ended at its start", error);
    }
    return did_not_start(waiting->socket_path, "does not answer after 30 s", error);
}

static gboolean start_once(const struct waiting *waiting, GError **error)
{
    int alive = -1;
    if (!spawn(waiting->socket_path, &alive, error))
        return FALSE;
    gboolean ok = wait_for(waiting, alive, error);
    close(alive);
    return ok;
}

static gboolean start_locked(const struct waiting *waiting, GError **error)
{
    if (waiting->answers(waiting->data))
        return TRUE;
    g_autoptr(GError) first = NULL;
    if (start_once(waiting, &first))
        return TRUE;
    if (g_error_matches(first, DSB_ERROR, DSB_ERROR_CANCELLED)) {
        g_propagate_error(error, g_steal_pointer(&first));
        return FALSE;
    }
    /* It finds one that answers, and that one ends just then: hence a second time. */
    return start_once(waiting, error);
}

static gboolean start_in_turn(const struct waiting *waiting, int lock, GError **error)
{
    gboolean news = FALSE;
    while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (waiting->answers(waiting->data))
            return TRUE;
        if (g_get_monotonic_time() > waiting->deadline)
            return did_not_start(waiting->socket_path,
                                 "is being started by somebody else, and does not answer after 30 s", error);
        if (!step(waiting, -1, &news, error))
            return FALSE;
    }
    return start_locked(waiting, error);
}

gboolean client_start(const char *socket_path, int cancel_fd, gboolean (*answers)(void *), void *data, GError **error)
{
    g_autofree char *path = socket_sibling(socket_path, ".lock");
    const struct waiting waiting = {socket_path, answers, data, cancel_fd,
                                    g_get_monotonic_time() + START_SECONDS * G_USEC_PER_SEC};
    int lock = socket_open_lock(path, error);
    if (lock < 0)
        return FALSE;
    gboolean ok = start_in_turn(&waiting, lock, error);
    close(lock);
    return ok;
}
