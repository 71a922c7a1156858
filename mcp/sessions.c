/* SPDX-License-Identifier: MIT */
/* Tools for sessions: what is in one, a fresh one, its end. */
#include "mcp/work.h"

#include "common/json.h"
#include "mcp/text.h"

#include <string.h>

#define VARIABLES_MAX 200
#define WORD_MAX 200

/* What the sandbox says of itself may be anything. */
static char *word_of(struct json_object *row, const char *name)
{
    const char *text = json_string(row, name);
    return text != NULL ? mcp_cut(text, strlen(text), WORD_MAX) : NULL;
}

static void add_variable(struct json_object *rows, GString *text, struct json_object *row)
{
    struct json_object *to = json_object_new_object();
    g_autofree char *name = word_of(row, "name"), *type = word_of(row, "type"), *repr = word_of(row, "repr");
    json_add(to, "name", name != NULL ? name : "");
    json_add(to, "type", type != NULL ? type : "");
    json_add(to, "repr", repr);
    json_object_array_add(rows, to);
    g_string_append_printf(text, "%s: %s%s%s\n", name != NULL ? name : "", type != NULL ? type : "",
                           repr != NULL ? " = " : "", repr != NULL ? repr : "");
}

void tool_get_variables(struct mcp_work *work)
{
    struct json_object *answer = work_session(work, FALSE) ? work_call(work, "GET", "/vars") : NULL;
    if (answer == NULL)
        return;
    struct json_object *from = json_member(answer, "vars"), *rows = json_object_new_array();
    gsize n = json_length(from);
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize i = 0; i < MIN(n, VARIABLES_MAX); i++)
        add_variable(rows, text, json_object_array_get_idx(from, i));
    g_autofree char *cut = mcp_cut(text->str, text->len, MCP_TEXT_MAX);
    json_object_object_add(work_structured(work), "variables", rows);
    json_add_bool(work->structured, "truncated",
                  n > VARIABLES_MAX || json_object_get_boolean(json_member(answer, "truncated")));
    work_text(work, n > 0 ? cut : "There are no variables.");
    json_object_put(answer);
}

void tool_reset_session(struct mcp_work *work)
{
    struct json_object *answer = work_session(work, FALSE) ? work_call(work, "POST", "/reset") : NULL;
    if (answer == NULL)
        return;
    json_add_bool(work_structured(work), "reset", TRUE);
    work_text(work, "The session has a fresh interpreter; its files are still there.");
    json_object_put(answer);
}

void tool_close_session(struct mcp_work *work)
{
    gboolean files = json_object_get_boolean(json_member(work->arguments, "delete_files"));
    struct json_object *answer = work_connect(work) ? work_call(work, "DELETE", files ? "?files=1" : "") : NULL;
    if (answer == NULL)
        return;
    json_add_bool(work_structured(work), "closed", TRUE);
    json_add_bool(work->structured, "files_deleted", json_object_get_boolean(json_member(answer, "files_deleted")));
    work_text(work, files ? "The session is closed, and its files are deleted."
                          : "The session is closed; its files are kept.");
    json_object_put(answer);
}
