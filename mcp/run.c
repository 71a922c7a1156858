/* SPDX-License-Identifier: MIT */
/* Code and commands: how they are run, and what a client is shown of their result. */
#include "mcp/work.h"

#include "common/json.h"
#include "mcp/answer.h"

#include <string.h>

#define FRESH_MAX 2000 /* bytes of output in one progress message */

/* The last of what was printed: who listens wants to see that it moves, and where it is. */
static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    struct mcp_work *work = data;
    (void) stream;
    g_mutex_lock(&work->lock);
    g_string_append_len(work->fresh, (const char *) bytes + (size > FRESH_MAX ? size - FRESH_MAX : 0),
                        (gssize) MIN(size, FRESH_MAX));
    gsize over = work->fresh->len > FRESH_MAX ? work->fresh->len - FRESH_MAX : 0;
    g_string_erase(work->fresh, 0, (gssize) over);
    work->skipped += over + (size > FRESH_MAX ? size - FRESH_MAX : 0);
    g_mutex_unlock(&work->lock);
}

/*
 * How a session is made is said once, since the service reads and compares all of it. One that has gone in the meantime, and
 * of which nothing is known any more, is made anew.
 */
static gboolean follow_once(struct mcp_work *work, const char *path, struct json_object *body,
                            const struct dsb_client_follow *follow, struct json_object **result, GError **error)
{
    g_autoptr(GError) gone = NULL;
    if (work->known && dsb_client_stream(work->client, path, body, follow, result, &gone))
        return TRUE;
    if (gone != NULL && !g_error_matches(gone, DSB_ERROR, DSB_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&gone));
        return FALSE;
    }
    json_object_object_add(body, "create", json_tokener_parse(work->setup->settings));
    return dsb_client_stream(work->client, path, body, follow, result, error);
}

/* Takes the body. NULL: why not is the result. */
static struct json_object *execute(struct mcp_work *work, struct json_object *body)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = dsb_client_path("/v1/sessions/%s/execute", work->session);
    struct dsb_client_follow follow = DSB_CLIENT_FOLLOW;
    struct json_object *result = NULL, *timeout = json_member(work->arguments, "timeout_s");
    follow.output = work->fresh != NULL ? on_output : NULL;
    follow.data = work;
    follow.cancel_fd = work->cancel_fd;
    if (timeout != NULL)
        json_object_object_add(body, "timeout", json_object_get(timeout));
    if (work_connect(work) && !follow_once(work, path, body, &follow, &result, &error))
        work_fail(work, error);
    json_object_put(body);
    return result;
}

static void put(struct json_object *body, const char *name, struct json_object *value)
{
    if (value != NULL)
        json_object_object_add(body, name, json_object_get(value));
}

void tool_execute_python(struct mcp_work *work)
{
    struct json_object *body = json_object_new_object();
    put(body, "code", json_member(work->arguments, "code"));
    json_add(body, "filename", "<code>");
    struct json_object *result = execute(work, body);
    if (result != NULL)
        answer_result(work, result, TRUE);
    json_object_put(result);
}

void tool_run_command(struct mcp_work *work)
{
    struct json_object *body = json_object_new_object();
    put(body, "shell", json_member(work->arguments, "command"));
    put(body, "cwd", json_member(work->arguments, "cwd"));
    put(body, "stdin", json_member(work->arguments, "stdin"));
    struct json_object *result = execute(work, body);
    if (result != NULL)
        answer_result(work, result, FALSE);
    json_object_put(result);
}
