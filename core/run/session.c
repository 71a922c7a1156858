/* SPDX-License-Identifier: MIT */
/* A session: a sandbox in which executions follow each other. */
#include "common/json.h"
#include "common/given.h"
#include "common/objects.h"
#include "run/arguments.h"
#include "run/command.h"
#include "run/execution.h"
#include "run/input_check.h"
#include "run/session.h"
#include "run/standard_fds.h"
#include "run/warm.h"
#include "common/strictjson.h"
#include "run/error_rule.h"
#include "hostdir/disk_watch.h"
#include "hostdir/scan.h"

#include <string.h>
#include <unistd.h>

#define CONTROL_MS 30000
#define CONTROL_MAX_MS 600000
/* Pid 1 ends a slow operation itself: we wait for its word a little longer. */
#define CONTROL_SLACK_MS 3000
#define EXIT_MS 2000
#define CONTROL_MAX (64u << 10)
#define CONTROL_MEMBERS 16
#define CONTROL_DEPTH 2 /* an object of texts */
/* Control operations are numbered apart from executions, so that these count 1, 2, 3. */
#define CONTROL_NUMBER UINT32_C(0x80000000)
/* What a directory may be over its limit by (the watcher is late) before nothing runs until files are removed. */
#define DISK_SLACK (UINT64_C(64) << 20)
#define IDLE_LOOK_US G_USEC_PER_SEC

gboolean dsb_session_claim(struct dsb_session *session, GError **error)
{
    if (!dsb_given(session, "the session", error))
        return FALSE;
    if (session->opener != getpid()) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "the session belongs to process %d, which opened it; a child that was forked cannot use it",
                    (int) session->opener);
        return FALSE;
    }
    if (g_atomic_int_compare_and_exchange(&session->use, DSB_SESSION_IDLE, DSB_SESSION_AT_WORK))
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_BUSY,
                        "the session is in use: by another thread, by an execution that was started, or by the call whose "
                        "callback this is");
    return FALSE;
}

static gboolean close_session(struct dsb_session *session, GError **error);

void dsb_session_unclaim(struct dsb_session *session)
{
    if (g_atomic_int_compare_and_exchange(&session->use, DSB_SESSION_AT_WORK, DSB_SESSION_IDLE))
        return;
    dsb_standard_fds_hold();
    close_session(session, NULL);
    dsb_standard_fds_release();
}

static gboolean enter(struct dsb_session *session, GError **error)
{
    if (!dsb_session_claim(session, error))
        return FALSE;
    dsb_standard_fds_hold();
    return TRUE;
}

static void leave(struct dsb_session *session)
{
    dsb_session_unclaim(session);
    dsb_standard_fds_release();
}

static gboolean open_session(struct dsb_session *session, const struct dsb_run_options *options, GError **error)
{
    struct dsb_request nothing = DSB_REQUEST_INIT;
    nothing.code = "";
    if (options->session == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "a session needs an id");
        return FALSE;
    }
    if (dsb_checkpoint_name(options->checkpoint) == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "dsb_run_options: checkpoint is %d, which is none of them",
                    (int) options->checkpoint);
        return FALSE;
    }
    if (!dsb_check_request(options, &nothing, error) ||
        !dsb_sandbox_open(&session->box, session->policy, options, DSB_FOR_SESSION, session->facts, error))
        return FALSE;
    dsb_exec_configure(&session->box.wire, session->box.resolved, TRUE, options->checkpoint, FALSE);
    return dsb_wire_flush(&session->box.wire, error) &&
           dsb_sandbox_preload(&session->box, options, FALSE, session->facts, error);
}

static void free_session(struct dsb_session *session)
{
    dsb_sandbox_clear(&session->box);
    dsb_result_free(session->facts);
    dsb_policy_free(session->policy);
    g_clear_error(&session->dead);
    g_free(session->lost_reason);
    g_free(session);
}

static struct dsb_session *open_with(const dsb_policy *policy, const struct dsb_run_options *options,
                                     struct dsb_result **failure)
{
    GError *error = NULL;
    struct dsb_session *session = g_new0(struct dsb_session, 1);
    session->opener = getpid();
    session->policy = dsb_policy_copy(policy);
    session->facts = dsb_result_new();
    session->lost_reason = g_strdup(options->lost_reason);
    dsb_sandbox_init(&session->box, policy, options, session->facts);
    if (DSB_KEEPS_RULE(open_session(session, options, &error), &error)) {
        dsb_sandbox_collect(&session->box, options);
        dsb_engine_listen(session->box.engine, NULL);
        return session;
    }
    dsb_sandbox_stop_failed(&session->box, options, error);
    dsb_result_fail(session->facts, error);
    if (failure != NULL)
        *failure = g_steal_pointer(&session->facts);
    free_session(session);
    return NULL;
}

