/* SPDX-License-Identifier: MIT */
#include "exec.h"
#include "hello.h"
#include "paths.h"
#include "request.h"
#include "result.h"
#include "select.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_IMAGE "dsandbox-sandbox:latest"
#define SECCOMP_MAX (1u << 20)
#define DAY_SECONDS 86400

/** Everything one run holds; cleared from the bottom up on every path. */
struct run {
    const dsb_policy *policy;
    const struct dsb_run_options *options;
    const struct dsb_request *request;
    struct dsb_result *result;
    struct dsb_engine *engine;
    struct dsb_resolved *resolved;
    struct dsb_workdir *dir;
    struct dsb_scan before;
    char *name, *container, *dir_name;
    struct dsb_stream stream;
    struct dsb_wire wire;
    gint64 began;
};

static void stamp(struct run *run, const char *phase)
{
    gint64 at = g_get_monotonic_time();
    json_object_object_add(run->result->timing, phase, json_object_new_double((double) (at - run->began) / 1000.0));
}

static gboolean still_wanted(const struct run *run, GError **error)
{
    struct pollfd fd = { run->options->cancel_fd, POLLIN, 0 };
    if (run->options->cancel_fd < 0 || poll(&fd, 1, 0) <= 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled by the caller");
    return FALSE;
}

static char *random_name(void)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t random[26];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        g_error("getrandom: %s", g_strerror(errno));
    GString *name = g_string_new("dsb-");
    for (gsize i = 0; i < sizeof random; i++)
        g_string_append_c(name, alphabet[random[i] % 32]);
    return g_string_free(name, FALSE);
}

/* Who we are, so that `gc` can tell a living run from a dead one: uid, pid and the pid's start time. */
static char *owner_label(void)
{
    g_autofree char *stat = NULL;
    unsigned long long started = 0;
    if (g_file_get_contents("/proc/self/stat", &stat, NULL, NULL)) {
        const char *after = strrchr(stat, ')');
        if (after == NULL
            || sscanf(after, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                      &started) != 1)
            started = 0;
    }
    return g_strdup_printf("%u.%d.%llu", (unsigned) geteuid(), (int) getpid(), started);
}

static gboolean read_profile(char **text, GError **error)
{
    g_autofree char *path = g_build_filename(dsb_guest_dir(), "seccomp.json", NULL);
    gsize size = 0;
    if (g_file_get_contents(path, text, &size, error) && size <= SECCOMP_MAX)
        return TRUE;
    g_prefix_error(error, "the installation is not complete: ");
    if (error != NULL && *error != NULL)
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_FAILED;
    return FALSE;
}

static gboolean resolve(struct run *run, const struct dsb_image_info *image, GError **error)
{
    g_autofree char *profile = NULL;
    g_autofree char *owner = owner_label();
    g_autofree char *path = dsb_workdir_plan(run->options->base_dir, run->options->session, &run->dir_name, error);
    if (path == NULL || !read_profile(&profile, error))
        return FALSE;
    struct dsb_resolve_input input = {
        .workdir = path,
        .guest_dir = dsb_guest_dir(),
        .image = image->id,
        .name = run->name,
        .owner = owner,
        .session = run->options->session != NULL ? run->options->session : "",
        .deadline = g_get_real_time() / G_USEC_PER_SEC + DAY_SECONDS,
        .rootless = run->engine->info.rootless,
        .invoker_uid = geteuid(),
        .invoker_gid = getegid(),
        .seccomp_json = profile,
        .one_shot = TRUE,
    };
    return dsb_resolve(run->policy, &input, &run->resolved, error);
}

/* Who owns the files on the host: the invoker, or the service user when root drives a rootful engine. */
static gboolean open_workdir(struct run *run, GError **error)
{
    const struct dsb_spec *spec = &run->resolved->spec;
    gboolean mapped = run->engine->info.rootless;
    uid_t uid = mapped ? geteuid() : spec->uid;
    gid_t gid = mapped ? getegid() : spec->gid;
    if (!dsb_workdir_open(run->options->base_dir, run->dir_name, uid, gid, &run->dir, error))
        return FALSE;
    dsb_workdir_scan(run->dir, TRUE, &run->before);
    return TRUE;
}

static struct dsb_host_facts host_facts(const struct run *run)
{
    static const char *const names[] = { "pid", "ipc", "uts", "net", "mnt", "cgroup" };
    struct dsb_host_facts facts = { .volume_dev = run->dir->dev, .volume_ino = run->dir->ino };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        struct stat st;
        g_autofree char *path = g_strconcat("/proc/self/ns/", names[i], NULL);
        facts.ns_ino[i] = stat(path, &st) == 0 ? st.st_ino : 0;
    }
    return facts;
}

static gboolean prepare(struct run *run, GError **error)
{
    struct dsb_result *result = run->result;
    struct dsb_image_info image = { .struct_size = sizeof image };
    run->engine = dsb_engine_open(run->options, error);
    if (run->engine == NULL)
        return FALSE;
    result->engine = run->engine->info;
    result->backend = g_strdup(run->engine->loaded->plugin.name);
    stamp(run, "engine_ms");
    if (!dsb_engine_check_local(run->engine, error))
        return FALSE;
    if (run->engine->loaded->plugin.prepare == NULL)
        g_strlcpy(image.id, result->image, sizeof image.id);
    else if (!dsb_backend_prepare(run->engine->backend, result->image, FALSE, &image, error))
        return FALSE;
    result->image_id = g_strdup(image.id);
    if (image.n_volumes > 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                    "image %s declares %" G_GUINT64_FORMAT " VOLUME(s): they would be writable disk without a limit; "
                    "use an image without them",
                    result->image, image.n_volumes);
        return FALSE;
    }
    if (!resolve(run, &image, error))
        return FALSE;
    run->resolved->spec.auto_remove = TRUE;
    result->controls = dsb_report_new(run->resolved);
    stamp(run, "resolved_ms");
    return TRUE;
}

