/* SPDX-License-Identifier: MIT */
/* The thread that makes the calls of the library: an order becomes an outcome. */
#include "session/session_process.h"

#include "client/socket_path.h"
#include "common/json.h"
#include "common/objects.h"
#include "session/calls.h"
#include "session/outcome.h"

#include <dsandbox/admin.h>
#include <dsandbox/files.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define RESTORE_MS 30000
#define FILES_KEPT "; files were kept"
#define EXECUTION_OVER "the execution is over"
#define SESSION_ENDED "the session ended while this code ran"

static void tell_phase(struct task *task, enum phase phase)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_number(pack, phase);
    tell_service(task->process, FRAME_PHASE, pack);
}

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    struct task *task = data;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_number(pack, stream == 2 ? 2 : 1);
    pack_bytes(pack, bytes, size);
    tell_service(task->process, FRAME_OUTPUT, pack);
}

static struct dsb_run_options options_of(const struct work *work, struct task *task)
{
    const struct settings *settings = work->settings;
    gboolean one_shot = task->order.kind == JOB_RUN || task->order.kind == JOB_GC;
    return (struct dsb_run_options){
        .struct_size = sizeof(struct dsb_run_options),
        .init = DSB_INIT,
        .backend = settings->backend,
        .plugin_path = settings->plugin,
        .endpoint = settings->host,
        .base_dir = settings->base_dir,
        .session = one_shot ? NULL : settings->id,
        .image = settings->image,
        .allow_unenforced = settings->allow_unenforced,
        .engine_timeout_ms = settings->engine_timeout_ms,
        .cancel_fd = task->frame.fds[0] >= 0 ? task->frame.fds[0] : DSB_FD_NONE,
        .output = task->order.events ? on_output : NULL,
        .data = task,
        .checkpoint = settings->checkpoint,
        .lost_reason = task->order.lost,
        .call = calls_take,
    };
}

static struct dsb_request request_of(const struct task *task)
{
    const struct order *order = &task->order;
    int stdin_fd = order->has_input ? task->frame.fds[1] : DSB_FD_NONE;
    return (struct dsb_request){
        .struct_size = sizeof(struct dsb_request),
        .init = DSB_INIT,
        .code = order->command == NULL ? order->code : NULL,
        .code_size = order->code_size,
        .filename = order->filename,
        .argv = (const char *const *) order->argv,
        .env = (const char *const *) order->env,
        .stdin_fd = stdin_fd,
        .timeout_ms = order->timeout_ms,
        .command = (const char *const *) order->command,
        .cwd = order->cwd,
        .rows = order->rows,
        .columns = order->columns,
        .tools = (const char *const *) order->tools,
        .call_timeout_ms = (uint32_t) order->call_timeout_ms,
        .calls_stop_clock = order->calls_stop_clock,
        .window_fd = order->rows > 0 ? task->frame.fds[order->has_input ? 2 : 1] : DSB_FD_NONE,
    };
}

/*
 * Variables that were saved come back when the interpreter was lost: inside the sandbox, which has the file and may do
 * with it what it likes. What it says of it is the user's word.
 */
static void restore(struct work *work, struct task *task)
{
    if (task->order.lost == NULL)
        return;
    tell_phase(task, PHASE_RESTORE);
    struct json_object *answer = dsb_session_control_object(work->session, "{\"op\":\"restore\"}", RESTORE_MS, NULL);
    task->restored = outcome_restored(answer);
    json_object_put(answer);
}

/* Said after a look, before a sandbox makes the directory anew; that it was gone stays said if the start fails. */
static void tell_of_files(struct work *work, struct order *order)
{
    const struct settings *settings = work->settings;
    g_autoptr(GError) error = NULL;
    if (order->lost == NULL || g_str_has_suffix(order->lost, FILES_GONE))
        return;
    if (g_str_has_suffix(order->lost, FILES_KEPT)) /* in a record of an earlier version */
        order->lost[strlen(order->lost) - strlen(FILES_KEPT)] = '\0';
    g_autoptr(dsb_files) files = dsb_files_open(settings->base_dir, settings->id, &error);
    g_autofree char *reason = order->lost;
    const char *what = files != NULL                                            ? FILES_KEPT
                       : g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND) ? FILES_GONE
                                                                                : "";
    order->lost = g_strconcat(reason, what, NULL);
}

/* Takes the object. */
static void take_facts(struct json_object *info, struct outcome *outcome)
{
    struct json_object *value = NULL;
    for (int i = 0; i < N_FACTS; i++)
        if (json_object_object_get_ex(info, fact_names[i], &value) && value != NULL)
            outcome->facts[i] = g_strdup(json_text(value));
    json_object_put(info);
}

static void take_failure(struct task *task, dsb_result *failure, guint64 before)
{
    struct outcome *outcome = &task->outcome;
    const GError *why = dsb_result_failure(failure);
    outcome_take(outcome, failure, task->order.id, before, NULL, NULL);
    outcome->error =
        why != NULL ? g_error_copy(why) : g_error_new(DSB_ERROR, DSB_ERROR_FAILED, "the sandbox could not be made");
    dsb_result_free(failure);
}

