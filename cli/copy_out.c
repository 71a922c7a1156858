/* SPDX-License-Identifier: MIT */
/* `cp` out of a session: what comes is hostile, and stays in the directory that it is for. */
#include "files.h"

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

static int open_root(int root) { return fcntl(root, F_DUPFD_CLOEXEC, 3); }

int files_create_below(int root, const char *path)
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

/* Where one file goes. It is made when its content is there, so that an error leaves what was there before. */
struct target {
    int root;         /* -1: the path is from here */
    const char *path; /* "-": standard output */
    int fd;           /* -1: not made */
    gboolean failed;  /* the error is about it */
};

static gboolean open_target(void *data, guint64 size, GError **error)
{
    struct target *target = data;
    (void) size;
    if (target->root >= 0)
        target->fd = files_create_below(target->root, target->path);
    else if (strcmp(target->path, "-") == 0)
        target->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        target->fd = open(target->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    target->failed = target->fd < 0 && !cannot("write", target->path, error);
    return !target->failed;
}

static gboolean write_target(void *data, const void *bytes, gsize size, GError **error)
{
    struct target *target = data;
    target->failed = !files_write_content(target->fd, bytes, size, error);
    return !target->failed;
}

/* Half a file is not left behind. */
static void take_back(const struct target *target)
{
    struct stat st;
    const char *name = NULL;
    int parent = target->root >= 0 ? open_parent(open_root(target->root), target->path, &name) : -1;
    if (parent >= 0) {
        unlinkat(parent, name, 0);
        close(parent);
    } else if (strcmp(target->path, "-") != 0 && fstat(target->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        unlink(target->path);
    }
}

static gboolean get_file(struct transfer *transfer, const char *from, struct target *target, GError **error)
{
    const struct dsb_client_sink sink = {open_target, write_target, target};
    gboolean ok = files_get(transfer, from, &sink, error);
    if (target->fd < 0)
        return ok;
    if (!ok)
        take_back(target);
    target->failed |= ok && !files_end_content(target->fd);
    target->failed |= close(target->fd) < 0 && ok;
    return ok && (!target->failed || cannot("write", target->path, error));
}

static gboolean is_fatal(const GError *error)
{
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ||
           g_error_matches(error, DSB_ERROR, DSB_ERROR_PROTOCOL);
}

static gboolean out_file(struct transfer *transfer, int root, const char *name, const char *below, GError **error)
{
    g_autoptr(GError) unread = NULL;
    struct target target = {.root = root, .path = below, .fd = -1};
    if (get_file(transfer, name, &target, &unread))
        return TRUE;
    if (target.failed || is_fatal(unread)) {
        g_propagate_error(error, g_steal_pointer(&unread));
        return FALSE;
    }
    files_leave_out(transfer, name, unread->message, TRUE);
    return TRUE;
}

static gboolean out_row(struct transfer *transfer, int root, struct json_object *row, gsize skip, GError **error)
{
    const char *type = json_string(row, "type");
    g_autofree char *name = files_name(row);
    if (name == NULL || !files_path_is_good(name) || strlen(name) <= skip)
        return TRUE;
    const char *below = name + skip;
    if (g_strcmp0(type, "directory") == 0)
        return make_below(root, below) || cannot("make the directory", below, error);
    if (g_strcmp0(type, "file") == 0)
        return out_file(transfer, root, name, below, error);
    files_leave_out(transfer, name, g_strcmp0(type, "link") == 0 ? "a symbolic link" : "not a regular file", FALSE);
    return TRUE;
}

void copy_out_below(struct transfer *transfer, int root, const char *path)
{
    g_autoptr(GError) why = NULL;
    if (!files_path_is_good(path))
        return;
    if (files_is_link_here(transfer->files_here, path))
        files_leave_out(transfer, path, "a symbolic link", FALSE);
    else if (!out_file(transfer, root, path, path, &why))
        files_leave_out(transfer, path, why->message, TRUE);
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
                    tree ? "a directory" : "a file",
                    tree ? "; use 'dsandbox session export'" : " together with --json");
        return FALSE;
    }
    g_autofree char *name = g_path_get_basename(plain);
    gboolean into = strcmp(to, "-") != 0 && stat(to, &st) == 0 && S_ISDIR(st.st_mode) && plain[0] != '\0';
    g_autofree char *target = into ? g_build_filename(to, name, NULL) : g_strdup(to);
    if (tree && files_is_directory(transfer, plain))
        return out_tree(transfer, plain, target, error);
    struct target file = {.root = -1, .path = target, .fd = -1};
    return get_file(transfer, plain, &file, error);
}
