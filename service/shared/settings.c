/* SPDX-License-Identifier: MIT */
#include "shared/settings.h"

#include "common/ids.h"
#include "common/json.h"
#include "common/times.h"

#include <dsandbox/files.h>
#include <math.h>
#include <string.h>

#define LABELS_MAX 64
#define LABEL_MAX 256
#define LAYERS_MAX 16

static const char *const settings_members[] = {
    "id",     "backend",          "plugin", "host",     "image",      "base_dir",     "policy",    "set",
    "labels", "allow_unenforced", "mount",  "exist_ok", "checkpoint", "idle_timeout", "life_time", "engine_timeout",
    NULL};
static const char *const execution_members[] = {"code",       "filename", "argv", "env",    "stdin", "stdin_base64",
                                                "stdin_open", "timeout",  "wait", "create", "change", "shell",
                                                "cwd",        "terminal", "tools", "call_timeout", "calls_stop_clock", NULL};

static gboolean invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean invalid(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, text);
    return FALSE;
}

static gboolean check_members(struct json_object *body, const char *what, const char *const *names,
                              const char *const *more, GError **error)
{
    json_object_object_foreach (body, key, value) {
        if (!g_strv_contains(names, key) && (more == NULL || !g_strv_contains(more, key))) {
            g_autofree char *all = g_strjoinv(", ", (char **) names);
            g_autofree char *others = more != NULL ? g_strjoinv(", ", (char **) more) : NULL;
            return invalid(error, "unknown member '%.64s' in %s; there are: %s%s%s", key, what, all,
                           others != NULL ? ", " : "", others != NULL ? others : "");
        }
        if (value == NULL)
            return invalid(error, "'%s' is null: leave it out", key);
    }
    return TRUE;
}

gboolean body_only(struct json_object *body, const char *what, const char *const *names, GError **error)
{
    return check_members(body, what, names, NULL, error);
}

static gboolean is_text(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (gsize) json_object_get_string_len(value);
}

gboolean body_text(struct json_object *body, const char *name, const char **text, GError **error)
{
    struct json_object *value = json_member(body, name);
    if (value == NULL)
        return TRUE;
    if (!is_text(value))
        return invalid(error, "'%s' must be a text", name);
    *text = json_object_get_string(value);
    return TRUE;
}

static gboolean own_text(struct json_object *body, const char *name, char **text, GError **error)
{
    const char *found = NULL;
    if (!body_text(body, name, &found, error))
        return FALSE;
    *text = g_strdup(found);
    return TRUE;
}

gboolean body_bool(struct json_object *body, const char *name, gboolean *flag, GError **error)
{
    struct json_object *value = json_member(body, name);
    if (value == NULL)
        return TRUE;
    if (!json_object_is_type(value, json_type_boolean))
        return invalid(error, "'%s' must be true or false", name);
    *flag = json_object_get_boolean(value);
    return TRUE;
}

static gboolean read_texts(struct json_object *body, const char *name, char ***texts, GError **error)
{
    struct json_object *value = json_member(body, name);
    if (value == NULL)
        return TRUE;
    if (!json_object_is_type(value, json_type_array))
        return invalid(error, "'%s' must be an array of texts", name);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < json_object_array_length(value); i++) {
        struct json_object *item = json_object_array_get_idx(value, i);
        if (!is_text(item))
            return invalid(error, "'%s' must be an array of texts", name);
        g_ptr_array_add(list, g_strdup(json_object_get_string(item)));
    }
    g_ptr_array_add(list, NULL);
    *texts = (char **) g_ptr_array_free(g_steal_pointer(&list), FALSE);
    return TRUE;
}

/* A number of seconds, or a text with a unit. */
static gboolean read_time(struct json_object *body, const char *name, guint64 *ms, GError **error)
{
    struct json_object *value = json_member(body, name);
    double amount = -1;
    if (value == NULL)
        return TRUE;
    if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double))
        amount = json_object_get_double(value) * 1000;
    else if (is_text(value) && !time_read(json_object_get_string(value), &amount))
        amount = -1;
    if (!isfinite(amount) || amount < 1 || amount > 7 * 86400000.0)
        return invalid(error, "'%s' must be a time from 1ms to 168h: \"500ms\", \"5s\", \"2m\", \"1h\", or seconds",
                       name);
    *ms = (guint64) (amount + 0.5);
    return TRUE;
}

