/* SPDX-License-Identifier: MIT */
/* The result of a run, and its text. */
#include "run/result.h"

#include "common/json.h"
#include "common/names.h"
#include "common/objects.h"
#include "hostdir/session_files.h"

#include <dsandbox/files.h>
#include <string.h>

const char *dsb_status_name(enum dsb_status status)
{
    static const char *const names[] = {
        [DSB_STATUS_OK] = "ok",
        [DSB_STATUS_ERROR] = "error",
        [DSB_STATUS_TIMEOUT] = "timeout",
        [DSB_STATUS_OOM] = "oom",
        [DSB_STATUS_SIGNAL] = "signal",
        [DSB_STATUS_OUTPUT_LIMIT] = "output_limit",
        [DSB_STATUS_DISK_LIMIT] = "disk_limit",
        [DSB_STATUS_CANCELLED] = "cancelled",
        [DSB_STATUS_LOST] = "lost",
        [DSB_STATUS_REFUSED] = "refused",
    };
    return (gsize) status < G_N_ELEMENTS(names) ? names[status] : "error";
}

static const char *const outcomes[] = {
    [DSB_OUTCOME_NONE] = "",
    [DSB_OUTCOME_KEPT] = "kept",
    [DSB_OUTCOME_ROLLED_BACK] = "rolled_back",
    [DSB_OUTCOME_LOST] = "lost",
};

const char *dsb_outcome_name(enum dsb_outcome outcome)
{
    return (gsize) outcome < G_N_ELEMENTS(outcomes) ? outcomes[outcome] : "";
}

enum dsb_outcome dsb_outcome_parse(const char *name)
{
    for (gsize i = 1; name != NULL && i < G_N_ELEMENTS(outcomes); i++)
        if (strcmp(outcomes[i], name) == 0)
            return (enum dsb_outcome) i;
    return DSB_OUTCOME_NONE;
}

void dsb_result_set_state(struct dsb_result *result, enum dsb_outcome outcome, const char *reason)
{
    result->state.outcome = outcome;
    g_free(result->state.reason);
    result->state.reason = g_strdup(reason);
}

const char *dsb_change_name(enum dsb_change change)
{
    static const char *const names[] = {"created", "modified", "deleted"};
    return (gsize) change < G_N_ELEMENTS(names) ? names[change] : "";
}

static void free_changed(gpointer data)
{
    struct dsb_changed_file *file = data;
    g_free(file->path);
    g_free(file);
}

struct dsb_result *dsb_result_new(void)
{
    struct dsb_result *result = g_new0(struct dsb_result, 1);
    result->status = DSB_STATUS_LOST; /* until pid 1 has answered, or something failed */
    result->exit_code = -1;
    result->out.bytes = g_byte_array_new();
    result->err.bytes = g_byte_array_new();
    for (gsize i = 0; i < DSB_N_CHANGES; i++)
        result->files[i] = g_ptr_array_new_with_free_func(free_changed);
    result->usage = (struct dsb_measured){DSB_UNLIMITED, DSB_UNLIMITED, DSB_UNLIMITED};
    result->state.to = -1;
    result->pids_peak = -1;
    result->wall_ms = -1;
    result->timing = g_array_new(FALSE, FALSE, sizeof(struct dsb_step));
    return result;
}

void dsb_result_free(struct dsb_result *result)
{
    if (result == NULL)
        return;
    g_clear_error(&result->failure);
    g_byte_array_unref(result->out.bytes);
    g_byte_array_unref(result->err.bytes);
    g_clear_pointer(&result->out.tail, g_byte_array_unref);
    g_clear_pointer(&result->err.tail, g_byte_array_unref);
    g_free(result->out.file);
    g_free(result->err.file);
    for (gsize i = 0; i < DSB_N_CHANGES; i++)
        g_ptr_array_unref(result->files[i]);
    g_free(result->state.reason);
    g_free(result->state.point);
    json_object_put(result->background);
    json_object_put(result->report);
    g_array_unref(result->timing);
    g_clear_pointer(&result->calls, g_array_unref);
    dsb_report_free(result->controls);
    g_free(result->policy_sha256);
    g_free(result->reason);
    g_free(result->leftover);
    g_free(result->backend);
    g_free(result->plugin_path);
    g_free(result->plugin_version);
    g_free(result->image);
    g_free(result->image_id);
    g_free(result->id);
    g_free(result->session);
    g_free(result->workdir);
    g_free(result);
}

void dsb_result_fail(struct dsb_result *result, GError *error)
{
    if (result->failure != NULL) {
        g_error_free(error);
        return;
    }
    result->failure = error;
    result->status = DSB_STATUS_ERROR;
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_REFUSED))
        result->status = DSB_STATUS_REFUSED;
    else if (g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED))
        result->status = DSB_STATUS_CANCELLED;
    else if (result->ran)
        result->status = DSB_STATUS_LOST;
}

