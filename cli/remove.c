/* SPDX-License-Identifier: MIT */
/* `session rm`. */
#include "session.h"
#include "common/words.h"

#include <stdio.h>
#include <string.h>

/* What became of one session. */
static gboolean end_one(const struct cli *cli, dsb_client *client, const char *id, struct json_object *ended,
                        struct json_object *failed)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = dsb_client_path(cli->files ? "/v1/sessions/%s?files=1" : "/v1/sessions/%s", id);
    struct json_object *answer = remote_check_id(id, &error) ? remote_call(client, "DELETE", path, NULL, &error) : NULL;
    if (answer != NULL) {
        json_object_array_add(ended, answer);
        return TRUE;
    }
    struct json_object *row = json_object_new_object();
    json_add(row, "id", id);
    json_add(row, "message", error->message);
    json_object_array_add(failed, row);
    return FALSE;
}

static gboolean end_matching(const struct cli *cli, dsb_client *client, struct json_object *ended,
                             struct json_object *failed, GError **error)
{
    g_autofree char *path = session_query(cli);
    struct json_object *list = remote_call(client, "GET", path, NULL, error);
    struct json_object *rows = json_member(list, "sessions");
    for (size_t i = 0; i < json_length(rows); i++)
        end_one(cli, client, json_string(json_object_array_get_idx(rows, i), "id"), ended, failed);
    json_object_put(list);
    return list != NULL;
}

static int report(const struct cli *cli, struct json_object *ended, struct json_object *failed)
{
    struct json_object *report = json_object_new_object();
    int status = json_object_array_length(failed) > 0 ? DSB_EXIT_OURS : 0;
    for (size_t i = 0; i < json_object_array_length(failed); i++) {
        const char *message = json_string(json_object_array_get_idx(failed, i), "message");
        g_autofree char *clean = clean_text(message, strlen(message), "");
        g_printerr("dsandbox: %s\n", clean);
    }
    for (size_t i = 0; !cli->json && i < json_object_array_length(ended); i++)
        puts(json_string(json_object_array_get_idx(ended, i), "id"));
    json_object_object_add(report, "ended", ended);
    json_object_object_add(report, "failed", failed);
    if (cli->json)
        json_print(report);
    json_object_put(report);
    return status;
}

int session_rm(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_client) client = NULL;
    gboolean select = cli->all || cli->labels != NULL;
    if (!select && cli->args[2] == NULL)
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID,
                            "which sessions? dsandbox session rm ID..., or --label NAME=VALUE, or --all");
    else if (select && cli->args[2] != NULL)
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID,
                            "session rm: give ids, or --label or --all, not both");
    else if (cli->all && cli->labels != NULL)
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID, "session rm: --all and --label exclude each other");
    if (error != NULL || (client = remote_connect(cli, "session", &error)) == NULL)
        return cli_fail(cli, error);
    struct json_object *ended = json_object_new_array(), *failed = json_object_new_array();
    for (char **id = cli->args + 2; *id != NULL; id++)
        end_one(cli, client, *id, ended, failed);
    if (select && !end_matching(cli, client, ended, failed, &error)) {
        json_object_put(ended);
        json_object_put(failed);
        return cli_fail(cli, error);
    }
    return report(cli, ended, failed);
}
