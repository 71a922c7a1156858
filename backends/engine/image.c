/* SPDX-License-Identifier: MIT */
/*
 * Making an image: a root file system is streamed as it is; a Dockerfile goes with its context, packed by
 * tar, or alone in a tar made here. Engines answer 200 and tell of failures in the stream of progress.
 */
#include "engine/engine.h"

#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAR_BLOCK 512

static gboolean progress_line(void *data, const char *line, gsize size, GError **error)
{
    struct dsbe_client *client = data;
    g_autoptr(json_object) root = dsbe_json_parse(line, size, NULL);
    const char *failure = dsbe_json_string(root, "error", "");
    if (*failure) {
        g_autofree char *reason = dsbe_one_line(failure, strlen(failure));
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "making the image failed: %s", reason);
        return FALSE;
    }
    dsbe_client_log_progress(client, root);
    return TRUE;
}

static gboolean send_request(struct dsbe_client *client, struct dsbe_request *request, GError **error)
{
    g_auto(dsbe_response) response = {0};
    request->method = "POST";
    request->line = progress_line;
    request->line_data = client;
    return dsbe_client_call(client, request, 0, "making the image", &response, error);
}

static char *import_path(const struct dsbe_client *client, const char *name)
{
    const char *colon = strrchr(name, ':');
    if (colon && strchr(colon, '/'))
        colon = NULL;
    g_autofree char *base = colon ? g_strndup(name, (gsize) (colon - name)) : g_strdup(name);
    const char *tag = colon ? colon + 1 : "latest";
    if (client->dialect->import_split)
        return g_strconcat(client->prefix, client->dialect->import_path, "&repo=", base, "&tag=", tag, NULL);
    return g_strconcat(client->prefix, client->dialect->import_path, "?reference=", base, ":", tag, NULL);
}

static gboolean import_tarball(struct dsbe_client *client, const char *path, const char *name, GError **error)
{
    uint64_t size = 0;
    int fd = dsbe_open_regular(path, &size, error);
    if (fd < 0)
        return FALSE;
    g_autofree char *target = import_path(client, name);
    struct dsbe_request request = {
        .path = target,
        .content_type = client->dialect->import_type,
        .upload = TRUE,
        .upload_fd = fd,
        .upload_size = (int64_t) size,
    };
    gboolean done = send_request(client, &request, error);
    close(fd);
    return done;
}

/* One file, uid and gid 0, mode 0644, then the two empty blocks at the end. */
static GByteArray *make_tar(const char *name, const char *data, gsize size)
{
    char head[TAR_BLOCK] = {0};
    static const char zero[2 * TAR_BLOCK];
    g_strlcpy(head, name, 100);
    memcpy(head + 100, "0000644", 8);
    memcpy(head + 108, "0000000", 8);
    memcpy(head + 116, "0000000", 8);
    g_snprintf(head + 124, 12, "%011" G_GINT64_MODIFIER "o", (guint64) size);
    memcpy(head + 136, "00000000000", 12);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    guint sum = 0;
    for (gsize i = 0; i < sizeof head; i++)
        sum += (guchar) head[i];
    g_snprintf(head + 148, 8, "%06o", sum);
    GByteArray *tar = g_byte_array_new();
    g_byte_array_append(tar, (const guint8 *) head, sizeof head);
    g_byte_array_append(tar, (const guint8 *) data, (guint) size);
    g_byte_array_append(tar, (const guint8 *) zero, (guint) ((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK));
    g_byte_array_append(tar, (const guint8 *) zero, sizeof zero);
    return tar;
}

static gboolean build_alone(struct dsbe_client *client, const char *dockerfile, const char *name, GError **error)
{
    gsize size = 0;
    g_autofree char *text = dsbe_read_file(dockerfile, DSBE_DOCKERFILE_MAX, &size, error);
    if (!text)
        return FALSE;
    g_autoptr(GByteArray) tar = make_tar("Dockerfile", text, size);
    g_autofree char *path = g_strconcat(client->prefix, client->dialect->build_path, "&t=", name, NULL);
    struct dsbe_request request = {
        .path = path, .content_type = "application/x-tar", .body = (const char *) tar->data, .body_size = tar->len};
    return send_request(client, &request, error);
}

/* tar of a directory on a pipe; its read end, or -1. */
static int spawn_tar(const char *directory, pid_t *pid, GError **error)
{
    g_autofree char *program = dsbe_find_program("tar", dsbe_path_list());
    int ends[2];
    if (!program || pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "packing the build context needs the program tar");
        return -1;
    }
    char *const argv[] = {(char *) "tar", (char *) "-c", (char *) "-C", (char *) directory, (char *) ".", NULL};
    char *const environment[] = {(char *) "LANG=C.UTF-8", NULL};
    const struct child child = {.program = program,
                                .argv = argv,
                                .environment = environment,
                                .in = -1,
                                .out = ends[1],
                                .err = STDERR_FILENO,
                                .link = -1};
    int failed = child_start(&child, pid);
    close(ends[1]);
    if (!failed)
        return ends[0];
    close(ends[0]);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot run tar: %s", g_strerror(failed));
    return -1;
}

static gboolean build_context(struct dsbe_client *client, const char *dockerfile, const char *context, const char *name,
                              GError **error)
{
    gsize length = strlen(context);
    while (length > 1 && context[length - 1] == '/')
        length--;
    if (strncmp(dockerfile, context, length) != 0 || dockerfile[length] != '/') {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is not inside the build context \"%s\"", dockerfile,
                    context);
        return FALSE;
    }
    pid_t pid = 0;
    int fd = spawn_tar(context, &pid, error);
    if (fd < 0)
        return FALSE;
    g_autofree char *file = g_uri_escape_string(dockerfile + length + 1, NULL, FALSE);
    g_autofree char *path =
        g_strconcat(client->prefix, client->dialect->build_path, "&t=", name, "&dockerfile=", file, NULL);
    struct dsbe_request request = {
        .path = path, .content_type = "application/x-tar", .upload = TRUE, .upload_fd = fd, .upload_size = -1};
    gboolean done = send_request(client, &request, error);
    close(fd);
    int status = 0;
    if (!dsbe_reap(pid, "tar", &status, done ? error : NULL))
        return FALSE;
    if (done && status != 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "tar could not read the whole build context");
        return FALSE;
    }
    return done;
}

gboolean dsbe_op_image_make(void *backend, const struct dsb_image_source *source, GError **error)
{
    struct dsbe_client *client = backend;
    gboolean sane = source->name && *source->name && !source->tarball != !source->dockerfile;
    for (const char *c = sane ? source->name : ""; *c; c++)
        sane = sane && (g_ascii_isalnum(*c) || strchr("_.-/:", *c));
    if (!sane) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "an image needs a name and either a tarball or a Dockerfile");
        return FALSE;
    }
    if (source->tarball)
        return import_tarball(client, source->tarball, source->name, error);
    if (source->context)
        return build_context(client, source->dockerfile, source->context, source->name, error);
    return build_alone(client, source->dockerfile, source->name, error);
}