void dsb_result_over_disk(struct dsb_result *result, char *reason, gboolean shortage)
{
    if (shortage && result->failure == NULL) {
        result->failure = g_error_new_literal(DSB_ERROR, DSB_ERROR_FAILED, reason);
        result->status = DSB_STATUS_ERROR;
    }
    if (shortage) {
        g_free(reason);
        return;
    }
    result->status = DSB_STATUS_DISK_LIMIT;
    g_free(result->reason);
    result->reason = reason;
}

struct dsb_result *dsb_result_from_error(const GError *error)
{
    struct dsb_result *result = dsb_result_new();
    dsb_result_fail(result, error != NULL ? g_error_copy(error)
                                          : g_error_new_literal(DSB_ERROR, DSB_ERROR_FAILED, "no reason was given"));
    return result;
}

void dsb_result_add_file(struct dsb_result *result, enum dsb_change change, const char *path, uint64_t size)
{
    gsize cost = dsb_path_cost(path);
    if (result->files_cost + cost > DSB_FILES_BUDGET) {
        result->files_truncated = TRUE;
        return;
    }
    result->files_cost += cost;
    struct dsb_changed_file *file = g_new(struct dsb_changed_file, 1);
    *file = (struct dsb_changed_file){g_strdup(path), size};
    g_ptr_array_add(result->files[change], file);
}

void dsb_result_add_step(struct dsb_result *result, const char *name, double ms)
{
    const struct dsb_step step = {name, ms};
    g_array_append_val(result->timing, step);
}

static void add_count(struct json_object *to, const char *key, uint64_t value)
{
    json_object_object_add(to, key, value != DSB_UNLIMITED ? json_object_new_uint64(value) : NULL);
}

/* NUL is a character like any other here; GLib's check stops at it. FALSE: *at is the first byte that is no text. */
static gboolean is_utf8(const char *data, gsize size, const char **at)
{
    while (!g_utf8_validate_len(data, size, at)) {
        if (*at == data + size || **at != '\0')
            return FALSE;
        size -= (gsize) (*at + 1 - data);
        data = *at + 1;
    }
    return TRUE;
}

/* With a replacement character for each byte that is no text. */
static struct json_object *readable(const char *data, gsize size)
{
    const char *end = data + size, *bad = NULL;
    g_autoptr(GString) text = g_string_sized_new(size);
    while (!is_utf8(data, (gsize) (end - data), &bad)) {
        g_string_append_len(text, data, bad - data);
        g_string_append(text, "\xef\xbf\xbd");
        data = bad + 1;
    }
    g_string_append_len(text, data, end - data);
    return text->len <= G_MAXINT ? json_object_new_string_len(text->str, (int) text->len) : NULL;
}

static void add_stream(struct json_object *to, const char *name, const struct dsb_output *stream)
{
    g_autofree char *encoding = g_strconcat(name, "_encoding", NULL);
    g_autofree char *exact = g_strconcat(name, "_base64", NULL);
    g_autofree char *bytes = g_strconcat(name, "_bytes", NULL);
    g_autofree char *truncated = g_strconcat(name, "_truncated", NULL);
    g_autofree char *base64 = NULL;
    const char *data = stream->bytes->len > 0 ? (const char *) stream->bytes->data : "";
    gsize size = stream->bytes->len;
    const char *bad = data;
    gboolean utf8 = is_utf8(data, size, &bad);
    /* A cap may have cut the last character: leave its first bytes out rather than call all of it binary. */
    gsize rest = size - (gsize) (bad - data);
    if (!utf8 && stream->truncated && rest < 4 && g_utf8_get_char_validated(bad, (gssize) rest) == (gunichar) -2) {
        utf8 = TRUE;
        size -= rest;
    }
    if (!utf8)
        base64 = g_base64_encode((const guchar *) data, size);
    gboolean as_it_is = utf8 && size <= G_MAXINT;
    json_object_object_add(to, name, as_it_is ? json_object_new_string_len(data, (int) size) : readable(data, size));
    json_add(to, encoding, "utf-8");
    json_add(to, exact, base64);
    json_object_object_add(to, bytes, json_object_new_uint64(stream->total));
    json_add_bool(to, truncated, stream->truncated);
}

