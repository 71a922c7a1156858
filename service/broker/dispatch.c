/* SPDX-License-Identifier: MIT */
#include "broker/dispatch.h"

#include "broker/calls.h"
#include "broker/gc.h"
#include "broker/idempotency.h"
#include "broker/process.h"
#include "broker/record.h"
#include "broker/session.h"
#include "broker/snapshot.h"
#include "broker/warm.h"
#include "client/socket_path.h"
#include "common/names.h"
#include "common/objects.h"
#include "shared/deadlines.h"

#include <string.h>

/*
 * What sessions and one-shot runs have of their processes: jobs become orders, one at a time for each process, and what
 * comes back becomes what came of the job. A process that fails costs its own session the sandbox, and nobody else
 * anything.
 */

#define DELETE_MS 60000

static const struct settings *settings_of(const struct job *job)
{
    return job->session != NULL ? job->session->settings : job->settings;
}

/* However much there is to remove, and however slow each removal is. */
static guint64 until_given_up(const struct job *job)
{
    return (guint64) MAX((job->given_up - g_get_monotonic_time()) / 1000, 1);
}

static guint64 time_for(const struct job *job, enum phase phase)
{
    const struct settings *settings = settings_of(job);
    switch (phase) {
    case PHASE_CREATE:
        return deadline_create(settings);
    case PHASE_RESTORE:
    case PHASE_CONTROL:
        return deadline_control(settings, job->timeout_ms);
    case PHASE_EXECUTE:
        return deadline_execute(settings, job->execution.timeout_ms);
    case PHASE_CLOSE:
        return deadline_close(settings) + (job->delete_files ? DELETE_MS : 0);
    case PHASE_GC:
        return until_given_up(job);
    case PHASE_GC_CALL:
        return MIN(deadline_gc_call(settings), until_given_up(job));
    case PHASE_RUN:
    case N_PHASES:
    default:
        return deadline_run(settings, job->execution.timeout_ms);
    }
}

static enum phase first_phase(const struct job *job)
{
    static const enum phase phases[] = {[JOB_OPEN] = PHASE_CREATE,     [JOB_EXECUTE] = PHASE_EXECUTE,
                                        [JOB_CONTROL] = PHASE_CONTROL, [JOB_CLOSE] = PHASE_CLOSE,
                                        [JOB_RUN] = PHASE_RUN,         [JOB_GC] = PHASE_GC};
    return phases[job->kind];
}

static void expect(struct job *job, enum phase phase)
{
    process_expect(job->process, phase, time_for(job, phase));
    if (job->cancelled)
        process_hurry(job->process, deadline_cancelled(settings_of(job)));
}

void dispatch_hurry(struct job *job)
{
    if (job->process != NULL)
        process_hurry(job->process, deadline_cancelled(settings_of(job)));
}

/* --- there ------------------------------------------------------------------- */

/* Of what ends with the service nothing is kept. */
gboolean dispatch_send_settings(struct process *process, const struct settings *settings, GError **error)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    g_autofree char *text = settings_text(settings);
    pack_text(pack, settings->id);
    pack_text(pack, text);
    pack_text(pack, NULL);
    return process_try_send(process, FRAME_SETTINGS, pack, NULL, 0, error);
}

static gboolean send_pack(struct job *job, const GByteArray *pack, GError **error)
{
    int fds[FRAME_FDS];
    guint n = 0;
    if (job->cancel_fd >= 0)
        fds[n++] = job->cancel_fd;
    if (job->input_read_fd >= 0)
        fds[n++] = job->input_read_fd;
    if (job->window_read_fd >= 0)
        fds[n++] = job->window_read_fd;
    if (job->kind != JOB_CLOSE)
        return process_try_send(job->process, FRAME_ORDER, pack, fds, n, error);
    process_send(job->process, FRAME_ORDER, pack, fds, n); /* it is to end in any case */
    return TRUE;
}

