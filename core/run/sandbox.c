/* SPDX-License-Identifier: MIT */
/* A container from its plan to its removal, and the order of the steps that make it safe to use. */
#include "run/sandbox.h"

#include "attest/bind_sources.h"
#include "attest/hello.h"
#include "attest/volume.h"
#include "common/ids.h"
#include "common/json.h"
#include "common/namespaces.h"
#include "common/owner.h"
#include "hostdir/basedir.h"
#include "hostdir/disk_watch.h"
#include "hostdir/scan.h"
#include "hostdir/session_files.h"
#include "hostdir/unfinished.h"
#include "plugin/installation.h"
#include "policy/fields.h"
#include "run/engine_room.h"
#include "run/execution.h"
#include "run/leftovers.h"
#include "run/rootless.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECCOMP_MAX (1u << 20)
/* From the removal of pid 1's file to the end of its stream. */
#define LEAVING_MS 1000

/* What one opening has besides the sandbox. */
struct opening {
    struct dsb_sandbox *box;
    const dsb_policy *policy;
    const struct dsb_run_options *options;
    enum dsb_sandbox_use use;
    struct dsb_result *result;
};

void dsb_sandbox_stamp(struct dsb_result *result, gint64 began, const char *step)
{
    double ms = (double) (g_get_monotonic_time() - began) / 1000.0;
    dsb_result_add_step(result, step, ms);
}

static void stamp(const struct opening *job, const char *step)
{
    dsb_sandbox_stamp(job->result, job->box->began, step);
}

static gboolean still_wanted(const struct opening *job, GError **error)
{
    struct pollfd fd = {job->options->cancel_fd, POLLIN, 0};
    if (poll(&fd, 1, 0) <= 0 || !(fd.revents & POLLIN))
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled by the caller");
    return FALSE;
}

static gboolean read_profile(char **text, GError **error)
{
    g_autofree char *path = g_build_filename(dsb_guest_dir(), "seccomp.json", NULL);
    gsize size = 0;
    g_autoptr(GError) local = NULL;
    g_autofree char *content = NULL;
    if (!g_file_get_contents(path, &content, &size, &local)) {
        gboolean missing = g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT);
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s%s", missing ? "the installation is not complete: " : "",
                    local->message);
        return FALSE;
    }
    if (size > SECCOMP_MAX) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the installation is broken: %s has more than %u bytes", path,
                    SECCOMP_MAX);
        return FALSE;
    }
    *text = g_steal_pointer(&content);
    return TRUE;
}

static gboolean resolve(const struct opening *job, const struct dsb_image_info *image, GError **error)
{
    g_autofree char *profile = NULL;
    g_autofree char *owner = dsb_owner_label();
    if (owner == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "a container cannot be told to be ours: %s", dsb_errno_text(errno));
        return FALSE;
    }
    gboolean pooled = job->use == DSB_FOR_POOL;
    if (!read_profile(&profile, error) ||
        !(pooled ? dsb_workdir_open_pooled(job->options->base_dir, &job->box->dir, error)
                 : dsb_workdir_open(job->options->base_dir, job->options->session, &job->box->dir, error)))
        return FALSE;
    dsb_say(job->options, "session directory %s", job->box->dir->path);
    gboolean rootless = job->box->engine->info.rootless;
    if (dsb_resolve_wants_own_id(job->policy, rootless, geteuid()) && !dsb_workdir_claim(job->box->dir, error))
        return FALSE;
    struct dsb_resolve_input input = {
        .workdir = job->box->dir->path,
        .guest_dir = dsb_guest_dir(),
        .image = image->id,
        .name = job->box->name,
        .owner = owner,
        .session = job->options->session != NULL ? job->options->session : "",
        .deadline = g_get_real_time() / G_USEC_PER_SEC + dsb_resolve_longest_life(job->policy, job->use == DSB_FOR_RUN, pooled),
        .rootless = rootless,
        .invoker_uid = geteuid(),
        .invoker_gid = getegid(),
        .own_id = job->box->dir->own_uid,
        .seccomp_json = profile,
        .one_shot = job->use == DSB_FOR_RUN,
        .waits = pooled,
    };
    return dsb_resolve(job->policy, &input, &job->box->resolved, error);
}

