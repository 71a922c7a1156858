/* SPDX-License-Identifier: MIT */
/* `session export` and `import`: the files and variables of a session in one archive. */
#include "archive.h"
#include "files.h"
#include "input.h"
#include "session.h"
#include "untar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_MAX 1000000

/* --- export --------------------------------------------------------------------- */

static gint64 mtime_of(struct json_object *row)
{
    const char *iso = json_string(row, "mtime");
    g_autoptr(GDateTime) time = iso != NULL ? g_date_time_new_from_iso8601(iso, NULL) : NULL;
    return time != NULL ? g_date_time_to_unix(time) : 0;
}

struct entry {
    int fd;
    const char *name;
    gint64 mtime;
    gboolean begun;
    guint64 size;
};

static gboolean begin_entry(void *data, guint64 size, GError **error)
{
    struct entry *entry = data;
    entry->begun = TRUE;
    entry->size = size;
    return tar_begin(entry->fd, entry->name, TAR_FILE, entry->mtime, size, error);
}

static gboolean write_entry(void *data, const void *bytes, gsize size, GError **error)
{
    const struct entry *entry = data;
    return files_write_content(entry->fd, bytes, size, error);
}

static gboolean export_file(struct transfer *transfer, int fd, const char *name, gint64 mtime, GError **error)
{
    g_autoptr(GError) unread = NULL;
    struct entry entry = {.fd = fd, .name = name, .mtime = mtime};
    const struct dsb_client_sink sink = {begin_entry, write_entry, &entry};
    if (files_get(transfer, name, &sink, &unread))
        return tar_pad(fd, entry.size, error);
    if (entry.begun || g_error_matches(unread, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ||
        g_error_matches(unread, DSB_ERROR, DSB_ERROR_PROTOCOL)) {
        g_propagate_error(error, g_steal_pointer(&unread));
        return FALSE;
    }
    files_leave_out(transfer, name, unread->message, TRUE);
    return TRUE;
}

static gboolean export_row(struct transfer *transfer, int fd, struct json_object *row, GError **error)
{
    const char *type = json_string(row, "type");
    g_autofree char *name = files_name(row);
    /* The service would not list another; but who unpacks this trusts us, not it. */
    if (name == NULL || !files_path_is_good(name))
        return TRUE;
    if (g_strcmp0(type, "file") == 0)
        return export_file(transfer, fd, name, mtime_of(row), error);
    if (g_strcmp0(type, "directory") == 0) {
        g_autofree char *directory = g_strconcat(name, "/", NULL);
        return tar_add(fd, directory, TAR_DIRECTORY, mtime_of(row), NULL, 0, error);
    }
    files_leave_out(transfer, name, g_strcmp0(type, "link") == 0 ? "a symbolic link" : "not a regular file", FALSE);
    return TRUE;
}

gboolean archive_export(struct transfer *transfer, int fd, GError **error)
{
    struct json_object *answer = files_list(transfer, "", error);
    struct json_object *rows = json_member(answer, "files");
    gboolean ok = answer != NULL;
    for (size_t i = 0; ok && i < json_object_array_length(rows); i++)
        ok = export_row(transfer, fd, json_object_array_get_idx(rows, i), error);
    json_object_put(answer);
    return ok && tar_finish(fd, error);
}

static int open_archive(const struct cli *cli, const char *path, GError **error)
{
    if (strcmp(path, "-") != 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
        if (fd < 0)
            g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "cannot write %s: %s", path,
                        dsb_errno_text(errno));
        return fd;
    }
    if (cli->json || isatty(STDOUT_FILENO)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the tar file would go to %s: name a file, or redirect it",
                    cli->json ? "standard output, where --json wants one object" : "the terminal");
        return -1;
    }
    return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

