/* SPDX-License-Identifier: MIT */
/* Executions through the service. */
#include "remote.h"

#include "input.h"
#include "terminal.h"
#include "common/ids.h"
#include "common/words.h"

#include <string.h>
#include <unistd.h>

#define POLICY_MAX (1u << 20)

gboolean remote_check_id(const char *id, GError **error)
{
    if (dsb_session_id_valid(id))
        return TRUE;
    g_autofree char *shown = g_strescape(id, NULL);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "session \"%.100s\": an id has 1 to 64 letters, digits and _.-, the first a letter or digit", shown);
    return FALSE;
}

char *remote_is_old(const dsb_client *client)
{
    struct json_object *said = dsb_client_version(client);
    const char *version = json_string(said, "version");
    gint64 pid = json_int(said, "pid");
    gboolean other = g_strcmp0(version, dsb_version()) != 0;
    if (!other && !json_object_get_boolean(json_member(said, "replaced")))
        return NULL;
    return g_strdup_printf("service %s still runs, process %" G_GINT64_FORMAT "%s%s; it ends some time after its last session. "
                           "To go on with the new one now, end it: kill %" G_GINT64_FORMAT " (sessions go on with "
                           "the new one; where it cannot speak with their processes any more, their files alone, and what "
                           "'dsandbox session save' saves)",
                           version != NULL ? version : "of an unknown version", pid,
                           other ? ", and this program is " : ", from before its files were replaced",
                           other ? dsb_version() : "", pid);
}

dsb_client *remote_connect(const struct cli *cli, const char *what, GError **error)
{
    dsb_client *client = dsb_client_connect(DSB_CLIENT_START, cli_cancel_fd(), error);
    if (client == NULL) {
        g_prefix_error(error, "%s needs the service: ", what);
    } else if (cli->verbose) {
        g_autofree char *path = dsb_client_socket_path();
        g_autofree char *old = remote_is_old(client);
        g_printerr("dsandbox: using the service at %s\n", path);
        if (old != NULL)
            g_printerr("dsandbox: %s\n", old);
    }
    return client;
}

/* --- what the options say about the sandbox ----------------------------------- */

/* The service has an environment of its own: what ours says about the engine goes into the request. */
static const char *engine_address(const struct cli *cli)
{
    if (cli->host != NULL || cli->backend == NULL)
        return cli->host;
    if (g_str_has_prefix(cli->backend, "docker-"))
        return g_getenv("DOCKER_HOST");
    return strcmp(cli->backend, "podman") == 0 ? g_getenv("CONTAINER_HOST") : NULL;
}

gboolean remote_can_run(const struct cli *cli)
{
    static const char *const docker[] = {"DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
                                         NULL};
    /* A plugin of somebody else's is not loaded into the service for one run; and -v is for what this process does. */
    if (cli->no_service || cli->session != NULL || cli->plugin != NULL || cli->verbose)
        return FALSE;
    if (engine_address(cli) != NULL)
        return TRUE;
    gboolean told = FALSE;
    for (const char *const *name = docker; *name != NULL; name++)
        told |= g_getenv(*name) != NULL;
    return !told && g_getenv("DOCKER_HOST") == NULL && g_getenv("CONTAINER_HOST") == NULL;
}

static gboolean add_policy_file(const struct cli *cli, struct json_object *body, GError **error)
{
    if (cli->policy_file == NULL)
        return TRUE;
    g_autoptr(GByteArray) text = g_byte_array_new();
    int fd = cli_open_input(cli->policy_file, error);
    if (fd < 0)
        return FALSE;
    gboolean ok = cli_read_all(fd, cli->policy_file, POLICY_MAX, "", text, error);
    close(fd);
    if (!ok)
        return FALSE;
    /* Strict parsing is the library's, and was done before; this one only turns it into an object. */
    g_autofree char *copy = g_strndup((const char *) text->data, text->len);
    struct json_object *policy = json_tokener_parse(copy);
    if (policy == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is not JSON", cli->policy_file);
        return FALSE;
    }
    json_object_object_add(body, "policy", policy);
    return TRUE;
}

static void add_set(const struct cli *cli, gboolean with_timeout, struct json_object *body)
{
    struct json_object *set = json_object_new_object();
    for (char **row = cli->set; row != NULL && *row != NULL; row += 3)
        if (with_timeout || strcmp(row[0], "timeout") != 0)
            json_add(set, row[0], row[1]);
    if (json_object_object_length(set) > 0)
        json_object_object_add(body, "set", set);
    else
        json_object_put(set);
}

static gboolean add_labels(const struct cli *cli, struct json_object *body, GError **error)
{
    if (cli->labels == NULL)
        return TRUE;
    struct json_object *labels = json_object_new_object();
    json_object_object_add(body, "labels", labels);
    for (char **label = cli->labels; *label != NULL; label++) {
        const char *equals = strchr(*label, '=');
        if (equals == NULL || equals == *label || !g_utf8_validate(*label, -1, NULL)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--label '%.100s': must be NAME=VALUE", *label);
            return FALSE;
        }
        g_autofree char *name = g_strndup(*label, (gsize) (equals - *label));
        json_add(labels, name, equals + 1);
    }
    return TRUE;
}

