/* SPDX-License-Identifier: MIT */
/* What programs read of a result. Nothing here changes it. */
#include "run/result.h"

#include "common/json.h"
#include "common/names.h"

#include <string.h>

static struct json_object *report_of(const struct dsb_result *result) { return result != NULL ? result->report : NULL; }

/* --- how it ended --- */

enum dsb_status dsb_result_status(const struct dsb_result *result)
{
    return result != NULL ? result->status : DSB_STATUS_ERROR;
}

const GError *dsb_result_failure(const struct dsb_result *result) { return result != NULL ? result->failure : NULL; }

const char *dsb_result_failure_code(const struct dsb_result *result)
{
    const GError *failure = dsb_result_failure(result);
    return failure != NULL ? dsb_error_code_name(failure->code) : NULL;
}

const char *dsb_result_reason(const struct dsb_result *result) { return result != NULL ? result->reason : NULL; }

int dsb_result_exit_code(const struct dsb_result *result) { return result != NULL ? result->exit_code : -1; }

int dsb_result_signal(const struct dsb_result *result) { return result != NULL ? result->signal : 0; }

int dsb_result_exit_status(const struct dsb_result *result)
{
    return dsb_exit_of(dsb_result_status(result), dsb_result_failure(result) != NULL, dsb_result_exit_code(result),
                       dsb_result_signal(result));
}

/* --- output --- */

static const struct dsb_output *stream_of(const struct dsb_result *result, int stream)
{
    if (result == NULL || (stream != 1 && stream != 2))
        return NULL;
    return stream == 1 ? &result->out : &result->err;
}

const void *dsb_result_output(const struct dsb_result *result, int stream, gsize *size)
{
    const struct dsb_output *output = stream_of(result, stream);
    gsize kept = output != NULL ? output->bytes->len : 0;
    if (size != NULL)
        *size = kept;
    return kept > 0 ? output->bytes->data : (const void *) "";
}

uint64_t dsb_result_output_total(const struct dsb_result *result, int stream)
{
    const struct dsb_output *output = stream_of(result, stream);
    return output != NULL ? output->total : 0;
}

gboolean dsb_result_output_truncated(const struct dsb_result *result, int stream)
{
    const struct dsb_output *output = stream_of(result, stream);
    return output != NULL && output->truncated;
}

const void *dsb_result_output_tail(const struct dsb_result *result, int stream, gsize *size)
{
    const struct dsb_output *output = stream_of(result, stream);
    const GByteArray *tail = output != NULL ? output->tail : NULL;
    if (size != NULL)
        *size = tail != NULL ? tail->len : 0;
    return tail != NULL ? tail->data : (const void *) "";
}

const char *dsb_result_output_file(const struct dsb_result *result, int stream, uint64_t *bytes)
{
    /* A run without a session has no directory that is there afterwards. */
    const struct dsb_output *output = dsb_result_workdir(result) != NULL ? stream_of(result, stream) : NULL;
    if (bytes != NULL)
        *bytes = output != NULL ? output->file_bytes : 0;
    return output != NULL ? output->file : NULL;
}

const char *dsb_result_background(const struct dsb_result *result, int stream, gboolean *truncated)
{
    struct json_object *background = result != NULL ? result->background : NULL;
    const char *text = stream == 1 || stream == 2 ? json_string(background, stream == 1 ? "stdout" : "stderr") : NULL;
    if (truncated != NULL)
        *truncated = json_object_get_boolean(json_member(background, "truncated"));
    return text != NULL && *text != '\0' ? text : NULL;
}

/* --- what the interpreter says of it --- */

static struct json_object *error_of(const struct dsb_result *result) { return json_member(report_of(result), "error"); }

const char *dsb_result_error_name(const struct dsb_result *result) { return json_string(error_of(result), "name"); }

const char *dsb_result_error_value(const struct dsb_result *result) { return json_string(error_of(result), "value"); }

const char *dsb_result_error_traceback(const struct dsb_result *result)
{
    return json_string(error_of(result), "traceback");
}

