/* SPDX-License-Identifier: MIT */
/*
 * HTTP to one engine over libcurl. Handles are kept in a small pool, one call uses one handle, so any
 * number of threads may call. Whatever the engine sends has a limit.
 */
#include "engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_MAX 4
#define MESSAGE_MAX 1024
#define LINE_MAX_BYTES (256 * 1024)
#define CONNECT_TIMEOUT_MS 10000L

struct dsbe_http {
    struct dsbe_endpoint *endpoint;
    GMutex lock;
    GPtrArray *idle; /* CURL * */
};

struct transfer {
    const struct dsbe_request *request;
    struct dsbe_response *response;
    CURL *curl;
    gsize header_bytes;
    GString *line;
    GError *error;
};

static gpointer init_curl(gpointer unused)
{
    (void) unused;
    return GINT_TO_POINTER(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

struct dsbe_http *dsbe_http_new(struct dsbe_endpoint *endpoint)
{
    static GOnce once = G_ONCE_INIT;
    g_once(&once, init_curl, NULL);
    struct dsbe_http *http = g_new0(struct dsbe_http, 1);
    http->endpoint = endpoint;
    http->idle = g_ptr_array_new_with_free_func((GDestroyNotify) curl_easy_cleanup);
    g_mutex_init(&http->lock);
    return http;
}

void dsbe_http_free(struct dsbe_http *http)
{
    if (!http)
        return;
    g_ptr_array_unref(http->idle);
    g_mutex_clear(&http->lock);
    dsbe_endpoint_free(http->endpoint);
    g_free(http);
}

const struct dsbe_endpoint *dsbe_http_endpoint(const struct dsbe_http *http)
{
    return http->endpoint;
}

static CURL *take_handle(struct dsbe_http *http)
{
    CURL *curl = NULL;
    g_mutex_lock(&http->lock);
    if (http->idle->len > 0)
        curl = g_ptr_array_steal_index(http->idle, http->idle->len - 1);
    g_mutex_unlock(&http->lock);
    return curl ? curl : curl_easy_init();
}

static void return_handle(struct dsbe_http *http, CURL *curl, gboolean good)
{
    curl_easy_reset(curl);
    g_mutex_lock(&http->lock);
    gboolean keep = good && http->idle->len < POOL_MAX;
    if (keep)
        g_ptr_array_add(http->idle, curl);
    g_mutex_unlock(&http->lock);
    if (!keep)
        curl_easy_cleanup(curl);
}

/* libcurl's own are inherited by every program that is started meanwhile. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void) data;
    (void) purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_common(CURL *curl, const struct dsbe_endpoint *endpoint)
{
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (endpoint->socket_path)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path);
    if (endpoint->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint->ca);
    if (endpoint->cert)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, endpoint->cert);
    if (endpoint->key)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, endpoint->key);
    if (endpoint->skip_verify) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static gboolean set_curl_error(CURL *curl, CURLcode code, const struct dsbe_endpoint *endpoint, GError **error)
{
    long os = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "the engine at \"%s\" did not answer in time",
                    endpoint->text);
        return FALSE;
    }
    if (code == CURLE_COULDNT_CONNECT && endpoint->socket_path && os != ECONNREFUSED && os != ENOENT &&
        (os == EACCES || os == EPERM || (access(endpoint->socket_path, W_OK) != 0 && errno == EACCES))) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "permission denied on \"%s\"", endpoint->text);
        return FALSE;
    }
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no %s engine answers at \"%s\"", endpoint->engine,
                    endpoint->text);
        return FALSE;
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CERTPROBLEM) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "TLS with the engine at \"%s\" failed: %s", endpoint->text,
                    curl_easy_strerror(code));
        return FALSE;
    }
    gboolean gone = code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
    g_set_error(error, DSB_ERROR, gone ? DSB_ERROR_FAILED : DSB_ERROR_PROTOCOL,
                "talking to the engine at \"%s\" failed: %s", endpoint->text, curl_easy_strerror(code));
    return FALSE;
}

static void keep_header(const char *line, gsize size, const char *name, char **slot)
{
    gsize length = strlen(name);
    if (size <= length || line[length] != ':' || g_ascii_strncasecmp(line, name, length) != 0)
        return;
    g_free(*slot);
    *slot = dsbe_one_line(line + length + 1, MIN(size - length - 1, 64));
}

static size_t on_header(char *data, size_t one, size_t size, void *user)
{
    (void) one;
    struct transfer *transfer = user;
    transfer->header_bytes += size;
    if (transfer->header_bytes > DSBE_HEADERS_MAX) {
        g_set_error_literal(&transfer->error, DSB_ERROR, DSB_ERROR_LIMIT, "the engine's answer has too large a head");
        return 0;
    }
    keep_header(data, size, "Api-Version", &transfer->response->api_version);
    keep_header(data, size, "Libpod-API-Version", &transfer->response->libpod_version);
    return size;
}

static gboolean feed_lines(struct transfer *transfer, const char *data, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (data[i] != '\n' && data[i] != '\r') {
            if (transfer->line->len >= LINE_MAX_BYTES) {
                g_set_error_literal(&transfer->error, DSB_ERROR, DSB_ERROR_LIMIT, "a line of the engine is too long");
                return FALSE;
            }
            g_string_append_c(transfer->line, data[i]);
            continue;
        }
        gboolean fine = transfer->line->len == 0 ||
                        transfer->request->line(transfer->request->line_data, transfer->line->str,
                                                transfer->line->len, &transfer->error);
        g_string_truncate(transfer->line, 0);
        if (!fine)
            return FALSE;
    }
    return TRUE;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    (void) one;
    struct transfer *transfer = user;
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->request->line && status / 100 == 2)
        return feed_lines(transfer, data, size) ? size : 0;
    if (transfer->response->body->len + size > DSBE_BODY_MAX) {
        g_set_error_literal(&transfer->error, DSB_ERROR, DSB_ERROR_LIMIT, "the engine's answer is too large");
        return 0;
    }
    g_string_append_len(transfer->response->body, data, (gssize) size);
    return size;
}

static size_t on_upload(char *buffer, size_t one, size_t size, void *user)
{
    struct transfer *transfer = user;
    for (;;) {
        ssize_t done = read(transfer->request->upload_fd, buffer, one * size);
        if (done >= 0)
            return (size_t) done;
        if (errno == EINTR)
            continue;
        g_set_error(&transfer->error, DSB_ERROR, DSB_ERROR_FAILED, "reading the data to upload failed: %s",
                    g_strerror(errno));
        return CURL_READFUNC_ABORT;
    }
}

static void set_body(CURL *curl, struct transfer *transfer, struct curl_slist **headers)
{
    const struct dsbe_request *request = transfer->request;
    if (strcmp(request->method, "POST") != 0)
        return;
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    if (request->upload) {
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
        if (request->upload_size >= 0)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->upload_size);
        else
            *headers = curl_slist_append(*headers, "Transfer-Encoding: chunked");
        return;
    }
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (request->body ? request->body_size : 0));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
}

static CURLcode perform(CURL *curl, const struct dsbe_http *http, struct transfer *transfer)
{
    const struct dsbe_request *request = transfer->request;
    g_autofree char *url = g_strconcat(http->endpoint->base_url, request->path, NULL);
    g_autofree char *type = g_strconcat("Content-Type: ", request->content_type ? request->content_type : "", NULL);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    headers = curl_slist_append(headers, type);

    set_common(curl, http->endpoint);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    set_body(curl, transfer, &headers);
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "POST") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    return code;
}

gboolean dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request, struct dsbe_response *response,
                        GError **error)
{
    CURL *curl = take_handle(http);
    if (!curl) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "libcurl gave no handle");
        return FALSE;
    }
    dsbe_response_clear(response);
    response->body = g_string_new(NULL);
    struct transfer transfer = {.request = request, .response = response, .curl = curl, .line = g_string_new(NULL)};
    CURLcode code = perform(curl, http, &transfer);
    if (code == CURLE_OK && transfer.line->len > 0)
        feed_lines(&transfer, "\n", 1);
    g_string_free(transfer.line, TRUE);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);

    gboolean good = code == CURLE_OK && !transfer.error;
    if (transfer.error)
        g_propagate_error(error, transfer.error);
    else if (!good)
        set_curl_error(curl, code, http->endpoint, error);
    return_handle(http, curl, good);
    return good;
}

void dsbe_response_clear(struct dsbe_response *response)
{
    if (response->body)
        g_string_free(response->body, TRUE);
    g_free(response->api_version);
    g_free(response->libpod_version);
    memset(response, 0, sizeof *response);
}

char *dsbe_one_line(const char *text, gsize size)
{
    g_autofree char *clean = g_utf8_make_valid(text, (gssize) MIN(size, MESSAGE_MAX));
    for (char *c = clean; *c; c++)
        if ((guchar) *c < ' ' || *c == 0x7f)
            *c = ' ';
    return g_strdup(g_strstrip(clean));
}

char *dsbe_http_message(const char *body, gsize size)
{
    g_autoptr(json_object) root = dsbe_json_parse(body, size, NULL);
    const char *text = dsbe_json_string(root, "message", NULL);
    g_autofree char *line = text ? dsbe_one_line(text, strlen(text)) : dsbe_one_line(body, size);
    return *line ? g_steal_pointer(&line) : g_strdup("no reason given");
}

void *dsbe_http_connect(struct dsbe_http *http, guint timeout_ms, int *fd, GError **error)
{
    CURL *curl = curl_easy_init();
    if (!curl) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, "libcurl gave no handle");
        return NULL;
    }
    set_common(curl, http->endpoint);
    curl_easy_setopt(curl, CURLOPT_URL, http->endpoint->base_url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
    CURLcode code = curl_easy_perform(curl);
    curl_socket_t socket = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &socket);
    if (code != CURLE_OK || socket == CURL_SOCKET_BAD) {
        set_curl_error(curl, code == CURLE_OK ? CURLE_COULDNT_CONNECT : code, http->endpoint, error);
        curl_easy_cleanup(curl);
        return NULL;
    }
    *fd = socket;
    return curl;
}
