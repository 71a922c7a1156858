/* SPDX-License-Identifier: MIT */
/* The files of a session, through the service or on this machine. */
#include "files.h"
#include "input.h"
#include "common/tar.h"
#include "common/words.h"


#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory exists when something is in it; this is there for a moment. */
#define PLACEHOLDER ".dsandbox-new"
#define PIECE (64u << 10)

gboolean transfer_begin(struct transfer *transfer, const struct cli *cli, const char *session, GError **error)
{
    *transfer = (struct transfer){.cli = cli, .session = session};
    if (!remote_check_id(session, error))
        return FALSE;
    transfer->client = remote_connect(cli, "this", error);
    transfer->left_out = json_object_new_array();
    return transfer->client != NULL;
}

int transfer_end(struct transfer *transfer, const GError *error)
{
    const struct cli *cli = transfer->cli;
    int status = error != NULL ? cli_fail(cli, error) : transfer->failed > 0 ? DSB_EXIT_OURS : 0;
    if (error == NULL && cli->json) {
        struct json_object *report = json_object_new_object();
        json_add(report, "session", transfer->session);
        json_add_int(report, "files", transfer->files);
        json_add_int(report, "bytes", transfer->bytes);
        json_object_object_add(report, "left_out", json_object_get(transfer->left_out));
        json_print(report);
        json_object_put(report);
    }
    transfer_clear(transfer);
    return status;
}

void transfer_clear(struct transfer *transfer)
{
    json_object_put(transfer->left_out);
    dsb_client_free(transfer->client);
}

gboolean files_path_is_good(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    gboolean good = parts[0] != NULL;
    for (char **part = parts; *part != NULL; part++)
        good = good && (*part)[0] != '\0' && strcmp(*part, ".") != 0 && strcmp(*part, "..") != 0;
    return good;
}

char *files_path(const char *path, GError **error)
{
    const char *below = path;
    if (strcmp(below, "/sandbox") == 0 || g_str_has_prefix(below, "/sandbox/"))
        below += strlen("/sandbox") + (below[strlen("/sandbox")] == '/' ? 1 : 0);
    while (g_str_has_prefix(below, "./"))
        below += 2;
    if (strcmp(below, ".") == 0)
        below++;
    g_autofree char *plain = g_strdup(below);
    gsize size = strlen(plain);
    if (size > 1 && plain[size - 1] == '/')
        plain[size - 1] = '\0';
    if (plain[0] == '\0' || files_path_is_good(plain))
        return g_strdup(below);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "'%s': a path in a sandbox is below /sandbox, without . and ..",
                path);
    return NULL;
}

char *files_name(struct json_object *row)
{
    const char *base64 = json_string(row, "path_base64");
    gsize size = 0;
    if (base64 == NULL)
        return g_strdup(json_string(row, "path"));
    g_autofree guchar *bytes = g_base64_decode(base64, &size);
    return g_strndup((const char *) bytes, size);
}

static char *url(const struct transfer *transfer, const char *path)
{
    return dsb_client_path("/v1/sessions/%s/files/%s", transfer->session, path);
}

struct json_object *files_list(struct transfer *transfer, const char *directory, GError **error)
{
    g_autofree char *all = dsb_client_path("/v1/sessions/%s/files", transfer->session);
    g_autofree char *below = directory[0] != '\0' ? dsb_client_path("?path=%s", directory) : g_strdup("");
    g_autofree char *path = g_strconcat(all, below, NULL);
    struct json_object *answer = remote_call(transfer->client, "GET", path, NULL, error);
    if (answer == NULL || !json_object_get_boolean(json_member(answer, "truncated")))
        return answer;
    json_object_put(answer);
    g_set_error(
        error, DSB_ERROR, DSB_ERROR_LIMIT,
        "there are more files than can be listed at once; pack them inside first: dsandbox exec %s -c "
        "'import shutil; shutil.make_archive(\"/tmp/all\", \"tar\", \"/sandbox\"); shutil.move(\"/tmp/all.tar\", "
        "\"/sandbox\")', then copy all.tar out",
        transfer->session);
    return NULL;
}

struct counted {
    const struct dsb_client_sink *sink;
    const struct dsb_client_source *source;
    gint64 bytes;
};

static gboolean begin(void *data, guint64 size, GError **error)
{
    const struct counted *counted = data;
    return counted->sink->begin(counted->sink->data, size, error);
}

static gboolean write_piece(void *data, const void *bytes, gsize size, GError **error)
{
    struct counted *counted = data;
    counted->bytes += (gint64) size;
    return counted->sink->write(counted->sink->data, bytes, size, error);
}

static gssize read_piece(void *data, void *into, gsize size, GError **error)
{
    struct counted *counted = data;
    gssize n = counted->source->read(counted->source->data, into, size, error);
    counted->bytes += n > 0 ? n : 0;
    return n;
}

static gboolean took(struct transfer *transfer, const struct counted *counted)
{
    transfer->files++;
    transfer->bytes += counted->bytes;
    return TRUE;
}