/* The last expression's value, if there is one, stands behind what was displayed. */
static struct json_object *value_at(const struct dsb_result *result, gsize index)
{
    struct json_object *displays = json_member(report_of(result), "displays"), *last = json_member(report_of(result), "result");
    if (index < json_length(displays))
        return json_object_array_get_idx(displays, index);
    return index == json_length(displays) && json_object_is_type(last, json_type_object) ? last : NULL;
}

gsize dsb_result_n_values(const struct dsb_result *result)
{
    gsize n = json_length(json_member(report_of(result), "displays"));
    return n + (value_at(result, n) != NULL ? 1 : 0);
}

const char *dsb_result_value_type(const struct dsb_result *result, gsize index, gsize which)
{
    struct json_object *value = value_at(result, index);
    if (value == NULL)
        return NULL;
    json_object_object_foreach (value, type, data) {
        (void) data;
        if (which-- == 0)
            return type;
    }
    return NULL;
}

const char *dsb_result_value(const struct dsb_result *result, gsize index, const char *type, gsize *size)
{
    struct json_object *value = value_at(result, index), *data = NULL;
    gboolean is_json =
        type != NULL && (strcmp(type, "application/json") == 0 || g_str_has_suffix(type, "+json"));
    size_t length_of_text = 0;
    const char *text = NULL;
    gboolean there = value != NULL && type != NULL && json_object_object_get_ex(value, type, &data);
    if (there && is_json) {
        const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
        text = data != NULL ? json_object_to_json_string_length(data, flags, &length_of_text) : "null";
        length_of_text = data != NULL ? length_of_text : strlen(text);
    } else if (there && json_object_is_type(data, json_type_string)) {
        text = json_object_get_string(data);
        length_of_text = (size_t) json_object_get_string_len(data);
    }
    if (size != NULL)
        *size = text != NULL ? length_of_text : 0;
    return text;
}

uint64_t dsb_result_values_omitted(const struct dsb_result *result, gsize which, const char **reason)
{
    struct json_object *omitted = json_member(report_of(result), "omitted");
    struct json_object *row = which < json_length(omitted) ? json_object_array_get_idx(omitted, which) : NULL;
    if (reason != NULL)
        *reason = json_string(row, "reason");
    return row != NULL ? (uint64_t) json_object_get_int64(json_member(row, "count")) : 0;
}

/* --- files --- */

gsize dsb_result_n_files(const struct dsb_result *result, enum dsb_change change)
{
    return result != NULL && (gsize) change < DSB_N_CHANGES ? result->files[change]->len : 0;
}

const char *dsb_result_file(const struct dsb_result *result, enum dsb_change change, gsize index, uint64_t *size)
{
    if (index >= dsb_result_n_files(result, change))
        return NULL;
    const struct dsb_changed_file *file = result->files[change]->pdata[index];
    if (size != NULL)
        *size = file->size;
    return file->path;
}

gboolean dsb_result_files_truncated(const struct dsb_result *result)
{
    return result != NULL && result->files_truncated;
}

/* --- usage --- */

static int64_t known(uint64_t value)
{
    return value != DSB_UNLIMITED ? (int64_t) MIN(value, (uint64_t) G_MAXINT64) : -1;
}

int64_t dsb_result_wall_ms(const struct dsb_result *result) { return result != NULL ? result->wall_ms : -1; }

int64_t dsb_result_cpu_ms(const struct dsb_result *result)
{
    int64_t us = result != NULL ? known(result->usage.cpu_us) : -1;
    return us >= 0 ? us / 1000 : -1;
}

int64_t dsb_result_memory_peak(const struct dsb_result *result)
{
    return result != NULL ? known(result->usage.memory_peak_bytes) : -1;
}

int64_t dsb_result_pids_peak(const struct dsb_result *result) { return result != NULL ? result->pids_peak : -1; }

int64_t dsb_result_oom_kills(const struct dsb_result *result)
{
    return result != NULL ? known(result->usage.oom_kills) : -1;
}