static gboolean read_labels(struct json_object *body, struct json_object **labels, GError **error)
{
    struct json_object *value = json_member(body, "labels");
    if (value == NULL)
        return TRUE;
    if (!json_object_is_type(value, json_type_object) || json_object_object_length(value) > LABELS_MAX)
        return invalid(error, "'labels' must be an object of at most %d texts", LABELS_MAX);
    json_object_object_foreach (value, key, text) {
        if (key[0] == '\0' || strlen(key) > LABEL_MAX || strchr(key, '=') != NULL || !is_text(text) ||
            json_object_get_string_len(text) > LABEL_MAX)
            return invalid(error, "label '%.64s': a name without '=' and a text, each of at most %d bytes", key,
                           LABEL_MAX);
    }
    json_object_put(*labels);
    *labels = json_object_get(value);
    return TRUE;
}

static gboolean read_set(struct json_object *body, dsb_policy *policy, GError **error)
{
    struct json_object *set = json_member(body, "set");
    if (set == NULL)
        return TRUE;
    if (!json_object_is_type(set, json_type_object))
        return invalid(error, "'set' must be an object of policy keys and their values");
    json_object_object_foreach (set, key, value) {
        if (value == NULL || json_object_is_type(value, json_type_object) ||
            json_object_is_type(value, json_type_array))
            return invalid(error, "'set': the value of '%.64s' must be a text", key);
        if (!dsb_policy_set(policy, key, json_object_get_string(value), "the request's \"set\"", error))
            return FALSE;
    }
    return TRUE;
}

/* Times of the session are keys of its policy: pid 1 keeps them too. */
static gboolean read_life(struct json_object *body, const char *name, dsb_policy *policy, GError **error)
{
    guint64 ms = 0;
    if (!read_time(body, name, &ms, error))
        return FALSE;
    if (ms == 0)
        return TRUE;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "ms", ms);
    return dsb_policy_set(policy, name, text, "the request", error);
}

/* One policy file, or several, each a layer over the one before. */
static gboolean read_layers(struct json_object *body, dsb_policy *policy, GError **error)
{
    struct json_object *file = json_member(body, "policy");
    gboolean several = json_object_is_type(file, json_type_array);
    size_t n = several ? json_object_array_length(file) : file != NULL ? 1 : 0;
    if (several && (n == 0 || n > LAYERS_MAX))
        return invalid(error, "'policy' can be an array of 1 to %d policy files", LAYERS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct json_object *layer = several ? json_object_array_get_idx(file, i) : file;
        if (!json_object_is_type(layer, json_type_object))
            return invalid(error, "'policy' must be an object, as in a policy file, or an array of such objects");
        const char *text = json_text(layer);
        if (!dsb_policy_load(policy, text, strlen(text), "the request's \"policy\"", error))
            return FALSE;
    }
    return TRUE;
}

static gboolean read_policy(struct json_object *body, struct settings *settings, GError **error)
{
    const char *mount = NULL;
    settings->policy = dsb_policy_new();
    if (!read_layers(body, settings->policy, error) || !read_set(body, settings->policy, error) ||
        !read_life(body, "idle_timeout", settings->policy, error) ||
        !read_life(body, "life_time", settings->policy, error) || !body_text(body, "mount", &mount, error))
        return FALSE;
    if (mount != NULL && strcmp(mount, "same_path") != 0)
        return invalid(error, "'mount' can only be \"same_path\"");
    return mount == NULL || dsb_policy_set(settings->policy, "same_path", "true", "the request's \"mount\"", error);
}

guint64 settings_number(const struct settings *settings, const char *key)
{
    return (guint64) json_int(settings->values, key);
}

