/* SPDX-License-Identifier: MIT */
#include "select.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_TIMEOUT_MS 60000

void dsb_say(const struct dsb_run_options *options, const char *format, ...)
{
    if (options->log == NULL)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    options->log(options->data, line);
}

/* A private directory for sockets and caches: the user's runtime directory, else one of our own in /tmp. */
static char *make_runtime_dir(GError **error)
{
    const char *xdg = g_getenv("XDG_RUNTIME_DIR");
    struct stat st;
    g_autofree char *path = NULL;
    if (xdg != NULL && g_path_is_absolute(xdg) && stat(xdg, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        path = g_build_filename(xdg, "dsandbox", NULL);
    else
        path = g_strdup_printf("/tmp/.dsandbox-%u", (unsigned) geteuid());
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)
        || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                    "the runtime directory %s is not a private directory of yours; remove it, or set XDG_RUNTIME_DIR",
                    path);
        return NULL;
    }
    return g_steal_pointer(&path);
}

static void relay(void *data, const char *line)
{
    const struct dsb_engine *engine = data;
    if (engine->listener != NULL && engine->listener->log != NULL)
        engine->listener->log(engine->listener->data, line);
}

void dsb_engine_listen(struct dsb_engine *engine, const struct dsb_run_options *options)
{
    engine->listener = options;
}

static struct dsb_engine *open_one(const char *name, const struct dsb_run_options *options, GError **error)
{
    struct dsb_engine *engine = g_new0(struct dsb_engine, 1);
    engine->info.struct_size = sizeof engine->info;
    engine->endpoint = g_strdup(options->endpoint);
    engine->listener = options;
    engine->params = (struct dsb_open_params){
        .struct_size = sizeof engine->params,
        .endpoint = engine->endpoint,
        .call_timeout_ms = options->engine_timeout_ms != 0 ? options->engine_timeout_ms : CALL_TIMEOUT_MS,
        .log = relay,
        .log_data = engine,
    };
    engine->params.runtime_dir = engine->runtime_dir = make_runtime_dir(error);
    if (engine->runtime_dir != NULL
        && dsb_loader_open(name, name == NULL ? options->plugin_path : NULL, &engine->loaded, error)
        && dsb_backend_open(engine->loaded, &engine->params, &engine->backend, error)
        && dsb_backend_describe(engine->backend, &engine->info, error)) {
        dsb_say(options, "backend %s: %s %s at %s answers", engine->loaded->plugin.name, engine->info.product,
                engine->info.version, engine->info.endpoint);
        return engine;
    }
    dsb_engine_close(engine);
    return NULL;
}

struct dsb_engine *dsb_engine_open(const struct dsb_run_options *options, GError **error)
{
    if (options->plugin_path != NULL)
        return open_one(NULL, options, error);
    if (options->backend != NULL && g_strcmp0(options->backend, "auto") != 0)
        return open_one(options->backend, options, error);

    /* Root has no rootless engine; everybody else prefers the one that holds no root rights at all. */
    static const char *const for_root[] = { "docker-api", "podman", "docker-cli", NULL };
    static const char *const for_users[] = { "podman", "docker-api", "docker-cli", NULL };
    g_autoptr(GString) reasons = g_string_new(NULL);
    for (const char *const *name = geteuid() == 0 ? for_root : for_users; *name != NULL; name++) {
        g_autoptr(GError) why = NULL;
        struct dsb_engine *engine = open_one(*name, options, &why);
        if (engine != NULL)
            return engine;
        dsb_say(options, "backend %s: not usable: %s", *name, why->message);
        g_string_append_printf(reasons, "\n  %s: %s", *name, why->message);
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no container engine is usable; install Docker or Podman, or start it:%s",
                reasons->str);
    return NULL;
}

void dsb_engine_close(struct dsb_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->backend != NULL)
        dsb_backend_close(engine->backend);
    dsb_loaded_free(engine->loaded);
    g_free(engine->runtime_dir);
    g_free(engine->endpoint);
    g_free(engine);
}