static gboolean send_order(struct job *job, GError **error)
{
    const struct execution *execution = &job->execution;
    struct order order = {
        .kind = job->kind,
        .id = job->id,
        .user = (char *) job->user,
        .lost = job->lost,
        .before = job->before,
        .events = job->events,
        .has_input = job->input_read_fd >= 0,
        .flag = job->delete_files || job->dry_run,
        .op = job->op,
        .timeout_ms = job->kind == JOB_CONTROL ? job->timeout_ms : execution->timeout_ms,
        .filename = (char *) execution->filename,
        .argv = execution->argv,
        .env = execution->env,
        .command = execution->command,
        .cwd = (char *) execution->cwd,
        .tools = execution->tools,
        .call_timeout_ms = execution->call_timeout_ms,
        .calls_stop_clock = execution->calls_stop_clock,
        .rows = execution->rows,
        .columns = execution->columns,
        .code = execution->code,
        .code_size = execution->code_size,
    };
    idempotency_order(job->kept, &order);
    g_autoptr(GByteArray) pack = g_byte_array_new();
    order_pack(&order, pack);
    gboolean ok = send_pack(job, pack, error);
    job->has_given_input |= job->input_read_fd >= 0 || job->window_read_fd >= 0;
    if (job->input_read_fd >= 0)
        close(job->input_read_fd); /* its end is seen when the process has closed it, too */
    job->input_read_fd = -1;
    if (job->window_read_fd >= 0)
        close(job->window_read_fd);
    job->window_read_fd = -1;
    return ok;
}

/* --- and back ---------------------------------------------------------------- */

static void report(struct job *job)
{
    job->process = NULL;
    if (job->kind == JOB_RUN)
        run_done(job);
    else if (job->kind == JOB_GC)
        gc_done(job);
    else
        session_job_done(job);
}

/* What came of it when no process could say it. */
static void fail(struct job *job, const GError *why)
{
    outcome_clear(&job->outcome);
    job->outcome.began = g_get_real_time();
    job->outcome.summary.wall_ms = -1;
    job->outcome.lost = g_strdup(job->lost);
    if (job->kind != JOB_EXECUTE && job->kind != JOB_RUN) {
        job->outcome.error = g_error_copy(why);
        return;
    }
    g_autoptr(dsb_result) result = dsb_result_from_error(why);
    struct json_object *object = dsb_result_object(result);
    gboolean lost = g_error_matches(why, DSB_ERROR, DSB_ERROR_LOST);
    job->outcome.status = dsb_status_name(lost ? DSB_STATUS_LOST : dsb_result_status(result));
    json_add(object, "id", job->id);
    json_add(object, "status", job->outcome.status);
    job->outcome.text = text_new(json_text(object));
    job->outcome.summary.error_name = g_strdup(dsb_error_code_name(why->code));
    job->outcome.summary.error_value = g_strdup(why->message);
    json_object_put(object);
}

/* Takes the frame's outcome. FALSE: it has none. */
static gboolean take_outcome(struct job *job, struct frame *frame)
{
    outcome_clear(&job->outcome);
    return outcome_unpack(frame, &job->outcome) &&
           ((job->kind != JOB_EXECUTE && job->kind != JOB_RUN) ||
            (job->outcome.text != NULL && job->outcome.status != NULL)) &&
           (job->kind != JOB_CONTROL || job->outcome.text != NULL || job->outcome.error != NULL);
}

gboolean dispatch_return(struct job *job, const GByteArray *pack, GError **error)
{
    if (job->process != NULL)
        return process_try_send(job->process, FRAME_RETURN, pack, NULL, 0, error);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CONFLICT, "the execution has ended");
    return FALSE;
}

/* The clock of the execution may stand still as long as the call takes. */
static void on_call(struct job *job, guint32 number, const char *event)
{
    guint64 ms = job->execution.call_timeout_ms > 0 ? job->execution.call_timeout_ms : DSB_CALL_TIMEOUT_MS;
    enum phase phase = first_phase(job);
    if (job->execution.calls_stop_clock && !job->cancelled)
        process_expect(job->process, phase, time_for(job, phase) + ms);
    calls_event(job, number, event);
}

/* Frames that come while a job is under way. FALSE: that is not one of them. */
static gboolean on_progress(struct job *job, const struct frame *frame)
{
    job->unheard = FALSE;
    struct unpack unpack = unpack_frame(frame);
    guint64 number = unpack_number(&unpack, G_MAXUINT64);
    gsize size = 0;
    if (frame->type == FRAME_PHASE && !unpack.bad && number < N_PHASES) {
        expect(job, (enum phase) number);
        return TRUE;
    }
    if (frame->type == FRAME_CALL && !unpack.bad && number > 0 && number <= G_MAXUINT32) {
        g_autofree char *event = unpack_json(&unpack, FRAME_MAX);
        if (event == NULL || unpack.left > 0)
            return FALSE;
        on_call(job, (guint32) number, event);
        return TRUE;
    }
    const char *bytes = unpack_bytes(&unpack, &size, FRAME_MAX);
    if (frame->type != FRAME_OUTPUT || unpack.bad || bytes == NULL || (number != 1 && number != 2))
        return FALSE;
    job_output(job, (int) number, bytes, size);
    return TRUE;
}

/* --- sessions ---------------------------------------------------------------- */

static void start_next(struct session *session);