guint64 settings_ms(const struct settings *settings, const char *key)
{
    const char *text = json_string(settings->values, key);
    double ms = 0;
    return text != NULL && time_read(text, &ms) ? (guint64) ms : 0;
}

static gboolean read_allow(struct json_object *body, struct settings *settings, GError **error)
{
    if (!read_texts(body, "allow_unenforced", &settings->allow, error))
        return FALSE;
    if (settings->allow == NULL || settings->allow[0] == NULL)
        return TRUE;
    g_autofree char *names = g_strjoinv(",", settings->allow);
    if (dsb_controls_parse(names, &settings->allow_unenforced, error))
        return TRUE;
    g_prefix_error(error, "'allow_unenforced': ");
    return FALSE;
}

static gboolean read_checkpoint(struct json_object *body, enum dsb_checkpoint *checkpoint, GError **error)
{
    struct json_object *value = json_member(body, "checkpoint");
    if (value == NULL ||
        dsb_checkpoint_parse(is_text(value) ? json_object_get_string(value) : json_text(value), checkpoint, error))
        return TRUE;
    g_prefix_error(error, "'checkpoint': ");
    return FALSE;
}

static gboolean read_settings(struct json_object *body, const char *id, struct settings *settings, GError **error)
{
    guint64 engine_ms = 0;
    if (!own_text(body, "id", &settings->id, error) || !own_text(body, "backend", &settings->backend, error) ||
        !own_text(body, "plugin", &settings->plugin, error) || !own_text(body, "host", &settings->host, error) ||
        !own_text(body, "image", &settings->image, error) || !own_text(body, "base_dir", &settings->base_dir, error) ||
        !read_checkpoint(body, &settings->checkpoint, error) ||
        !body_bool(body, "exist_ok", &settings->exist_ok, error) || !read_labels(body, &settings->labels, error) ||
        !read_allow(body, settings, error) || !read_time(body, "engine_timeout", &engine_ms, error) ||
        !read_policy(body, settings, error))
        return FALSE;
    if (id != NULL && settings->id != NULL && strcmp(id, settings->id) != 0)
        return invalid(error, "'id' is not the one of the path");
    if (id != NULL && settings->id == NULL)
        settings->id = g_strdup(id);
    if (settings->id != NULL && !dsb_session_id_valid(settings->id))
        return invalid(error, "'id' must have 1 to 64 letters, digits and _.-, the first a letter or digit");
    if (settings->backend != NULL && settings->plugin != NULL)
        return invalid(error, "'backend' and 'plugin' exclude each other");
    if (settings->base_dir != NULL && !g_path_is_absolute(settings->base_dir))
        return invalid(error, "'base_dir' must be an absolute path");
    const struct dsb_run_options options = {.struct_size = sizeof options,
                                            .init = DSB_INIT,
                                            .image = settings->image,
                                            .cancel_fd = DSB_FD_NONE};
    if (!dsb_input_check(&options, NULL, error))
        return FALSE;
    if (engine_ms > 3600000)
        return invalid(error, "'engine_timeout' can be one hour at most");
    settings->engine_timeout_ms = (guint) engine_ms;
    g_autofree char *canonical = dsb_policy_canonical(settings->policy);
    settings->values = json_tokener_parse(canonical);
    settings->sha256 = dsb_policy_sha256(settings->policy);
    settings->idle_ms = settings_ms(settings, "idle_timeout");
    settings->life_ms = settings_ms(settings, "life_time");
    return TRUE;
}

static struct settings *settings_take(struct json_object *body, const char *id, GError **error)
{
    struct settings *settings = g_new0(struct settings, 1);
    settings->labels = json_object_new_object();
    settings->body = json_object_get(body);
    if (read_settings(body, id, settings, error))
        return settings;
    settings_free(settings);
    return NULL;
}

