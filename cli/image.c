/* SPDX-License-Identifier: MIT */
/* `image build` and `gc`. */
#include "guard.h"
#include "common/child.h"
#include "outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOCKERFILE "Dockerfile.sandbox"
#define SCRIPT "images/from-packages.sh"
#define FILE_MAX (1024 * 1024)
#define POLL_MS 50
/* What the script's own clean-up may take before it is killed. */
#define GRACE_MS 10000

/* A file of ours in the installation, or in the build tree's source; the same layout in both. */
static char *helper(const char *name)
{
    g_autofree char *installed = g_build_filename(DSB_HELPER_DIR, name, NULL);
    if (access(installed, R_OK) == 0)
        return g_steal_pointer(&installed);
    return g_build_filename(DSB_SOURCE_DIR, name, NULL);
}

/* ---- a directory for what the engine gets, which must not outlive us ---- */

static void remove_files(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name = dir != NULL ? g_dir_read_name(dir) : NULL; name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        if (unlink(file) < 0 && (errno == EISDIR || errno == EPERM))
            remove_files(file);
    }
    if (rmdir(path) < 0 && errno != ENOENT)
        g_printerr("dsandbox: cannot remove %s: %s\n", path, g_strerror(errno));
}

static gboolean fail_file(GError **error, const char *path, const char *why)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "cannot use %s: %s", path, why);
    return FALSE;
}

/* Neither a FIFO nor a device can hold us up, nor a file that has no end. */
static gboolean read_bounded(const char *path, GString *into, GError **error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail_file(error, path, g_strerror(errno));
    gboolean ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    gssize n = 1;
    while (ok && n > 0 && into->len <= FILE_MAX) {
        char buffer[16384];
        n = read(fd, buffer, sizeof buffer);
        if (n > 0)
            g_string_append_len(into, buffer, n);
    }
    close(fd);
    if (!ok)
        return fail_file(error, path, "it is not a regular file");
    if (n < 0)
        return fail_file(error, path, "it cannot be read");
    return into->len <= FILE_MAX ? TRUE : fail_file(error, path, "it is larger than 1 MiB");
}

static gboolean copy_to(const char *from, const char *dir, const char *name, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *to = g_build_filename(dir, name, NULL);
    g_autofree char *parent = g_path_get_dirname(to);
    if (!read_bounded(from, text, error))
        return FALSE;
    g_autoptr(GError) local = NULL;
    const char *why = NULL;
    if (g_mkdir_with_parents(parent, 0755) < 0)
        why = dsb_errno_text(errno);
    else if (g_file_set_contents(to, text->str, (gssize) text->len, &local))
        return TRUE;
    else
        why = g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? dsb_errno_text(ENOSPC) : local->message;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write %s (TMPDIR chooses another place): %s", to, why);
    return FALSE;
}

/* ---- by the engine ---- */

struct making {
    const struct dsb_run_options *options;
    const char *tarball, *dockerfile, *context, *name;
};

static gboolean is_cancelled(void) { return cli_cancel_signal() != 0; }

static int stopped(const struct cli *cli, const GError *error)
{
    int status = cli_fail(cli, error);
    return is_cancelled() ? cli_cancel_status() : status;
}

static void say_ready(const struct cli *cli, const char *name)
{
    if (!cli->json) {
        printf("image %s is ready\n", name);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_add(object, "image", name);
    json_print(object);
    json_object_put(object);
}

static int make_watched(const struct cli *cli, void *data)
{
    const struct making *making = data;
    g_autoptr(GError) error = NULL;
    if (!dsb_image_make(making->options, making->tarball, making->dockerfile, making->context, making->name, &error))
        return stopped(cli, error);
    say_ready(cli, making->name);
    return 0;
}

static int make(const struct cli *cli, struct making making) { return cli_guard(cli, make_watched, &making, NULL); }

/* Only what the Dockerfile may need goes to the engine, whichever it is: itself, and our script for our own. */
static int from_dockerfile(const struct cli *cli, const struct dsb_run_options *options, const char *dir,
                           const char *given, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *ours = helper(DOCKERFILE);
    g_autofree char *script = helper(SCRIPT);
    g_autofree char *dockerfile = g_build_filename(dir, DOCKERFILE, NULL);
    if (!copy_to(given != NULL ? given : ours, dir, DOCKERFILE, &error) || !copy_to(script, dir, SCRIPT, &error))
        return stopped(cli, error);
    return make(cli, (struct making){options, NULL, dockerfile, dir, name});
}

/* ---- from packages ---- */

/* Until it ended. After a cancel it is asked to, then made to. */
static int wait_for_script(pid_t pid)
{
    int status = 0;
    gint64 kill_at = G_MAXINT64;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd fd = {cli_cancel_fd(), POLLIN, 0};
        if (kill_at != G_MAXINT64)
            fd.fd = -1;
        if (poll(&fd, 1, POLL_MS) > 0) {
            kill(-pid, SIGTERM);
            kill_at = g_get_monotonic_time() + GRACE_MS * 1000;
        }
        if (g_get_monotonic_time() >= kill_at)
            kill(-pid, SIGKILL);
    }
    return status;
}

