/* SPDX-License-Identifier: MIT */
/* What pid 1 says when an execution is over, or something else was asked of it: taken apart strictly. */
#include "run/pid1.h"

#include "common/json.h"
#include "common/strictjson.h"

#include <string.h>

#define CONTROL_DEPTH 32
#define REASON_MAX 1000
#define TAIL_MAX (64u << 10)
#define KEPT_PLACE "dsandbox-output/"
#define KEPT_NAME_MAX 63
#define BACKGROUND_MAX (1 << 20) /* two texts of 64 KiB, a character may be six in JSON */

struct json_object *dsb_pid1_parse(const struct dsb_frame *frame)
{
    return dsb_json_parse_foreign((const char *) frame->payload, frame->size, CONTROL_DEPTH);
}

gboolean dsb_pid1_broken(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "pid 1 sent %s", what);
    return FALSE;
}

gboolean dsb_pid1_failure(const struct dsb_frame *frame, GError **error)
{
    struct json_object *object = dsb_pid1_parse(frame), *message = json_member(object, "message");
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "inside the container: %s",
                message != NULL ? json_object_get_string(message) : "pid 1 failed without a reason");
    json_object_put(object);
    return FALSE;
}

static int64_t number(struct json_object *object, const char *key, int64_t otherwise)
{
    struct json_object *value = json_member(object, key);
    int64_t n = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
    return n < 0 ? otherwise : n;
}

static uint64_t count_or_unknown(struct json_object *object, const char *key)
{
    int64_t n = number(object, key, -1);
    return n < 0 ? DSB_UNLIMITED : (uint64_t) n;
}

/* A name that pid 1 makes: of letters, digits, '-' and one '/', which no terminal and no shell acts on. */
static gboolean is_kept_name(const char *name)
{
    return g_str_has_prefix(name, KEPT_PLACE) && strlen(name) <= KEPT_NAME_MAX && name[strlen(KEPT_PLACE)] != '.' &&
           strspn(name + strlen(KEPT_PLACE), G_CSET_a_2_z G_CSET_DIGITS "-.") == strlen(name + strlen(KEPT_PLACE));
}

static gboolean take_kept(struct dsb_output *output, struct json_object *done, const char *stream, GError **error)
{
    g_autofree char *file = g_strconcat(stream, "_file", NULL), *bytes = g_strconcat(stream, "_file_bytes", NULL);
    const char *name = json_string(done, file);
    if (name == NULL)
        return TRUE;
    if (!is_kept_name(name))
        return dsb_pid1_broken("a done frame with a bad name of a file", error);
    g_free(output->file);
    output->file = g_strdup(name);
    output->file_bytes = (uint64_t) number(done, bytes, 0);
    return TRUE;
}

gboolean dsb_pid1_tail(const struct dsb_frame *frame, const struct dsb_resolved *limits, struct dsb_result *result,
                       GError **error)
{
    gboolean sized = frame->size > 1 && frame->size <= 1 + TAIL_MAX;
    if (!limits->output_keep || !sized || frame->payload[0] < 1 || frame->payload[0] > 2)
        return dsb_pid1_broken("a bad end of a stream", error);
    struct dsb_output *output = frame->payload[0] == 1 ? &result->out : &result->err;
    if (output->tail != NULL)
        return dsb_pid1_broken("a second end of a stream", error);
    output->tail = g_byte_array_append(g_byte_array_new(), frame->payload + 1, (guint) frame->size - 1);
    return TRUE;
}

