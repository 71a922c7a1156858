/* SPDX-License-Identifier: MIT */
/* `pool ls`: which sandboxes wait ready in the service. */
#include "session.h"
#include "table.h"
#include "common/words.h"

#include <stdio.h>
#include <string.h>

#define HASH_SHOWN 12

static char *number(struct json_object *row, const char *name)
{
    return g_strdup_printf("%" G_GINT64_FORMAT, json_int(row, name));
}

static char *modules_text(struct json_object *row)
{
    struct json_object *names = json_member(row, "preload");
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < json_length(names); i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "," : "", json_object_get_string(json_object_array_get_idx(names, i)));
    return g_string_free(text, FALSE);
}

static void add_row(struct table *table, struct json_object *row)
{
    g_autofree char *policy = g_strndup(json_string(row, "policy"), HASH_SHOWN);
    g_autofree char *preload = modules_text(row), *used = ago_text(json_string(row, "used"));
    g_autofree char *waiting = number(row, "waiting"), *wanted = number(row, "wanted");
    g_autofree char *claimed = number(row, "claimed"), *missed = number(row, "missed");
    const char *cells[] = {policy,  json_string(row, "for"), json_string(row, "image"), json_string(row, "backend"),
                           waiting, wanted,                  claimed,                   missed,
                           used,    preload};
    table_add(table, cells);
}

static void show_pool(struct json_object *answer)
{
    struct json_object *kinds = json_member(answer, "kinds");
    struct table *table = table_new("POLICY", "FOR", "IMAGE", "BACKEND", "WAITING", "WANTED", "CLAIMED", "MISSED", "USED",
                                    "PRELOAD", NULL);
    for (int column = 4; column < 8; column++)
        table_align_right(table, column);
    for (size_t i = 0; i < json_length(kinds); i++)
        add_row(table, json_object_array_get_idx(kinds, i));
    table_print(table, json_int(answer, "size") > 0 ? "nothing was asked for lately, and nothing waits"
                                                    : "no pool; 'dsandbox serve --pool N' has one");
    for (size_t i = 0; i < json_length(kinds); i++) {
        const char *problem = json_string(json_object_array_get_idx(kinds, i), "problem");
        g_autofree char *clean = problem != NULL ? clean_text(problem, strlen(problem), "") : NULL;
        if (clean != NULL)
            g_printerr("dsandbox: none could be made: %s\n", clean);
    }
}

int cli_pool(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct json_object *answer = NULL;
    /* No service, no pool: none is started to say so. */
    g_autoptr(dsb_client) client = dsb_client_connect(DSB_CLIENT_FIND, -1, &error);
    if (client != NULL)
        answer = remote_call(client, "GET", "/v1/pool", NULL, &error);
    if (answer == NULL && dsb_client_none(error)) {
        static const char nothing[] = "{\"size\":0,\"waiting\":0,\"starting\":0,\"made\":0,\"claimed\":0,\"missed\":0,"
                                      "\"ended\":0,\"failed\":0,\"kinds\":[]}";
        answer = json_tokener_parse(nothing);
    }
    if (answer == NULL)
        return cli_fail(cli, error);
    if (cli->json)
        json_print(answer);
    else
        show_pool(answer);
    json_object_put(answer);
    return 0;
}