/* The container of a holder that was killed may take a while to die, and would go on writing under the new one. */
static gboolean remove_stale(const struct opening *job, GError **error)
{
    unsigned removed = 0;
    const struct dsb_spec *spec = &job->box->resolved->spec;
    const char *session = job->options->session != NULL ? job->options->session : spec->name;
    const char *former = job->box->dir->former; /* it came from a pool, and has that label still */
    if (!dsb_leftovers_remove(job->box->engine, job->options, session, FALSE, NULL, &removed, error) ||
        (former != NULL && !dsb_leftovers_remove(job->box->engine, job->options, former, FALSE, NULL, &removed, error))) {
        g_prefix_error(error, "what the last run of session %s left could not be removed: ", session);
        return FALSE;
    }
    job->box->dir->stale = FALSE;
    return TRUE;
}

/* Files of the caller for the code: no clock of the sandbox's runs yet. */
static gboolean take_files(const struct opening *job, GError **error)
{
    const struct dsb_run_options *options = job->options;
    const struct dsb_resolved *limits = job->box->resolved;
    struct dsb_files files;
    struct dsb_scan scan;
    g_autoptr(GError) why = NULL;
    if (options->files_in == NULL)
        return TRUE;
    if (!dsb_files_of(job->box->dir->fd, &files))
        return dsb_files_fail(errno, "look at", NULL, error);
    if (!options->files_in(options->data, &files, &why)) {
        g_propagate_error(error, why != NULL ? g_steal_pointer(&why)
                                             : g_error_new_literal(DSB_ERROR, DSB_ERROR_FAILED, "files_in failed without an error"));
        return FALSE;
    }
    dsb_scan_run(files.fd, FALSE, limits->disk_inodes + 1, &scan);
    g_autofree char *over = dsb_scan_over(&scan, limits->disk_bytes, limits->disk_inodes);
    dsb_scan_clear(&scan);
    if (over != NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "the files for the code do not fit: %s", over);
    return over == NULL;
}

/* Who owns the files on the host: the invoker, or a user of the sandbox's own when root drives a rootful engine. */
static gboolean open_workdir(const struct opening *job, GError **error)
{
    const struct dsb_spec *spec = &job->box->resolved->spec;
    gboolean mapped = job->box->engine->info.rootless;
    uid_t uid = mapped ? geteuid() : spec->uid;
    gid_t gid = mapped ? getegid() : spec->gid;
    if (!dsb_workdir_enter(job->box->dir, uid, gid, error))
        return FALSE;
    if (job->box->dir->stale && !remove_stale(job, error))
        return FALSE;
    g_autofree char *reason = NULL;
    if (!dsb_watch_room(job->box->dir->fd, &reason)) {
        g_autofree char *base = g_path_get_dirname(job->box->dir->path);
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "%s: make room on the file system of %s, or choose another base_dir",
                    reason, base);
        return FALSE;
    }
    return job->use != DSB_FOR_RUN || take_files(job, error);
}

static struct dsb_host_facts host_facts(const struct opening *job)
{
    static const char *const names[DSB_N_NAMESPACES] = {DSB_NAMESPACE_NAMES};
    struct dsb_host_facts facts = {.volume_dev = job->box->dir->dev, .volume_ino = job->box->dir->ino};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        struct stat st;
        g_autofree char *path = g_strconcat("/proc/self/ns/", names[i], NULL);
        facts.ns_ino[i] = stat(path, &st) == 0 ? st.st_ino : 0;
    }
    return facts;
}

/* Podman leaves out what kind of digest it is: the same image has the same id on every engine. */
static char *image_id(const char *id)
{
    gboolean bare = strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
    return g_strconcat(bare ? "sha256:" : "", id, NULL);
}

static gboolean prepare(const struct opening *job, GError **error)
{
    struct dsb_result *result = job->result;
    struct dsb_image_info image = {.struct_size = sizeof image};
    job->box->engine = dsb_engine_open(job->options, error);
    if (job->box->engine == NULL)
        return FALSE;
    result->engine = job->box->engine->info;
    const struct dsb_loaded *loaded = job->box->engine->loaded;
    result->backend = g_strdup(loaded->plugin.name);
    result->plugin_path = g_strdup(loaded->path);
    result->plugin_version = g_strdup(loaded->plugin.version);
    stamp(job, "engine_ms");
    if (!dsb_engine_check_local(job->box->engine, error))
        return FALSE;
    if (job->box->engine->loaded->plugin.prepare == NULL)
        g_strlcpy(image.id, result->image, sizeof image.id);
    else if (!dsb_engine_prepare(job->box->engine, job->options, result->image, &image, error))
        return FALSE;
    result->image_id = image_id(image.id);
    if (image.n_volumes > 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                    "image %s declares %" G_GUINT64_FORMAT " VOLUME(s): they would be writable disk without a limit; "
                    "use an image without them",
                    result->image, image.n_volumes);
        return FALSE;
    }
    if (!resolve(job, &image, error))
        return FALSE;
    result->controls = dsb_report_new(job->box->resolved);
    stamp(job, "resolved_ms");
    return TRUE;
}

