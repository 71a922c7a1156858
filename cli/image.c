/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_IMAGE "dsandbox-sandbox:latest"

/* The helper's directory: beside the installation, or in the build tree's source. */
static char *helper(const char *name)
{
    g_autofree char *installed = g_build_filename(DSB_HELPER_DIR, name, NULL);
    if (access(installed, R_OK) == 0)
        return g_steal_pointer(&installed);
    return g_build_filename(strcmp(name, "from-packages.sh") == 0 ? DSB_SOURCE_DIR "/images" : DSB_SOURCE_DIR, name, NULL);
}

static gboolean build_tarball(const char *path, GError **error)
{
    g_autofree char *script = helper("from-packages.sh");
    const char *argv[] = { "/bin/sh", script, path, NULL };
    int status = 0;
    return g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL, &status, error)
           && g_spawn_check_wait_status(status, error);
}

static gboolean from_packages(const struct dsb_run_options *options, const char *name, GError **error)
{
    g_autofree char *dir = g_dir_make_tmp("dsandbox-image-XXXXXX", error);
    if (dir == NULL)
        return FALSE;
    g_autofree char *tarball = g_build_filename(dir, "root.tar", NULL);
    gboolean ok = build_tarball(tarball, error) && dsb_image_make(options, tarball, NULL, NULL, name, error);
    if (unlink(tarball) < 0 && errno != ENOENT)
        g_printerr("dsandbox: cannot remove %s: %s\n", tarball, g_strerror(errno));
    rmdir(dir);
    return ok;
}

int cli_image(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    const char *name = cli->tag != NULL ? cli->tag : DEFAULT_IMAGE;
    g_autofree char *file = cli->file != NULL ? g_canonicalize_filename(cli->file, NULL) : NULL;
    gboolean ok;
    if (!cli_options(cli, &options, &error) || !cli_operands(cli, 2, 2, &error))
        return cli_fail(cli, error);
    if (strcmp(cli->args[1], "build") != 0) {
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "image: use 'build', not '%s'", cli->args[1]);
        return cli_fail(cli, error);
    }
    if (cli->from_packages) {
        ok = from_packages(&options, name, &error);
    } else if (file != NULL && (g_str_has_suffix(file, ".tar") || g_str_has_suffix(file, ".tar.gz"))) {
        ok = dsb_image_make(&options, file, NULL, NULL, name, &error);
    } else {
        g_autofree char *dockerfile = file != NULL ? g_steal_pointer(&file) : helper("Dockerfile.sandbox");
        ok = dsb_image_make(&options, NULL, dockerfile, NULL, name, &error);
    }
    if (!ok)
        return cli_fail(cli, error);
    printf("image %s is ready\n", name);
    return 0;
}

int cli_gc(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    unsigned removed = 0;
    if (!cli_options(cli, &options, &error) || !cli_operands(cli, 1, 1, &error)
        || !dsb_gc(&options, cli->dry_run, &removed, &error)) {
        if (removed > 0 && !cli->json)
            printf("%s %u\n", cli->dry_run ? "would remove" : "removed", removed);
        return cli_fail(cli, error);
    }
    if (cli->json)
        printf("{\"removed\":%u,\"dry_run\":%s}\n", removed, cli->dry_run ? "true" : "false");
    else
        printf("%s %u\n", cli->dry_run ? "would remove" : "removed", removed);
    return 0;
}