struct dsb_session *dsb_session_around(const struct dsb_sandbox *box, struct dsb_policy *policy, struct dsb_result *facts)
{
    struct dsb_session *session = g_new0(struct dsb_session, 1);
    session->opener = getpid();
    session->policy = policy;
    session->facts = facts;
    session->box = *box;
    session->box.wire.stream = &session->box.stream;
    return session;
}

dsb_session *dsb_session_open(const dsb_policy *policy, const struct dsb_run_options *options, dsb_result **failure)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options how;
    struct dsb_session *session = NULL;
    if (dsb_take_options(options, &how, &error)) {
        g_autoptr(dsb_policy) usual = policy == NULL ? dsb_policy_new() : NULL;
        dsb_standard_fds_hold();
        session = open_with(policy != NULL ? policy : usual, &how, failure);
        dsb_standard_fds_release();
    } else if (failure != NULL)
        *failure = dsb_result_from_error(error);
    return session;
}

/* As at the end of a program; what does not come to an end ends with the container. */
static void run_exit_handlers(struct dsb_session *session)
{
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {EXIT_MS};
    g_autoptr(GByteArray) command = dsb_command_new(0, numbers, NULL, 0, "exit");
    gint64 deadline = g_get_monotonic_time() + (EXIT_MS + CONTROL_SLACK_MS / 3) * INT64_C(1000);
    uint32_t number = CONTROL_NUMBER | (++session->controls & (CONTROL_NUMBER - 1));
    json_object_put(dsb_exec_control(&session->box.wire, number, command, deadline, NULL));
}

static gboolean close_session(struct dsb_session *session, GError **error)
{
    if (session->dead == NULL && session->executions > 0)
        run_exit_handlers(session);
    gboolean removed = dsb_sandbox_stop(&session->box, error);
    free_session(session);
    return removed;
}

gboolean dsb_session_end(struct dsb_session *session, GError **error)
{
    if (session == NULL)
        return TRUE;
    if (session->opener != getpid()) {
        dsb_sandbox_forget(&session->box);
        return TRUE;
    }
    /* Who is at work in it closes it on leaving. */
    if (g_atomic_int_compare_and_exchange(&session->use, DSB_SESSION_AT_WORK, DSB_SESSION_TO_BE_CLOSED)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_BUSY,
                            "the session is in use: it ends with the call that uses it, and what comes of that is not known");
        return FALSE;
    }
    dsb_standard_fds_hold();
    gboolean removed = close_session(session, error);
    dsb_standard_fds_release();
    return removed;
}

void dsb_session_close(struct dsb_session *session) { dsb_session_end(session, NULL); }

static gboolean over_by(uint64_t have, uint64_t limit, uint64_t slack)
{
    return have > limit && have - limit > MAX(slack, limit / 10);
}

gboolean dsb_session_too_full(const struct dsb_session *session, const struct dsb_scan *files)
{
    const struct dsb_resolved *limits = session->box.resolved;
    return over_by(files->bytes, limits->disk_bytes, DISK_SLACK) ||
           over_by(files->inodes, limits->disk_inodes, DSB_INODES_SLACK);
}

void dsb_session_bury(struct dsb_session *session, const GError *why)
{
    if (session->dead == NULL)
        g_atomic_pointer_set(&session->dead, g_error_copy(why));
}

/* Processes that an execution left behind go on writing. Without its stream, pid 1 ends, and they with it. */
static void look_at_disk(struct dsb_session *session)
{
    struct dsb_scan files;
    g_autofree char *reason = NULL;
    gint64 began = g_get_monotonic_time();
    if (began < session->next_look)
        return;
    dsb_scan_run(session->box.dir->fd, FALSE, session->box.resolved->disk_inodes * 2 + DSB_INODES_SLACK, &files);
    gboolean room = dsb_watch_room(session->box.dir->fd, &reason);
    gboolean full = dsb_session_too_full(session, &files) || (files.cut && !files.hidden); /* what moves hides for once */
    if (!room || (full && !session->full)) {
        g_autoptr(GError) error = g_error_new(DSB_ERROR, DSB_ERROR_LOST, "%s while no code ran; the sandbox was ended",
                                              room ? "the disk limit was passed" : reason);
        dsb_session_bury(session, error);
        dsb_sandbox_hang_up(&session->box);
    }
    dsb_scan_clear(&files);
    session->next_look = g_get_monotonic_time() + MAX(IDLE_LOOK_US, (g_get_monotonic_time() - began) * 10);
}

gboolean dsb_session_is_alive(struct dsb_session *session)
{
    g_autoptr(GError) error = NULL;
    if (session->dead == NULL && !DSB_KEEPS_RULE(dsb_exec_idle(&session->box.wire, &error), &error))
        dsb_session_bury(session, error);
    if (session->dead == NULL)
        look_at_disk(session);
    return session->dead == NULL;
}