/* --- state --- */

enum dsb_outcome dsb_result_state(const struct dsb_result *result)
{
    return result != NULL ? result->state.outcome : DSB_OUTCOME_NONE;
}

const char *dsb_result_state_reason(const struct dsb_result *result)
{
    return result != NULL ? result->state.reason : NULL;
}

uint32_t dsb_result_execution(const struct dsb_result *result) { return result != NULL ? result->state.execution : 0; }

int64_t dsb_result_rolled_back_to(const struct dsb_result *result) { return result != NULL ? result->state.to : -1; }

const char *dsb_result_rollback_point(const struct dsb_result *result)
{
    return result != NULL ? result->state.point : NULL;
}

static struct json_object *all_variables(const struct dsb_result *result)
{
    return dsb_result_state(result) != DSB_OUTCOME_NONE ? json_member(report_of(result), "vars") : NULL;
}

static struct json_object *variables(const struct dsb_result *result, enum dsb_change change)
{
    static const char *const names[] = {"created", "changed", "deleted"};
    return (gsize) change < G_N_ELEMENTS(names) ? json_member(all_variables(result), names[change]) : NULL;
}

gsize dsb_result_n_variables(const struct dsb_result *result, enum dsb_change change)
{
    return json_length(variables(result, change));
}

const char *dsb_result_variable(const struct dsb_result *result, enum dsb_change change, gsize index, const char **type)
{
    struct json_object *list = variables(result, change);
    struct json_object *row = index < json_length(list) ? json_object_array_get_idx(list, index) : NULL;
    if (type != NULL)
        *type = json_string(row, "type");
    return json_object_is_type(row, json_type_string) ? json_object_get_string(row) : json_string(row, "name");
}

gboolean dsb_result_variables_truncated(const struct dsb_result *result)
{
    return json_object_get_boolean(json_member(all_variables(result), "truncated"));
}

/* --- what held it --- */

const char *dsb_result_policy_sha256(const struct dsb_result *result)
{
    return result != NULL ? result->policy_sha256 : NULL;
}

static const struct dsb_control_report *rows_of(const struct dsb_result *result, gsize *n)
{
    *n = 0;
    return result != NULL && result->controls != NULL ? dsb_report_rows(result->controls, n) : NULL;
}

gsize dsb_result_n_controls(const struct dsb_result *result)
{
    gsize n = 0;
    rows_of(result, &n);
    return n;
}

const struct dsb_control_report *dsb_result_control(const struct dsb_result *result, gsize index)
{
    gsize n = 0;
    const struct dsb_control_report *rows = rows_of(result, &n);
    return index < n ? &rows[index] : NULL;
}

/* --- where it ran --- */

const char *dsb_result_id(const struct dsb_result *result) { return result != NULL ? result->id : NULL; }

const char *dsb_result_session(const struct dsb_result *result) { return result != NULL ? result->session : NULL; }

const char *dsb_result_workdir(const struct dsb_result *result) { return result != NULL ? result->workdir : NULL; }

const char *dsb_result_backend(const struct dsb_result *result) { return result != NULL ? result->backend : NULL; }

const char *dsb_result_plugin_path(const struct dsb_result *result)
{
    return result != NULL ? result->plugin_path : NULL;
}

const char *dsb_result_plugin_version(const struct dsb_result *result)
{
    return result != NULL ? result->plugin_version : NULL;
}

const char *dsb_result_leftover(const struct dsb_result *result) { return result != NULL ? result->leftover : NULL; }

const char *dsb_result_image(const struct dsb_result *result) { return result != NULL ? result->image : NULL; }

const char *dsb_result_image_id(const struct dsb_result *result) { return result != NULL ? result->image_id : NULL; }

const char *dsb_result_step(const struct dsb_result *result, gsize index, double *ms)
{
    if (result == NULL || index >= result->timing->len)
        return NULL;
    const struct dsb_step *step = &g_array_index(result->timing, struct dsb_step, index);
    if (ms != NULL)
        *ms = step->ms;
    return step->name;
}
