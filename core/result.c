/* SPDX-License-Identifier: MIT */
#include "result.h"

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

const char *dsb_error_code_name(int code)
{
    static const char *const names[] = {
        [DSB_ERROR_FAILED] = "failed",
        [DSB_ERROR_INVALID] = "invalid",
        [DSB_ERROR_NOT_FOUND] = "not_found",
        [DSB_ERROR_UNAVAILABLE] = "unavailable",
        [DSB_ERROR_DENIED] = "denied",
        [DSB_ERROR_REFUSED] = "refused",
        [DSB_ERROR_PLUGIN] = "plugin",
        [DSB_ERROR_PROTOCOL] = "protocol",
        [DSB_ERROR_TIMEOUT] = "engine_timeout",
        [DSB_ERROR_CANCELLED] = "cancelled",
        [DSB_ERROR_BUSY] = "busy",
        [DSB_ERROR_LOST] = "lost",
        [DSB_ERROR_LIMIT] = "limit",
        [DSB_ERROR_UNSUPPORTED] = "unsupported",
        [DSB_ERROR_CONFLICT] = "conflict",
        [DSB_ERROR_WOULD_BLOCK] = "would_block",
    };
    return code >= 0 && (gsize) code < G_N_ELEMENTS(names) ? names[code] : "failed";
}

static const char *const outcomes[] = {
    [DSB_OUTCOME_NONE] = "",
    [DSB_OUTCOME_KEPT] = "kept",
    [DSB_OUTCOME_ROLLED_BACK] = "rolled_back",
    [DSB_OUTCOME_LOST] = "lost",
};

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

static void free_changed(gpointer data)
{
    struct dsb_changed_file *file = data;
    g_free(file->path);
    g_free(file);
}

struct dsb_result *dsb_result_new(void)
{
    struct dsb_result *result = g_new0(struct dsb_result, 1);
    result->exit_code = -1;
    result->out.bytes = g_byte_array_new();
    result->err.bytes = g_byte_array_new();
    result->created = g_ptr_array_new_with_free_func(free_changed);
    result->modified = g_ptr_array_new_with_free_func(free_changed);
    result->deleted = g_ptr_array_new_with_free_func(free_changed);
    result->usage = (struct dsb_usage){sizeof result->usage, DSB_UNLIMITED, DSB_UNLIMITED, DSB_UNLIMITED};
    result->state.to = -1;
    result->pids_peak = -1;
    result->wall_ms = -1;
    result->timing = json_object_new_object();
    return result;
}

