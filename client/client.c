/* SPDX-License-Identifier: MIT */
#include "client/client.h"

#include "client/alive.h"
#include "client/internal.h"
#include "client/service_lock.h"
#include "client/session_socket.h"
#include "client/socket_path.h"
#include "client/start.h"
#include "common/json.h"
#include "common/names.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX ((gsize) 1 << 30)
#define PROBE_MS 10000
#define END_MS 25000 /* longer than a service takes to end */
#define STEP_MS 50
#define NO_ANSWER "no service answers at "
#define NO_SERVICE "there is no service at "
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

struct json_object *client_parse(const void *text, gsize size)
{
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    struct json_object *object = size <= G_MAXINT ? json_tokener_parse_ex(tokener, text, (int) size) : NULL;
    json_tokener_free(tokener);
    return object;
}

gboolean client_error_of(struct json_object *answer, int status, GError **error)
{
    struct json_object *inner = json_member(answer, "error");
    const char *code = json_string(inner, "code"), *message = json_string(inner, "message");
    if (code != NULL && message != NULL)
        g_set_error_literal(error, DSB_ERROR, dsb_error_code_of(code), message);
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

gboolean client_check_status(int status, const GByteArray *body, GError **error)
{
    if (status >= 200 && status < 300)
        return TRUE;
    struct json_object *answer = client_parse(body->data, body->len);
    client_error_of(answer, status, error);
    json_object_put(answer);
    return FALSE;
}

static gboolean propagate(GError **error, GError *local)
{
    g_propagate_error(error, local);
    return FALSE;
}

static gboolean bytes(dsb_client *client, const char *method, const char *path, const void *body, gsize size,
                      guint timeout_ms, GByteArray **answer, GError **error)
{
    g_autoptr(GByteArray) into = g_byte_array_new();
    if (!perform(client, method, path, CLIENT_BYTES, body, size, timeout_ms, into, error) ||
        !client_check_status(client->http.answer.status, into, error))
        return FALSE;
    if (answer != NULL)
        *answer = g_steal_pointer(&into);
    return TRUE;
}

static gboolean call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                     guint timeout_ms, struct json_object **answer, GError **error)
{
    g_autoptr(GByteArray) into = g_byte_array_new();
    const char *text = NULL;
    size_t size = 0;
    if (body != NULL)
        text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!perform(client, method, path, CLIENT_JSON, text, size, timeout_ms, into, error) ||
        !client_check_status(client->http.answer.status, into, error))
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

gboolean dsb_client_bytes(dsb_client *client, const char *method, const char *path, const void *body, gsize size,
                          guint timeout_ms, GByteArray **answer, GError **error)
{
    guint tries = CLIENT_TRIES;
    GError *local = NULL;
    gboolean ok;
    do
        ok = bytes(client, method, path, body, size, timeout_ms, answer, &local);
    while (!ok && client_again(client, &tries, &local));
    return ok || propagate(error, local);
}

gboolean dsb_client_call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                         guint timeout_ms, struct json_object **answer, GError **error)
{
    guint tries = CLIENT_TRIES;
    GError *local = NULL;
    gboolean ok;
    do
        ok = call(client, method, path, body, timeout_ms, answer, &local);
    while (!ok && client_again(client, &tries, &local));
    return ok || propagate(error, local);
}

static void client_init(dsb_client *client, const char *socket_path)
{
    *client = (dsb_client){.socket = g_strdup(socket_path), .cancel_fd = -1};
    client->http = (struct http){.path = client->socket, .fd = -1, .cancel_fd = -1};
}

static void client_clear(dsb_client *client)
{
    http_close(&client->http);
    json_object_put(client->version);
    g_free(client->socket);
}