static void finish(struct session *session, struct job *job)
{
    gboolean close = job->kind == JOB_CLOSE;
    g_queue_pop_head(&session->given);
    if (close && session->process != NULL)
        process_release(g_steal_pointer(&session->process));
    report(job);
    if (!close)
        start_next(session); /* after a close there may be no session any more */
}

/* A process of replaced files lost its sandbox just before the order, and may not make another: a new process may. */
static gboolean begin_again(struct session *session, struct job *job)
{
    const GError *why = job->outcome.error;
    if (!process_is_other(session->process) || job->outcome.alive || job->input_fd >= 0 || job->execution.input != NULL ||
        !g_error_matches(why, DSB_ERROR, DSB_ERROR_UNAVAILABLE) || !g_str_has_prefix(why->message, SERVICE_REPLACED))
        return FALSE;
    g_free(job->lost);
    job->lost = g_steal_pointer(&job->outcome.lost);
    outcome_clear(&job->outcome);
    process_discard(g_steal_pointer(&session->process));
    session->open = FALSE;
    job->process = NULL;
    job->begun = FALSE;
    return TRUE;
}

static void on_frame(gpointer owner, struct frame *frame)
{
    struct session *session = owner;
    struct job *job = g_queue_peek_head(&session->given);
    if (frame->type == FRAME_ENDED) {
        struct unpack unpack = unpack_frame(frame);
        g_autofree char *why = unpack_text(&unpack, 64u << 10);
        if (why != NULL && !unpack.bad)
            session_sandbox_ended(session, why);
        else
            process_fail(session->process, "that is no reason");
        return;
    }
    if (job == NULL || job->process == NULL) {
        process_fail(session->process, "it speaks without being asked");
        return;
    }
    if (frame->type != FRAME_OUTCOME) {
        if (!on_progress(job, frame))
            process_fail(session->process, "that is no frame for this moment");
        return;
    }
    if (!take_outcome(job, frame)) {
        process_fail(session->process, "that is no outcome");
        return;
    }
    process_expect(session->process, first_phase(job), 0);
    if (begin_again(session, job))
        start_next(session);
    else
        finish(session, job);
}

/* What waited may be gone before it heard anything of the job, which then is done as if nothing had waited. */
static gboolean may_be_repeated(struct job *job)
{
    if (!job->unheard || job->has_given_input || job->cancelled)
        return FALSE;
    job->unheard = FALSE;
    job->process = NULL;
    return TRUE;
}

static void on_gone(gpointer owner, const char *why)
{
    struct session *session = owner;
    struct job *job = g_queue_peek_head(&session->given);
    g_autoptr(GError) error = g_error_new_literal(DSB_ERROR, DSB_ERROR_LOST, why);
    session->process = NULL;
    gc_after(session->service, session->settings->body);
    if (job != NULL && may_be_repeated(job)) {
        job->begun = FALSE;
        start_next(session);
        return;
    }
    if (job == NULL || job->process == NULL) {
        session_sandbox_ended(session, why);
        return;
    }
    fail(job, error);
    if (session->ever_open)
        job->outcome.ended = g_strdup(why);
    if (job->kind == JOB_CLOSE && session->open)
        g_prefix_error(&job->outcome.error, "session %s ended, but its container%s may still be there ('dsandbox gc' removes it): ",
                       session->id, job->delete_files ? ", and its files," : "");
    else if (job->kind == JOB_CLOSE && !job->delete_files)
        g_clear_error(&job->outcome.error); /* it is gone, as was asked */
    finish(session, job);
}

static const struct process_user session_user = {on_frame, on_gone};

/* Nothing can be ordered: the answer comes from the main loop all the same. */
static gboolean on_nothing(gpointer data)
{
    struct job *job = data;
    finish(job->session, job);
    return G_SOURCE_REMOVE;
}

/* One that waits is only for a session that begins. */
static struct process *take_warm(struct session *session, struct job *job)
{
    gboolean begins = (job->kind == JOB_OPEN || job->kind == JOB_EXECUTE) && !session->ever_open && session->lost == NULL &&
                      !job->was_repeated;
    struct process *process =
        begins ? warm_pool_take(session->service->warm, session->settings, FALSE) : NULL;
    if (process != NULL)
        process_pass(process, &session_user, session);
    job->unheard = job->was_repeated = process != NULL;
    return process;
}