gboolean dsb_session_alive(struct dsb_session *session)
{
    g_autoptr(GError) error = NULL;
    if (!enter(session, &error))
        return g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY); /* whose call it is finds out */
    gboolean alive = dsb_session_is_alive(session);
    leave(session);
    return alive;
}

/* The operation with its members, which are texts. */
static GByteArray *add_members(struct json_object *object, gint64 timeout_ms)
{
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {(guint64) timeout_ms};
    struct json_object *op = json_member(object, "op");
    const char *name = op != NULL ? json_object_get_string(op) : "";
    g_autoptr(GByteArray) command = dsb_command_new(0, numbers, NULL, 0, name);
    if (op == NULL || strlen(name) > DSB_COMMAND_NAME || json_object_object_length(object) > CONTROL_MEMBERS)
        return NULL;
    json_object_object_foreach(object, key, value) {
        if (!json_object_is_type(value, json_type_string) || *key == '\0' || strchr(key, '=') != NULL)
            return NULL;
        if (strcmp(key, "op") != 0)
            dsb_command_add_variable(command, key, strlen(key), json_object_get_string(value));
    }
    return g_steal_pointer(&command);
}

/* The operation as one frame (g_byte_array_unref), with the time that pid 1 gives it. */
static GByteArray *control_command(const char *op_json, gint64 timeout_ms, GError **error)
{
    gsize size = strlen(op_json);
    g_autoptr(dsb_json) object =
        size <= CONTROL_MAX ? dsb_json_parse(op_json, size, CONTROL_DEPTH, "it", DSB_ERROR_INVALID, NULL) : NULL;
    GByteArray *command = object != NULL ? add_members(object, timeout_ms) : NULL;
    if (command == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "a control operation is a JSON object of texts with \"op\", of at most 64 KiB and %d members",
                    CONTROL_MEMBERS);
    return command;
}

static struct json_object *control(struct dsb_session *session, const char *op_json, guint timeout_ms, GError **error)
{
    GError *local = NULL;
    gint64 wait_ms = timeout_ms != 0 ? MIN(timeout_ms, CONTROL_MAX_MS) : CONTROL_MS;
    g_autoptr(GByteArray) command = control_command(op_json, wait_ms, error);
    if (command == NULL)
        return NULL;
    if (!dsb_session_is_alive(session)) {
        g_propagate_error(error, g_error_copy(session->dead));
        return NULL;
    }
    gint64 deadline = g_get_monotonic_time() + (wait_ms + CONTROL_SLACK_MS) * 1000;
    uint32_t number = CONTROL_NUMBER | (++session->controls & (CONTROL_NUMBER - 1));
    struct json_object *answer = dsb_exec_control(&session->box.wire, number, command, deadline, &local);
    if (DSB_KEEPS_RULE(answer != NULL, &local))
        return answer;
    static const int its_own[] = {DSB_ERROR_FAILED, DSB_ERROR_NOT_FOUND, DSB_ERROR_CONFLICT, DSB_ERROR_TIMEOUT};
    gboolean alive = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(its_own); i++)
        alive |= g_error_matches(local, DSB_ERROR, its_own[i]);
    if (!alive)
        dsb_session_bury(session, local);
    g_propagate_error(error, local);
    return NULL;
}

struct json_object *dsb_session_control_object(struct dsb_session *session, const char *op_json, guint timeout_ms,
                                               GError **error)
{
    if (!dsb_given(op_json, "the control operation", error) || !enter(session, error))
        return NULL;
    struct json_object *answer = control(session, op_json, timeout_ms, error);
    leave(session);
    return answer;
}

char *dsb_session_control(struct dsb_session *session, const char *op_json, guint timeout_ms, GError **error)
{
    return json_take_text(dsb_session_control_object(session, op_json, timeout_ms, error));
}

int dsb_session_fd(const struct dsb_session *session)
{
    /* Another thread may be in it. */
    gboolean alive = session != NULL && g_atomic_pointer_get((GError **) &session->dead) == NULL;
    return alive ? session->box.stream.read_fd : -1;
}

const char *dsb_session_id(const struct dsb_session *session)
{
    return session != NULL ? session->facts->session : NULL;
}

const char *dsb_session_workdir(const struct dsb_session *session)
{
    return session != NULL ? session->box.dir->path : NULL;
}

struct json_object *dsb_session_info_object(const struct dsb_session *session)
{
    return session != NULL ? dsb_sandbox_info(&session->box, session->facts) : NULL;
}

char *dsb_session_info(const struct dsb_session *session) { return json_take_text(dsb_session_info_object(session)); }