/* Of a stream that the limit has cut, where the policy wants all of it; the first character may be cut as well. */
static void add_kept(struct json_object *to, const char *name, const struct dsb_output *stream, gboolean stays)
{
    g_autofree char *tail = g_strconcat(name, "_tail", NULL), *file = g_strconcat(name, "_file", NULL);
    g_autofree char *bytes = g_strconcat(name, "_file_bytes", NULL);
    if (stream->tail == NULL)
        return;
    const char *data = (const char *) stream->tail->data;
    gsize size = stream->tail->len, cut = 0;
    while (cut < MIN(size, 3) && ((guchar) data[cut] & 0xc0) == 0x80)
        cut++;
    json_object_object_add(to, tail, readable(data + cut, size - cut));
    if (!stays || stream->file == NULL)
        return;
    json_add(to, file, stream->file);
    json_object_object_add(to, bytes, json_object_new_uint64(stream->file_bytes));
}

static struct json_object *files_json(const GPtrArray *files)
{
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < files->len; i++) {
        const struct dsb_changed_file *file = files->pdata[i];
        struct json_object *row = json_object_new_object();
        json_add_path(row, file->path);
        json_object_object_add(row, "size", json_object_new_uint64(file->size));
        json_object_array_add(array, row);
    }
    return array;
}

struct json_object *dsb_result_timing_json(const struct dsb_result *result)
{
    struct json_object *object = json_object_new_object();
    for (guint i = 0; i < result->timing->len; i++) {
        const struct dsb_step *step = &g_array_index(result->timing, struct dsb_step, i);
        json_object_object_add(object, step->name, json_object_new_double(step->ms));
    }
    return object;
}

struct json_object *dsb_result_policy_json(const struct dsb_result *result)
{
    struct json_object *policy = json_object_new_object();
    struct json_object *controls = json_object_new_array();
    gsize n = 0;
    const struct dsb_control_report *rows = result->controls ? dsb_report_rows(result->controls, &n) : NULL;
    for (gsize i = 0; i < n; i++) {
        struct json_object *row = json_object_new_object();
        json_add(row, "name", rows[i].name);
        json_add(row, "asked", rows[i].asked);
        json_add(row, "measured", rows[i].measured);
        json_add(row, "source", rows[i].source);
        json_add(row, "verdict", dsb_verdict_name(rows[i].verdict));
        json_object_array_add(controls, row);
    }
    json_add(policy, "sha256", result->policy_sha256);
    json_object_object_add(policy, "controls", controls);
    return policy;
}

static struct json_object *plugin_json(const struct dsb_result *result)
{
    if (result->plugin_path == NULL)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_add(object, "path", result->plugin_path);
    json_add(object, "version", result->plugin_version);
    return object;
}

struct json_object *dsb_engine_json(const struct dsb_engine_info *engine)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "product", engine->product);
    json_add(object, "version", engine->version);
    json_add(object, "api", engine->api);
    json_add(object, "endpoint", engine->endpoint);
    json_add_bool(object, "rootless", engine->rootless);
    json_object_object_add(object, "cgroup_version", json_object_new_int((int) engine->cgroup_version));
    json_add(object, "runtime", engine->runtime);
    json_add_controls(object, "limits", engine->limits_available);
    return object;
}

/* What the user's process reported about itself; absent members stay null. */
static void add_report(struct json_object *to, const struct dsb_result *result)
{
    struct json_object *displays = json_member(result->report, "displays");
    struct json_object *value = json_member(result->report, "result"), *error = json_member(result->report, "error");
    struct json_object *omitted = json_member(result->report, "omitted"), *results = json_object_new_array();
    for (gsize i = 0; i < json_length(displays); i++)
        json_object_array_add(results, json_object_get(json_object_array_get_idx(displays, i)));
    if (json_object_is_type(value, json_type_object))
        json_object_array_add(results, json_object_get(value));
    json_object_object_add(to, "error", json_object_is_type(error, json_type_object) ? json_object_get(error) : NULL);
    json_object_object_add(to, "results", results);
    json_add_bool(to, "results_value", json_object_is_type(value, json_type_object));
    json_object_object_add(to, "results_omitted",
                           omitted != NULL ? json_object_get(omitted) : json_object_new_array());
}

/* NULL for one-shot runs, which keep none. */
static struct json_object *state_json(const struct dsb_result *result)
{
    const struct dsb_state *state = &result->state;
    struct json_object *vars = json_member(result->report, "vars");
    if (state->outcome == DSB_OUTCOME_NONE)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_add(object, "outcome", outcomes[state->outcome]);
    json_add(object, "reason", state->reason);
    add_count(object, "execution", state->execution > 0 ? state->execution : DSB_UNLIMITED);
    add_count(object, "to", state->to >= 0 ? (uint64_t) state->to : DSB_UNLIMITED);
    json_add(object, "point", state->point);
    json_object_object_add(object, "vars", json_object_is_type(vars, json_type_object) ? json_object_get(vars) : NULL);
    return object;
}

