/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <dsandbox/policy.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define STREAM_MS 10000
#define STREAM_MAX (64 * 1024 * 1024)
#define SECCOMP "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[]}"

const struct driver_step driver_steps[N_OPS] = {
    [OP_OPEN] = {"open", {"ping", "info"}},
    [OP_PREPARE] = {"prepare", {"image"}},
    [OP_CREATE] = {"create", {"create"}},
    [OP_INSPECT] = {"inspect", {"inspect"}},
    [OP_START] = {"start", {"attach", "start"}},
    [OP_DESTROY] = {"destroy", {"remove"}},
    [OP_LIST] = {"list", {"list"}},
    [OP_IMPORT] = {"import", {"import"}},
};

static struct dsb_resolved *make_spec(const char *session, const char *guest, gboolean rootless)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GError) error = NULL;
    struct dsb_resolved *resolved = NULL;
    struct dsb_resolve_input input = {
        .workdir = session,
        .guest_dir = guest,
        .image = DRIVER_IMAGE,
        .name = DRIVER_NAME,
        .owner = DRIVER_OWNER,
        .session = "recorded",
        .deadline = 1,
        .rootless = rootless,
        .invoker_uid = 1000,
        .invoker_gid = 1000,
        .seccomp_json = SECCOMP,
    };
    if (!dsb_resolve(policy, &input, &resolved, &error))
        g_error("resolve: %s", error->message);
    return resolved;
}

/* An empty archive: an image with nothing in it. */
static char *make_tarball(const char *work)
{
    static const char zero[10240];
    char *path = g_build_filename(work, "root.tar", NULL);
    if (!g_file_set_contents(path, zero, sizeof zero, NULL))
        g_error("cannot write %s", path);
    return path;
}

struct driver *driver_new(const char *plugin, const char *endpoint, const char *work, const char *session,
                          const char *guest, gboolean rootless)
{
    g_autoptr(GError) error = NULL;
    struct driver *driver = g_new0(struct driver, 1);
    if (!dsb_loader_open(NULL, plugin, &driver->loaded, &error))
        g_error("%s", error->message);
    driver->params = (struct dsb_open_params){
        .struct_size = sizeof driver->params, .endpoint = endpoint, .call_timeout_ms = 10000, .cancel_fd = -1};
    driver->resolved = make_spec(session, guest, rootless);
    driver->tarball = make_tarball(work);
    driver->stream = g_byte_array_new();
    return driver;
}

static void forget(struct driver *driver)
{
    g_clear_pointer(&driver->leftovers, g_ptr_array_unref);
    g_clear_pointer(&driver->diagnostic, g_free);
    g_byte_array_set_size(driver->stream, 0);
    driver->observed = (struct dsb_observed){.struct_size = sizeof driver->observed};
    driver->image = (struct dsb_image_info){.struct_size = sizeof driver->image};
    driver->stream_failed = FALSE;
}

void driver_free(struct driver *driver)
{
    forget(driver);
    dsb_backend_close(driver->backend);
    dsb_loaded_free(driver->loaded);
    dsb_resolved_free(driver->resolved);
    unlink(driver->tarball);
    g_free(driver->tarball);
    g_free(driver->id);
    g_byte_array_unref(driver->stream);
    g_free(driver);
}

static gboolean wait_readable(int fd, gint64 deadline, GError **error)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    gint64 left = (deadline - g_get_monotonic_time()) / 1000;
    if (left > 0 && poll(&entry, 1, (int) left) > 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PLUGIN, "the stream neither gave bytes nor ended");
    return FALSE;
}

/* An error of the stream is data for the tests; only one that never ends fails the operation. */
static gboolean read_stream(struct driver *driver, struct dsb_byte_stream *stream, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + STREAM_MS * 1000;
    for (;;) {
        guint8 buffer[8192];
        g_autoptr(GError) local = NULL;
        gssize n = stream->read(stream->state, buffer, sizeof buffer, &local);
        if (n < 0 && g_error_matches(local, DSB_ERROR, DSB_ERROR_WOULD_BLOCK)) {
            if (!wait_readable(stream->read_fd, deadline, error))
                return FALSE;
            continue;
        }
        driver->stream_failed = n < 0;
        if (n <= 0)
            return TRUE;
        g_byte_array_append(driver->stream, buffer, (guint) n);
        if (driver->stream_wanted > 0 && driver->stream->len >= driver->stream_wanted)
            return TRUE;
        if (driver->stream->len > STREAM_MAX) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LIMIT, "the stream has no end");
            return FALSE;
        }
    }
}

static gboolean start(struct driver *driver, GError **error)
{
    struct dsb_byte_stream stream = {0};
    if (!dsb_backend_start(driver->backend, driver->id, &stream, error))
        return FALSE;
    gboolean good = read_stream(driver, &stream, error);
    driver->diagnostic = g_strdup(stream.diagnostic(stream.state));
    stream.close(stream.state);
    return good;
}

static gboolean create(struct driver *driver, GError **error)
{
    char *id = NULL;
    if (!dsb_backend_create(driver->backend, &driver->resolved->spec, &id, error))
        return FALSE;
    g_free(driver->id);
    driver->id = id;
    return TRUE;
}

static gboolean import(struct driver *driver, GError **error)
{
    const struct dsb_image_source source = {
        .struct_size = sizeof source, .tarball = driver->tarball, .name = DRIVER_IMPORT};
    return dsb_backend_image_make(driver->backend, &source, error);
}

static gboolean open_again(struct driver *driver, GError **error)
{
    struct dsb_backend *backend = NULL;
    if (!dsb_backend_open(driver->loaded, &driver->params, &backend, error))
        return FALSE;
    dsb_backend_close(driver->backend);
    driver->backend = backend;
    return TRUE;
}

gboolean driver_do(struct driver *driver, enum driver_op op, GError **error)
{
    forget(driver);
    switch (op) {
    case OP_OPEN:
        return open_again(driver, error);
    case OP_PREPARE:
        return dsb_backend_prepare(driver->backend, DRIVER_IMAGE, &driver->image, error);
    case OP_CREATE:
        return create(driver, error);
    case OP_INSPECT:
        return dsb_backend_inspect(driver->backend, driver->id, &driver->resolved->spec, &driver->observed, error);
    case OP_START:
        return start(driver, error);
    case OP_DESTROY:
        return dsb_backend_destroy(driver->backend, driver->id, error);
    case OP_LIST:
        return dsb_backend_list(driver->backend, DRIVER_OWNER, &driver->leftovers, error);
    case OP_IMPORT:
        return import(driver, error);
    case N_OPS:
    default:
        g_assert_not_reached();
    }
}
