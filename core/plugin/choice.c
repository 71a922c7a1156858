/* SPDX-License-Identifier: MIT */
/* Which backend is used: the one that was named, or the first that answers and can hold the limits. */
#include "plugin/choice.h"

#include "attest/verify.h"
#include "common/runtime_dir.h"
#include "common/trust.h"
#include "policy/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_MS 5000

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

/* For sockets and caches of plugins: ours alone, or nothing. */
static char *make_runtime_dir(GError **error)
{
    struct stat st;
    g_autofree char *path = dsb_runtime_dir();
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot make the runtime directory %s: %s",
                    path, dsb_errno_text(errno));
        return NULL;
    }
    if (lstat(path, &st) < 0 || !dsb_is_private_dir(&st)) {
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

void dsb_engine_listen(struct dsb_engine *engine, const struct dsb_run_options *options) { engine->listener = options; }

struct dsb_engine *dsb_engine_open_one(const char *name, const struct dsb_run_options *options, GError **error)
{
    struct dsb_engine *engine = g_new0(struct dsb_engine, 1);
    engine->info.struct_size = sizeof engine->info;
    engine->endpoint = g_strdup(options->endpoint);
    engine->listener = options;
    /* Ours, since the caller's lives for its call only. */
    engine->cancel_fd = options->cancel_fd >= 0 ? fcntl(options->cancel_fd, F_DUPFD_CLOEXEC, 3) : -1;
    engine->params = (struct dsb_open_params){
        .struct_size = sizeof engine->params,
        .endpoint = engine->endpoint,
        .call_timeout_ms = options->engine_timeout_ms,
        .cancel_fd = engine->cancel_fd,
        .log = relay,
        .log_data = engine,
    };
    engine->params.runtime_dir = engine->runtime_dir = make_runtime_dir(error);
    if (engine->runtime_dir != NULL && dsb_loader_open(name, options->plugin_path, &engine->loaded, error) &&
        dsb_backend_open(engine->loaded, &engine->params, &engine->backend, error) &&
        dsb_backend_describe(engine->backend, &engine->info, error)) {
        dsb_say(options, "backend %s: %s %s at %s answers", engine->loaded->plugin.name, engine->info.product,
                engine->info.version, engine->info.endpoint);
        return engine;
    }
    dsb_engine_close(engine);
    return NULL;
}

char *dsb_engine_missing_limits(const struct dsb_engine *engine, const struct dsb_run_options *options)
{
    uint64_t missing = DSB_CONTROLS_LIMITS & ~options->allow_unenforced & ~engine->info.limits_available;
    return missing != 0 ? dsb_control_names(missing, ",") : NULL;
}

struct dsb_engine *dsb_engine_pick(const char *const *names, dsb_engine_opener open,
                                   const struct dsb_run_options *options, GError **error)
{
    g_autoptr(GString) reasons = g_string_new(NULL);
    gboolean broken = FALSE; /* an engine may well be there */
    struct dsb_engine *second = NULL; /* the first that answers, if none can hold all limits */
    for (; *names != NULL; names++) {
        g_autoptr(GError) why = NULL;
        struct dsb_engine *engine = open(*names, options, &why);
        g_autofree char *missing = engine != NULL ? dsb_engine_missing_limits(engine, options) : NULL;
        if (engine != NULL && missing == NULL) {
            dsb_engine_close(second);
            return engine;
        }
        if (engine == NULL && g_error_matches(why, DSB_ERROR, DSB_ERROR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&why));
            dsb_engine_close(second);
            return NULL;
        }
        if (engine == NULL) {
            dsb_say(options, "backend %s: not usable: %s", *names, why->message);
            g_string_append_printf(reasons, "\n  %s: %s", *names, why->message);
            broken |= g_error_matches(why, DSB_ERROR, DSB_ERROR_FAILED);
            continue;
        }
        dsb_say(options, "backend %s: cannot limit %s here; looking for one that can", *names, missing);
        if (second == NULL)
            second = engine;
        else
            dsb_engine_close(engine);
    }
    g_autofree char *podman = geteuid() != 0 ? g_find_program_in_path("podman") : NULL; /* needs no start */
    if (second == NULL)
        g_set_error(error, DSB_ERROR, broken ? DSB_ERROR_FAILED : DSB_ERROR_UNAVAILABLE,
                    "no container engine is usable%s:%s",
                    broken || podman != NULL ? "" : "; install Docker or Podman, or start it",
                    reasons->str);
    return second;
}

