/* SPDX-License-Identifier: MIT */
/* One execution in a session: what must hold before it, and what it leaves. */
#include "run/arguments.h"
#include "run/file_changes.h"
#include "run/input_check.h"
#include "run/session.h"
#include "run/standard_fds.h"
#include "run/stepping.h"

struct in_session {
    struct dsb_execution base;
    struct dsb_session *session;
    gint64 began;
    struct dsb_scan files; /* just before the code starts */
    int64_t files_at_ns;
};

static struct dsb_result *new_result(const struct dsb_session *session)
{
    const struct dsb_result *facts = session->facts;
    struct dsb_result *result = dsb_result_new();
    result->id = g_strdup_printf("%s.%u", facts->id, session->executions + 1);
    result->session = g_strdup(facts->session);
    result->workdir = g_strdup(facts->workdir);
    result->policy_sha256 = g_strdup(facts->policy_sha256);
    result->controls = dsb_report_ref(facts->controls);
    result->backend = g_strdup(facts->backend);
    result->plugin_path = g_strdup(facts->plugin_path);
    result->plugin_version = g_strdup(facts->plugin_version);
    result->engine = facts->engine;
    result->image = g_strdup(facts->image);
    result->image_id = g_strdup(facts->image_id);
    result->warm = facts->warm;
    return result;
}

/* What is in the directory just before the code starts (dsb_scan_clear, whatever is returned). */
static gboolean look_at_files(const struct dsb_session *session, struct dsb_scan *files, GError **error)
{
    dsb_scan_run(session->box.dir->fd, TRUE, 2 * session->box.resolved->disk_inodes + DSB_INODES_SLACK, files);
    if (!files->cut && !dsb_session_too_full(session, files))
        return TRUE;
    if (files->shortage != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "what the session's directory %s holds could not be counted: %s",
                    session->box.dir->path, dsb_errno_text(files->shortage));
        return FALSE;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT,
                "the session's directory %s holds %" G_GUINT64_FORMAT " bytes in %" G_GUINT64_FORMAT
                " files, more than the policy's disk allows: remove files from outside",
                session->box.dir->path, files->bytes, files->inodes);
    return FALSE;
}

/* All that can keep the code from running. */
static gboolean check(struct dsb_session *session, const struct dsb_run_options *options,
                      const struct dsb_request *request, uint64_t *timeout_ms, GError **error)
{
    if (!dsb_session_is_alive(session)) {
        g_propagate_error(error, g_error_copy(session->dead));
        return FALSE;
    }
    *timeout_ms = session->box.resolved->timeout_ms;
    if (!dsb_check_code(request, error) || !dsb_check_call(options, request, error))
        return FALSE;
    if (!dsb_request_has_timeout(request))
        return TRUE;
    g_autoptr(dsb_policy) own = dsb_request_policy(session->policy, request, error);
    if (own == NULL)
        return FALSE;
    *timeout_ms = request->timeout_ms;
    return TRUE;
}

/* The container's own word is not to be had any more. */
static void lose(struct dsb_session *session, const struct dsb_run_options *options, const GError *why,
                 struct dsb_result *result)
{
    dsb_session_bury(session, why);
    dsb_sandbox_stop_failed(&session->box, options, session->dead);
    dsb_result_set_state(result, DSB_OUTCOME_LOST, session->dead->message);
}

static gboolean begin(struct dsb_execution *base, GError **error)
{
    struct in_session *one = (struct in_session *) base;
    struct dsb_session *session = one->session;
    const struct dsb_resolved *limits = session->box.resolved;
    uint64_t timeout_ms = 0;
    dsb_engine_listen(session->box.engine, &base->options);
    dsb_result_set_state(base->result, DSB_OUTCOME_KEPT, NULL);
    if (!check(session, &base->options, &base->request, &timeout_ms, error) ||
        !look_at_files(session, &one->files, error))
        return FALSE;
    one->files_at_ns = dsb_scan_wait(&one->files);
    one->began = g_get_monotonic_time();
    base->exec = (struct dsb_exec){.wire = &session->box.wire,
                                   .limits = limits,
                                   .dir_fd = session->box.dir->fd,
                                   .number = ++session->executions,
                                   .session = TRUE,
                                   .timeout_ms = timeout_ms,
                                   /* Over it already: what is there may stay, so that the code can remove it. */
                                   .disk_bytes = MAX(limits->disk_bytes, one->files.bytes),
                                   .disk_inodes = MAX(limits->disk_inodes, one->files.inodes),
                                   .options = &base->options,
                                   .result = base->result};
    base->result->state.execution = base->exec.number;
    return dsb_exec_begin(&base->exec, &base->request, error);
}

