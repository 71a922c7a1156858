/* SPDX-License-Identifier: MIT */
/* Which program, which endpoint, which environment. */
#include "docker-cli/docker_cli.h"

#include "common/trust.h"
#include "engine/engine.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 60000

/** What a call gets of our environment besides what all engines do. No proxies: Podman's program hands them on. */
static const char *const passed[] = {
    "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION", "SSH_AUTH_SOCK", NULL,
};

void dsbc_log(const struct dsbc_cli *cli, const char *format, ...)
{
    if (cli->log == NULL)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    cli->log(cli->log_data, line);
}

static gboolean choose_program(struct dsbc_cli *cli, const char *endpoint, GError **error)
{
    if (endpoint != NULL && g_path_is_absolute(endpoint)) {
        if (!dsbe_program_ok(endpoint)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND,
                        "%s is not a program that can be used: it must be executable, and it and all directories above "
                        "it must belong to root or to you, and not be writable by others",
                        endpoint);
            return FALSE;
        }
        cli->program = g_strdup(endpoint);
        return TRUE;
    }
    cli->program = dsbe_find_program("docker", dsbe_path_list());
    if (cli->program != NULL)
        return TRUE;
    g_autofree char *podman = dsbe_find_program("podman", dsbe_path_list());
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                "there is no program \"docker\" in PATH (what belongs to others, or others can write, is not run); %s",
                podman != NULL ? "Podman is there: use backend podman"
                               : "install Docker's command line client, or use another backend");
    return FALSE;
}

static gboolean make_directory(const char *path, GError **error)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot create %s: %s", path, dsb_errno_text(errno));
        return FALSE;
    }
    if (lstat(path, &st) == 0 && dsb_is_private_dir(&st))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "%s must be a directory of yours with mode 0700", path);
    return FALSE;
}

static gboolean make_state_dir(struct dsbc_cli *cli, const char *runtime_dir, GError **error)
{
    if (runtime_dir != NULL) {
        cli->state_dir = g_build_filename(runtime_dir, "docker-cli", NULL);
        return make_directory(cli->state_dir, error);
    }
    g_autoptr(GError) local = NULL;
    cli->state_dir = g_dir_make_tmp("dsandbox-cli-XXXXXX", &local);
    cli->own_state = cli->state_dir != NULL;
    if (cli->state_dir == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot create a directory: %s", local->message);
    return cli->state_dir != NULL;
}

/**
 * An empty configuration directory for the program, but for the contexts: the user's own can put proxies
 * with passwords into each container, and run hooks.
 */
static char *make_config_dir(const struct dsbc_cli *cli, const char *user_config, GError **error)
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, user_config, -1);
    g_autofree char *name = g_strdup_printf("config-%.16s", hash);
    g_autofree char *path = g_build_filename(cli->state_dir, name, NULL);
    if (!make_directory(path, error))
        return NULL;
    g_autofree char *link = g_build_filename(path, "contexts", NULL);
    g_autofree char *target = g_build_filename(user_config, "contexts", NULL);
    if (symlink(target, link) != 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot create %s: %s", link, dsb_errno_text(errno));
        return NULL;
    }
    return g_steal_pointer(&path);
}

static GStrv make_env(const char *config_dir, const struct dsbe_docker_place *place, gboolean host_given)
{
    GStrv env = g_environ_setenv(dsbe_environment(passed), "LANG", "C.UTF-8", TRUE);
    env = g_environ_setenv(env, "DOCKER_CONFIG", config_dir, TRUE);
    env = g_environ_setenv(env, "DOCKER_CLI_HINTS", "false", TRUE);
    env = g_environ_setenv(env, "DOCKER_CERT_PATH", place->config, FALSE);
    if (host_given)
        env = g_environ_unsetenv(env, "DOCKER_HOST");
    else if (place->context != NULL)
        env = g_environ_setenv(env, "DOCKER_CONTEXT", place->context, TRUE);
    return env;
}

gboolean dsbc_setup(struct dsbc_cli *cli, const struct dsb_open_params *params, GError **error)
{
    g_mutex_init(&cli->lock);
    cli->log = params->log;
    cli->log_data = params->log_data;
    cli->timeout_ms = params->call_timeout_ms > 0 ? params->call_timeout_ms : DEFAULT_TIMEOUT_MS;
    cli->timeout_given = params->call_timeout_ms > 0;
    cli->cancel_fd = dsbe_cancel_of(params);
    if (!choose_program(cli, params->endpoint, error) || !make_state_dir(cli, params->runtime_dir, error))
        return FALSE;

    gboolean host_given = params->endpoint != NULL && *params->endpoint != '\0' && *params->endpoint != '/';
    g_auto(dsbe_docker_place) place = {0};
    dsbe_docker_find(host_given ? params->endpoint : NULL, &place);
    g_autofree char *config = make_config_dir(cli, place.config, error);
    if (config == NULL)
        return FALSE;
    cli->endpoint = place.address ? g_strdup(place.address) : g_strconcat("context:", place.context, NULL);
    cli->host = host_given ? g_strdup(params->endpoint) : NULL;
    cli->env = make_env(config, &place, host_given);
    cli->user_env = make_env(place.config, &place, host_given);
    return TRUE;
}

/** Removes what make_config_dir and the cache put into a state directory of our own. */
static void remove_state(const char *state_dir)
{
    g_autoptr(GDir) dir = g_dir_open(state_dir, 0, NULL);
    for (const char *name = dir != NULL ? g_dir_read_name(dir) : NULL; name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(state_dir, name, NULL);
        g_autofree char *link = g_build_filename(path, "contexts", NULL);
        unlink(link);
        if (unlink(path) != 0)
            rmdir(path);
    }
    rmdir(state_dir);
}

void dsbc_teardown(struct dsbc_cli *cli)
{
    if (cli->own_state)
        remove_state(cli->state_dir);
    g_strfreev(cli->env);
    g_strfreev(cli->user_env);
    g_free(cli->program);
    g_free(cli->host);
    g_free(cli->endpoint);
    g_free(cli->state_dir);
    g_mutex_clear(&cli->lock);
}