static void add_allow(const struct cli *cli, struct json_object *body)
{
    if (cli->allow == NULL)
        return;
    g_auto(GStrv) names = g_strsplit(cli->allow, ",", -1);
    struct json_object *array = json_object_new_array();
    for (char **name = names; *name != NULL; name++)
        json_object_array_add(array, json_object_new_string(*name));
    json_object_object_add(body, "allow_unenforced", array);
}

static void add_word(struct json_object *body, const char *name, const char *value)
{
    if (value != NULL)
        json_add(body, name, value);
}

static gboolean words_are_text(const struct cli *cli, GError **error)
{
    const char *const words[] = {cli->backend, cli->plugin, cli->host, cli->image, cli->base_dir};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (words[i] != NULL && !g_utf8_validate(words[i], -1, NULL)) {
            g_autofree char *shown = g_strescape(words[i], NULL);
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is not UTF-8", shown);
            return FALSE;
        }
    return TRUE;
}

struct json_object *remote_settings(const struct cli *cli, gboolean with_timeout, GError **error)
{
    struct dsb_run_options options;
    /* Here, where the message can name the option. */
    g_autoptr(dsb_policy) policy = cli_policy(cli, error);
    if (policy == NULL || !cli_options(cli, &options, error) || !words_are_text(cli, error))
        return NULL;
    struct json_object *body = json_object_new_object();
    add_word(body, "backend", cli->backend);
    add_word(body, "plugin", cli->plugin);
    add_word(body, "host", engine_address(cli));
    add_word(body, "image", cli->image);
    add_word(body, "base_dir", cli->base_dir);
    add_set(cli, with_timeout, body);
    add_allow(cli, body);
    if (cli->engine_timeout != NULL)
        json_object_object_add(body, "engine_timeout", json_object_new_int((int) (options.engine_timeout_ms / 1000)));
    add_word(body, "checkpoint", cli->checkpoint);
    if (add_labels(cli, body, error) && add_policy_file(cli, body, error))
        return body;
    json_object_put(body);
    return NULL;
}

/* --- what they say about the execution ----------------------------------------- */

static gboolean add_texts(struct json_object *body, const char *name, char **texts, const char *what, GError **error)
{
    if (texts == NULL)
        return TRUE;
    struct json_object *array = json_object_new_array();
    json_object_object_add(body, name, array);
    for (char **text = texts; *text != NULL; text++) {
        if (!g_utf8_validate(*text, -1, NULL)) {
            g_autofree char *shown = g_strescape(*text, NULL);
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: \"%.200s\" must be UTF-8", what, shown);
            return FALSE;
        }
        json_object_array_add(array, json_object_new_string(*text));
    }
    return TRUE;
}

static void add_terminal(struct json_object *body)
{
    if (terminal_rows() == 0)
        return;
    struct json_object *window = json_object_new_object();
    json_add_int(window, "rows", terminal_rows());
    json_add_int(window, "columns", terminal_columns());
    json_object_object_add(body, "terminal", window);
}

struct json_object *remote_execution(const struct cli *cli, GError **error)
{
    struct json_object *body = json_object_new_object();
    if (!add_texts(body, "argv", cli->program_args, "argument", error) ||
        !add_texts(body, "env", cli->env, "env", error)) {
        json_object_put(body);
        return NULL;
    }
    if (cli_is_set(cli, "timeout")) {
        g_autoptr(dsb_policy) policy = cli_policy(cli, error);
        if (policy == NULL) {
            json_object_put(body);
            return NULL;
        }
        g_autofree char *timeout = dsb_policy_get(policy, "timeout");
        json_add(body, "timeout", timeout);
    }
    if (cli->cwd != NULL && !g_utf8_validate(cli->cwd, -1, NULL)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--cwd must be UTF-8");
        json_object_put(body);
        return NULL;
    }
    add_word(body, "cwd", cli->cwd);
    add_terminal(body);
    if (cli->no_wait)
        json_add_bool(body, "wait", FALSE);
    return body;
}

gboolean remote_add_code(struct json_object *body, const char *code, gsize size, const char *filename, GError **error)
{
    /* A NUL is a character of JSON; the interpreter says what it thinks of it. */
    const char *at = code, *end = code + size;
    while (at < end && (g_utf8_validate_len(at, (gsize) (end - at), &at) || *at == '\0'))
        at += at < end;
    if (at != end) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the code is not UTF-8 text");
        return FALSE;
    }
    json_object_object_add(body, "code", json_object_new_string_len(code, (int) size));
    json_add(body, "filename", filename);
    return TRUE;
}

/* --- calls ------------------------------------------------------------------ */

