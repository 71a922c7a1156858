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

char *dsb_client_socket_path(void)
{
    return socket_default_path();
}

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
        [DSB_ERROR_FAILED] = "failed",           [DSB_ERROR_INVALID] = "invalid",
        [DSB_ERROR_NOT_FOUND] = "not_found",     [DSB_ERROR_UNAVAILABLE] = "unavailable",
        [DSB_ERROR_DENIED] = "denied",           [DSB_ERROR_REFUSED] = "refused",
        [DSB_ERROR_PLUGIN] = "plugin",           [DSB_ERROR_PROTOCOL] = "protocol",
        [DSB_ERROR_TIMEOUT] = "engine_timeout",  [DSB_ERROR_CANCELLED] = "cancelled",
        [DSB_ERROR_BUSY] = "busy",               [DSB_ERROR_LOST] = "lost",
        [DSB_ERROR_LIMIT] = "limit",             [DSB_ERROR_UNSUPPORTED] = "unsupported",
        [DSB_ERROR_CONFLICT] = "conflict",       [DSB_ERROR_WOULD_BLOCK] = "would_block",
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

gboolean client_error_of(struct json_object *answer, long status, GError **error)
{
    struct json_object *inner = NULL, *code = NULL, *message = NULL;
    if (json_object_object_get_ex(answer, "error", &inner) && json_object_object_get_ex(inner, "code", &code)
        && json_object_object_get_ex(inner, "message", &message))
        g_set_error_literal(error, DSB_ERROR, code_of(json_object_get_string(code)), json_object_get_string(message));
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the service answered %ld without a reason", status);
    return FALSE;
}

gboolean client_curl_error(const dsb_client *client, CURLcode result, GError **error)
{
    const char *why = client->problem[0] != '\0' ? client->problem : curl_easy_strerror(result);
    if (result == CURLE_OPERATION_TIMEDOUT)
        g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "the service did not answer in time");
    else if (result == CURLE_COULDNT_CONNECT)
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no service answers at %s", client->socket);
    else if (result == CURLE_GOT_NOTHING || result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR
             || result == CURLE_PARTIAL_FILE)
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "the service went away before its answer: %s", why);
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "talking to the service: %s", why);
    return FALSE;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
    GByteArray *into = data;
    (void) one;
    if (into->len + size > ANSWER_MAX)
        return 0;
    g_byte_array_append(into, (const guint8 *) bytes, (guint) size);
    return size;
}

CURL *client_handle(const dsb_client *client)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->problem);
    return curl;
}

void client_request(CURL *curl, const char *method, const char *path, const void *body, gsize size)
{
    g_autofree char *url = g_strconcat("http://dsandbox", path, NULL);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) 0);
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
}

static gboolean perform(dsb_client *client, const char *method, const char *path, const void *body, gsize size,
                        gboolean json, guint timeout_ms, GByteArray *into, long *status, GError **error)
{
    struct curl_slist *headers = curl_slist_append(NULL, json ? "Content-Type: application/json"
                                                              : "Content-Type: application/octet-stream");
    headers = curl_slist_append(headers, "Expect:");
    client->problem[0] = '\0';
    client_request(client->curl, method, path, body, size);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, into);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
    CURLcode result = curl_easy_perform(client->curl);
    curl_slist_free_all(headers);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    if (result != CURLE_OK)
        return client_curl_error(client, result, error);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, status);
    return TRUE;
}

static gboolean check_status(long status, const GByteArray *body, GError **error)
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
    long status = 0;
    if (!perform(client, method, path, body, size, FALSE, timeout_ms, into, &status, error)
        || !check_status(status, into, error))
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
    long status = 0;
    if (body != NULL)
        text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!perform(client, method, path, text, size, TRUE, timeout_ms, into, &status, error)
        || !check_status(status, into, error))
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
    static gsize once = 0;
    if (g_once_init_enter(&once)) {
        curl_global_init(CURL_GLOBAL_NOTHING);
        g_once_init_leave(&once, 1);
    }
    g_autoptr(dsb_client) client = g_new0(dsb_client, 1);
    client->socket = socket_path != NULL ? g_strdup(socket_path) : socket_default_path();
    client->curl = client_handle(client);
    if (client->curl == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "libcurl cannot be used");
        return NULL;
    }
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

dsb_client *dsb_client_connect(gboolean start, GError **error)
{
    return dsb_client_connect_to(NULL, start, error);
}

void dsb_client_free(dsb_client *client)
{
    if (client == NULL)
        return;
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    g_free(client->socket);
    g_free(client);
}