struct settings *settings_read(struct json_object *body, const char *id, GError **error)
{
    if (!check_members(body, "the session", settings_members, NULL, error))
        return NULL;
    return settings_take(body, id, error);
}

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    g_free(settings->id);
    g_free(settings->backend);
    g_free(settings->plugin);
    g_free(settings->host);
    g_free(settings->image);
    g_free(settings->base_dir);
    g_clear_pointer(&settings->policy, dsb_policy_free);
    g_free(settings->sha256);
    json_object_put(settings->values);
    g_strfreev(settings->allow);
    json_object_put(settings->labels);
    json_object_put(settings->body);
    g_free(settings);
}

char *settings_text(const struct settings *settings)
{
    struct json_object *body = json_object_new_object();
    for (gsize i = 0; settings_members[i] != NULL; i++) {
        struct json_object *value = json_member(settings->body, settings_members[i]);
        if (value != NULL)
            json_object_object_add(body, settings_members[i], json_object_get(value));
    }
    char *text = g_strdup(json_text(body));
    json_object_put(body);
    return text;
}

/* What is not given takes what there is; what is given must be the same. */
static gboolean same(const char *has, const char *wants) { return wants == NULL || g_strcmp0(has, wants) == 0; }

char *settings_differ(const struct settings *has, const struct settings *wants)
{
    const struct {
        const char *name, *has, *wants;
    } rows[] = {
        {"backend", has->backend, wants->backend},
        {"plugin", has->plugin, wants->plugin},
        {"host", has->host, wants->host},
        {"image", has->image, wants->image},
        {"base_dir", has->base_dir != NULL ? has->base_dir : dsb_default_base_dir(), wants->base_dir},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!same(rows[i].has, rows[i].wants))
            return g_strdup_printf("%s is %s, not %s", rows[i].name, rows[i].has != NULL ? rows[i].has : "the default",
                                   rows[i].wants);
    if (json_member(wants->body, "labels") != NULL && !json_object_equal(has->labels, wants->labels)) {
        g_autofree char *labels = g_strdup(json_text(has->labels));
        return g_strdup_printf("labels is %s, not %s", labels, json_text(wants->labels));
    }
    if (json_member(wants->body, "checkpoint") != NULL && has->checkpoint != wants->checkpoint)
        return g_strdup_printf("checkpoint is %s, not %s", dsb_checkpoint_name(has->checkpoint),
                               dsb_checkpoint_name(wants->checkpoint));
    if (json_member(wants->body, "engine_timeout") != NULL && has->engine_timeout_ms != wants->engine_timeout_ms) {
        g_autofree char *timeout = g_strdup_printf("%u ms", has->engine_timeout_ms);
        return g_strdup_printf("engine_timeout is %s, not %u ms",
                               has->engine_timeout_ms != 0 ? timeout : "the default", wants->engine_timeout_ms);
    }
    if (wants->allow != NULL && has->allow_unenforced != wants->allow_unenforced)
        return g_strdup("allow_unenforced differs");
    if (strcmp(has->sha256, wants->sha256) == 0)
        return NULL;
    g_autoptr(GPtrArray) keys = dsb_policy_rows(wants->policy);
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < keys->len; i++) {
        const struct dsb_policy_row *row = keys->pdata[i];
        g_autofree char *value = dsb_policy_get(has->policy, row->key);
        if (strcmp(row->origin, "default") != 0 && g_strcmp0(row->value, value) != 0)
            g_string_append_printf(names, "%s%s is %s, not %s", names->len > 0 ? ", " : "", row->key, value,
                                   row->value);
    }
    return names->len > 0 ? g_string_free(g_steal_pointer(&names), FALSE) : NULL;
}

/* {"K": "V"}, or ["K=V"]. */
static gboolean read_env(struct json_object *body, char ***env, GError **error)
{
    struct json_object *value = json_member(body, "env");
    if (!json_object_is_type(value, json_type_object))
        return read_texts(body, "env", env, error);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    json_object_object_foreach (value, key, text) {
        if (!is_text(text))
            return invalid(error, "'env': the value of '%.64s' must be a text", key);
        if (strchr(key, '=') != NULL)
            return invalid(error, "'env': the name '%.64s' must have letters, digits and _ alone", key);
        g_ptr_array_add(list, g_strdup_printf("%s=%s", key, json_object_get_string(text)));
    }
    g_ptr_array_add(list, NULL);
    *env = (char **) g_ptr_array_free(g_steal_pointer(&list), FALSE);
    return TRUE;
}