/* Which mounts they are, or why it cannot be used, is what the reader of a refused volume wants to know. */
static void add_reasons(const char *hello, const char *unusable, gboolean maps_users, const struct dsb_spec *spec,
                        GError **error)
{
    g_autofree char *foreign = dsb_hello_foreign(hello, strlen(hello), spec);
    if ((foreign == NULL && unusable == NULL) || error == NULL || !g_error_matches(*error, DSB_ERROR, DSB_ERROR_REFUSED))
        return;
    GString *text = g_string_new((*error)->message);
    if (foreign != NULL)
        g_string_append_printf(text, "; foreign or weaker: %s", foreign);
    if (foreign != NULL && (strstr(foreign, "/etc/localtime ") != NULL || strstr(foreign, "/zoneinfo/") != NULL))
        g_string_append(text, "; that is a time zone of the engine's: leave out tz in its containers.conf");
    if (foreign != NULL && unusable == NULL && maps_users && strstr(foreign, "/sys/fs/cgroup") != NULL)
        g_string_append(text, "; Docker leaves control groups writable where it maps users (userns-remap): use rootless "
                              "Podman, or an engine that does not");
    if (unusable != NULL)
        g_string_append_printf(text, "; /sandbox: %s%s", unusable,
                               dsb_base_keeps_out(maps_users ? "/" : spec->binds[0]->source,
                                                  ": where the engine maps users (rootless Docker, userns-remap), use "
                                                  "rootless Podman, or an engine that does not"));
    g_free((*error)->message);
    (*error)->message = g_string_free(text, FALSE);
}

/* An engine that says so itself does not say what they are. */
static void add_claimed(const struct dsb_observed *claim, GError **error)
{
    if (claim->foreign_mounts == 0 || error == NULL || !g_error_matches(*error, DSB_ERROR, DSB_ERROR_REFUSED))
        return;
    g_autofree char *message = (*error)->message;
    (*error)->message = g_strconcat(message,
                                    "; what an engine gives to all containers is foreign: leave out volumes in its "
                                    "configuration, and leave out tz in its containers.conf",
                                    NULL);
}

/* The session directory as the code's user has it, not as a table of mounts says. */
static char *try_volume(const struct opening *job, const char *hello, struct dsb_observed *measured)
{
    char *problem = dsb_volume_problem(job->box->dir->fd, hello);
    if (problem != NULL)
        measured->volume_present = FALSE;
    return problem;
}

/* A pid 1 that ends takes its file along: then it is the container that is missing, not the volume. */
static gboolean is_leaving(struct dsb_sandbox *box, GError **error)
{
    struct pollfd fd = {box->stream.read_fd, POLLIN, 0};
    return poll(&fd, 1, LEAVING_MS) > 0 && !dsb_exec_idle(&box->wire, error);
}

/* For whoever comes after us, should we be killed. */
static void note(const struct dsb_sandbox *box, enum dsb_unfinished_step step)
{
    g_autofree char *engine = dsb_leftovers_engine_key(box->engine);
    dsb_unfinished_note(box->dir, step, box->dir->ephemeral || box->pooled ? box->name : box->dir->name, engine);
}

/* What a policy asks for and an engine has not is a refusal, in whatever words the engine says it. */
static gboolean without_runtime(const struct dsb_spec *spec, GError **error)
{
    if (spec->runtime == NULL || error == NULL || *error == NULL)
        return FALSE;
    g_autofree char *lower = g_ascii_strdown((*error)->message, -1);
    if (strstr(lower, "runtime") == NULL || strstr((*error)->message, spec->runtime) == NULL)
        return FALSE;
    g_autofree char *message = (*error)->message;
    (*error)->message = g_strdup_printf("the engine has no runtime \"%s\", which the policy asks for: %s", spec->runtime,
                                        message);
    (*error)->code = DSB_ERROR_REFUSED;
    return FALSE;
}

