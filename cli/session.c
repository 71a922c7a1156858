/* SPDX-License-Identifier: MIT */
/* `session` and its verbs, but for rm, export and import. */
#include "session.h"

#include <stdio.h>
#include <string.h>

static int fail(const struct cli *cli, struct json_object *body, const GError *error)
{
    json_object_put(body);
    return cli_fail(cli, error);
}

char *session_query(const struct cli *cli)
{
    GString *path = g_string_new("/v1/sessions");
    for (char **label = cli->labels; label != NULL && *label != NULL; label++) {
        g_autofree char *part = dsb_client_path("label=%s", *label);
        g_string_append_printf(path, "%c%s", label == cli->labels ? '?' : '&', part);
    }
    return g_string_free(path, FALSE);
}

int session_new(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_client) client = NULL;
    const char *id = cli->args[2] != NULL ? cli->args[2] : cli->session;
    struct json_object *body = NULL;
    if ((id != NULL && !remote_check_id(id, &error)) || (body = remote_settings(cli, TRUE, &error)) == NULL ||
        (client = remote_connect(cli, "session", &error)) == NULL)
        return fail(cli, body, error);
    if (id != NULL)
        json_add(body, "id", id);
    if (cli->exist_ok)
        json_add_bool(body, "exist_ok", TRUE);
    struct json_object *answer = remote_call(client, "POST", "/v1/sessions", body, &error);
    if (answer == NULL)
        return fail(cli, body, error);
    remote_say_changes(json_string(answer, "id"), json_member(answer, "changed"));
    if (cli->json)
        json_print(answer);
    else
        puts(json_string(answer, "id"));
    json_object_put(answer);
    json_object_put(body);
    return 0;
}

int session_ls(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = session_query(cli);
    struct json_object *answer = NULL;
    /* No service, no sessions: none is started to say so. */
    g_autoptr(dsb_client) client = dsb_client_connect(DSB_CLIENT_FIND, -1, &error);
    if (client != NULL)
        answer = remote_call(client, "GET", path, NULL, &error);
    if (answer == NULL && dsb_client_none(error)) {
        answer = json_object_new_object();
        json_object_object_add(answer, "sessions", json_object_new_array());
    }
    if (answer == NULL)
        return cli_fail(cli, error);
    g_autofree char *old = client != NULL ? remote_is_old(client) : NULL;
    if (old != NULL)
        g_printerr("dsandbox: %s\n", old);
    if (cli->json)
        json_print(answer);
    else
        show_sessions(answer);
    json_object_put(answer);
    return 0;
}

static void show_interrupted(struct json_object *answer)
{
    puts(json_object_get_boolean(json_member(answer, "interrupted")) ? "interrupted" : "nothing was running");
}

static void show_reset(struct json_object *answer)
{
    (void) answer;
    puts("a fresh interpreter; files stay");
}

static void show_saved(struct json_object *answer) { show_names(answer, "saved"); }

static void show_restored(struct json_object *answer) { show_names(answer, "restored"); }

static void show_any_history(const struct cli *cli, struct json_object *answer)
{
    if (g_strcmp0(cli->format, "py") == 0)
        print_program(cli->args[2], answer);
    else if (g_strcmp0(cli->format, "ipynb") == 0)
        print_notebook(answer);
    else if (cli->json)
        json_print(answer);
    else
        show_history(answer);
    if (!cli->json && json_object_get_boolean(json_member(answer, "truncated")))
        g_printerr("dsandbox: only the last %zu executions were kept\n",
                   json_length(json_member(answer, "executions")));
}

/* One call about one session, and how its answer looks. */
static const struct simple {
    const char *verb, *method, *tail;
    void (*show)(struct json_object *answer);
} simple[] = {
    {"show", "GET", "", show_session},       {"vars", "GET", "/vars", show_vars},
    {"files", "GET", "/files", show_files},  {"history", "GET", "/history", show_history},
    {"reset", "POST", "/reset", show_reset}, {"interrupt", "POST", "/interrupt", show_interrupted},
    {"save", "POST", "/save", show_saved},   {"restore", "POST", "/restore", show_restored},
};

int session_call(const struct cli *cli)
{
    const struct simple *row = simple;
    while (strcmp(row->verb, cli->args[1]) != 0)
        row++; /* the table of verbs has none that is not here */
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_client) client = NULL;
    const char *id = cli->args[2];
    if (!remote_check_id(id, &error) || (client = remote_connect(cli, "session", &error)) == NULL)
        return cli_fail(cli, error);
    g_autofree char *base = dsb_client_path("/v1/sessions/%s", id);
    g_autofree char *below = cli->args[3] != NULL ? dsb_client_path("?path=%s", cli->args[3]) : g_strdup("");
    g_autofree char *path = g_strconcat(base, row->tail, below, NULL);
    struct json_object *answer = remote_call(client, row->method, path, NULL, &error);
    if (answer == NULL)
        return cli_fail(cli, error);
    if (strcmp(row->verb, "history") == 0)
        show_any_history(cli, answer);
    else if (cli->json)
        json_print(answer);
    else
        row->show(answer);
    json_object_put(answer);
    return 0;
}
