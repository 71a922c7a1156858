/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "exec.h"
#include "request.h"
#include "sandbox.h"
#include "watch.h"

#include <string.h>

#define CONTROL_MS 30000
#define CONTROL_MAX_MS 600000
/* Pid 1 ends a slow operation itself: we wait for its word a little longer. */
#define CONTROL_SLACK_MS 3000
#define CONTROL_MAX (64u << 10)
#define CONTROL_DEPTH 8
/* Control operations are numbered apart from executions, so that these count 1, 2, 3. */
#define CONTROL_NUMBER UINT32_C(0x80000000)
/* What a directory may be over its limit by (the watcher is late) before nothing runs until files are removed. */
#define DISK_SLACK (UINT64_C(64) << 20)
#define INODES_SLACK UINT64_C(1000)
#define IDLE_LOOK_US G_USEC_PER_SEC

struct dsb_session {
    dsb_policy *policy;
    struct dsb_sandbox box;
    struct dsb_result *facts; /* of the opening */
    uint32_t executions, controls;
    char *lost_reason; /* until the first result has told it */
    gint64 next_look;  /* at the disk, while idle */
    GError *dead;
};

static const struct dsb_run_options nobody = {.struct_size = sizeof nobody, .cancel_fd = -1};

static gboolean open_session(struct dsb_session *session, const struct dsb_run_options *options, GError **error)
{
    const struct dsb_request nothing = {.struct_size = sizeof nothing, .code = "", .stdin_fd = -1};
    if (options->session == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "a session needs an id");
        return FALSE;
    }
    if (!dsb_check_request(options, &nothing, error) ||
        !dsb_sandbox_open(&session->box, session->policy, options, FALSE, session->facts, error))
        return FALSE;
    dsb_exec_configure(&session->box.wire, session->box.resolved, TRUE, !options->no_checkpoint);
    return dsb_wire_flush(&session->box.wire, error);
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
    session->policy = dsb_policy_copy(policy);
    session->facts = dsb_result_new();
    session->lost_reason = g_strdup(options->lost_reason);
    dsb_sandbox_init(&session->box, policy, options, session->facts);
    if (open_session(session, options, &error)) {
        dsb_engine_listen(session->box.engine, NULL);
        return session;
    }
    dsb_sandbox_stop(&session->box, options, error);
    dsb_result_fail(session->facts, error);
    *failure = g_steal_pointer(&session->facts);
    free_session(session);
    return NULL;
}

dsb_session *dsb_session_open(const dsb_policy *policy, const struct dsb_run_options *options, dsb_result **failure)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options how;
    if (dsb_take_options(options, &how, &error))
        return open_with(policy, &how, failure);
    *failure = dsb_result_from_error(error);
    return NULL;
}

void dsb_session_close(struct dsb_session *session)
{
    if (session == NULL)
        return;
    dsb_sandbox_stop(&session->box, &nobody, NULL);
    free_session(session);
}

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
    result->engine = facts->engine;
    result->image = g_strdup(facts->image);
    result->image_id = g_strdup(facts->image_id);
    return result;
}

/* Compare with the last scan, which ended after the last execution, and keep this one for the next. */
static void note_files(struct dsb_session *session, const struct dsb_exec *exec, int64_t since_ns,
                       struct dsb_result *result)
{
    struct dsb_scan after;
    dsb_scan_run(session->box.dir->fd, TRUE, exec->disk_inodes + 1, &after);
    dsb_scan_compare(&session->box.files, &after, since_ns, result);
    dsb_scan_settle(&after, exec->disk_bytes, exec->disk_inodes, result);
    dsb_scan_clear(&session->box.files);
    session->box.files = after;
}

static gboolean over_by(uint64_t have, uint64_t limit, uint64_t slack)
{
    return have > limit && have - limit > MAX(slack, limit / 10);
}

static void bury(struct dsb_session *session, const GError *why)
{
    if (session->dead == NULL)
        session->dead = g_error_copy(why);
}

static gboolean too_full(const struct dsb_session *session, const struct dsb_scan *files)
{
    const struct dsb_resolved *limits = session->box.resolved;
    return over_by(files->bytes, limits->disk_bytes, DISK_SLACK) ||
           over_by(files->inodes, limits->disk_inodes, INODES_SLACK);
}