/* Its own words do not say that the directory is there, but not for it, or why it may not look into it. */
static gboolean without_base(const struct dsb_spec *spec, GError **error)
{
    if (error == NULL || *error == NULL || spec->n_binds == 0)
        return FALSE;
    const char *base = spec->binds[0]->source, *why = NULL;
    g_autofree char *lower = g_ascii_strdown((*error)->message, -1);
    if (strstr((*error)->message, base) == NULL)
        return without_runtime(spec, error);
    if (strstr(lower, "permission denied") != NULL)
        why = dsb_base_keeps_out(base, "; the engine may not look into this directory: choose another base_dir");
    else if (strstr(lower, "no such file or directory") != NULL || strstr(lower, "does not exist") != NULL)
        why = "; the engine does not see this directory, which is there for us: it has mounts of its own (PrivateTmp, "
              "a snap, a container), or we have; choose another base_dir";
    if (why == NULL)
        return without_runtime(spec, error);
    g_autofree char *message = (*error)->message;
    (*error)->message = g_strconcat(message, why, NULL);
    return FALSE;
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
    job->box->stopped = FALSE;
    note(job->box, DSB_UNFINISHED_ASKED);
    if (!dsb_backend_create(job->box->engine->backend, spec, &job->box->container, error))
        return without_base(spec, error);
    note(job->box, DSB_UNFINISHED_CREATED);
    stamp(job, "created_ms");
    if (!dsb_backend_inspect(job->box->engine->backend, job->box->container, spec, &claim, error))
        return FALSE;
    if (!dsb_verify_inspect(job->result->controls, spec, &claim, allow, error)) {
        add_claimed(&claim, error);
        return FALSE;
    }
    if (!still_wanted(job, error))
        return FALSE;
    stamp(job, "inspected_ms");
    if (!dsb_backend_start(job->box->engine->backend, job->box->container, &job->box->stream, error))
        return without_base(spec, error);
    stamp(job, "started_ms");
    dsb_wire_init(&job->box->wire, &job->box->stream);
    if (!dsb_exec_hello(&job->box->wire, job->options->cancel_fd, deadline, &hello, error))
        return FALSE;
    note(job->box, DSB_UNFINISHED_NONE); /* process 1 is there, and ends with our end of the stream */
    if (!dsb_hello_parse(hello, strlen(hello), spec, &host, &measured, error))
        return FALSE;
    g_autofree char *unusable = try_volume(job, hello, &measured);
    g_autoptr(GError) refusal = NULL;
    if (!dsb_verify_hello(job->result->controls, spec, &measured, allow, &refusal)) {
        if (unusable != NULL && is_leaving(job->box, error))
            return FALSE;
        add_reasons(hello, unusable, job->box->engine->info.maps_users, spec, &refusal);
        g_propagate_error(error, g_steal_pointer(&refusal));
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
    if (!open_workdir(job, error) || !still_wanted(job, error))
        return FALSE;
    gboolean ok = attest(job, error);
    if (!ok)
        dsb_engine_room_explain(job->box->engine, error);
    return ok;
}

void dsb_sandbox_init(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                      struct dsb_result *result)
{
    *sandbox = (struct dsb_sandbox){.name = dsb_random_id("dsb-"), .began = g_get_monotonic_time(), .stopped = TRUE};
    result->id = g_strdup(sandbox->name);
    result->session = g_strdup(options->session);
    result->image = g_strdup(options->image != NULL ? options->image : DSB_DEFAULT_IMAGE);
    result->policy_sha256 = dsb_policy_sha256(policy);
}

gboolean dsb_sandbox_open(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                          enum dsb_sandbox_use use, struct dsb_result *result, GError **error)
{
    const struct opening job = {sandbox, policy, options, use, result};
    gboolean ok = open_all(&job, error);
    if (!ok)
        dsb_rootless_explain(sandbox->engine, options, error);
    if (sandbox->dir != NULL)
        sandbox->dir->unused = !ok;
    if (sandbox->dir != NULL && sandbox->dir->fd >= 0 && !sandbox->dir->ephemeral)
        result->workdir = g_strdup(sandbox->dir->path);
    return ok;
}

gboolean dsb_sandbox_preload(struct dsb_sandbox *sandbox, const struct dsb_run_options *options, gboolean waits,
                             struct dsb_result *result, GError **error)
{
    const struct dsb_resolved *limits = sandbox->resolved;
    if (!dsb_exec_preloads(limits) && !waits)
        return TRUE;
    gint64 deadline = g_get_monotonic_time() + (gint64) limits->start_timeout_ms * 1000;
    if (!dsb_exec_ready(&sandbox->wire, options->cancel_fd, deadline, error))
        return FALSE;
    dsb_sandbox_stamp(result, sandbox->began, "preloaded_ms");
    return TRUE;
}

gboolean dsb_sandbox_has_image(struct dsb_sandbox *sandbox, const struct dsb_run_options *options,
                               const struct dsb_result *facts, GError **error)
{
    struct dsb_image_info image = {.struct_size = sizeof image};
    if (sandbox->engine->loaded->plugin.prepare == NULL)
        return TRUE;
    if (!dsb_engine_prepare(sandbox->engine, options, facts->image, &image, error))
        return FALSE;
    g_autofree char *id = image_id(image.id);
    if (g_strcmp0(id, facts->image_id) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "image %s is another one now", facts->image);
    return FALSE;
}

gboolean dsb_sandbox_claim(struct dsb_sandbox *sandbox, const char *session, GError **error)
{
    if (session != NULL && !dsb_workdir_become(sandbox->dir, session, error))
        return FALSE;
    sandbox->pooled = TRUE;
    if (session != NULL)
        note(sandbox, DSB_UNFINISHED_CREATED); /* should we be killed: who is next looks for the container by its label */
    dsb_exec_claim(&sandbox->wire);
    return dsb_wire_flush(&sandbox->wire, error);
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

void dsb_sandbox_forget(struct dsb_sandbox *sandbox)
{
    const int fds[] = {sandbox->stream.close != NULL ? sandbox->stream.read_fd : -1,
                       sandbox->stream.close != NULL && sandbox->stream.write_fd != sandbox->stream.read_fd
                           ? sandbox->stream.write_fd
                           : -1,
                       sandbox->dir != NULL ? sandbox->dir->fd : -1, sandbox->dir != NULL ? sandbox->dir->lock_fd : -1};
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

gboolean dsb_sandbox_stop(struct dsb_sandbox *sandbox, GError **error)
{
    dsb_sandbox_hang_up(sandbox);
    if (sandbox->stopped)
        return TRUE;
    sandbox->stopped = TRUE;
    /* By name where `create` did not come back with an id: the engine may have made it all the same. */
    const char *id = sandbox->container != NULL ? sandbox->container : sandbox->name;
    if (dsb_backend_destroy(sandbox->engine->backend, id, error))
        return TRUE;
    sandbox->dir->stale = TRUE;
    note(sandbox, DSB_UNFINISHED_CREATED);
    dsb_engine_room_explain(sandbox->engine, error);
    g_prefix_error(error, "container %s could not be removed: ", sandbox->name);
    return FALSE;
}

void dsb_sandbox_stop_failed(struct dsb_sandbox *sandbox, const struct dsb_run_options *options, GError *failure)
{
    g_autoptr(GError) error = NULL;
    if (dsb_sandbox_stop(sandbox, &error))
        return;
    dsb_say(options, "%s", error->message);
    g_autofree char *message = failure->message;
    failure->message = g_strdup_printf("%s; its container may still be there: when the engine answers again, "
                                       "'dsandbox gc' removes it",
                                       message);
}

void dsb_sandbox_collect(const struct dsb_sandbox *sandbox, const struct dsb_run_options *options)
{
    if (sandbox->container != NULL) /* the engine answers */
        dsb_leftovers_remove_unfinished(sandbox->engine, options, sandbox->dir->base_fd);
}

void dsb_sandbox_clear(struct dsb_sandbox *sandbox)
{
    dsb_workdir_close(sandbox->dir);
    dsb_resolved_free(sandbox->resolved);
    dsb_engine_close(sandbox->engine);
    g_free(sandbox->container);
    g_free(sandbox->name);
    *sandbox = (struct dsb_sandbox){0};
}

struct json_object *dsb_sandbox_info(const struct dsb_sandbox *sandbox, const struct dsb_result *facts)
{
    struct json_object *root = json_object_new_object();
    struct json_object *image = json_object_new_object();
    json_add(image, "ref", facts->image);
    json_add(image, "id", facts->image_id);
    json_add(root, "id", facts->session);
    json_add(root, "container", sandbox->container);
    json_add(root, "name", sandbox->name);
    json_add(root, "backend", facts->backend);
    json_object_object_add(root, "engine", dsb_engine_json(&facts->engine));
    json_object_object_add(root, "image", image);
    json_object_object_add(root, "policy", dsb_result_policy_json(facts));
    json_add(root, "workdir", sandbox->dir->path);
    json_object_object_add(root, "timing", dsb_result_timing_json(facts));
    return root;
}