/* Plugins and guest files are loaded when they are needed: only those that belong to this library. */
static gboolean same_files(const struct work *work, GError **error)
{
    g_autofree char *mark = dsb_installation_mark();
    if (mark == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the files of this installation cannot be looked at: %s",
                    dsb_errno_text(errno));
        return FALSE;
    }
    if (strcmp(mark, work->mark) == 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, SERVICE_REPLACED ": try again");
    return FALSE;
}

/* --- a sandbox that waits ------------------------------------------------------ */

static void open_warm(struct work *work, struct task *task)
{
    dsb_result *failure = NULL;
    g_autoptr(GError) changed = NULL;
    struct dsb_run_options options = options_of(work, task);
    options.session = NULL;
    if (same_files(work, &changed))
        work->warm = dsb_warm_open(work->settings->policy, &options, task->order.flag, &failure);
    else
        failure = dsb_result_from_error(changed);
    if (work->warm == NULL) {
        take_failure(task, failure, 0);
        return;
    }
    task->outcome.opened = TRUE;
    take_facts(dsb_warm_info_object(work->warm), &task->outcome);
}

/* It is of no use for this order, or for any: what is asked for is done as without it. */
static void drop_warm(struct work *work, const char *why)
{
    g_autoptr(GError) error = NULL;
    g_debug("a sandbox that waited is not used: %s", why);
    if (!dsb_warm_end(g_steal_pointer(&work->warm), &error))
        g_printerr("dsandbox-session[%d]: %s\n", (int) getpid(), error->message);
}

static void look_at_warm(struct work *work, struct task *task)
{
    g_autoptr(GError) error = NULL;
    if (dsb_warm_alive(work->warm, &error))
        return;
    task->outcome.ended = g_strdup(error->message);
    drop_warm(work, error->message);
}

/* FALSE: a new one has to be made. */
static gboolean take_warm(struct work *work, struct task *task)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options = options_of(work, task);
    if (work->warm == NULL)
        return FALSE;
    if (task->order.lost == NULL)
        work->session = dsb_warm_session(work->warm, &options, &error);
    if (work->session != NULL)
        work->warm = NULL;
    else
        drop_warm(work, error != NULL ? error->message : "the session had another one before");
    return work->session != NULL;
}

static gboolean make_session(struct work *work, struct task *task)
{
    dsb_result *failure = NULL;
    tell_of_files(work, &task->order);
    struct dsb_run_options options = options_of(work, task);
    work->session = dsb_session_open(work->settings->policy, &options, &failure);
    if (work->session == NULL)
        take_failure(task, failure, work->before);
    return work->session != NULL;
}

static gboolean open_session(struct work *work, struct task *task)
{
    g_autoptr(GError) changed = NULL;
    if (work->session != NULL)
        return TRUE;
    if (!same_files(work, &changed)) {
        take_failure(task, dsb_result_from_error(changed), work->before);
        return FALSE;
    }
    tell_phase(task, PHASE_CREATE);
    if (!take_warm(work, task) && !make_session(work, task))
        return FALSE;
    g_clear_pointer(&work->ended, g_free);
    g_clear_error(&work->left);
    work->before = task->order.before;
    task->outcome.opened = TRUE;
    take_facts(dsb_session_info_object(work->session), &task->outcome);
    return TRUE;
}

/* What could not be removed is remembered until there is another sandbox, which removes it first. */
static void end_sandbox(struct work *work)
{
    GError *why = NULL;
    if (!dsb_session_end(g_steal_pointer(&work->session), &why)) {
        g_clear_error(&work->left);
        work->left = g_error_new(DSB_ERROR, why->code, "its %s; 'dsandbox gc' tries again", why->message);
        g_error_free(why);
    }
}

static void drop(struct work *work, struct task *task, const char *why)
{
    end_sandbox(work);
    g_free(work->ended);
    g_free(task->outcome.ended);
    work->ended = g_strconcat(why, work->left != NULL ? "; " : NULL, work->left != NULL ? work->left->message : NULL, NULL);
    task->outcome.ended = g_strdup(work->ended);
}

/* It is not alive: a control operation says why. */
static void drop_dead(struct work *work, struct task *task)
{
    g_autoptr(GError) error = NULL;
    g_free(dsb_session_control(work->session, "{\"op\":\"vars\"}", 1000, &error));
    drop(work, task, error != NULL ? error->message : "the container ended");
}

/* The service says so by the value of the event with which it cancels. */
static gboolean is_ending(const struct task *task)
{
    uint64_t value = 0;
    return read(task->frame.fds[0], &value, sizeof value) == sizeof value && value >= CANCEL_SESSION_ENDS;
}