static struct json_object *usage_json(const struct dsb_result *result)
{
    struct json_object *usage = json_object_new_object();
    add_count(usage, "wall_ms", result->wall_ms >= 0 ? (uint64_t) result->wall_ms : DSB_UNLIMITED);
    add_count(usage, "cpu_ms", result->usage.cpu_us != DSB_UNLIMITED ? result->usage.cpu_us / 1000 : DSB_UNLIMITED);
    add_count(usage, "memory_peak_bytes", result->usage.memory_peak_bytes);
    add_count(usage, "pids_peak", result->pids_peak >= 0 ? (uint64_t) result->pids_peak : DSB_UNLIMITED);
    add_count(usage, "oom_kills", result->usage.oom_kills);
    return usage;
}

struct json_object *dsb_result_object(const struct dsb_result *result)
{
    if (result == NULL)
        return NULL;
    struct json_object *root = json_object_new_object();
    json_add(root, "schema", "dsandbox.result/1");
    json_add(root, "id", result->id);
    json_add(root, "session", result->session);
    json_add(root, "status", dsb_status_name(result->status));
    json_object_object_add(root, "exit_code", result->exit_code >= 0 ? json_object_new_int(result->exit_code) : NULL);
    json_object_object_add(root, "signal", result->signal > 0 ? json_object_new_int(result->signal) : NULL);
    json_add(root, "reason", result->reason);
    struct json_object *failure = NULL;
    if (result->failure != NULL) {
        failure = json_object_new_object();
        json_add(failure, "code", dsb_error_code_name(result->failure->code));
        json_add(failure, "message", result->failure->message);
    }
    json_object_object_add(root, "failure", failure);
    add_stream(root, "stdout", &result->out);
    add_stream(root, "stderr", &result->err);
    add_kept(root, "stdout", &result->out, result->workdir != NULL);
    add_kept(root, "stderr", &result->err, result->workdir != NULL);
    if (result->background != NULL)
        json_object_object_add(root, "background", json_object_get(result->background));
    add_report(root, result);
    if (result->calls != NULL) {
        json_object_object_add(root, "calls", dsb_result_calls_json(result));
        json_object_object_add(root, "calls_total", json_object_new_uint64(result->n_calls));
    }
    struct json_object *files = json_object_new_object();
    for (gsize i = 0; i < DSB_N_CHANGES; i++)
        json_object_object_add(files, dsb_change_name((enum dsb_change) i), files_json(result->files[i]));
    json_add_bool(files, "truncated", result->files_truncated);
    json_object_object_add(root, "files", files);
    json_object_object_add(root, "state", state_json(result));
    json_object_object_add(root, "usage", usage_json(result));
    json_object_object_add(root, "policy", dsb_result_policy_json(result));
    json_add(root, "backend", result->backend);
    json_object_object_add(root, "plugin", plugin_json(result));
    json_object_object_add(root, "engine", result->engine.product[0] != '\0' ? dsb_engine_json(&result->engine) : NULL);
    struct json_object *image = json_object_new_object();
    json_add(image, "ref", result->image);
    json_add(image, "id", result->image_id);
    json_object_object_add(root, "image", image);
    json_add(root, "workdir", result->workdir);
    json_add_bool(root, "warm", result->warm);
    json_object_object_add(root, "timing", dsb_result_timing_json(result));
    if (result->leftover != NULL)
        json_add(root, "leftover", result->leftover);
    return root;
}

/* NULL: json-c makes no text of more than 2 GiB. */
static char *text_of(const struct dsb_result *result, gboolean pretty)
{
    size_t size = 0;
    struct json_object *root = dsb_result_object(result);
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE | (pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN);
    char *text = g_strdup(json_object_to_json_string_length(root, flags, &size));
    json_object_put(root);
    return text;
}

char *dsb_result_json(const struct dsb_result *result, gboolean pretty)
{
    char *text = result != NULL ? text_of(result, pretty) : NULL;
    if (text != NULL || result == NULL)
        return text;
    /* Without what the code made: that only can be so much. */
    struct dsb_result small = *result;
    g_autoptr(GByteArray) nothing = g_byte_array_new();
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    small.report = NULL;
    small.out = (struct dsb_output){.bytes = nothing, .total = result->out.total, .truncated = TRUE};
    small.err = (struct dsb_output){.bytes = nothing, .total = result->err.total, .truncated = TRUE};
    for (gsize i = 0; i < DSB_N_CHANGES; i++)
        small.files[i] = none;
    small.files_truncated = TRUE;
    small.reason = (char *) "the result is too large for one JSON text: streams, values and files are left out";
    return text_of(&small, pretty);
}