static void add_advice(GError **error, const char *advice)
{
    char *message = g_strconcat((*error)->message, advice, NULL);
    g_free((*error)->message);
    (*error)->message = message;
}

/* The service knows members of a request, the user knows options. */
static void name_option(GError **error, const char *member, const char *option)
{
    GString *message = g_string_new((*error)->message);
    g_string_replace(message, member, option, 1);
    g_free((*error)->message);
    (*error)->message = g_string_free(message, FALSE);
}

gboolean remote_advise(GError **error)
{
    if (error == NULL || *error == NULL)
        return FALSE;
    if (g_error_matches(*error, DSB_ERROR, DSB_ERROR_NOT_FOUND) &&
        strstr((*error)->message, "there is no session") != NULL)
        add_advice(error, "; 'dsandbox session ls' lists those that there are");
    else if (g_error_matches(*error, DSB_ERROR, DSB_ERROR_BUSY) &&
             (g_str_has_suffix((*error)->message, " is busy") || g_str_has_suffix((*error)->message, " run already")))
        add_advice(error, "; leave out --no-wait to wait for your turn, or stop it with 'dsandbox session interrupt'");
    else if (g_error_matches(*error, DSB_ERROR, DSB_ERROR_CONFLICT) && g_str_has_suffix((*error)->message, " exists"))
        add_advice(error, "; use it, take another id, or say --exist-ok");
    else if (g_error_matches(*error, DSB_ERROR, DSB_ERROR_CONFLICT))
        name_option(error, " base_dir is ", " --base-dir is ");
    else if (g_error_matches(*error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) &&
             strstr((*error)->message, "went away") != NULL)
        add_advice(error, "; whether it was done is not known, and code in a session goes on: 'dsandbox session history' tells. "
                          "Do it again: the service is started anew then");
    return FALSE;
}

struct json_object *remote_call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                                GError **error)
{
    struct json_object *answer = NULL;
    if (!dsb_client_call(client, method, path, body, 0, &answer, error)) {
        remote_advise(error);
        return NULL;
    }
    return answer != NULL ? answer : json_object_new_object();
}

void remote_say_changes(const char *session, struct json_object *changes)
{
    for (size_t i = 0; i < json_length(changes); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(changes, i));
        g_autofree char *clean = clean_text(text, strlen(text), "");
        g_printerr("dsandbox: session %s: %s\n", session, clean);
    }
}

/* What the service did not send us, because we were too slow, and the result does not have either. */
struct gaps {
    const char *session;
    gint64 bytes;
};

static void on_event(void *data, const char *name, struct json_object *json)
{
    struct gaps *gaps = data;
    if (strcmp(name, "dropped") == 0)
        gaps->bytes += json_int(json, "bytes");
    else if (strcmp(name, "accepted") == 0 || strcmp(name, "changed") == 0)
        remote_say_changes(gaps->session, json_member(json, "changed"));
}

static void write_output(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    cli_write_output(NULL, stream, bytes, size);
}

static gboolean stream(const struct cli *cli, dsb_client *client, const char *path, struct json_object *body,
                       int stdin_fd, struct json_object **result, GError **error)
{
    struct gaps gaps = {.session = cli->session};
    struct dsb_client_follow follow = DSB_CLIENT_FOLLOW;
    follow.output = cli->json ? NULL : write_output;
    follow.event = on_event;
    follow.data = &gaps;
    follow.cancel_fd = cli_cancel_fd();
    follow.stdin_fd = stdin_fd;
    follow.window_fd = terminal_window_fd();
    gboolean ok = dsb_client_stream(client, path, body, &follow, result, error);
    if (gaps.bytes > 0 && !cli->json)
        g_printerr("dsandbox: %" G_GINT64_FORMAT " bytes of output were left out: they were not read in time\n",
                   gaps.bytes);
    return ok;
}

gboolean remote_execute(const struct cli *cli, dsb_client *client, const char *session, struct json_object *body,
                        int stdin_fd, struct json_object **result, GError **error)
{
    struct json_object *settings = remote_settings(cli, session == NULL, error);
    if (settings == NULL)
        return FALSE;
    if (session == NULL) {
        json_object_object_foreach (settings, key, value)
            json_object_object_add(body, key, json_object_get(value));
        json_object_put(settings);
        return stream(cli, client, "/v1/run", body, stdin_fd, result, error) || remote_advise(error);
    }
    g_autofree char *path = dsb_client_path("/v1/sessions/%s/execute", session);
    if (json_object_object_length(settings) > 0 || !cli->must_exist)
        json_object_object_add(body, cli->must_exist ? "change" : "create", settings);
    else
        json_object_put(settings);
    if (stream(cli, client, path, body, stdin_fd, result, error))
        return TRUE;
    remote_advise(error);
    if (cli->must_exist && error != NULL && g_error_matches(*error, DSB_ERROR, DSB_ERROR_NOT_FOUND))
        add_advice(error, ", and 'dsandbox run --session ID' makes one");
    return FALSE;
}
