/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include "bindsource.h"
#include "exec.h"
#include "fields.h"
#include "gc.h"
#include "hello.h"
#include "paths.h"
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DEFAULT_IMAGE "dsandbox-sandbox:latest"
#define SECCOMP_MAX (1u << 20)

/* What one opening has besides the sandbox. */
struct opening {
    struct dsb_sandbox *box;
    const dsb_policy *policy;
    const struct dsb_run_options *options;
    gboolean one_shot;
    struct dsb_result *result;
};

void dsb_sandbox_stamp(struct dsb_result *result, gint64 began, const char *step)
{
    double ms = (double) (g_get_monotonic_time() - began) / 1000.0;
    json_object_object_add(result->timing, step, json_object_new_double(ms));
}

static void stamp(const struct opening *job, const char *step)
{
    dsb_sandbox_stamp(job->result, job->box->began, step);
}

static gboolean still_wanted(const struct opening *job, GError **error)
{
    struct pollfd fd = {job->options->cancel_fd, POLLIN, 0};
    if (job->options->cancel_fd < 0 || poll(&fd, 1, 0) <= 0)
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

static gboolean resolve(const struct opening *job, const struct dsb_image_info *image, GError **error)
{
    g_autofree char *profile = NULL;
    g_autofree char *owner = dsb_owner_label();
    g_autofree char *path = dsb_workdir_plan(job->options->base_dir, job->options->session, &job->box->dir_name, error);
    if (path == NULL || !read_profile(&profile, error))
        return FALSE;
    struct dsb_resolve_input input = {
        .workdir = path,
        .guest_dir = dsb_guest_dir(),
        .image = image->id,
        .name = job->box->name,
        .owner = owner,
        .session = job->options->session != NULL ? job->options->session : "",
        .deadline = g_get_real_time() / G_USEC_PER_SEC + dsb_resolve_longest_life(job->policy, job->one_shot),
        .rootless = job->box->engine->info.rootless,
        .invoker_uid = geteuid(),
        .invoker_gid = getegid(),
        .seccomp_json = profile,
        .one_shot = job->one_shot,
    };
    return dsb_resolve(job->policy, &input, &job->box->resolved, error);
}

/* The container of a holder that was killed may take a while to die, and would go on writing under the new one. */
static gboolean remove_stale(const struct opening *job, GError **error)
{
    unsigned removed = 0;
    const struct dsb_spec *spec = &job->box->resolved->spec;
    const char *session = job->options->session != NULL ? job->options->session : spec->name;
    if (!dsb_gc_engine(job->box->engine, job->options, session, FALSE, NULL, &removed, error)) {
        g_prefix_error(error, "what the last run of session %s left could not be removed: ", session);
        return FALSE;
    }
    job->box->dir->stale = FALSE;
    return TRUE;
}

/* Who owns the files on the host: the invoker, or the service user when root drives a rootful engine. */
static gboolean open_workdir(const struct opening *job, GError **error)
{
    const struct dsb_spec *spec = &job->box->resolved->spec;
    gboolean mapped = job->box->engine->info.rootless;
    uid_t uid = mapped ? geteuid() : spec->uid;
    gid_t gid = mapped ? getegid() : spec->gid;
    if (!dsb_workdir_open(job->options->base_dir, job->box->dir_name, uid, gid, &job->box->dir, error))
        return FALSE;
    if (job->box->dir->stale && !remove_stale(job, error))
        return FALSE;
    g_autofree char *reason = NULL;
    if (!dsb_watch_room(job->box->dir->fd, &reason)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "%s: make room, or choose another --base-dir", reason);
        return FALSE;
    }
    dsb_scan_run(job->box->dir->fd, TRUE, job->box->resolved->disk_inodes + 1, &job->box->files);
    return TRUE;
}

static struct dsb_host_facts host_facts(const struct opening *job)
{
    static const char *const names[] = {"pid", "ipc", "uts", "net", "mnt", "cgroup"};
    struct dsb_host_facts facts = {.volume_dev = job->box->dir->dev, .volume_ino = job->box->dir->ino};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        struct stat st;
        g_autofree char *path = g_strconcat("/proc/self/ns/", names[i], NULL);
        facts.ns_ino[i] = stat(path, &st) == 0 ? st.st_ino : 0;
    }
    return facts;
}

static gboolean prepare(const struct opening *job, GError **error)
{
    struct dsb_result *result = job->result;
    struct dsb_image_info image = {.struct_size = sizeof image};
    job->box->engine = dsb_engine_open(job->options, error);
    if (job->box->engine == NULL)
        return FALSE;
    result->engine = job->box->engine->info;
    result->backend = g_strdup(job->box->engine->loaded->plugin.name);
    stamp(job, "engine_ms");
    if (!dsb_engine_check_local(job->box->engine, error))
        return FALSE;
    if (job->box->engine->loaded->plugin.prepare == NULL)
        g_strlcpy(image.id, result->image, sizeof image.id);
    else if (!dsb_backend_prepare(job->box->engine->backend, result->image, FALSE, &image, error))
        return FALSE;
    result->image_id = g_strdup(image.id);
    if (image.n_volumes > 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                    "image %s declares %" G_GUINT64_FORMAT " VOLUME(s): they would be writable disk without a limit; "
                    "use an image without them",
                    result->image, image.n_volumes);
        return FALSE;
    }
    if (!resolve(job, &image, error))
        return FALSE;
    job->box->resolved->spec.auto_remove = TRUE;
    result->controls = dsb_report_new(job->box->resolved);
    stamp(job, "resolved_ms");
    return TRUE;
}

