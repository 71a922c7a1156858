/* SPDX-License-Identifier: MIT */
/*
 * Making an image: a root file system is streamed as it is; a Dockerfile goes with its context, packed by
 * tar, or alone in a tar made here. Engines answer 200 and tell of failures in the stream of progress.
 */
#include "engine/engine.h"

#include "common/child.h"
#include "common/fd.h"
#include "common/ids.h"
#include "common/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* One file in a tar, in memory that is unmapped when it is not needed any more; *end is its size. NULL: *error. */
static void *pack(const char *name, const char *text, gsize size, gsize *end, GError **error)
{
    g_auto(dsb_fd) fd = memfd_create("dsandbox-tar", MFD_CLOEXEC);
    if (fd >= 0 && (!tar_add(fd, name, TAR_FILE, 0, text, size, error) || !tar_finish(fd, error)))
        return NULL;
    *end = fd >= 0 ? (gsize) lseek(fd, 0, SEEK_CUR) : 0;
    void *tar = fd >= 0 ? mmap(NULL, *end, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (tar != MAP_FAILED)
        return tar;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "packing the build context failed: %s", dsb_errno_text(errno));
    return NULL;
}

static gboolean build_alone(struct dsbe_client *client, const char *dockerfile, const char *name, GError **error)
{
    gsize size = 0, packed = 0;
    g_autofree char *text = dsbe_read_file(dockerfile, DSBE_DOCKERFILE_MAX, &size, error);
    void *tar = text ? pack("Dockerfile", text, size, &packed, error) : NULL;
    if (!tar)
        return FALSE;
    g_autofree char *path = g_strconcat(client->prefix, client->dialect->build_path, "&t=", name, NULL);
    struct dsbe_request request = {
        .path = path, .content_type = "application/x-tar", .body = tar, .body_size = packed};
    gboolean done = send_request(client, &request, error);
    munmap(tar, packed);
    return done;
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
    if (!dsb_is_word(source->name, "_.-/:", 512) || !source->tarball == !source->dockerfile) {
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