static gboolean ask_version(dsb_client *client, guint ms)
{
    struct stat st;
    struct json_object *version = NULL;
    client->http.sent = FALSE;
    /* Cheaper than asking, while it starts. */
    if (lstat(client->socket, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return FALSE;
    client->http.cancel_fd = client->cancel_fd;
    gboolean ok = call(client, "GET", "/v1/version", NULL, ms, &version, NULL);
    client->http.cancel_fd = -1;
    if (ok) {
        json_object_put(client->version);
        client->version = version;
    }
    return ok;
}

static gboolean answers(void *client) { return ask_version(client, PROBE_MS); }

gboolean dsb_client_answers(const char *socket_path, guint ms)
{
    dsb_client client;
    client_init(&client, socket_path);
    gboolean ok = ask_version(&client, ms);
    client_clear(&client);
    return ok;
}

struct json_object *dsb_client_version(const dsb_client *client) { return client->version; }

static gboolean step(const dsb_client *client, GError **error)
{
    struct pollfd fd = {client->cancel_fd, POLLIN, 0};
    if (poll(&fd, 1, STEP_MS) <= 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled before the service answered");
    return FALSE;
}

/* One that begins or ends has the lock, and does not listen. */
static gboolean await_service(dsb_client *client, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    while (!answers(client)) {
        struct lock_holder holder;
        if (client->way == DSB_CLIENT_TRY && client->http.sent && step(client, NULL))
            return service_is_silent(client->socket, error);
        if (client->way == DSB_CLIENT_TRY) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, NO_ANSWER "%s", client->socket);
            return FALSE;
        }
        if (!step(client, error) || !lock_holder(client->socket, &holder, error))
            return FALSE;
        if (holder.pid < 0 && (client->way == DSB_CLIENT_START || session_socket_any(client->socket)))
            return client_start(client->socket, client->cancel_fd, answers, client, error);
        if (holder.pid < 0) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, NO_SERVICE "%s", client->socket);
            return FALSE;
        }
        /* Without a socket it begins or ends; with one it is stopped. */
        gint64 patience_ms = holder.ending || !client->http.sent ? END_MS : PROBE_MS;
        if (g_get_monotonic_time() - begin > patience_ms * 1000)
            return service_is_silent(client->socket, error);
    }
    return TRUE;
}

gboolean dsb_client_not_done(const GError *error)
{
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) &&
           (g_str_has_prefix(error->message, SERVICE_ENDING) || g_str_has_prefix(error->message, NO_ANSWER) ||
            g_str_has_prefix(error->message, SERVICE_REPLACED));
}

gboolean dsb_client_none(const GError *error)
{
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) && g_str_has_prefix(error->message, NO_SERVICE);
}

gboolean client_again(dsb_client *client, guint *tries, GError **error)
{
    if (client->way == DSB_CLIENT_TRY || *tries == 0 || !dsb_client_not_done(*error) ||
        g_str_has_prefix((*error)->message, SERVICE_REPLACED))
        return FALSE;
    (*tries)--;
    g_clear_error(error);
    return await_service(client, error);
}

static dsb_client *connect_to(const char *path, enum dsb_client_way way, int cancel_fd, GError **error)
{
    g_autoptr(dsb_client) client = g_new0(dsb_client, 1);
    client_init(client, path);
    client->way = way;
    client->cancel_fd = cancel_fd;
    return socket_check_dir(path, error) && await_service(client, error) ? g_steal_pointer(&client) : NULL;
}

dsb_client *dsb_client_connect(enum dsb_client_way way, int cancel_fd, GError **error)
{
    g_autofree char *path = socket_default_path();
    return connect_to(path, way, cancel_fd, error);
}

dsb_client *dsb_client_connect_to(const char *socket_path, int cancel_fd, GError **error)
{
    return connect_to(socket_path, DSB_CLIENT_TRY, cancel_fd, error);
}

void dsb_client_set_cancel(dsb_client *client, int cancel_fd) { client->cancel_fd = cancel_fd; }

void dsb_client_free(dsb_client *client)
{
    if (client == NULL)
        return;
    client_clear(client);
    g_free(client);
}