/* Half an archive is not left behind. */
static void take_back(const char *path, int fd)
{
    struct stat st;
    if (strcmp(path, "-") != 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        unlink(path);
}

int session_export(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct transfer transfer;
    const char *path = cli->args[3] != NULL ? cli->args[3] : "-";
    int fd = -1;
    if (transfer_begin(&transfer, cli, cli->args[2], &error) && (fd = open_archive(cli, path, &error)) >= 0 &&
        !archive_export(&transfer, fd, &error))
        take_back(path, fd);
    if (fd >= 0 && close(fd) < 0 && error == NULL)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write %s: %s", path, g_strerror(errno));
    return transfer_end(&transfer, error);
}

/* --- import --------------------------------------------------------------------- */

static int by_text(gconstpointer a, gconstpointer b, gpointer data)
{
    (void) data;
    return strcmp(a, b);
}

/* Directories come with their files; only those without any are made by themselves. */
static void forget_parents(GTree *directories, const char *path)
{
    g_autofree char *parent = g_strdup(path);
    char *slash;
    while ((slash = strrchr(parent, '/')) != NULL) {
        *slash = '\0';
        g_tree_remove(directories, parent);
    }
}

/* "./a/" is "a"; "." is "". */
static char *plain_name(const char *name)
{
    while (g_str_has_prefix(name, "./"))
        name += 2 + strspn(name + 2, "/");
    g_autofree char *plain = g_strdup(strcmp(name, ".") == 0 ? "" : name);
    gsize size = strlen(plain);
    while (size > 0 && plain[size - 1] == '/')
        plain[--size] = '\0';
    return g_steal_pointer(&plain);
}

struct content {
    struct tar_reader *reader;
    gboolean unread; /* the archive is what cannot be read */
};

static gssize read_content(void *data, void *into, gsize size, GError **error)
{
    struct content *content = data;
    gssize n = tar_read(content->reader, into, size, error);
    content->unread = n < 0;
    return n;
}

static gboolean import_file(struct transfer *transfer, struct tar_reader *reader, const char *name, GError **error)
{
    g_autoptr(GError) refused = NULL;
    struct content content = {reader, FALSE};
    const struct dsb_client_source source = {read_content, &content};
    if (files_put(transfer, name, &source, &refused))
        return TRUE;
    if (content.unread || g_error_matches(refused, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ||
        g_error_matches(refused, DSB_ERROR, DSB_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    files_leave_out(transfer, name, refused->message, TRUE);
    return TRUE;
}

static gboolean import_entry(struct transfer *transfer, struct tar_reader *reader, GTree *directories,
                             GError **error)
{
    g_autofree char *name = plain_name(reader->name);
    if (name[0] == '\0')
        return TRUE;
    if (!files_path_is_good(name)) {
        files_leave_out(transfer, reader->name, "a path that leaves the session", TRUE);
        return TRUE;
    }
    if (reader->type != TAR_FILE && reader->type != TAR_DIRECTORY) {
        files_leave_out(transfer, name, "neither a regular file nor a directory", FALSE);
        return TRUE;
    }
    forget_parents(directories, name);
    if (reader->type == TAR_FILE)
        return import_file(transfer, reader, name, error);
    g_tree_replace(directories, g_steal_pointer(&name), NULL);
    return TRUE;
}

static gboolean make_directories(struct transfer *transfer, GTree *directories, GError **error)
{
    for (GTreeNode *node = g_tree_node_first(directories); node != NULL; node = g_tree_node_next(node)) {
        const char *name = g_tree_node_key(node);
        g_autoptr(GError) refused = NULL;
        if (files_mkdir(transfer, name, &refused))
            continue;
        if (g_error_matches(refused, DSB_ERROR, DSB_ERROR_UNAVAILABLE)) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        files_leave_out(transfer, name, refused->message, TRUE);
    }
    return TRUE;
}

gboolean archive_import(struct transfer *transfer, int fd, const char *origin, GError **error)
{
    g_autoptr(GTree) directories = g_tree_new_full(by_text, NULL, g_free, NULL); /* strangers' names collide nowhere */
    struct tar_reader reader = {.fd = fd, .origin = origin};
    gboolean end = FALSE, ok = TRUE;
    for (guint n = 0; ok && !end; n++) {
        ok = tar_next(&reader, &end, error);
        if (ok && n >= ENTRIES_MAX) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "%s has more than %d entries", origin, ENTRIES_MAX);
            ok = FALSE;
        }
        ok = ok && (end || import_entry(transfer, &reader, directories, error));
    }
    tar_clear(&reader);
    return ok && make_directories(transfer, directories, error);
}

static gboolean make_session(struct transfer *transfer, GError **error)
{
    struct json_object *body = remote_settings(transfer->cli, TRUE, error);
    if (body == NULL)
        return FALSE;
    json_add(body, "id", transfer->session);
    json_add_bool(body, "exist_ok", TRUE);
    struct json_object *answer = remote_call(transfer->client, "POST", "/v1/sessions", body, error);
    json_object_put(body);
    json_object_put(answer);
    return answer != NULL;
}

/* Before a session is made for it. */
static int open_source(const char *path, GError **error)
{
    int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                    : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "cannot open %s: %s", path,
                    dsb_errno_text(errno));
    return fd;
}

int session_import(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct transfer transfer;
    const char *path = cli->args[3] != NULL ? cli->args[3] : "-";
    gboolean ours = strcmp(path, "-") == 0;
    int fd = open_source(path, &error);
    if (fd < 0)
        return cli_fail(cli, error);
    gboolean ok = transfer_begin(&transfer, cli, cli->args[2], &error);
    if (ok && ours && isatty(STDIN_FILENO))
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID,
                            "the tar file would come from the terminal: name a file");
    else if (ok && make_session(&transfer, &error) &&
             !archive_import(&transfer, fd, ours ? "standard input" : path, &error) && transfer.files > 0)
        g_prefix_error(&error, "stopped after %" G_GINT64_FORMAT " files: ", transfer.files);
    close(fd);
    return transfer_end(&transfer, error);
}