static gboolean disk_has_room(struct dsb_session *session, GError **error)
{
    const struct dsb_resolved *limits = session->box.resolved;
    struct dsb_scan *files = &session->box.files;
    if (!files->cut && files->bytes <= limits->disk_bytes && files->inodes <= limits->disk_inodes)
        return TRUE;
    dsb_scan_clear(files); /* the host may have removed some since */
    dsb_scan_run(session->box.dir->fd, TRUE, 2 * limits->disk_inodes + INODES_SLACK, files);
    if (!files->cut && !too_full(session, files))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT,
                "the session's directory %s holds %" G_GUINT64_FORMAT " bytes in %" G_GUINT64_FORMAT
                " files, more than the policy's disk allows: remove files from outside",
                session->box.dir->path, files->bytes, files->inodes);
    return FALSE;
}

/* Processes that an execution left behind go on writing. Without its stream, pid 1 ends, and they with it. */
static void look_at_disk(struct dsb_session *session)
{
    struct dsb_scan files;
    g_autofree char *reason = NULL;
    gint64 began = g_get_monotonic_time();
    if (began < session->next_look)
        return;
    dsb_scan_run(session->box.dir->fd, FALSE, session->box.resolved->disk_inodes * 2 + INODES_SLACK, &files);
    gboolean room = dsb_watch_room(session->box.dir->fd, &reason);
    gboolean full = too_full(session, &files) || (files.cut && !files.hidden); /* what moves hides for once */
    if (!room || (full && !too_full(session, &session->box.files))) {
        g_autoptr(GError) error = g_error_new(DSB_ERROR, DSB_ERROR_LOST, "%s while no code ran; the sandbox was ended",
                                              room ? "the disk limit was passed" : reason);
        bury(session, error);
        dsb_sandbox_hang_up(&session->box);
    }
    dsb_scan_clear(&files);
    session->next_look = g_get_monotonic_time() + MAX(IDLE_LOOK_US, (g_get_monotonic_time() - began) * 10);
}

gboolean dsb_session_alive(struct dsb_session *session)
{
    g_autoptr(GError) error = NULL;
    if (session->dead == NULL && !dsb_exec_idle(&session->box.wire, &error))
        bury(session, error);
    if (session->dead == NULL)
        look_at_disk(session);
    return session->dead == NULL;
}

