/* SPDX-License-Identifier: MIT */
#include "answer.h"

#include "strictjson.h"

#include <string.h>

#define CONTROL_DEPTH 32
#define REASON_MAX 1000

struct json_object *dsb_answer_parse(const struct dsb_frame *frame)
{
    return dsb_json_parse_foreign((const char *) frame->payload, frame->size, CONTROL_DEPTH);
}

gboolean dsb_answer_broken(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "pid 1 sent %s", what);
    return FALSE;
}

gboolean dsb_answer_failure(const struct dsb_frame *frame, GError **error)
{
    struct json_object *object = dsb_answer_parse(frame), *message = NULL;
    if (object != NULL)
        json_object_object_get_ex(object, "message", &message);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "inside the container: %s",
                message != NULL ? json_object_get_string(message) : "pid 1 failed without a reason");
    json_object_put(object);
    return FALSE;
}

static int64_t number(struct json_object *object, const char *key, int64_t otherwise)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int))
        return otherwise;
    int64_t n = json_object_get_int64(value);
    return n < 0 ? otherwise : n;
}

static gboolean truth(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

static uint64_t count_or_unknown(struct json_object *object, const char *key)
{
    int64_t n = number(object, key, -1);
    return n < 0 ? DSB_UNLIMITED : (uint64_t) n;
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
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(done, "status", &value) || !json_object_is_type(value, json_type_string))
        return dsb_answer_broken("a done frame without a status", error);
    gsize i = 0;
    while (i < G_N_ELEMENTS(statuses) && strcmp(statuses[i].name, json_object_get_string(value)) != 0)
        i++;
    if (i == G_N_ELEMENTS(statuses))
        return dsb_answer_broken("a done frame with an unknown status", error);
    result->status = statuses[i].status;
    result->exit_code = (int) number(done, "exit_code", -1);
    result->signal = (int) number(done, "signal", 0);
    if (result->status == DSB_STATUS_OK && result->exit_code != 0)
        result->status = DSB_STATUS_ERROR;
    if (result->status == DSB_STATUS_SIGNAL && (result->signal <= 0 || result->signal > 64))
        return dsb_answer_broken("a done frame with a bad signal", error);
    if (result->status == DSB_STATUS_ERROR && (result->exit_code < 0 || result->exit_code > 255))
        return dsb_answer_broken("a done frame with a bad exit code", error);
    result->wall_ms = number(done, "wall_ms", -1);
    result->pids_peak = number(done, "pids_peak", -1);
    result->usage.memory_peak_bytes = count_or_unknown(done, "memory_peak_bytes");
    result->usage.oom_kills = count_or_unknown(done, "oom_kills");
    int64_t cpu_ms = number(done, "cpu_ms", -1);
    result->usage.cpu_us = cpu_ms < 0 ? DSB_UNLIMITED : (uint64_t) cpu_ms * 1000;
    result->out.total = MAX(result->out.total, (uint64_t) number(done, "stdout_bytes", 0));
    result->err.total = MAX(result->err.total, (uint64_t) number(done, "stderr_bytes", 0));
    result->out.truncated |= truth(done, "stdout_truncated");
    result->err.truncated |= truth(done, "stderr_truncated");
    return TRUE;
}

/* Text of pid 1's own, cut to a sane size; NULL when it is not there. */
static char *words(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    g_autofree char *cut = g_strndup(text, MIN(strlen(text), REASON_MAX));
    return g_utf8_make_valid(cut, -1);
}

static gboolean take_state(struct dsb_result *result, struct json_object *done, GError **error)
{
    struct json_object *state = NULL;
    if (!json_object_object_get_ex(done, "state", &state) || !json_object_is_type(state, json_type_object))
        return dsb_answer_broken("a done frame without the session's state", error);
    g_autofree char *outcome = words(state, "outcome");
    g_autofree char *reason = words(state, "reason");
    enum dsb_outcome kind = dsb_outcome_parse(outcome);
    if (kind == DSB_OUTCOME_NONE)
        return dsb_answer_broken("a done frame with an unknown state", error);
    dsb_result_set_state(result, kind, reason);
    result->state.to = number(state, "to", -1);
    result->state.point = words(state, "point");
    return TRUE;
}

gboolean dsb_answer_done(const struct dsb_frame *frame, gboolean session, struct dsb_result *result, GError **error)
{
    struct json_object *done = dsb_answer_parse(frame);
    if (done == NULL)
        return dsb_answer_broken("a done frame that is not JSON", error);
    gboolean ok = take_done(result, done, error) && (!session || take_state(result, done, error));
    json_object_put(done);
    return ok;
}

char *dsb_answer_control(const struct dsb_frame *frame, GError **error)
{
    struct json_object *answer = dsb_answer_parse(frame);
    if (answer == NULL) {
        dsb_answer_broken("an answer that is not a JSON object", error);
        return NULL;
    }
    g_autofree char *problem = words(answer, "error");
    char *text = NULL;
    if (problem != NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, problem);
    else
        text =
            g_strdup(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(answer);
    return text;
}
