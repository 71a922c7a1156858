/* SPDX-License-Identifier: MIT */
/* A one-shot run: a sandbox, one execution, its end. */
#include "run/arguments.h"
#include "run/execution.h"
#include "run/file_changes.h"
#include "run/input_check.h"
#include "run/sandbox.h"
#include "run/standard_fds.h"
#include "hostdir/scan.h"
#include "run/error_rule.h"

#define ONLY_EXECUTION 1

/* What is in the directory just before the code starts. */
struct start {
    struct dsb_scan files;
    int64_t at_ns;
};

static void note_files(const struct dsb_sandbox *sandbox, const struct start *start, struct dsb_result *result)
{
    struct dsb_scan after;
    if (start->files.files == NULL) /* it did not come so far */
        return;
    dsb_scan_run(sandbox->dir->fd, TRUE, sandbox->resolved->disk_inodes + 1, &after);
    dsb_file_changes(&start->files, &after, start->at_ns, dsb_file_changes_end(), result);
    dsb_disk_settle(&after, sandbox->resolved->disk_bytes, sandbox->resolved->disk_inodes, result);
    dsb_scan_clear(&after);
}

static gboolean run(struct dsb_sandbox *sandbox, const dsb_policy *policy, const struct dsb_run_options *options,
                    const struct dsb_request *request, struct start *start, struct dsb_result *result, GError **error)
{
    if (!dsb_check_request(options, request, error) || !dsb_sandbox_open(sandbox, policy, options, TRUE, result, error))
        return FALSE;
    const struct dsb_resolved *limits = sandbox->resolved;
    struct dsb_exec exec = {.wire = &sandbox->wire,
                            .limits = limits,
                            .dir_fd = sandbox->dir->fd,
                            .number = ONLY_EXECUTION,
                            .timeout_ms = limits->timeout_ms,
                            .disk_bytes = limits->disk_bytes,
                            .disk_inodes = limits->disk_inodes};
    dsb_exec_configure(&sandbox->wire, limits, FALSE, DSB_CHECKPOINT_OFF);
    dsb_scan_run(sandbox->dir->fd, TRUE, limits->disk_inodes + 1, &start->files);
    start->at_ns = dsb_scan_wait(&start->files);
    gboolean ran = dsb_exec_run(&exec, options, request, result, error);
    dsb_sandbox_stamp(result, sandbox->began, "answered_ms");
    return ran;
}

static struct dsb_result *run_once(const dsb_policy *policy, const struct dsb_run_options *options,
                                   const struct dsb_request *request)
{
    GError *error = NULL;
    g_autoptr(GError) left = NULL;
    struct dsb_sandbox sandbox;
    struct start start = {0};
    struct dsb_result *result = dsb_result_new();
    g_autoptr(dsb_policy) own = dsb_request_policy(policy, request, &error);
    dsb_sandbox_init(&sandbox, own != NULL ? own : policy, options, result);
    if (DSB_KEEPS_RULE(own != NULL, &error))
        DSB_KEEPS_RULE(run(&sandbox, own, options, request, &start, result, &error), &error);
    /* After an answer pid 1 leaves. Where the engine then removes the container, nobody has to wait for that. */
    sandbox.stopped |= result->leaving && sandbox.engine->info.removes_ended;
    if (error != NULL)
        dsb_sandbox_stop_failed(&sandbox, options, error);
    else
        dsb_sandbox_stop(&sandbox, &left);
    if (left != NULL)
        result->leftover = g_strdup_printf("%s; 'dsandbox gc' tries again", left->message);
    if (error != NULL)
        dsb_result_fail(result, error);
    note_files(&sandbox, &start, result);
    dsb_scan_clear(&start.files);
    dsb_sandbox_collect(&sandbox, options);
    gint64 began = sandbox.began;
    dsb_sandbox_clear(&sandbox);
    dsb_sandbox_stamp(result, began, "removed_ms");
    return result;
}

dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options how;
    struct dsb_request what;
    if (!dsb_take_options(options, &how, &error) || !dsb_take_request(request, &what, &error))
        return dsb_result_from_error(error);
    g_autoptr(dsb_policy) usual = policy == NULL ? dsb_policy_new() : NULL;
    dsb_standard_fds_hold();
    struct dsb_result *result = run_once(policy != NULL ? policy : usual, &how, &what);
    dsb_standard_fds_release();
    return result;
}