static gboolean have_process(struct session *session, struct job *job, GError **error)
{
    if (session->process != NULL)
        return TRUE;
    session->process = take_warm(session, job);
    if (session->process == NULL)
        session->process = process_take(session->service, &session_user, session, error);
    if (session->process == NULL)
        return FALSE;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    snapshot_pack_settings(session, pack);
    if (process_try_send(session->process, FRAME_SETTINGS, pack, NULL, 0, error))
        return TRUE;
    process_release(g_steal_pointer(&session->process));
    return FALSE;
}

void dispatch_keep(struct session *session, const struct job *job)
{
    if (session->process == NULL)
        return;
    g_autoptr(GByteArray) what = g_byte_array_new(), state = g_byte_array_new();
    if (job != NULL && job->outcome.opened) {
        snapshot_pack_session(session, what);
        process_send(session->process, FRAME_SESSION, what, NULL, 0);
    }
    snapshot_pack_taken(session, job != NULL, job != NULL && job->kind == JOB_EXECUTE, state);
    process_send(session->process, FRAME_TAKEN, state, NULL, 0);
}

void dispatch_resume(struct session *session, struct process *process, struct job *job)
{
    session->process = process;
    process_pass(process, &session_user, session);
    if (job == NULL)
        return;
    job->begun = TRUE;
    job->process = process;
    g_queue_push_tail(&session->given, job);
    process_expect(process, first_phase(job), deadline_run(session->settings, job->execution.timeout_ms));
}

static void start_next(struct session *session)
{
    struct job *job = g_queue_peek_head(&session->given);
    g_autoptr(GError) error = NULL;
    if (job == NULL || job->begun)
        return;
    job->begun = TRUE;
    if (session->process != NULL && !session->open && job->kind != JOB_CLOSE && process_is_other(session->process))
        process_discard(g_steal_pointer(&session->process));
    gboolean nothing = job->kind == JOB_CLOSE && session->process == NULL && !job->delete_files;
    if (!nothing && have_process(session, job, &error)) {
        job->process = session->process;
        expect(job, first_phase(job));
        if (send_order(job, &error))
            return;
        process_expect(session->process, first_phase(job), 0);
        job->process = NULL;
    }
    if (!nothing)
        fail(job, error);
    job->outcome.alive = session->open && session->process != NULL;
    g_idle_add(on_nothing, job);
}

void dispatch_give(struct session *session, struct job *job)
{
    g_queue_push_tail(&session->given, job);
    if (session->given.length == 1)
        start_next(session);
}

gboolean dispatch_hand_over(struct session *session)
{
    if (session->process == NULL)
        return FALSE;
    process_forget(g_steal_pointer(&session->process));
    g_queue_clear(&session->given);
    return TRUE;
}

void dispatch_end(struct session *session)
{
    if (session->process != NULL)
        process_release(g_steal_pointer(&session->process));
}

/* --- without a session ------------------------------------------------------- */

static void on_single_frame(gpointer owner, struct frame *frame)
{
    struct job *job = owner;
    if (frame->type == FRAME_ENDED && job->unheard)
        return; /* the sandbox that waited, just before: the process makes another */
    if (frame->type != FRAME_OUTCOME) {
        if (!on_progress(job, frame))
            process_fail(job->process, "that is no frame for this moment");
    } else if (!take_outcome(job, frame)) {
        process_fail(job->process, "that is no outcome");
    } else {
        process_release(job->process);
        report(job);
    }
}

static void on_single_gone(gpointer owner, const char *why)
{
    struct job *job = owner;
    if (may_be_repeated(job)) {
        gc_after(job->service, job->settings->body);
        dispatch_give_single(job);
        return;
    }
    g_autoptr(GError) error = g_error_new_literal(DSB_ERROR, DSB_ERROR_LOST, why);
    fail(job, error);
    if (job->kind == JOB_RUN)
        gc_after(job->service, job->settings->body);
    report(job);
}

static gboolean on_single_nothing(gpointer data)
{
    report(data);
    return G_SOURCE_REMOVE;
}

void dispatch_give_single(struct job *job)
{
    static const struct process_user user = {on_single_frame, on_single_gone};
    g_autoptr(GError) error = NULL;
    gboolean can_wait = job->kind == JOB_RUN && !job->was_repeated;
    job->process = can_wait ? warm_pool_take(job->service->warm, job->settings, TRUE) : NULL;
    job->unheard = job->was_repeated = job->process != NULL;
    if (job->process != NULL)
        process_pass(job->process, &user, job);
    else
        job->process = process_take(job->service, &user, job, &error);
    if (job->process != NULL) {
        expect(job, first_phase(job));
        if (dispatch_send_settings(job->process, job->settings, &error) && send_order(job, &error))
            return;
        process_release(g_steal_pointer(&job->process));
    }
    fail(job, error);
    g_idle_add(on_single_nothing, job);
}