static void note_files(const struct in_session *one, struct dsb_result *result)
{
    const struct dsb_exec *exec = &one->base.exec;
    struct dsb_scan after;
    dsb_scan_run(exec->dir_fd, TRUE, exec->disk_inodes + 1, &after);
    dsb_file_changes(&one->files, &after, one->files_at_ns, dsb_file_changes_end(), result);
    dsb_disk_settle(&after, exec->disk_bytes, exec->disk_inodes, result);
    one->session->full = dsb_session_too_full(one->session, &after);
    dsb_scan_clear(&after);
}

/* After code that was started. */
static void settle(struct in_session *one)
{
    struct dsb_execution *base = &one->base;
    g_autoptr(GError) silent =
        g_error_new_literal(DSB_ERROR, DSB_ERROR_LOST, "the sandbox did not answer, and was ended");
    dsb_sandbox_stamp(base->result, one->began, "answered_ms");
    note_files(one, base->result);
    dsb_sandbox_stamp(base->result, one->began, "compared_ms");
    if (!base->exec.broken)
        return;
    lose(one->session, &base->options, base->error != NULL ? base->error : silent, base->result);
    if (base->error != NULL) { /* that it is still there belongs to it */
        g_clear_error(&base->error);
        base->error = g_error_copy(one->session->dead);
    }
}

static void end(struct dsb_execution *base)
{
    struct in_session *one = (struct in_session *) base;
    struct dsb_session *session = one->session;
    if (base->started)
        settle(one);
    else if (session->dead != NULL)
        dsb_result_set_state(base->result, DSB_OUTCOME_LOST, session->dead->message);
    dsb_scan_clear(&one->files);
    gboolean failed = base->error != NULL;
    if (failed)
        dsb_result_fail(base->result, g_steal_pointer(&base->error));
    if (failed && session->dead != NULL)
        base->result->status = DSB_STATUS_LOST;
    else if (session->lost_reason != NULL && base->result->ran) {
        dsb_result_set_state(base->result, DSB_OUTCOME_LOST, session->lost_reason);
        g_clear_pointer(&session->lost_reason, g_free);
    }
    dsb_engine_listen(session->box.engine, NULL);
    one->session = NULL;
    dsb_session_unclaim(session);
}

/* To remove a container, or to close the session, is the engine's. */
static gboolean ends_slowly(const struct dsb_execution *base)
{
    struct dsb_session *session = ((const struct in_session *) base)->session;
    return (base->started && base->exec.broken) || g_atomic_int_get(&session->use) == DSB_SESSION_TO_BE_CLOSED;
}

/* dsb_session_end has what there is to forget; and no part of this needs more than memory. */
static void nothing_more(struct dsb_execution *base) { (void) base; }

static const struct dsb_execution_kind kind = {
    .begin = begin, .end = end, .ends_slowly = ends_slowly, .forget = nothing_more, .free = nothing_more};

static struct dsb_execution *prepare(struct dsb_session *session, const struct dsb_run_options *options,
                                     const struct dsb_request *request)
{
    static const struct dsb_run_options nobody = DSB_RUN_OPTIONS_INIT;
    GError *error = NULL;
    struct dsb_run_options how;
    struct dsb_request what;
    if (!dsb_session_claim(session, &error))
        return dsb_execution_failed(dsb_result_new(), error);
    if (!dsb_take_options(options != NULL ? options : &nobody, &how, &error) ||
        !dsb_take_request(request, &what, &error)) {
        struct dsb_execution *failed = dsb_execution_failed(new_result(session), error);
        dsb_session_unclaim(session);
        return failed;
    }
    struct in_session *one = (struct in_session *) dsb_execution_new(&kind, sizeof *one, new_result(session));
    one->session = session;
    one->base.options = how;
    one->base.request = what;
    return &one->base;
}

dsb_result *dsb_session_execute(struct dsb_session *session, const struct dsb_run_options *options,
                                const struct dsb_request *request)
{
    struct dsb_execution *execution = prepare(session, options, request);
    dsb_standard_fds_hold();
    struct dsb_result *result = dsb_execution_wait(execution);
    dsb_standard_fds_release();
    return result;
}

dsb_execution *dsb_session_start(struct dsb_session *session, const struct dsb_run_options *options,
                                 const struct dsb_request *request)
{
    struct dsb_execution *execution = prepare(session, options, request);
    dsb_standard_fds_hold();
    if (execution->kind != NULL)
        dsb_execution_begin(execution);
    dsb_standard_fds_release();
    return execution;
}