static gboolean take_done(struct dsb_result *result, struct json_object *done, GError **error)
{
    static const struct {
        const char *name;
        enum dsb_status status;
    } statuses[] = {{"exited", DSB_STATUS_OK},
                    {"signal", DSB_STATUS_SIGNAL},
                    {"timeout", DSB_STATUS_TIMEOUT},
                    {"oom", DSB_STATUS_OOM},
                    {"output_limit", DSB_STATUS_OUTPUT_LIMIT},
                    {"cancelled", DSB_STATUS_CANCELLED},
                    {"lost", DSB_STATUS_LOST}};
    const char *status = json_string(done, "status");
    if (status == NULL)
        return dsb_pid1_broken("a done frame without a status", error);
    gsize i = 0;
    while (i < G_N_ELEMENTS(statuses) && strcmp(statuses[i].name, status) != 0)
        i++;
    if (i == G_N_ELEMENTS(statuses))
        return dsb_pid1_broken("a done frame with an unknown status", error);
    result->status = statuses[i].status;
    result->exit_code = (int) number(done, "exit_code", -1);
    result->signal = (int) number(done, "signal", 0);
    if (result->status == DSB_STATUS_OK && result->exit_code != 0)
        result->status = DSB_STATUS_ERROR;
    if (result->status == DSB_STATUS_SIGNAL && (result->signal <= 0 || result->signal > 64))
        return dsb_pid1_broken("a done frame with a bad signal", error);
    if (result->status == DSB_STATUS_ERROR && (result->exit_code < 0 || result->exit_code > 255))
        return dsb_pid1_broken("a done frame with a bad exit code", error);
    result->wall_ms = number(done, "wall_ms", -1);
    result->pids_peak = number(done, "pids_peak", -1);
    result->usage.memory_peak_bytes = count_or_unknown(done, "memory_peak_bytes");
    result->usage.oom_kills = count_or_unknown(done, "oom_kills");
    int64_t cpu_ms = number(done, "cpu_ms", -1);
    result->usage.cpu_us = cpu_ms < 0 ? DSB_UNLIMITED : (uint64_t) cpu_ms * 1000;
    result->out.total = MAX(result->out.total, (uint64_t) number(done, "stdout_bytes", 0));
    result->err.total = MAX(result->err.total, (uint64_t) number(done, "stderr_bytes", 0));
    result->out.truncated |= json_object_get_boolean(json_member(done, "stdout_truncated"));
    result->err.truncated |= json_object_get_boolean(json_member(done, "stderr_truncated"));
    return take_kept(&result->out, done, "stdout", error) && take_kept(&result->err, done, "stderr", error);
}

/* Text of pid 1's own, cut to a sane size; NULL when it is not there. */
static char *words(struct json_object *object, const char *key)
{
    const char *text = json_string(object, key);
    if (text == NULL)
        return NULL;
    g_autofree char *cut = g_strndup(text, MIN(strlen(text), REASON_MAX));
    return g_utf8_make_valid(cut, -1);
}

static gboolean take_state(struct dsb_result *result, struct json_object *done, GError **error)
{
    struct json_object *state = json_member(done, "state");
    if (!json_object_is_type(state, json_type_object))
        return dsb_pid1_broken("a done frame without the session's state", error);
    g_autofree char *outcome = words(state, "outcome");
    g_autofree char *reason = words(state, "reason");
    enum dsb_outcome kind = dsb_outcome_parse(outcome);
    if (kind == DSB_OUTCOME_NONE)
        return dsb_pid1_broken("a done frame with an unknown state", error);
    dsb_result_set_state(result, kind, reason);
    result->state.to = number(state, "to", -1);
    result->state.point = words(state, "point");
    return TRUE;
}

gboolean dsb_pid1_done(const struct dsb_frame *frame, gboolean session, struct dsb_result *result, GError **error)
{
    struct json_object *done = dsb_pid1_parse(frame);
    if (done == NULL)
        return dsb_pid1_broken("a done frame that is not JSON", error);
    gboolean ok = take_done(result, done, error) && (!session || take_state(result, done, error));
    json_object_put(done);
    return ok;
}

gboolean dsb_pid1_background(const struct dsb_frame *frame, struct dsb_result *result, GError **error)
{
    struct json_object *object = frame->size <= BACKGROUND_MAX ? dsb_pid1_parse(frame) : NULL;
    if (result->background != NULL || json_string(object, "stdout") == NULL || json_string(object, "stderr") == NULL ||
        !json_object_is_type(json_member(object, "truncated"), json_type_boolean) || json_object_object_length(object) != 3) {
        json_object_put(object);
        return dsb_pid1_broken("bad output between executions", error);
    }
    result->background = object;
    return TRUE;
}

struct json_object *dsb_pid1_control(const struct dsb_frame *frame, GError **error)
{
    struct json_object *answer = dsb_pid1_parse(frame);
    if (answer == NULL) {
        dsb_pid1_broken("an answer that is not a JSON object", error);
        return NULL;
    }
    g_autofree char *problem = words(answer, "error");
    if (problem == NULL)
        return answer;
    g_autofree char *name = words(answer, "code");
    int code = g_strcmp0(name, "not_found") == 0  ? DSB_ERROR_NOT_FOUND
               : g_strcmp0(name, "conflict") == 0 ? DSB_ERROR_CONFLICT
                                                  : DSB_ERROR_FAILED;
    g_set_error_literal(error, DSB_ERROR, code, problem);
    json_object_put(answer);
    return NULL;
}
