/* SPDX-License-Identifier: MIT */
/* The calls of tools in a result: the first ones, and how many there were. */
#include "run/result.h"

#include "common/json.h"

#define LISTED 1000

static const char *const names[] = {
    [DSB_CALL_OK] = "ok",           [DSB_CALL_ERROR] = "error",         [DSB_CALL_REFUSED] = "refused",
    [DSB_CALL_TIMEOUT] = "timeout", [DSB_CALL_ABANDONED] = "abandoned",
};

const char *dsb_call_status_name(enum dsb_call_status status)
{
    return (gsize) status < G_N_ELEMENTS(names) ? names[status] : names[DSB_CALL_ERROR];
}

static void clear_report(gpointer data)
{
    struct dsb_call_report *report = data;
    g_free(report->tool);
}

void dsb_result_begin_calls(struct dsb_result *result)
{
    result->calls = g_array_new(FALSE, FALSE, sizeof(struct dsb_call_report));
    g_array_set_clear_func(result->calls, clear_report);
}

guint dsb_result_add_call(struct dsb_result *result, const char *tool, gsize arguments)
{
    guint number = (guint) result->n_calls++;
    if (number < LISTED) {
        const struct dsb_call_report report = {g_strdup(tool), DSB_CALL_ABANDONED, 0, arguments, 0};
        g_array_append_val(result->calls, report);
    }
    return number;
}

void dsb_result_end_call(struct dsb_result *result, guint number, enum dsb_call_status status, gint64 us, gsize answer)
{
    if (number >= result->calls->len)
        return;
    struct dsb_call_report *report = &g_array_index(result->calls, struct dsb_call_report, number);
    report->status = status;
    report->ms = (double) us / 1000;
    report->answer_bytes = answer;
}

int64_t dsb_result_n_calls(const struct dsb_result *result)
{
    return result != NULL && result->calls != NULL ? (int64_t) result->n_calls : -1;
}

const struct dsb_call_report *dsb_result_call(const struct dsb_result *result, gsize index)
{
    gboolean is = result != NULL && result->calls != NULL && index < result->calls->len;
    return is ? &g_array_index(result->calls, struct dsb_call_report, index) : NULL;
}

struct json_object *dsb_result_calls_json(const struct dsb_result *result)
{
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < result->calls->len; i++) {
        const struct dsb_call_report *report = dsb_result_call(result, i);
        struct json_object *row = json_object_new_object();
        json_add(row, "tool", report->tool);
        json_add(row, "status", dsb_call_status_name(report->status));
        json_object_object_add(row, "ms", json_object_new_double(report->ms));
        json_object_object_add(row, "arguments_bytes", json_object_new_uint64(report->arguments_bytes));
        json_object_object_add(row, "answer_bytes", json_object_new_uint64(report->answer_bytes));
        json_object_array_add(array, row);
    }
    return array;
}