/* Whole groups of four with their padding. g_base64_decode() skips what it does not know. */
static gboolean is_base64(const char *text)
{
    gsize size = strlen(text);
    gsize letters = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    gsize padding = strspn(text + letters, "=");
    return size % 4 == 0 && padding <= 2 && letters + padding == size;
}

static gboolean read_input(struct json_object *body, struct execution *execution, GError **error)
{
    struct json_object *text = json_member(body, "stdin"), *base64 = json_member(body, "stdin_base64");
    if (!body_bool(body, "stdin_open", &execution->stdin_open, error))
        return FALSE;
    if (text != NULL && base64 != NULL)
        return invalid(error, "'stdin' and 'stdin_base64' exclude each other");
    if (text != NULL) {
        if (!json_object_is_type(text, json_type_string))
            return invalid(error, "'stdin' must be a text");
        execution->input = g_bytes_new(json_object_get_string(text), (gsize) json_object_get_string_len(text));
    }
    if (base64 != NULL) {
        gsize size = 0;
        if (!is_text(base64) || !is_base64(json_object_get_string(base64)))
            return invalid(error, "'stdin_base64' must be a text in base64, with its padding");
        guchar *bytes = g_base64_decode(json_object_get_string(base64), &size);
        execution->input = g_bytes_new_take(bytes, size);
    }
    return TRUE;
}

/* What the sandbox would not take is no request. */
static gboolean check_execution(const struct execution *execution, GError **error)
{
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = execution->code,
                                        .code_size = execution->code_size,
                                        .filename = execution->filename,
                                        .argv = (const char *const *) execution->argv,
                                        .env = (const char *const *) execution->env,
                                        .stdin_fd = DSB_FD_NONE,
                                        .command = (const char *const *) execution->command,
                                        .cwd = execution->cwd,
                                        .rows = execution->rows,
                                        .columns = execution->columns,
                                        .window_fd = DSB_FD_NONE,
                                        .tools = (const char *const *) execution->tools};
    return dsb_input_check(NULL, &request, error);
}

static gboolean read_side(struct json_object *body, const char *name, guint16 *side, GError **error)
{
    struct json_object *value = json_member(body, name);
    gboolean is = json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
    double n = is ? json_object_get_double(value) : 0;
    if (!(n >= 1 && n <= G_MAXUINT16) || n > (guint16) n)
        return invalid(error, "'%s' of a terminal must be a whole number from 1 to 65535", name);
    *side = (guint16) n;
    return TRUE;
}

gboolean window_read(struct json_object *body, guint16 *rows, guint16 *columns, GError **error)
{
    static const char *const members[] = {"rows", "columns", NULL};
    return check_members(body, "the terminal", members, NULL, error) && read_side(body, "rows", rows, error) &&
           read_side(body, "columns", columns, error);
}

static gboolean read_terminal(struct json_object *body, struct execution *execution, GError **error)
{
    struct json_object *window = json_member(body, "terminal");
    if (window == NULL)
        return TRUE;
    if (!json_object_is_type(window, json_type_object))
        return invalid(error, "'terminal' must be an object with 'rows' and 'columns'");
    return window_read(window, &execution->rows, &execution->columns, error);
}

/* One word for the shell: it runs the line. */
static gboolean read_shell(struct json_object *body, struct execution *execution, GError **error)
{
    const char *line = NULL;
    if (!body_text(body, "shell", &line, error))
        return FALSE;
    execution->command = g_new0(char *, 4);
    execution->command[0] = g_strdup("/bin/sh");
    execution->command[1] = g_strdup("-c");
    execution->command[2] = g_strdup(line);
    return TRUE;
}