/* --- of a run of ours, without the service --- */

static gboolean get_here(dsb_files *files, const char *path, const struct dsb_client_sink *sink, GError **error)
{
    guint64 size = 0;
    gssize n;
    int fd = dsb_files_open_read(files, path, &size, error);
    if (fd < 0)
        return FALSE;
    g_autofree char *piece = g_malloc(PIECE);
    gboolean ok = sink->begin(sink->data, size, error);
    while (ok && (n = cli_read_piece(fd, path, piece, PIECE, error)) != 0)
        ok = n > 0 && sink->write(sink->data, piece, (gsize) n, error);
    close(fd);
    return ok;
}

static gboolean put_here(struct transfer *transfer, const char *path, const struct dsb_client_source *source, GError **error)
{
    gssize n = 0;
    g_autofree char *piece = g_malloc(PIECE);
    g_autoptr(dsb_file_put) put = dsb_files_put_begin(transfer->files_here, path, error);
    gboolean ok = put != NULL;
    while (ok && (n = source->read(source->data, piece, PIECE, error)) != 0)
        ok = n > 0 && dsb_files_put_add(put, piece, (gsize) n, error);
    return ok && dsb_files_put_end(put, transfer->mode, error);
}

static gboolean is_here(dsb_files *files, const char *path, enum dsb_file_type type)
{
    struct dsb_file_info *info = dsb_files_stat(files, path, NULL);
    gboolean is = info != NULL && info->type == type;
    dsb_file_info_free(info);
    return is;
}

/* --- of either --- */

gboolean files_get(struct transfer *transfer, const char *path, const struct dsb_client_sink *sink, GError **error)
{
    struct counted counted = {.sink = sink};
    const struct dsb_client_sink ours = {begin, write_piece, &counted};
    if (transfer->files_here != NULL)
        return get_here(transfer->files_here, path, &ours, error) && took(transfer, &counted);
    g_autofree char *from = url(transfer, path);
    return dsb_client_download(transfer->client, from, &ours, error) ? took(transfer, &counted) : remote_advise(error);
}

gboolean files_put(struct transfer *transfer, const char *path, const struct dsb_client_source *source, GError **error)
{
    struct counted counted = {.source = source};
    const struct dsb_client_source ours = {read_piece, &counted};
    if (transfer->files_here != NULL)
        return put_here(transfer, path, &ours, error) && took(transfer, &counted);
    g_autofree char *to = url(transfer, path);
    return dsb_client_upload(transfer->client, to, &ours, error) ? took(transfer, &counted) : remote_advise(error);
}

gboolean files_mkdir(struct transfer *transfer, const char *path, GError **error)
{
    if (transfer->files_here != NULL)
        return dsb_files_mkdir(transfer->files_here, path, error);
    g_autofree char *name = g_strconcat(path, "/" PLACEHOLDER, NULL);
    g_autofree char *file = url(transfer, name);
    return dsb_client_bytes(transfer->client, "PUT", file, "", 0, 0, NULL, error) &&
           dsb_client_bytes(transfer->client, "DELETE", file, NULL, 0, 0, NULL, error);
}

gboolean files_is_directory(struct transfer *transfer, const char *path)
{
    if (transfer->files_here != NULL)
        return path[0] == '\0' || is_here(transfer->files_here, path, DSB_FILE_DIRECTORY);
    g_autofree char *list = dsb_client_path("/v1/sessions/%s/files?path=%s", transfer->session, path);
    return dsb_client_call(transfer->client, "GET", list, NULL, 0, NULL, NULL);
}

gboolean files_is_link_here(dsb_files *files, const char *path) { return is_here(files, path, DSB_FILE_LINK); }

void files_leave_out(struct transfer *transfer, const char *path, const char *why, gboolean failed)
{
    struct json_object *row = json_object_new_object();
    g_autofree char *shown = clean_text(path, strlen(path), "");
    json_add(row, "path", path);
    json_add(row, "why", why);
    json_object_array_add(transfer->left_out, row);
    transfer->failed += failed ? 1 : 0;
    g_printerr("dsandbox: left out: %s: %s\n", shown, why);
}

/* Where what is passed over reads as zeros: behind all that the file has. */
static gboolean is_at_end(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (fcntl(fd, F_GETFL) & O_APPEND) == 0 &&
           lseek(fd, 0, SEEK_CUR) >= st.st_size;
}

gboolean files_write_content(int fd, const void *bytes, gsize size, GError **error)
{
    const char *first = bytes;
    gboolean zeros = size > 0 && *first == '\0' && memcmp(first, first + 1, size - 1) == 0;
    return (zeros && is_at_end(fd) && lseek(fd, (off_t) size, SEEK_CUR) >= 0) || tar_write(fd, bytes, size, error);
}

gboolean files_end_content(int fd) { return !is_at_end(fd) || ftruncate(fd, lseek(fd, 0, SEEK_CUR)) == 0; }
