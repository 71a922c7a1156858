/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "client_call.h"
#include "client_start.h"
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX ((gsize) 1 << 30)
#define PROBE_MS 10000
#define JSON_DEPTH 64

char *dsb_client_socket_path(void) { return socket_default_path(); }

char *dsb_client_path(const char *format, ...)
{
    GString *path = g_string_new(NULL);
    va_list args;
    va_start(args, format);
    for (const char *at = format; *at != '\0'; at++) {
        if (at[0] != '%' || at[1] != 's') {
            g_string_append_c(path, *at);
            continue;
        }
        /* A slash in a name stays one: names of files have them. */
        g_string_append_uri_escaped(path, va_arg(args, const char *), "/", FALSE);
        at++;
    }
    va_end(args);
    return g_string_free(path, FALSE);
}

static int code_of(const char *name)
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
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i], name) == 0)
            return (int) i;
    return DSB_ERROR_FAILED;
}

struct json_object *client_parse(const void *text, gsize size)
{
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    struct json_object *object = size <= G_MAXINT ? json_tokener_parse_ex(tokener, text, (int) size) : NULL;
    json_tokener_free(tokener);
    return object;
}

gboolean client_error_of(struct json_object *answer, int status, GError **error)
{
    struct json_object *inner = NULL, *code = NULL, *message = NULL;
    if (json_object_object_get_ex(answer, "error", &inner) && json_object_object_get_ex(inner, "code", &code) &&
        json_object_object_get_ex(inner, "message", &message))
        g_set_error_literal(error, DSB_ERROR, code_of(json_object_get_string(code)), json_object_get_string(message));
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the service answered %d without a reason", status);
    return FALSE;
}

static gboolean on_body(void *data, const guint8 *bytes, gsize size)
{
    GByteArray *into = data;
    if (into->len + size > ANSWER_MAX)
        return FALSE;
    g_byte_array_append(into, bytes, (guint) size);
    return TRUE;
}

static gboolean perform(dsb_client *client, const char *method, const char *path, const char *type, const void *body,
                        gsize size, guint timeout_ms, GByteArray *into, GError **error)
{
    client->http.answer.body = on_body;
    client->http.answer.data = into;
    return http_send(&client->http, method, path, size > 0 ? type : NULL, FALSE, body, size, error) &&
           http_finish(&client->http, timeout_ms, error);
}

static gboolean check_status(int status, const GByteArray *body, GError **error)
{
    if (status >= 200 && status < 300)
        return TRUE;
    struct json_object *answer = client_parse(body->data, body->len);
    client_error_of(answer, status, error);
    json_object_put(answer);
    return FALSE;
}

gboolean dsb_client_bytes(dsb_client *client, const char *method, const char *path, const void *body, gsize size,
                          guint timeout_ms, GByteArray **answer, GError **error)
{
    g_autoptr(GByteArray) into = g_byte_array_new();
    if (!perform(client, method, path, CLIENT_BYTES, body, size, timeout_ms, into, error) ||
        !check_status(client->http.answer.status, into, error))
        return FALSE;
    if (answer != NULL)
        *answer = g_steal_pointer(&into);
    return TRUE;
}

gboolean dsb_client_call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                         guint timeout_ms, struct json_object **answer, GError **error)
{
    g_autoptr(GByteArray) into = g_byte_array_new();
    const char *text = NULL;
    size_t size = 0;
    if (body != NULL)
        text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!perform(client, method, path, CLIENT_JSON, text, size, timeout_ms, into, error) ||
        !check_status(client->http.answer.status, into, error))
        return FALSE;
    struct json_object *object = into->len > 0 ? client_parse(into->data, into->len) : NULL;
    if (into->len > 0 && object == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the service's answer is not JSON");
        return FALSE;
    }
    if (answer != NULL)
        *answer = object;
    else
        json_object_put(object);
    return TRUE;
}

static gboolean answers(void *data)
{
    dsb_client *client = data;
    struct stat st;
    /* Cheaper than asking, while it starts. */
    if (lstat(client->socket, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return FALSE;
    return dsb_client_call(client, "GET", "/v1/version", NULL, PROBE_MS, NULL, NULL);
}

dsb_client *dsb_client_connect_to(const char *socket_path, gboolean start, GError **error)
{
    g_autoptr(dsb_client) client = g_new0(dsb_client, 1);
    client->socket = socket_path != NULL ? g_strdup(socket_path) : socket_default_path();
    client->http = (struct http){.path = client->socket, .fd = -1};
    if (!socket_check_dir(client->socket, error))
        return NULL;
    if (answers(client))
        return g_steal_pointer(&client);
    if (!start) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no service answers at %s", client->socket);
        return NULL;
    }
    return client_start(client->socket, answers, client, error) ? g_steal_pointer(&client) : NULL;
}

dsb_client *dsb_client_connect(gboolean start, GError **error) { return dsb_client_connect_to(NULL, start, error); }

void dsb_client_free(dsb_client *client)
{
    if (client == NULL)
        return;
    http_close(&client->http);
    g_free(client->socket);
    g_free(client);
}