static gboolean build_tarball(const char *path, GError **error)
{
    g_autofree char *script = helper(SCRIPT);
    char *const argv[] = {(char *) "sh", script, (char *) path, NULL};
    /* A process group of its own, so that a signal can end all of it. */
    const struct child child = {
        .program = "/bin/sh", .argv = argv, .in = -1, .out = STDOUT_FILENO, .err = STDERR_FILENO, .link = -1};
    pid_t pid = 0;
    int failed = child_start(&child, &pid);
    if (failed != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot run %s: %s", script, g_strerror(failed));
        return FALSE;
    }
    int status = wait_for_script(pid);
    if (is_cancelled())
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled by the caller");
    else if (status != 0)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s could not make the root file system (see above)", script);
    return status == 0 && !is_cancelled();
}

static int from_packages(const struct cli *cli, const struct dsb_run_options *options, const char *dir, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *tarball = g_build_filename(dir, "root.tar", NULL);
    if (!build_tarball(tarball, &error))
        return stopped(cli, error);
    return make(cli, (struct making){options, tarball, NULL, NULL, name});
}

/* ---- the verb ---- */

static int build(const struct cli *cli, const struct dsb_run_options *options, const char *name)
{
    g_autofree char *file = cli->file != NULL ? g_canonicalize_filename(cli->file, NULL) : NULL;
    if (!cli->from_packages && file != NULL && (g_str_has_suffix(file, ".tar") || g_str_has_suffix(file, ".tar.gz")))
        return make(cli, (struct making){options, file, NULL, NULL, name});
    g_autoptr(GError) local = NULL;
    g_autofree char *dir = g_dir_make_tmp("dsandbox-image-XXXXXX", &local);
    if (dir == NULL) {
        g_autoptr(GError) error =
            g_error_new(DSB_ERROR, DSB_ERROR_FAILED, "cannot create a directory (TMPDIR chooses another place): %s",
                        local->message);
        return stopped(cli, error);
    }
    int status = cli->from_packages ? from_packages(cli, options, dir, name)
                                    : from_dockerfile(cli, options, dir, file, name);
    remove_files(dir);
    return status;
}

int cli_image(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    const char *name = cli->tag != NULL ? cli->tag : DSB_DEFAULT_IMAGE;
    if (!cli_options(cli, &options, &error) || !cli_catch_signals(&error))
        return cli_fail(cli, error);
    options.cancel_fd = cli_cancel_fd();
    return build(cli, &options, name);
}

static int remove_left(const struct cli *cli, void *data)
{
    g_autoptr(GError) error = NULL;
    unsigned removed = 0;
    gboolean ok = dsb_gc(data, cli->dry_run, &removed, &error);
    if (!cli->json && (ok || removed > 0))
        printf("%s %u\n", cli->dry_run ? "would remove" : "removed", removed);
    if (!ok)
        return cli_fail(cli, error);
    if (!cli->json)
        return 0;
    struct json_object *object = json_object_new_object();
    json_add_int(object, "removed", removed);
    json_add_bool(object, "dry_run", cli->dry_run);
    json_print(object);
    json_object_put(object);
    return 0;
}

int cli_gc(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    if (!cli_options(cli, &options, &error))
        return cli_fail(cli, error);
    return cli_guard_gc(cli, remove_left, &options);
}
