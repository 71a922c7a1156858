/* SPDX-License-Identifier: MIT */
#include "body.h"

#include "request.h"

#include <math.h>
#include <string.h>

#define LABELS_MAX 64
#define LABEL_MAX 256

static const char *const settings_members[] = {
    "id",     "backend",          "plugin", "host",     "image",      "base_dir",     "policy",    "set",
    "labels", "allow_unenforced", "mount",  "exist_ok", "checkpoint", "idle_timeout", "life_time", "engine_timeout",
    NULL};
static const char *const execution_members[] = {"code",       "filename", "argv", "env",    "stdin", "stdin_base64",
                                                "stdin_open", "timeout",  "wait", "create", NULL};

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

gboolean id_is_good(const char *id)
{
    return id != NULL && g_ascii_isalnum(id[0]) && strlen(id) <= 64 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == strlen(id);
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

static struct json_object *get(struct json_object *body, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(body, name, &value);
    return value;
}

static gboolean is_text(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (gsize) json_object_get_string_len(value);
}

gboolean body_text(struct json_object *body, const char *name, const char **text, GError **error)
{
    struct json_object *value = get(body, name);
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
    struct json_object *value = get(body, name);
    if (value == NULL)
        return TRUE;
    if (!json_object_is_type(value, json_type_boolean))
        return invalid(error, "'%s' must be true or false", name);
    *flag = json_object_get_boolean(value);
    return TRUE;
}

static gboolean read_texts(struct json_object *body, const char *name, char ***texts, GError **error)
{
    struct json_object *value = get(body, name);
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
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
    struct json_object *value = get(body, name);
    double amount = -1;
    if (value == NULL)
        return TRUE;
    if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)) {
        amount = json_object_get_double(value) * 1000;
    } else if (is_text(value) && g_ascii_isdigit(json_object_get_string(value)[0])) {
        char *end = NULL;
        double number = g_ascii_strtod(json_object_get_string(value), &end);
        for (gsize i = 0; i < G_N_ELEMENTS(units) && amount < 0; i++)
            if (strcmp(end, units[i].suffix) == 0)
                amount = number * units[i].factor;
    }
    if (!isfinite(amount) || amount < 1 || amount > 7 * 86400000.0)
        return invalid(error, "'%s' must be a time from 1ms to 168h: \"500ms\", \"5s\", \"2m\", \"1h\", or seconds",
                       name);
    *ms = (guint64) (amount + 0.5);
    return TRUE;
}