const char *const *dsb_engine_names(void)
{
    /* Root has no rootless engine; everybody else prefers the one that holds no root rights at all. */
    static const char *const for_root[] = {"docker-api", "podman", "docker-cli", NULL};
    static const char *const for_users[] = {"podman", "docker-api", "docker-cli", NULL};
    return geteuid() == 0 ? for_root : for_users;
}

const char *dsb_engine_named_only(void) { return "oci"; }

gboolean dsb_engine_is_named(const struct dsb_run_options *options)
{
    return options->plugin_path != NULL || (options->backend != NULL && strcmp(options->backend, "auto") != 0);
}

struct dsb_engine *dsb_engine_open(const struct dsb_run_options *options, GError **error)
{
    if (!dsb_engine_is_named(options))
        return dsb_engine_pick(dsb_engine_names(), dsb_engine_open_one, options, error);
    /* With both, the plugin must be of that name. */
    gboolean any = options->backend == NULL || strcmp(options->backend, "auto") == 0;
    return dsb_engine_open_one(any ? NULL : options->backend, options, error);
}

/* "podman (backend podman)" of another engine that has the image, or NULL. Asked only when the first has not. */
static char *find_other(const struct dsb_engine *engine, const struct dsb_run_options *options, const char *image)
{
    if (options->endpoint != NULL || options->plugin_path != NULL)
        return NULL;
    struct dsb_run_options brief = *options;
    brief.engine_timeout_ms = OTHER_MS;
    for (const char *const *name = dsb_engine_names(); *name != NULL; name++) {
        struct dsb_image_info info = {.struct_size = sizeof info};
        struct dsb_engine *other =
            strcmp(*name, engine->loaded->plugin.name) == 0 ? NULL : dsb_engine_open_one(*name, &brief, NULL);
        gboolean has = other != NULL && strcmp(other->info.product, engine->info.product) != 0 &&
                       dsb_backend_prepare(other->backend, image, &info, NULL);
        char *found = has ? g_strdup_printf("%s (backend %s)", other->info.product, *name) : NULL;
        dsb_engine_close(other);
        if (found != NULL)
            return found;
    }
    return NULL;
}

gboolean dsb_engine_prepare(struct dsb_engine *engine, const struct dsb_run_options *options, const char *image,
                            struct dsb_image_info *info, GError **error)
{
    GError *local = NULL;
    if (dsb_backend_prepare(engine->backend, image, info, &local))
        return TRUE;
    g_autofree char *other =
        g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND) ? find_other(engine, options, image) : NULL;
    if (other != NULL) {
        g_autofree char *message = local->message;
        local->message = g_strdup_printf("%s; %s has it", message, other);
    }
    g_propagate_error(error, local);
    return FALSE;
}

gboolean dsb_engine_check_local(const struct dsb_engine *engine, GError **error)
{
    if (engine->info.local)
        return TRUE;
    g_set_error(
        error, DSB_ERROR, DSB_ERROR_REFUSED,
        "the engine at %s is not on this host, so it cannot see the session directory: give an engine of this host "
        "(its endpoint unix:///PATH, or another backend; see DOCKER_HOST, CONTAINER_HOST and the Docker context), or "
        "run dsandbox where the engine is",
        engine->info.endpoint);
    return FALSE;
}

void dsb_engine_close(struct dsb_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->backend != NULL)
        dsb_backend_close(engine->backend);
    dsb_loaded_free(engine->loaded);
    if (engine->cancel_fd >= 0)
        close(engine->cancel_fd);
    g_free(engine->runtime_dir);
    g_free(engine->endpoint);
    g_free(engine);
}
