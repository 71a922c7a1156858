/* SPDX-License-Identifier: MIT */
/* What the tools share: the way to the service, and the pieces of a result. */
#include "mcp/work.h"

#include "common/ids.h"
#include "common/json.h"
#include "common/words.h"
#include "mcp/text.h"

#include <string.h>

#define CALL_MS 120000 /* beside an execution: making a session takes longest */
#define ERROR_BYTES_MAX 4000

void mcp_work_clear(struct mcp_work *work)
{
    g_free(work->session);
    json_object_put(work->content);
    json_object_put(work->structured);
    g_clear_pointer(&work->kept, g_ptr_array_unref);
    g_free(work->problem);
    dsb_client_free(work->client);
    if (work->fresh != NULL)
        g_string_free(work->fresh, TRUE);
    g_mutex_clear(&work->lock);
}

/* --- arguments ------------------------------------------------------------------- */

const char *work_argument(const struct mcp_work *work, const char *name) { return json_string(work->arguments, name); }

double work_number(const struct mcp_work *work, const char *name, double otherwise)
{
    struct json_object *value = json_member(work->arguments, name);
    return value != NULL ? json_object_get_double(value) : otherwise;
}

/* --- content --------------------------------------------------------------------- */

static void add(struct mcp_work *work, struct json_object *item)
{
    if (work->content == NULL)
        work->content = json_object_new_array();
    json_object_array_add(work->content, item);
}

struct json_object *work_structured(struct mcp_work *work)
{
    work->structured = json_object_new_object();
    json_add(work->structured, "session_id", work->shown);
    return work->structured;
}

void work_image(struct mcp_work *work, const char *base64, const char *type)
{
    struct json_object *item = json_object_new_object();
    json_add(item, "type", "image");
    json_add(item, "data", base64);
    json_add(item, "mimeType", type);
    add(work, item);
}

void work_text(struct mcp_work *work, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    struct json_object *item = json_object_new_object();
    json_add(item, "type", "text");
    json_add(item, "text", text);
    add(work, item);
}

void work_link(struct mcp_work *work, const char *uri, const char *name, const char *type, gint64 size)
{
    if (!work->links) {
        g_autofree char *text = g_strdup_printf("[%s: resource %s]", name, uri);
        work_text(work, text);
        return;
    }
    struct json_object *item = json_object_new_object();
    json_add(item, "type", "resource_link");
    json_add(item, "uri", uri);
    json_add(item, "name", name);
    json_add(item, "mimeType", type);
    if (size >= 0)
        json_add_int(item, "size", size);
    add(work, item);
}

void work_link_file(struct mcp_work *work, const char *path, gint64 size)
{
    g_autofree char *uri = dsb_client_path("dsandbox://session/%s/files/%s", work->shown, path);
    work_link(work, uri, path, mcp_file_type(path), size);
}

void work_fail_text(struct mcp_work *work, const char *text)
{
    work->is_error = TRUE;
    work_text(work, text);
}

/* What a model can do about it. */
static const char *advice(const struct mcp_work *work, const GError *error)
{
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND) && strstr(error->message, "there is no session") != NULL)
        return work->is_default ? "; execute_python makes it" : "; execute_python with this session_id makes it";
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_CONFLICT))
        return "; take another session_id, or close_session first";
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) && strstr(error->message, "went away") != NULL)
        return "; whether it was done is not known. Look before doing it again";
    return "";
}

/* The service knows the session by another name. */
static char *in_the_clients_words(const struct mcp_work *work, const char *message)
{
    GString *text = g_string_new(message);
    if (work->session != NULL)
        g_string_replace(text, work->session, work->shown, 0);
    return g_string_free(text, FALSE);
}

void work_fail(struct mcp_work *work, const GError *error)
{
    work->broken = TRUE;
    g_autofree char *clean = clean_text(error->message, strlen(error->message), "\n\t");
    g_autofree char *message = in_the_clients_words(work, clean);
    g_autofree char *cut = mcp_cut(message, strlen(message), ERROR_BYTES_MAX);
    g_autofree char *text = g_strconcat(cut, advice(work, error), NULL);
    work_fail_text(work, text);
}

/* --- the service ----------------------------------------------------------------- */

gboolean work_connect(struct mcp_work *work)
{
    g_autoptr(GError) error = NULL;
    if (work->client != NULL)
        dsb_client_set_cancel(work->client, work->cancel_fd);
    else if (work->setup->socket != NULL)
        work->client = dsb_client_connect_to(work->setup->socket, work->cancel_fd, &error);
    else
        work->client = dsb_client_connect(DSB_CLIENT_START, work->cancel_fd, &error);
    if (error != NULL)
        work_fail(work, error);
    return work->client != NULL;
}

gboolean work_session(struct mcp_work *work, gboolean make)
{
    g_autoptr(GError) error = NULL;
    if (!work_connect(work))
        return FALSE;
    if (!make && !work->is_default)
        return TRUE; /* the call itself says whether it is there */
    struct json_object *body = json_tokener_parse(work->setup->settings);
    json_add(body, "id", work->session);
    json_add_bool(body, "exist_ok", TRUE);
    gboolean ok = dsb_client_call(work->client, "POST", "/v1/sessions", body, CALL_MS, NULL, &error);
    json_object_put(body);
    if (!ok)
        work_fail(work, error);
    return ok;
}

struct json_object *work_call(struct mcp_work *work, const char *method, const char *tail)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *base = dsb_client_path("/v1/sessions/%s", work->session);
    g_autofree char *path = g_strconcat(base, tail, NULL);
    struct json_object *answer = NULL;
    if (!dsb_client_call(work->client, method, path, NULL, CALL_MS, &answer, &error)) {
        work_fail(work, error);
        return NULL;
    }
    return answer != NULL ? answer : json_object_new_object();
}
