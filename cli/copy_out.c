/* SPDX-License-Identifier: MIT */
#include "files.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Out of a session: the names and the content are not to be trusted, the place where they go is. Below it every
 * directory is opened without following links, and files are not executable.
 */

static gboolean cannot(const char *what, const char *path, GError **error)
{
    g_autofree char *shown = g_strescape(path, NULL);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot %s \"%s\": %s", what, shown, g_strerror(errno));
    return FALSE;
}

static gboolean write_file(int fd, const GByteArray *bytes, const char *path, GError **error)
{
    if (fd < 0)
        return cannot("write", path, error);
    gboolean ok = tar_write(fd, bytes->data, bytes->len, error);
    return close(fd) == 0 && ok ? TRUE : ok ? cannot("write", path, error) : FALSE;
}

/* Takes fd. The directory of `path` below it, made where it is missing; -1: errno. */
static int open_parent(int fd, const char *path, const char **name)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    guint n = g_strv_length(parts);
    for (guint i = 0; i + 1 < n && fd >= 0; i++) {
        if (mkdirat(fd, parts[i], 0777) < 0 && errno != EEXIST) {
            close(fd);
            return -1;
        }
        int next = openat(fd, parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    const char *slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path;
    return fd;
}

static int open_root(int root)
{
    return fcntl(root, F_DUPFD_CLOEXEC, 3);
}

/* Another file of that name is replaced, a link too. */
static int create_below(int root, const char *path)
{
    const char *name = NULL;
    int parent = open_parent(open_root(root), path, &name);
    if (parent < 0)
        return -1;
    unlinkat(parent, name, 0);
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    int saved = errno;
    close(parent);
    errno = saved;
    return fd;
}

static gboolean make_below(int root, const char *path)
{
    const char *name = NULL;
    g_autofree char *inside = g_strconcat(path, "/x", NULL);
    int fd = open_parent(open_root(root), inside, &name);
    if (fd < 0)
        return FALSE;
    close(fd);
    return TRUE;
}

static gboolean is_fatal(const GError *error)
{
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) || g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL);
}

static gboolean out_row(struct transfer *transfer, int root, struct json_object *row, gsize skip, GError **error)
{
    g_autoptr(GError) unread = NULL;
    const char *type = json_string(row, "type");
    g_autofree char *name = files_name(row);
    if (name == NULL || !files_path_is_good(name) || strlen(name) <= skip)
        return TRUE;
    const char *below = name + skip;
    if (g_strcmp0(type, "directory") == 0)
        return make_below(root, below) || cannot("make the directory", below, error);
    if (g_strcmp0(type, "file") != 0) {
        files_leave_out(transfer, name, g_strcmp0(type, "link") == 0 ? "a symbolic link" : "not a regular file", FALSE);
        return TRUE;
    }
    g_autoptr(GByteArray) bytes = files_get(transfer, name, &unread);
    if (bytes != NULL)
        return write_file(create_below(root, below), bytes, below, error);
    if (is_fatal(unread)) {
        g_propagate_error(error, g_steal_pointer(&unread));
        return FALSE;
    }
    files_leave_out(transfer, name, unread->message, TRUE);
    return TRUE;
}

static gboolean out_tree(struct transfer *transfer, const char *path, const char *to, GError **error)
{
    struct json_object *answer = files_list(transfer, path, error);
    struct json_object *rows = json_member(answer, "files");
    gsize skip = path[0] != '\0' ? strlen(path) + 1 : 0;
    if (answer == NULL)
        return FALSE;
    if (mkdir(to, 0777) < 0 && errno != EEXIST) {
        json_object_put(answer);
        return cannot("make the directory", to, error);
    }
    int root = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = root >= 0 || cannot("open", to, error);
    for (size_t i = 0; ok && i < json_object_array_length(rows); i++)
        ok = out_row(transfer, root, json_object_array_get_idx(rows, i), skip, error);
    if (root >= 0)
        close(root);
    json_object_put(answer);
    return ok;
}

static gboolean out_file(struct transfer *transfer, const char *path, const char *to, GError **error)
{
    g_autoptr(GByteArray) bytes = files_get(transfer, path, error);
    if (bytes == NULL)
        return FALSE;
    if (strcmp(to, "-") == 0)
        return write_file(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), bytes, "standard output", error);
    return write_file(open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666), bytes, to, error);
}

gboolean copy_out(struct transfer *transfer, const char *path, const char *to, GError **error)
{
    struct stat st;
    g_autofree char *plain = g_strdup(path);
    if (g_str_has_suffix(plain, "/"))
        plain[strlen(plain) - 1] = '\0';
    gboolean tree = plain[0] == '\0' || transfer->cli->recursive || files_is_directory(transfer, plain);
    if (tree && !transfer->cli->recursive) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s:%s is a directory: add -r to copy what is in it",
                    transfer->session, plain);
        return FALSE;
    }
    if (strcmp(to, "-") == 0 && (tree || transfer->cli->json)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s does not go to standard output%s",
                    tree ? "a directory" : "a file", tree ? "; use 'dsandbox session export'" : " together with --json");
        return FALSE;
    }
    g_autofree char *name = g_path_get_basename(plain);
    gboolean into = strcmp(to, "-") != 0 && stat(to, &st) == 0 && S_ISDIR(st.st_mode) && plain[0] != '\0';
    g_autofree char *target = into ? g_build_filename(to, name, NULL) : g_strdup(to);
    if (tree && files_is_directory(transfer, plain))
        return out_tree(transfer, plain, target, error);
    return out_file(transfer, plain, target, error);
}
