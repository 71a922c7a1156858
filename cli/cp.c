/* SPDX-License-Identifier: MIT */
/* `cp`: files into a session, and out of it. */
#include "files.h"
#include "input.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "ID:PATH" or a path of ours. A name of ours with a colon is written ./a:b. */
static gboolean is_remote(const char *operand, char **id, const char **path)
{
    const char *colon = strchr(operand, ':');
    if (colon == NULL || colon == operand || memchr(operand, '/', (gsize) (colon - operand)) != NULL)
        return FALSE;
    *id = g_strndup(operand, (gsize) (colon - operand));
    *path = colon + 1;
    return TRUE;
}

static gboolean last_is_slash(const char *path) { return path[0] == '\0' || g_str_has_suffix(path, "/"); }

static char *join(const char *directory, const char *name)
{
    if (last_is_slash(directory))
        return g_strconcat(directory, name, NULL);
    return g_strconcat(directory, "/", name, NULL);
}

/* --- into a session ------------------------------------------------------------- */

struct descriptor {
    int fd;
    const char *name;
};

static gssize read_piece(void *data, void *into, gsize size, GError **error)
{
    const struct descriptor *from = data;
    return cli_read_piece(from->fd, from->name, into, size, error);
}

static gboolean put_descriptor(struct transfer *transfer, int fd, const char *from, const char *path, GError **error)
{
    struct descriptor descriptor = {fd, from};
    const struct dsb_client_source source = {read_piece, &descriptor};
    return files_put(transfer, path, &source, error);
}

static gboolean put_file(struct transfer *transfer, const char *from, const char *path, GError **error)
{
    int fd = cli_open_input(from, error);
    if (fd < 0)
        return FALSE;
    gboolean ok = put_descriptor(transfer, fd, from, path, error);
    close(fd);
    return ok;
}

static gboolean put_tree(struct transfer *transfer, const char *from, const char *path, guint depth, GError **error);

static gboolean put_any(struct transfer *transfer, const char *from, const char *path, guint depth, GError **error)
{
    struct stat st;
    if (lstat(from, &st) == 0 && S_ISDIR(st.st_mode))
        return put_tree(transfer, from, path, depth + 1, error);
    if (S_ISREG(st.st_mode))
        return put_file(transfer, from, path, error);
    files_leave_out(transfer, from, "neither a regular file nor a directory", FALSE);
    return TRUE;
}

static gboolean put_tree(struct transfer *transfer, const char *from, const char *path, guint depth, GError **error)
{
    const char *name;
    guint n = 0;
    if (depth > DSB_FILES_DEPTH_MAX) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "%s: more than %d directories in one another", from,
                    DSB_FILES_DEPTH_MAX);
        return FALSE;
    }
    g_autoptr(GDir) dir = g_dir_open(from, 0, error);
    if (dir == NULL)
        return FALSE;
    for (; (name = g_dir_read_name(dir)) != NULL; n++) {
        g_autofree char *here = g_build_filename(from, name, NULL);
        g_autofree char *there = join(path, name);
        if (!put_any(transfer, here, there, depth, error))
            return FALSE;
    }
    return n > 0 || path[0] == '\0' || files_mkdir(transfer, path, error);
}

/* As cp does: what is a directory already gets it under its own name. */
static char *target_in(struct transfer *transfer, const char *from, const char *path)
{
    g_autofree char *absolute = g_canonicalize_filename(from, NULL);
    g_autofree char *name = g_path_get_basename(absolute);
    if (last_is_slash(path) || files_is_directory(transfer, path))
        return join(path, name);
    return g_strdup(path);
}

gboolean copy_in(struct transfer *transfer, const char *from, const char *path, GError **error)
{
    struct stat st;
    if (strcmp(from, "-") == 0 && last_is_slash(path)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "standard input has no name: give the file's, SESSION:PATH");
        return FALSE;
    }
    if (strcmp(from, "-") == 0)
        return put_descriptor(transfer, STDIN_FILENO, "standard input", path, error);
    g_autofree char *target = target_in(transfer, from, path);
    if (stat(from, &st) < 0 || !S_ISDIR(st.st_mode))
        return put_file(transfer, from, target, error);
    if (transfer->cli->recursive)
        return put_tree(transfer, from, target, 1, error);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is a directory: add -r to copy what is in it", from);
    return FALSE;
}

/* --- the verb ------------------------------------------------------------------- */

static int copy(const struct cli *cli, const char *session, const char *path, const char *ours, gboolean in)
{
    g_autoptr(GError) error = NULL;
    struct transfer transfer = {.cli = cli};
    g_autofree char *below = files_path(path, &error);
    if (below != NULL && transfer_begin(&transfer, cli, session, &error)) {
        if (in)
            copy_in(&transfer, ours, below, &error);
        else
            copy_out(&transfer, below, ours, &error);
    }
    return transfer_end(&transfer, error);
}

int cli_cp(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *from_id = NULL, *to_id = NULL;
    const char *from_path = NULL, *to_path = NULL;
    gboolean from = is_remote(cli->args[1], &from_id, &from_path), to = is_remote(cli->args[2], &to_id, &to_path);
    if (from == to) {
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID,
                            from ? "cp: one of both is in a session; copy to a file of yours first"
                                 : "cp: which session? dsandbox cp SRC SESSION:PATH, or dsandbox cp SESSION:PATH DEST");
        return cli_fail(cli, error);
    }
    if (to)
        return copy(cli, to_id, to_path, cli->args[1], TRUE);
    return copy(cli, from_id, from_path, cli->args[2], FALSE);
}