static void execute(struct work *work, struct task *task)
{
    const struct dsb_request request = request_of(task);
    if (!open_session(work, task))
        return;
    if (task->outcome.opened) {
        restore(work, task);
        tell_phase(task, PHASE_EXECUTE);
    }
    struct dsb_run_options options = options_of(work, task);
    g_autoptr(dsb_result) result = dsb_session_execute(work->session, &options, &request);
    const GError *why = dsb_result_failure(result);
    if (why != NULL && g_error_matches(why, DSB_ERROR, DSB_ERROR_LOST))
        drop(work, task, why->message);
    else if (!dsb_session_alive(work->session))
        drop_dead(work, task);
    const char *gone = task->outcome.ended != NULL ? task->outcome.ended : is_ending(task) ? SESSION_ENDED : NULL;
    outcome_take(&task->outcome, result, task->order.id, work->before, gone, task->restored);
}

static void control(struct work *work, struct task *task)
{
    struct outcome *outcome = &task->outcome;
    if (!open_session(work, task))
        return;
    if (outcome->opened)
        tell_phase(task, PHASE_CONTROL);
    struct json_object *answer = dsb_session_control_object(work->session, task->order.op,
                                                            (guint) task->order.timeout_ms, &outcome->error);
    outcome->text = answer != NULL ? text_new(json_text(answer)) : NULL;
    json_object_put(answer);
    if (outcome->text == NULL && !dsb_session_alive(work->session))
        drop_dead(work, task);
}

static void run_once(struct work *work, struct task *task)
{
    struct dsb_run_options options = options_of(work, task);
    const struct dsb_request request = request_of(task);
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_result) result = NULL;
    tell_phase(task, PHASE_RUN); /* from here on the code may have run */
    if (!same_files(work, &error))
        result = dsb_result_from_error(error);
    else if (work->warm != NULL && (result = dsb_warm_run(work->warm, &options, &request, &error)) != NULL)
        work->warm = NULL;
    if (work->warm != NULL)
        drop_warm(work, error->message);
    if (result == NULL)
        result = dsb_run(work->settings->policy, &options, &request);
    outcome_take(&task->outcome, result, task->order.id, 0, NULL, NULL);
}

/* The deadline is that of one call, while there is one: of many that answer, each may take its time. */
static void on_gc_call(void *data, const char *plugin, const char *operation, guint64 at_most_ms)
{
    (void) plugin;
    (void) at_most_ms;
    tell_phase(data, operation != NULL ? PHASE_GC_CALL : PHASE_GC);
}

static void gc(struct work *work, struct task *task)
{
    struct dsb_run_options options = options_of(work, task);
    unsigned removed = 0;
    dsb_set_call_hook(on_gc_call, task);
    if (same_files(work, &task->outcome.error))
        dsb_gc(&options, task->order.flag, &removed, &task->outcome.error);
    dsb_set_call_hook(NULL, NULL);
    task->outcome.removed = removed;
}

static void close_session(struct work *work, struct task *task)
{
    const struct settings *settings = work->settings;
    GError **error = &task->outcome.error;
    if (work->warm != NULL)
        drop_warm(work, "nobody came for it");
    end_sandbox(work);
    gboolean deleted = !task->order.flag || dsb_files_delete_session(settings->base_dir, settings->id, error);
    if (work->left == NULL)
        return;
    if (deleted)
        g_set_error(error, DSB_ERROR, work->left->code, "session %s ended%s, but %s", settings->id,
                    task->order.flag ? " and its files were deleted" : "", work->left->message);
    else
        g_prefix_error(error, "session %s ended, but %s; and ", settings->id, work->left->message);
}

static void obey(struct work *work, struct task *task)
{
    if (task->order.lost == NULL) /* the service did not know of it when it gave the order */
        task->order.lost = g_strdup(work->ended);
    switch (task->order.kind) {
    case JOB_OPEN:
        open_session(work, task);
        break;
    case JOB_EXECUTE:
        execute(work, task);
        break;
    case JOB_CONTROL:
        control(work, task);
        break;
    case JOB_CLOSE:
        close_session(work, task);
        break;
    case JOB_GC:
        gc(work, task);
        break;
    case JOB_WARM:
        open_warm(work, task);
        break;
    case JOB_RUN:
    default:
        run_once(work, task);
        break;
    }
}

void work_do(struct work *work, struct task *task)
{
    task->outcome.began = g_get_real_time();
    task->outcome.summary.wall_ms = -1;
    work->settings = task->settings;
    if (!task->check)
        obey(work, task);
    else if (work->warm != NULL)
        look_at_warm(work, task);
    else if (work->session != NULL && !dsb_session_alive(work->session))
        drop_dead(work, task);
    calls_end(task->process, EXECUTION_OVER);
    task->outcome.alive = work->session != NULL || work->warm != NULL;
    task->outcome.lost = g_steal_pointer(&task->order.lost);
    json_object_put(task->restored);
    task->restored = NULL;
}