static gboolean attest(struct run *run, GError **error)
{
    const struct dsb_spec *spec = &run->resolved->spec;
    const uint64_t allow = run->options->allow_unenforced;
    struct dsb_observed claim = { .struct_size = sizeof claim };
    struct dsb_observed measured = { .struct_size = sizeof measured };
    g_autofree char *hello = NULL;
    gint64 deadline = g_get_monotonic_time() + (gint64) run->resolved->start_timeout_ms * 1000;

    if (!dsb_backend_create(run->engine->backend, spec, &run->container, error))
        return FALSE;
    stamp(run, "created_ms");
    if (!dsb_backend_inspect(run->engine->backend, run->container, spec, &claim, error)
        || !dsb_verify_inspect(run->result->controls, spec, &claim, allow, error) || !still_wanted(run, error))
        return FALSE;
    stamp(run, "inspected_ms");
    run->stream.struct_size = sizeof run->stream;
    if (!dsb_backend_start(run->engine->backend, run->container, &run->stream, error))
        return FALSE;
    stamp(run, "started_ms");
    dsb_wire_init(&run->wire, &run->stream);
    if (!dsb_exec_hello(&run->wire, run->options->cancel_fd, deadline, &hello, error))
        return FALSE;
    struct dsb_host_facts host = host_facts(run);
    if (!dsb_hello_parse(hello, strlen(hello), spec, &host, &measured, error)
        || !dsb_verify_hello(run->result->controls, spec, &measured, allow, error))
        return FALSE;
    stamp(run, "attested_ms");
    return TRUE;
}

static void compare_files(struct run *run)
{
    struct dsb_scan after;
    struct dsb_result *result = run->result;
    GHashTableIter iter;
    gpointer path, entry;
    if (run->dir == NULL || run->before.files == NULL)
        return;
    dsb_workdir_scan(run->dir, TRUE, &after);
    result->files_truncated = run->before.truncated || after.truncated;
    g_hash_table_iter_init(&iter, after.files);
    while (g_hash_table_iter_next(&iter, &path, &entry)) {
        const struct dsb_file_entry *file = entry;
        const struct dsb_file_entry *old = g_hash_table_lookup(run->before.files, path);
        if (old == NULL)
            dsb_result_add_file(result->created, path, file->size);
        else if (old->mtime_ns != file->mtime_ns || old->ctime_ns != file->ctime_ns || old->ino != file->ino
                 || old->size != file->size)
            dsb_result_add_file(result->modified, path, file->size);
    }
    g_hash_table_iter_init(&iter, run->before.files);
    while (!after.truncated && g_hash_table_iter_next(&iter, &path, &entry))
        if (g_hash_table_lookup(after.files, path) == NULL)
            dsb_result_add_file(result->deleted, path, ((const struct dsb_file_entry *) entry)->size);
    dsb_scan_clear(&after);
}

static gboolean go(struct run *run, GError **error)
{
    const uint64_t allow = run->options->allow_unenforced;
    if (!prepare(run, error))
        return FALSE;
    if (!dsb_verify_plan(run->result->controls, &run->resolved->spec, run->engine->loaded->plugin.enforces,
                         &run->engine->info, allow, error))
        return FALSE;
    run->resolved->spec.required &= ~dsb_report_let_go(run->result->controls);
    if (!open_workdir(run, error) || !still_wanted(run, error) || !attest(run, error))
        return FALSE;
    gboolean ran = dsb_exec_run(&run->wire, run->resolved, run->dir, run->options, run->request, run->result, error);
    stamp(run, "answered_ms");
    return ran;
}

static void clear(struct run *run)
{
    if (run->wire.stream != NULL)
        dsb_wire_clear(&run->wire);
    if (run->stream.close != NULL)
        run->stream.close(run->stream.state);
    /*
     * After an answer pid 1 leaves and the engine removes the container: nobody has to wait for that.
     * By name where `create` did not come back with an id: the engine may have made it all the same.
     */
    if (run->resolved != NULL && run->dir != NULL && !run->result->leaving) {
        g_autoptr(GError) error = NULL;
        if (!dsb_backend_destroy(run->engine->backend, run->container != NULL ? run->container : run->name, &error))
            dsb_say(run->options, "container %s could not be removed: %s; 'dsandbox gc' tries again", run->name,
                    error->message);
    }
    compare_files(run);
    dsb_scan_clear(&run->before);
    dsb_workdir_close(run->dir);
    stamp(run, "removed_ms");
    dsb_resolved_free(run->resolved);
    dsb_engine_close(run->engine);
    g_free(run->container);
    g_free(run->dir_name);
    g_free(run->name);
}

dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request)
{
    GError *error = NULL;
    struct run run = { .policy = policy, .options = options, .request = request, .result = dsb_result_new(),
                       .name = random_name(), .began = g_get_monotonic_time() };
    struct dsb_result *result = run.result;
    result->id = g_strdup(run.name);
    result->session = g_strdup(options->session);
    result->image = g_strdup(options->image != NULL ? options->image : DEFAULT_IMAGE);
    result->policy_sha256 = dsb_policy_sha256(policy);
    if (dsb_check_request(options, request, &error))
        go(&run, &error);
    if (error != NULL)
        dsb_result_fail(result, error);
    if (run.dir != NULL && !run.dir->ephemeral)
        result->workdir = g_strdup(run.dir->path);
    clear(&run);
    return result;
}