/* Code, or a command: what belongs to the other one is not left aside in silence. */
static gboolean read_what(struct json_object *body, struct execution *execution, GError **error)
{
    struct json_object *code = json_member(body, "code"), *shell = json_member(body, "shell");
    if (code != NULL && shell != NULL)
        return invalid(error, "'code' and 'shell' exclude each other");
    if (code != NULL && json_member(body, "cwd") != NULL)
        return invalid(error, "'cwd' is for a command; code begins in /sandbox");
    if (code != NULL && json_member(body, "terminal") != NULL)
        return invalid(error, "'terminal' is for a command");
    if (code != NULL && !json_object_is_type(code, json_type_string))
        return invalid(error, "'code' must be a text");
    if (code != NULL) {
        execution->code = json_object_get_string(code);
        execution->code_size = (gsize) json_object_get_string_len(code);
        return body_text(body, "filename", &execution->filename, error) &&
               read_texts(body, "argv", &execution->argv, error);
    }
    if (shell == NULL && json_member(body, "argv") == NULL)
        return invalid(error, "'code' is missing; a command has 'argv' or 'shell' in its place");
    if (json_member(body, "filename") != NULL)
        return invalid(error, "'filename' is for code; a command has none");
    if (shell != NULL && json_member(body, "argv") != NULL)
        return invalid(error, "'argv' and 'shell' exclude each other");
    return body_text(body, "cwd", &execution->cwd, error) && read_terminal(body, execution, error) &&
           (shell != NULL ? read_shell(body, execution, error) : read_texts(body, "argv", &execution->command, error));
}

static gboolean read_tools(struct json_object *body, struct execution *execution, GError **error)
{
    if (!read_texts(body, "tools", &execution->tools, error) ||
        !read_time(body, "call_timeout", &execution->call_timeout_ms, error) ||
        !body_bool(body, "calls_stop_clock", &execution->calls_stop_clock, error))
        return FALSE;
    if (execution->tools != NULL && execution->code == NULL)
        return invalid(error, "'tools' are for code; a command has none");
    return execution->call_timeout_ms <= G_MAXUINT32 || invalid(error, "'call_timeout' is too long");
}

static gboolean read_execution(struct json_object *body, struct execution *execution, GError **error)
{
    execution->body = json_object_get(body);
    execution->wait = TRUE;
    execution->create = json_member(body, "create");
    execution->change = json_member(body, "change");
    if (!read_what(body, execution, error))
        return FALSE;
    if (execution->create != NULL && !json_object_is_type(execution->create, json_type_object))
        return invalid(error, "'create' must be an object, as for POST /v1/sessions");
    if (execution->change != NULL &&
        (execution->create != NULL || !json_object_is_type(execution->change, json_type_object)))
        return invalid(error, "'change' must be an object, as for POST /v1/sessions, and excludes 'create'");
    return read_env(body, &execution->env, error) &&
           body_bool(body, "wait", &execution->wait, error) &&
           read_time(body, "timeout", &execution->timeout_ms, error) && read_input(body, execution, error) &&
           read_tools(body, execution, error) && check_execution(execution, error);
}

gboolean execution_read(struct json_object *body, struct execution *execution, GError **error)
{
    return check_members(body, "the execution", execution_members, NULL, error) &&
           read_execution(body, execution, error);
}

gboolean run_read(struct json_object *body, struct settings **settings, struct execution *execution, GError **error)
{
    static const char *const only_sessions[] = {"id", "labels", "exist_ok", "checkpoint", "create", "change", NULL};
    if (!check_members(body, "the run", execution_members, settings_members, error))
        return FALSE;
    for (gsize i = 0; only_sessions[i] != NULL; i++)
        if (json_member(body, only_sessions[i]) != NULL)
            return invalid(error, "'%s' is for sessions; a run has none", only_sessions[i]);
    if (!read_execution(body, execution, error))
        return FALSE;
    *settings = settings_take(body, NULL, error);
    return *settings != NULL;
}

void execution_clear(struct execution *execution)
{
    g_strfreev(execution->argv);
    g_strfreev(execution->env);
    g_strfreev(execution->command);
    g_strfreev(execution->tools);
    g_clear_pointer(&execution->input, g_bytes_unref);
    json_object_put(execution->body);
    *execution = (struct execution){0};
}