static gboolean read_labels(struct json_object *body, struct json_object **labels, GError **error)
{
    struct json_object *value = get(body, "labels");
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
    struct json_object *set = get(body, "set");
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

static gboolean read_policy(struct json_object *body, struct settings *settings, GError **error)
{
    struct json_object *file = get(body, "policy");
    const char *mount = NULL;
    settings->policy = dsb_policy_new();
    if (file != NULL) {
        if (!json_object_is_type(file, json_type_object))
            return invalid(error, "'policy' must be an object, as in a policy file");
        const char *text = json_text(file);
        if (!dsb_policy_load(settings->policy, text, strlen(text), "the request's \"policy\"", error))
            return FALSE;
    }
    if (!read_set(body, settings->policy, error) || !read_life(body, "idle_timeout", settings->policy, error) ||
        !read_life(body, "life_time", settings->policy, error) || !body_text(body, "mount", &mount, error))
        return FALSE;
    if (mount != NULL && strcmp(mount, "same_path") != 0)
        return invalid(error, "'mount' can only be \"same_path\"");
    return mount == NULL || dsb_policy_set(settings->policy, "same_path", "true", "the request's \"mount\"", error);
}

static guint64 policy_ms(const dsb_policy *policy, const char *key)
{
    g_autofree char *text = dsb_policy_get(policy, key);
    struct json_object *holder = json_object_new_object();
    guint64 ms = 0;
    json_add(holder, key, text);
    read_time(holder, key, &ms, NULL);
    json_object_put(holder);
    return ms;
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

static gboolean read_settings(struct json_object *body, const char *id, struct settings *settings, GError **error)
{
    gboolean checkpoint = TRUE;
    guint64 engine_ms = 0;
    if (!own_text(body, "id", &settings->id, error) || !own_text(body, "backend", &settings->backend, error) ||
        !own_text(body, "plugin", &settings->plugin, error) || !own_text(body, "host", &settings->host, error) ||
        !own_text(body, "image", &settings->image, error) || !own_text(body, "base_dir", &settings->base_dir, error) ||
        !body_bool(body, "checkpoint", &checkpoint, error) ||
        !body_bool(body, "exist_ok", &settings->exist_ok, error) || !read_labels(body, &settings->labels, error) ||
        !read_allow(body, settings, error) || !read_time(body, "engine_timeout", &engine_ms, error) ||
        !read_policy(body, settings, error))
        return FALSE;
    if (id != NULL && settings->id != NULL && strcmp(id, settings->id) != 0)
        return invalid(error, "'id' is not the one of the path");
    if (id != NULL && settings->id == NULL)
        settings->id = g_strdup(id);
    if (settings->id != NULL && !id_is_good(settings->id))
        return invalid(error, "'id' must have 1 to 64 letters, digits and _.-, the first a letter or digit");
    if (settings->backend != NULL && settings->plugin != NULL)
        return invalid(error, "'backend' and 'plugin' exclude each other");
    if (settings->base_dir != NULL && !g_path_is_absolute(settings->base_dir))
        return invalid(error, "'base_dir' must be an absolute path");
    if (engine_ms > 3600000)
        return invalid(error, "'engine_timeout' can be one hour at most");
    settings->no_checkpoint = !checkpoint;
    settings->engine_timeout_ms = (guint) engine_ms;
    settings->sha256 = dsb_policy_sha256(settings->policy);
    settings->idle_ms = policy_ms(settings->policy, "idle_timeout");
    settings->life_ms = policy_ms(settings->policy, "life_time");
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
    g_strfreev(settings->allow);
    json_object_put(settings->labels);
    json_object_put(settings->body);
    g_free(settings);
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
        {"base_dir", has->base_dir, wants->base_dir},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!same(rows[i].has, rows[i].wants))
            return g_strdup_printf("%s is %s, not %s", rows[i].name, rows[i].has != NULL ? rows[i].has : "the default",
                                   rows[i].wants);
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
    struct json_object *value = get(body, "env");
    if (!json_object_is_type(value, json_type_object))
        return read_texts(body, "env", env, error);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    json_object_object_foreach (value, key, text) {
        if (!is_text(text) || strchr(key, '=') != NULL)
            return invalid(error, "'env': the value of '%.64s' must be a text", key);
        g_ptr_array_add(list, g_strdup_printf("%s=%s", key, json_object_get_string(text)));
    }
    g_ptr_array_add(list, NULL);
    *env = (char **) g_ptr_array_free(g_steal_pointer(&list), FALSE);
    return TRUE;
}

static gboolean read_input(struct json_object *body, struct execution *execution, GError **error)
{
    struct json_object *text = get(body, "stdin"), *base64 = get(body, "stdin_base64");
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
        if (!is_text(base64))
            return invalid(error, "'stdin_base64' must be a text");
        guchar *bytes = g_base64_decode(json_object_get_string(base64), &size);
        execution->input = g_bytes_new_take(bytes, size);
    }
    return TRUE;
}

static gboolean read_execution(struct json_object *body, struct execution *execution, GError **error)
{
    struct json_object *code = get(body, "code");
    execution->body = json_object_get(body);
    execution->wait = TRUE;
    execution->create = get(body, "create");
    if (!json_object_is_type(code, json_type_string))
        return invalid(error, code != NULL ? "'code' must be a text" : "'code' is missing");
    execution->code = json_object_get_string(code);
    execution->code_size = (gsize) json_object_get_string_len(code);
    if (execution->create != NULL && !json_object_is_type(execution->create, json_type_object))
        return invalid(error, "'create' must be an object, as for POST /v1/sessions");
    return body_text(body, "filename", &execution->filename, error) &&
           read_texts(body, "argv", &execution->argv, error) && read_env(body, &execution->env, error) &&
           body_bool(body, "wait", &execution->wait, error) &&
           read_time(body, "timeout", &execution->timeout_ms, error) && read_input(body, execution, error);
}

gboolean execution_read(struct json_object *body, struct execution *execution, GError **error)
{
    return check_members(body, "the execution", execution_members, NULL, error) &&
           read_execution(body, execution, error);
}

gboolean run_read(struct json_object *body, struct settings **settings, struct execution *execution, GError **error)
{
    static const char *const only_sessions[] = {"id", "labels", "exist_ok", "checkpoint", "create", NULL};
    if (!check_members(body, "the run", execution_members, settings_members, error))
        return FALSE;
    for (gsize i = 0; only_sessions[i] != NULL; i++)
        if (get(body, only_sessions[i]) != NULL)
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
    g_clear_pointer(&execution->input, g_bytes_unref);
    json_object_put(execution->body);
    *execution = (struct execution){0};
}
