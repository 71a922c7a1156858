/* SPDX-License-Identifier: MIT */
/* A one-shot run: a sandbox, one execution, its end. */
#include "run/arguments.h"
#include "run/file_changes.h"
#include "run/input_check.h"
#include "run/sandbox.h"
#include "run/standard_fds.h"
#include "run/stepping.h"
#include "run/warm.h"
#include "hostdir/scan.h"
#include "hostdir/session_files.h"

#define ONLY_EXECUTION 1

struct once {
    struct dsb_execution base;
    dsb_policy *policy; /* NULL: the request's is none */
    struct dsb_sandbox box;
    gboolean claimed; /* the sandbox waited: all is done but the code */
    /* What is in the directory just before the code starts. */
    struct dsb_scan files;
    int64_t files_at_ns;
    /* What an event loop's caller has for the time of its call alone. */
    GStringChunk *texts;
    char **argv, **env, **command, **tools;
};

static void note_files(const struct once *once, struct dsb_result *result)
{
    struct dsb_scan after;
    if (once->files.files == NULL) /* it did not come so far */
        return;
    dsb_scan_run(once->box.dir->fd, TRUE, once->box.resolved->disk_inodes + 1, &after);
    dsb_file_changes(&once->files, &after, once->files_at_ns, dsb_file_changes_end(), result);
    dsb_disk_settle(&after, once->box.resolved->disk_bytes, once->box.resolved->disk_inodes, result);
    dsb_scan_clear(&after);
}

static void give_files(const struct once *once)
{
    const struct dsb_execution *base = &once->base;
    struct dsb_files files;
    if (base->options.files_out != NULL && base->started && dsb_files_of(once->box.dir->fd, &files))
        base->options.files_out(base->options.data, &files, base->result);
}

/* Up to an interpreter that waits for the code; a program has none. */
static gboolean open_box(struct once *once, GError **error)
{
    struct dsb_execution *base = &once->base;
    if (once->claimed)
        return TRUE;
    if (!dsb_check_request(&base->options, &base->request, error) ||
        !dsb_sandbox_open(&once->box, once->policy, &base->options, DSB_FOR_RUN, base->result, error))
        return FALSE;
    if (base->request.command != NULL) {
        dsb_exec_configure_program(&once->box.wire, once->box.resolved);
        return TRUE;
    }
    dsb_exec_configure(&once->box.wire, once->box.resolved, FALSE, DSB_CHECKPOINT_OFF, FALSE);
    return dsb_sandbox_preload(&once->box, &base->options, FALSE, base->result, error);
}

static gboolean begin(struct dsb_execution *base, GError **error)
{
    struct once *once = (struct once *) base;
    if (once->policy == NULL) /* `error` says why */
        return FALSE;
    if (!open_box(once, error) )
        return FALSE;
    const struct dsb_resolved *limits = once->box.resolved;
    base->exec = (struct dsb_exec){
        .wire = &once->box.wire,
        .limits = limits,
        .dir_fd = once->box.dir->fd,
        .number = ONLY_EXECUTION,
        /* One that waited was resolved before the request was there. */
        .timeout_ms = dsb_request_has_timeout(&base->request) ? base->request.timeout_ms : limits->timeout_ms,
        .disk_bytes = limits->disk_bytes,
        .disk_inodes = limits->disk_inodes,
        .options = &base->options,
        .result = base->result};
    dsb_scan_run(once->box.dir->fd, TRUE, limits->disk_inodes + 1, &once->files);
    once->files_at_ns = dsb_scan_wait(&once->files);
    return dsb_exec_begin(&base->exec, &base->request, error);
}

static void end(struct dsb_execution *base)
{
    struct once *once = (struct once *) base;
    struct dsb_sandbox *box = &once->box;
    struct dsb_result *result = base->result;
    GError *error = g_steal_pointer(&base->error);
    g_autoptr(GError) left = NULL;
    if (base->started)
        dsb_sandbox_stamp(result, box->began, "answered_ms");
    /* After an answer pid 1 leaves. Where the engine then removes the container, nobody has to wait for that. */
    box->stopped |= result->leaving && box->engine->info.removes_ended;
    if (error != NULL)
        dsb_sandbox_stop_failed(box, &base->options, error);
    else
        dsb_sandbox_stop(box, &left);
    if (left != NULL)
        result->leftover = g_strdup_printf("%s; 'dsandbox gc' tries again", left->message);
    if (error != NULL)
        dsb_result_fail(result, error);
    note_files(once, result);
    give_files(once);
    dsb_scan_clear(&once->files);
    dsb_sandbox_collect(box, &base->options);
    gint64 began = box->began;
    dsb_sandbox_clear(box);
    dsb_sandbox_stamp(result, began, "removed_ms");
}