/* All that can keep the code from running. */
static gboolean check(struct dsb_session *session, const struct dsb_request *request, uint64_t *timeout_ms,
                      GError **error)
{
    if (!dsb_session_alive(session)) {
        g_propagate_error(error, g_error_copy(session->dead));
        return FALSE;
    }
    *timeout_ms = session->box.resolved->timeout_ms;
    if (!dsb_check_code(request, error) || !disk_has_room(session, error))
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
static void lose(struct dsb_session *session, const struct dsb_run_options *options, GError *why,
                 struct dsb_result *result)
{
    bury(session, why);
    dsb_result_set_state(result, DSB_OUTCOME_LOST, session->dead->message);
    dsb_sandbox_stop(&session->box, options, why);
}

static gboolean run(struct dsb_session *session, const struct dsb_run_options *options,
                    const struct dsb_request *request, uint64_t timeout_ms, struct dsb_result *result, GError **error)
{
    const struct dsb_resolved *limits = session->box.resolved;
    const struct dsb_scan *files = &session->box.files;
    int64_t since_ns = dsb_scan_clock();
    gint64 began = g_get_monotonic_time();
    struct dsb_exec exec = {.wire = &session->box.wire,
                            .limits = limits,
                            .dir_fd = session->box.dir->fd,
                            .number = ++session->executions,
                            .session = TRUE,
                            .timeout_ms = timeout_ms,
                            /* Over it already: what is there may stay, so that the code can remove it. */
                            .disk_bytes = MAX(limits->disk_bytes, files->bytes),
                            .disk_inodes = MAX(limits->disk_inodes, files->inodes)};
    result->state.execution = exec.number;
    gboolean ran = dsb_exec_run(&exec, options, request, result, error);
    dsb_sandbox_stamp(result, began, "answered_ms");
    note_files(session, &exec, since_ns, result);
    dsb_sandbox_stamp(result, began, "compared_ms");
    g_autoptr(GError) silent =
        g_error_new_literal(DSB_ERROR, DSB_ERROR_LOST, "the sandbox did not answer, and was removed");
    if (!ran)
        lose(session, options, *error, result);
    else if (exec.broken)
        lose(session, options, silent, result);
    return ran;
}

static struct dsb_result *execute_with(struct dsb_session *session, const struct dsb_run_options *options,
                                       const struct dsb_request *request)
{
    GError *error = NULL;
    uint64_t timeout_ms = 0;
    struct dsb_result *result = new_result(session);
    dsb_engine_listen(session->box.engine, options);
    dsb_result_set_state(result, DSB_OUTCOME_KEPT, NULL);
    if (check(session, request, &timeout_ms, &error))
        run(session, options, request, timeout_ms, result, &error);
    else if (session->dead != NULL)
        dsb_result_set_state(result, DSB_OUTCOME_LOST, error->message);
    if (error != NULL)
        dsb_result_fail(result, error);
    if (error != NULL && session->dead != NULL)
        result->status = DSB_STATUS_LOST;
    else if (session->lost_reason != NULL && result->ran) {
        dsb_result_set_state(result, DSB_OUTCOME_LOST, session->lost_reason);
        g_clear_pointer(&session->lost_reason, g_free);
    }
    dsb_engine_listen(session->box.engine, NULL);
    return result;
}

dsb_result *dsb_session_execute(struct dsb_session *session, const struct dsb_run_options *options,
                                const struct dsb_request *request)
{
    GError *error = NULL;
    struct dsb_run_options how;
    struct dsb_request what;
    if (dsb_take_options(options != NULL ? options : &nobody, &how, &error) && dsb_take_request(request, &what, &error))
        return execute_with(session, &how, &what);
    struct dsb_result *result = new_result(session);
    dsb_result_fail(result, error);
    return result;
}

/* The operation as one frame's text (g_free), with the time that pid 1 gives it. */
static char *control_text(const char *op_json, gint64 timeout_ms, GError **error)
{
    struct json_tokener *tokener = json_tokener_new_ex(CONTROL_DEPTH);
    gsize size = strlen(op_json);
    struct json_object *object = NULL, *op = NULL;
    if (size <= CONTROL_MAX)
        object = json_tokener_parse_ex(tokener, op_json, (int) size + 1);
    json_tokener_free(tokener);
    char *text = NULL;
    if (object != NULL && json_object_is_type(object, json_type_object) &&
        json_object_object_get_ex(object, "op", &op) && json_object_is_type(op, json_type_string)) {
        json_object_object_add(object, "timeout_ms", json_object_new_int64(timeout_ms));
        text =
            g_strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    }
    json_object_put(object);
    if (text == NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "a control operation is a JSON object with \"op\", of at most 64 KiB");
    return text;
}

char *dsb_session_control(struct dsb_session *session, const char *op_json, guint timeout_ms, GError **error)
{
    GError *local = NULL;
    gint64 wait_ms = timeout_ms != 0 ? MIN(timeout_ms, CONTROL_MAX_MS) : CONTROL_MS;
    g_autofree char *text = control_text(op_json, wait_ms, error);
    if (text == NULL)
        return NULL;
    if (!dsb_session_alive(session)) {
        g_propagate_error(error, g_error_copy(session->dead));
        return NULL;
    }
    gint64 deadline = g_get_monotonic_time() + (wait_ms + CONTROL_SLACK_MS) * 1000;
    uint32_t number = CONTROL_NUMBER | (++session->controls & (CONTROL_NUMBER - 1));
    char *answer = dsb_exec_control(&session->box.wire, number, text, deadline, &local);
    if (local == NULL)
        return answer;
    if (!g_error_matches(local, DSB_ERROR, DSB_ERROR_FAILED) && !g_error_matches(local, DSB_ERROR, DSB_ERROR_TIMEOUT))
        bury(session, local);
    g_propagate_error(error, local);
    return NULL;
}

int dsb_session_fd(const struct dsb_session *session)
{
    return session->dead == NULL ? session->box.stream.read_fd : -1;
}

const char *dsb_session_id(const struct dsb_session *session) { return session->facts->session; }

const char *dsb_session_workdir(const struct dsb_session *session) { return session->box.dir->path; }

static void add_text(struct json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, text != NULL ? json_object_new_string(text) : NULL);
}

char *dsb_session_info(const struct dsb_session *session)
{
    const struct dsb_result *facts = session->facts;
    struct json_object *root = json_object_new_object();
    struct json_object *image = json_object_new_object();
    add_text(image, "ref", facts->image);
    add_text(image, "id", facts->image_id);
    add_text(root, "id", facts->session);
    add_text(root, "container", session->box.container);
    add_text(root, "name", session->box.name);
    add_text(root, "backend", facts->backend);
    json_object_object_add(root, "engine", dsb_engine_json(&facts->engine));
    json_object_object_add(root, "image", image);
    json_object_object_add(root, "policy", dsb_result_policy_json(facts));
    add_text(root, "workdir", session->box.dir->path);
    json_object_object_add(root, "timing", json_object_get(facts->timing));
    char *text =
        g_strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(root);
    return text;
}