/* Which mounts they are is what the reader of a refused volume wants to know. */
static void add_foreign_mounts(const char *hello, const struct dsb_spec *spec, GError **error)
{
    g_autofree char *foreign = dsb_hello_foreign(hello, strlen(hello), spec);
    if (foreign == NULL || error == NULL || !g_error_matches(*error, DSB_ERROR, DSB_ERROR_REFUSED))
        return;
    char *text = g_strdup_printf("%s; foreign or weaker: %s", (*error)->message, foreign);
    g_free((*error)->message);
    (*error)->message = text;
}

static gboolean attest(const struct opening *job, GError **error)
{
    const struct dsb_spec *spec = &job->box->resolved->spec;
    const uint64_t allow = job->options->allow_unenforced;
    struct dsb_observed claim = {.struct_size = sizeof claim};
    struct dsb_observed measured = {.struct_size = sizeof measured};
    g_autofree char *hello = NULL;
    gint64 deadline = g_get_monotonic_time() + (gint64) job->box->resolved->start_timeout_ms * 1000;
    struct dsb_host_facts host = host_facts(job);

    if (!dsb_bind_sources_check(spec, &host, error))
        return FALSE;
    if (!dsb_backend_create(job->box->engine->backend, spec, &job->box->container, error))
        return FALSE;
    stamp(job, "created_ms");
    if (!dsb_backend_inspect(job->box->engine->backend, job->box->container, spec, &claim, error) ||
        !dsb_verify_inspect(job->result->controls, spec, &claim, allow, error) || !still_wanted(job, error))
        return FALSE;
    stamp(job, "inspected_ms");
    job->box->stream.struct_size = sizeof job->box->stream;
    if (!dsb_backend_start(job->box->engine->backend, job->box->container, &job->box->stream, error))
        return FALSE;
    stamp(job, "started_ms");
    dsb_wire_init(&job->box->wire, &job->box->stream);
    if (!dsb_exec_hello(&job->box->wire, job->options->cancel_fd, deadline, &hello, error))
        return FALSE;
    if (!dsb_hello_parse(hello, strlen(hello), spec, &host, &measured, error))
        return FALSE;
    if (!dsb_verify_hello(job->result->controls, spec, &measured, allow, error)) {
        add_foreign_mounts(hello, spec, error);
        return FALSE;
    }
    stamp(job, "attested_ms");
    return TRUE;
}

static gboolean open_all(const struct opening *job, GError **error)
{
    if (!prepare(job, error) ||
        !dsb_verify_plan(job->result->controls, &job->box->resolved->spec, job->box->engine->loaded->plugin.enforces,
                         &job->box->engine->info, job->options->allow_unenforced, error))
        return FALSE;
    job->box->resolved->spec.required &= ~dsb_report_let_go(job->result->controls);
    return open_workdir(job, error) && still_wanted(job, error) && attest(job, error);
}

void dsb_sandbox_init(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                      struct dsb_result *result)
{
    *sandbox = (struct dsb_sandbox){.name = random_name(), .began = g_get_monotonic_time()};
    result->id = g_strdup(sandbox->name);
    result->session = g_strdup(options->session);
    result->image = g_strdup(options->image != NULL ? options->image : DEFAULT_IMAGE);
    result->policy_sha256 = dsb_policy_sha256(policy);
}

gboolean dsb_sandbox_open(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                          gboolean one_shot, struct dsb_result *result, GError **error)
{
    const struct opening job = {sandbox, policy, options, one_shot, result};
    gboolean ok = open_all(&job, error);
    if (sandbox->dir != NULL && !sandbox->dir->ephemeral)
        result->workdir = g_strdup(sandbox->dir->path);
    return ok;
}

void dsb_sandbox_hang_up(struct dsb_sandbox *sandbox)
{
    if (sandbox->wire.stream != NULL)
        dsb_wire_clear(&sandbox->wire);
    sandbox->wire.stream = NULL;
    if (sandbox->stream.close != NULL)
        sandbox->stream.close(sandbox->stream.state);
    sandbox->stream.close = NULL;
}

void dsb_sandbox_stop(struct dsb_sandbox *sandbox, const struct dsb_run_options *options, GError *failure)
{
    dsb_sandbox_hang_up(sandbox);
    if (sandbox->resolved == NULL || sandbox->dir == NULL || sandbox->stopped)
        return;
    sandbox->stopped = TRUE;
    /* By name where `create` did not come back with an id: the engine may have made it all the same. */
    g_autoptr(GError) error = NULL;
    const char *id = sandbox->container != NULL ? sandbox->container : sandbox->name;
    if (!dsb_backend_destroy(sandbox->engine->backend, id, &error)) {
        sandbox->dir->stale = TRUE;
        dsb_say(options, "container %s could not be removed: %s; 'dsandbox gc' tries again", sandbox->name,
                error->message);
        if (failure != NULL) {
            g_autofree char *message = failure->message;
            failure->message = g_strdup_printf("%s; its container may still be there: when the engine answers again, "
                                               "'dsandbox gc' removes it",
                                               message);
        }
    }
}

void dsb_sandbox_clear(struct dsb_sandbox *sandbox)
{
    dsb_scan_clear(&sandbox->files);
    dsb_workdir_close(sandbox->dir);
    dsb_resolved_free(sandbox->resolved);
    dsb_engine_close(sandbox->engine);
    g_free(sandbox->container);
    g_free(sandbox->dir_name);
    g_free(sandbox->name);
    *sandbox = (struct dsb_sandbox){0};
}