void dsb_result_free(struct dsb_result *result)
{
    if (result == NULL)
        return;
    g_clear_error(&result->failure);
    g_byte_array_unref(result->out.bytes);
    g_byte_array_unref(result->err.bytes);
    g_ptr_array_unref(result->created);
    g_ptr_array_unref(result->modified);
    g_ptr_array_unref(result->deleted);
    g_free(result->state.reason);
    g_free(result->state.point);
    json_object_put(result->report);
    json_object_put(result->timing);
    dsb_report_free(result->controls);
    g_free(result->policy_sha256);
    g_free(result->reason);
    g_free(result->backend);
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

void dsb_result_over_disk(struct dsb_result *result, char *reason)
{
    result->status = DSB_STATUS_DISK_LIMIT;
    g_free(result->reason);
    result->reason = reason;
}

struct dsb_result *dsb_result_from_error(const GError *error)
{
    struct dsb_result *result = dsb_result_new();
    dsb_result_fail(result, g_error_copy(error));
    return result;
}

void dsb_result_add_file(GPtrArray *to, const char *path, uint64_t size)
{
    struct dsb_changed_file *file = g_new(struct dsb_changed_file, 1);
    *file = (struct dsb_changed_file){g_strdup(path), size};
    g_ptr_array_add(to, file);
}

enum dsb_status dsb_result_status(const struct dsb_result *result) { return result->status; }

const GError *dsb_result_failure(const struct dsb_result *result) { return result->failure; }

const char *dsb_result_reason(const struct dsb_result *result) { return result->reason; }

int dsb_result_exit_status(const struct dsb_result *result)
{
    switch (result->status) {
    case DSB_STATUS_OK:
        return 0;
    case DSB_STATUS_ERROR:
        return result->failure != NULL || result->exit_code < 0 ? 125 : result->exit_code;
    case DSB_STATUS_TIMEOUT:
        return 124;
    case DSB_STATUS_OOM:
        return 137;
    case DSB_STATUS_SIGNAL:
        return 128 + result->signal;
    case DSB_STATUS_REFUSED:
        return 126;
    case DSB_STATUS_CANCELLED:
        return 130;
    case DSB_STATUS_OUTPUT_LIMIT:
    case DSB_STATUS_DISK_LIMIT:
        return 137; /* the program was killed for it */
    case DSB_STATUS_LOST:
    default:
        return 125;
    }
}

static void add_text(struct json_object *to, const char *key, const char *text)
{
    /* engines and plugins may say anything */
    g_autofree char *valid = text != NULL ? g_utf8_make_valid(text, -1) : NULL;
    json_object_object_add(to, key, valid != NULL ? json_object_new_string(valid) : NULL);
}

static void add_count(struct json_object *to, const char *key, uint64_t value)
{
    json_object_object_add(to, key, value != DSB_UNLIMITED ? json_object_new_uint64(value) : NULL);
}

/* NUL is a character like any other here; GLib's check stops at it. */
static gboolean is_utf8(const char *data, gsize size, const char **valid_end)
{
    while (!g_utf8_validate_len(data, size, valid_end)) {
        if (*valid_end == data + size || **valid_end != '\0')
            return FALSE;
        size -= (gsize) (*valid_end + 1 - data);
        data = *valid_end + 1;
    }
    return TRUE;
}

static void add_stream(struct json_object *to, const char *name, const struct dsb_output *stream)
{
    g_autofree char *encoding = g_strconcat(name, "_encoding", NULL);
    g_autofree char *bytes = g_strconcat(name, "_bytes", NULL);
    g_autofree char *truncated = g_strconcat(name, "_truncated", NULL);
    const char *data = stream->bytes->len > 0 ? (const char *) stream->bytes->data : "";
    gsize size = stream->bytes->len;
    const char *valid_end = data;
    gboolean utf8 = is_utf8(data, size, &valid_end);
    /* A cap may have cut the last character: leave its first bytes out rather than call all of it binary. */
    gsize rest = size - (gsize) (valid_end - data);
    if (!utf8 && stream->truncated && rest < 4 &&
        g_utf8_get_char_validated(valid_end, (gssize) rest) == (gunichar) -2) {
        utf8 = TRUE;
        size -= rest;
    }
    if (utf8) {
        json_object_object_add(to, name, json_object_new_string_len(data, (int) size));
    } else {
        g_autofree char *base64 = g_base64_encode((const guchar *) data, size);
        add_text(to, name, base64);
    }
    add_text(to, encoding, utf8 ? "utf-8" : "base64");
    json_object_object_add(to, bytes, json_object_new_uint64(stream->total));
    json_object_object_add(to, truncated, json_object_new_boolean(stream->truncated));
}

static struct json_object *files_json(const GPtrArray *files)
{
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < files->len; i++) {
        const struct dsb_changed_file *file = files->pdata[i];
        struct json_object *row = json_object_new_object();
        gboolean utf8 = g_utf8_validate(file->path, -1, NULL);
        g_autofree char *path = utf8 ? g_strdup(file->path) : g_utf8_make_valid(file->path, -1);
        add_text(row, "path", path);
        if (!utf8) {
            g_autofree char *base64 = g_base64_encode((const guchar *) file->path, strlen(file->path));
            add_text(row, "path_base64", base64);
        }
        json_object_object_add(row, "size", json_object_new_uint64(file->size));
        json_object_array_add(array, row);
    }
    return array;
}

struct json_object *dsb_result_policy_json(const struct dsb_result *result)
{
    struct json_object *policy = json_object_new_object();
    struct json_object *controls = json_object_new_array();
    gsize n = 0;
    const struct dsb_control_report *rows = result->controls ? dsb_report_rows(result->controls, &n) : NULL;
    for (gsize i = 0; i < n; i++) {
        struct json_object *row = json_object_new_object();
        add_text(row, "name", rows[i].name);
        add_text(row, "asked", rows[i].asked);
        add_text(row, "measured", rows[i].measured);
        add_text(row, "source", rows[i].source);
        add_text(row, "verdict", dsb_verdict_name(rows[i].verdict));
        json_object_array_add(controls, row);
    }
    add_text(policy, "sha256", result->policy_sha256);
    json_object_object_add(policy, "controls", controls);
    return policy;
}

