/* SPDX-License-Identifier: MIT */
/* Files and programs that others may have made: bounded reads of regular files, and whom to trust with a program. */
#include "engine/engine.h"

#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_PARTS 256

int dsbe_open_regular(const char *path, uint64_t *size, GError **error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, errno == ENOENT ? DSB_ERROR_NOT_FOUND : DSB_ERROR_INVALID),
                    "cannot read \"%s\": %s", path, dsb_errno_text(errno));
        return -1;
    }
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        *size = (uint64_t) info.st_size;
        return fd;
    }
    close(fd);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "cannot read \"%s\": not a regular file", path);
    return -1;
}

static gboolean read_up_to(int fd, gsize limit, GString *into)
{
    while (into->len <= limit) {
        char buffer[16384];
        gssize n = read(fd, buffer, MIN(sizeof buffer, limit + 1 - into->len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        g_string_append_len(into, buffer, n);
    }
    return TRUE;
}

char *dsbe_read_file(const char *path, gsize limit, gsize *size, GError **error)
{
    uint64_t stated = 0;
    int fd = dsbe_open_regular(path, &stated, error);
    if (fd < 0)
        return NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    gboolean good = stated <= limit && read_up_to(fd, limit, text);
    int reason = errno;
    close(fd);
    if (good && text->len <= limit) {
        *size = text->len;
        return g_string_free(g_steal_pointer(&text), FALSE);
    }
    gboolean large = stated > limit || text->len > limit;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "cannot use \"%s\": %s", path,
                large ? "it is too large" : g_strerror(reason));
    return NULL;
}

/* A sticky directory may be on the way; where programs are looked for nobody may add one. */
static gboolean chain_ok(const char *resolved)
{
    g_autofree char *path = g_strdup(resolved);
    struct stat info;
    for (gboolean parent = FALSE;; parent = TRUE) {
        if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode) ||
            !(parent ? dsb_is_trusted(&info) : dsb_is_closed(&info)))
            return FALSE;
        if (strcmp(path, "/") == 0)
            return TRUE;
        g_autofree char *up = g_path_get_dirname(path);
        g_free(path);
        path = g_steal_pointer(&up);
    }
}

gboolean dsbe_directory_ok(const char *path)
{
    char resolved[PATH_MAX];
    return g_path_is_absolute(path) && realpath(path, resolved) && chain_ok(resolved);
}

gboolean dsbe_program_ok(const char *path)
{
    char resolved[PATH_MAX];
    struct stat info;
    g_autofree char *directory = g_path_get_dirname(path);
    if (!dsbe_directory_ok(directory) || !realpath(path, resolved) || stat(resolved, &info) != 0 || !S_ISREG(info.st_mode) ||
        !dsb_is_closed(&info) || access(path, X_OK) != 0)
        return FALSE;
    g_autofree char *real_directory = g_path_get_dirname(resolved);
    return chain_ok(real_directory);
}

char *dsbe_safe_path(const char *path_list)
{
    g_auto(GStrv) directories = g_strsplit(path_list, ":", PATH_MAX_PARTS);
    g_autoptr(GString) safe = g_string_new(NULL);
    for (guint i = 0; directories[i]; i++)
        if (dsbe_directory_ok(directories[i]))
            g_string_append_printf(safe, "%s%s", safe->len > 0 ? ":" : "", directories[i]);
    return g_string_free(g_steal_pointer(&safe), FALSE);
}

char *dsbe_find_program(const char *name, const char *path_list)
{
    g_auto(GStrv) directories = g_strsplit(path_list, ":", PATH_MAX_PARTS);
    for (guint i = 0; directories[i]; i++) {
        g_autofree char *path = g_build_filename(directories[i], name, NULL);
        if (g_path_is_absolute(path) && dsbe_program_ok(path))
            return g_steal_pointer(&path);
    }
    return NULL;
}

char *dsbe_manager_controllers(void)
{
    g_autofree char *path = g_strdup_printf("/sys/fs/cgroup/user.slice/user-%u.slice/user@%u.service/cgroup.controllers",
                                            (guint) geteuid(), (guint) geteuid());
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_steal_pointer(&text) : NULL;
}