static gboolean ends_slowly(const struct dsb_execution *base)
{
    return ((const struct once *) base)->box.engine != NULL;
}

static void forget(struct dsb_execution *base) { dsb_sandbox_forget(&((struct once *) base)->box); }

static void free_once(struct dsb_execution *base)
{
    struct once *once = (struct once *) base;
    dsb_policy_free(once->policy);
    g_strfreev(once->argv);
    g_strfreev(once->env);
    g_strfreev(once->command);
    g_strfreev(once->tools);
    if (once->texts != NULL)
        g_string_chunk_free(once->texts);
}

static const struct dsb_execution_kind kind = {
    .begin = begin, .end = end, .ends_slowly = ends_slowly, .forget = forget, .free = free_once, .opens = TRUE};

static struct dsb_execution *prepare(const dsb_policy *policy, const struct dsb_run_options *options,
                                     const struct dsb_request *request)
{
    GError *error = NULL;
    struct dsb_run_options how;
    struct dsb_request what;
    if (!dsb_take_options(options, &how, &error) || !dsb_take_request(request, &what, &error))
        return dsb_execution_failed(dsb_result_new(), error);
    g_autoptr(dsb_policy) usual = policy == NULL ? dsb_policy_new() : NULL;
    policy = policy != NULL ? policy : usual;
    struct once *once = (struct once *) dsb_execution_new(&kind, sizeof *once, dsb_result_new());
    once->base.options = how;
    once->base.request = what;
    once->policy = dsb_request_policy(policy, &what, &once->base.error);
    dsb_sandbox_init(&once->box, once->policy != NULL ? once->policy : policy, &how, once->base.result);
    return &once->base;
}

struct dsb_result *dsb_run_claimed(const struct dsb_sandbox *box, dsb_policy *policy, const struct dsb_run_options *options,
                                   const struct dsb_request *request, struct dsb_result *result)
{
    struct once *once = (struct once *) dsb_execution_new(&kind, sizeof *once, result);
    once->base.options = *options;
    once->base.request = *request;
    once->policy = policy;
    once->box = *box;
    once->box.wire.stream = &once->box.stream;
    once->claimed = TRUE;
    return dsb_execution_wait(&once->base);
}

dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request)
{
    struct dsb_execution *execution = prepare(policy, options, request);
    dsb_standard_fds_hold();
    struct dsb_result *result = dsb_execution_wait(execution);
    dsb_standard_fds_release();
    return result;
}

static void keep(struct once *once, const char **text)
{
    *text = *text != NULL ? g_string_chunk_insert(once->texts, *text) : NULL;
}

/* A thread of ours reads it, after the caller's call. */
static void keep_all(struct once *once)
{
    struct dsb_run_options *how = &once->base.options;
    struct dsb_request *what = &once->base.request;
    const char **const texts[] = {&how->backend, &how->plugin_path, &how->endpoint,    &how->base_dir,
                                  &how->session, &how->image,       &how->lost_reason, &what->filename,
                                  &what->cwd};
    once->texts = g_string_chunk_new(256);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        keep(once, texts[i]);
    if (what->code != NULL)
        what->code = g_string_chunk_insert_len(once->texts, what->code, (gssize) what->code_size);
    once->argv = g_strdupv((char **) what->argv);
    once->env = g_strdupv((char **) what->env);
    once->command = g_strdupv((char **) what->command);
    once->tools = g_strdupv((char **) what->tools);
    what->argv = (const char *const *) once->argv;
    what->env = (const char *const *) once->env;
    what->command = (const char *const *) once->command;
    what->tools = (const char *const *) once->tools;
}

dsb_execution *dsb_run_start(const dsb_policy *policy, const struct dsb_run_options *options,
                             const struct dsb_request *request)
{
    struct dsb_execution *execution = prepare(policy, options, request);
    dsb_standard_fds_hold();
    if (execution->kind != NULL) {
        keep_all((struct once *) execution);
        dsb_execution_begin(execution);
    }
    dsb_standard_fds_release();
    return execution;
}