struct json_object *dsb_engine_json(const struct dsb_engine_info *engine)
{
    struct json_object *object = json_object_new_object();
    add_text(object, "product", engine->product);
    add_text(object, "version", engine->version);
    add_text(object, "api", engine->api);
    add_text(object, "endpoint", engine->endpoint);
    json_object_object_add(object, "rootless", json_object_new_boolean(engine->rootless));
    json_object_object_add(object, "cgroup_version", json_object_new_int((int) engine->cgroup_version));
    add_text(object, "runtime", engine->runtime);
    struct json_object *limits = json_object_new_array();
    for (unsigned control = 0; control < DSB_N_CONTROLS; control++)
        if (engine->limits_available & DSB_BIT(control))
            json_object_array_add(limits, json_object_new_string(dsb_control_name(control)));
    json_object_object_add(object, "limits", limits);
    return object;
}

/* What the user's process reported about itself; absent members stay null. */
static void add_report(struct json_object *to, const struct dsb_result *result)
{
    struct json_object *value = NULL, *displays = NULL, *error = NULL;
    struct json_object *results = json_object_new_array();
    if (result->report != NULL) {
        if (json_object_object_get_ex(result->report, "displays", &displays) &&
            json_object_is_type(displays, json_type_array))
            for (gsize i = 0; i < json_object_array_length(displays); i++)
                json_object_array_add(results, json_object_get(json_object_array_get_idx(displays, i)));
        if (json_object_object_get_ex(result->report, "result", &value) && json_object_is_type(value, json_type_object))
            json_object_array_add(results, json_object_get(value));
        if (!json_object_object_get_ex(result->report, "error", &error) ||
            !json_object_is_type(error, json_type_object))
            error = NULL;
    }
    json_object_object_add(to, "error", json_object_get(error));
    json_object_object_add(to, "results", results);
}

/* NULL for one-shot runs, which keep none. */
static struct json_object *state_json(const struct dsb_result *result)
{
    const struct dsb_state *state = &result->state;
    struct json_object *vars = NULL;
    if (state->outcome == DSB_OUTCOME_NONE)
        return NULL;
    struct json_object *object = json_object_new_object();
    add_text(object, "outcome", outcomes[state->outcome]);
    add_text(object, "reason", state->reason);
    add_count(object, "execution", state->execution > 0 ? state->execution : DSB_UNLIMITED);
    add_count(object, "to", state->to >= 0 ? (uint64_t) state->to : DSB_UNLIMITED);
    add_text(object, "point", state->point);
    if (result->report == NULL || !json_object_object_get_ex(result->report, "vars", &vars) ||
        !json_object_is_type(vars, json_type_object))
        vars = NULL;
    json_object_object_add(object, "vars", json_object_get(vars));
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

char *dsb_result_json(const struct dsb_result *result, gboolean pretty)
{
    struct json_object *root = json_object_new_object();
    add_text(root, "schema", "dsandbox.result/1");
    add_text(root, "id", result->id);
    add_text(root, "session", result->session);
    add_text(root, "status", dsb_status_name(result->status));
    json_object_object_add(root, "exit_code", result->exit_code >= 0 ? json_object_new_int(result->exit_code) : NULL);
    json_object_object_add(root, "signal", result->signal > 0 ? json_object_new_int(result->signal) : NULL);
    add_text(root, "reason", result->reason);
    struct json_object *failure = NULL;
    if (result->failure != NULL) {
        failure = json_object_new_object();
        add_text(failure, "code", dsb_error_code_name(result->failure->code));
        g_autofree char *message = g_utf8_make_valid(result->failure->message, -1);
        add_text(failure, "message", message);
    }
    json_object_object_add(root, "failure", failure);
    add_stream(root, "stdout", &result->out);
    add_stream(root, "stderr", &result->err);
    add_report(root, result);
    struct json_object *files = json_object_new_object();
    json_object_object_add(files, "created", files_json(result->created));
    json_object_object_add(files, "modified", files_json(result->modified));
    json_object_object_add(files, "deleted", files_json(result->deleted));
    json_object_object_add(files, "truncated", json_object_new_boolean(result->files_truncated));
    json_object_object_add(root, "files", files);
    json_object_object_add(root, "state", state_json(result));
    json_object_object_add(root, "usage", usage_json(result));
    json_object_object_add(root, "policy", dsb_result_policy_json(result));
    add_text(root, "backend", result->backend);
    json_object_object_add(root, "engine", result->engine.product[0] != '\0' ? dsb_engine_json(&result->engine) : NULL);
    struct json_object *image = json_object_new_object();
    add_text(image, "ref", result->image);
    add_text(image, "id", result->image_id);
    json_object_object_add(root, "image", image);
    add_text(root, "workdir", result->workdir);
    json_object_object_add(root, "timing", json_object_get(result->timing));
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE | (pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN);
    char *text = g_strdup(json_object_to_json_string_ext(root, flags));
    json_object_put(root);
    return text;
}
