/* SPDX-License-Identifier: MIT */
/*
 * HTTP to one engine over libcurl. Handles are kept in a small pool, one call uses one handle, so any
 * number of threads may call. Whatever the engine sends has a limit, and every wait ends when the caller
 * cancels.
 */
#include "engine/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_MAX 4
#define MESSAGE_MAX 1024
#define LINE_MAX_BYTES (256 * 1024)
#define CONNECT_TIMEOUT_MS 10000L
#define POLL_MS 1000
#define SPARE_FDS 4

/* A handle and the loop it runs in, which owns the connections. */
struct channel {
    CURL *easy;
    CURLM *multi;
    int shortage; /* errno of what this process was short of; 0: of nothing */
    char reason[CURL_ERROR_SIZE];
};

struct dsbe_http {
    struct dsbe_endpoint *endpoint;
    int cancel_fd;
    GMutex lock;
    GPtrArray *idle; /* struct channel * */
};

struct transfer {
    const struct dsbe_request *request;
    struct dsbe_response *response;
    CURL *curl;
    gsize header_bytes;
    gboolean head_done; /* its empty line was there: libcurl takes a connection's end for it */
    GString *line;
    GError *error;
};

static gpointer init_curl(gpointer unused)
{
    (void) unused;
    return GINT_TO_POINTER(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void channel_free(void *data)
{
    struct channel *channel = data;
    curl_easy_cleanup(channel->easy);
    curl_multi_cleanup(channel->multi);
    g_free(channel);
}

static struct channel *channel_new(GError **error)
{
    struct channel *channel = g_new0(struct channel, 1);
    channel->easy = curl_easy_init();
    channel->multi = curl_multi_init();
    if (channel->easy && channel->multi)
        return channel;
    channel_free(channel);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "libcurl gave no handle: %s", dsb_errno_text(ENOMEM));
    return NULL;
}

struct dsbe_http *dsbe_http_new(struct dsbe_endpoint *endpoint, int cancel_fd)
{
    static GOnce once = G_ONCE_INIT;
    g_once(&once, init_curl, NULL);
    struct dsbe_http *http = g_new0(struct dsbe_http, 1);
    http->endpoint = endpoint;
    http->cancel_fd = cancel_fd;
    http->idle = g_ptr_array_new_with_free_func(channel_free);
    g_mutex_init(&http->lock);
    return http;
}

void dsbe_http_free(struct dsbe_http *http)
{
    if (!http)
        return;
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard); /* TLS says goodbye */
    g_ptr_array_unref(http->idle);
    dsbe_sigpipe_restore(&guard);
    g_mutex_clear(&http->lock);
    dsbe_endpoint_free(http->endpoint);
    g_free(http);
}

const struct dsbe_endpoint *dsbe_http_endpoint(const struct dsbe_http *http) { return http->endpoint; }

static struct channel *take_channel(struct dsbe_http *http, GError **error)
{
    struct channel *channel = NULL;
    g_mutex_lock(&http->lock);
    if (http->idle->len > 0)
        channel = g_ptr_array_steal_index(http->idle, http->idle->len - 1);
    g_mutex_unlock(&http->lock);
    return channel ? channel : channel_new(error);
}

static void return_channel(struct dsbe_http *http, struct channel *channel, gboolean good)
{
    curl_easy_reset(channel->easy);
    g_mutex_lock(&http->lock);
    gboolean keep = good && http->idle->len < POOL_MAX;
    if (keep)
        g_ptr_array_add(http->idle, channel);
    g_mutex_unlock(&http->lock);
    if (!keep)
        channel_free(channel);
}

/* libcurl's own are inherited by every program that is started meanwhile. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct channel *channel = data;
    (void) purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0 && dsb_errno_is_shortage(errno))
        channel->shortage = errno;
    return fd;
}

/* Until the transfer is over. The handle stays in the loop. FALSE: cancelled. */
static gboolean run(struct channel *channel, int cancel_fd, guint settle_ms, CURLcode *result)
{
    int running = 1, left = 0;
    gint64 end = 0;
    *result = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(channel->multi, channel->easy) != CURLM_OK)
        return TRUE;
    for (;;) {
        if (dsbe_cancel_due(&cancel_fd, settle_ms, &end))
            return FALSE;
        if (curl_multi_perform(channel->multi, &running) != CURLM_OK)
            return TRUE;
        if (running == 0)
            break;
        struct curl_waitfd stop = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(channel->multi, &stop, cancel_fd >= 0 ? 1 : 0, POLL_MS, NULL);
    }
    CURLMsg *message = curl_multi_info_read(channel->multi, &left);
    if (message && message->msg == CURLMSG_DONE)
        *result = message->data.result;
    return TRUE;
}

static void set_common(struct channel *channel, const struct dsbe_endpoint *endpoint, guint timeout_ms)
{
    CURL *curl = channel->easy;
    *channel->reason = '\0';
    channel->shortage = 0;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, channel->reason);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, channel);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* never wait for a name server's answer at the end */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout_ms ? MIN((long) timeout_ms, CONNECT_TIMEOUT_MS) : CONNECT_TIMEOUT_MS);
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

/* What to do about a connection that ended or made no sense, where the address tells. */
static const char *tcp_hint(const struct dsbe_endpoint *endpoint)
{
    if (endpoint->scheme == DSBE_HTTP)
        return ": if the engine wants TLS, set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or give https://";
    if (endpoint->scheme == DSBE_HTTPS && !endpoint->cert)
        return ": if the engine wants a client certificate, put cert.pem and key.pem beside ca.pem in DOCKER_CERT_PATH";
    if (endpoint->scheme == DSBE_HTTPS)
        return ": the engine may not accept this client certificate (DOCKER_CERT_PATH)";
    return "";
}

static gboolean set_tls_error(const struct channel *channel, CURLcode code, const struct dsbe_endpoint *endpoint,
                              GError **error)
{
    const char *hint = code == CURLE_PEER_FAILED_VERIFICATION
                           ? "give the authority that signed the engine's certificate as ca.pem in DOCKER_CERT_PATH, "
                             "and the host by a name that is in the certificate"
                       : code == CURLE_SSL_CONNECT_ERROR && strstr(channel->reason, " alert ") ? tcp_hint(endpoint) + 2
                       : code == CURLE_SSL_CONNECT_ERROR
                           ? "if the engine does not speak TLS, unset DOCKER_TLS_VERIFY or give http://"
                           : "check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH";
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "TLS with the engine at \"%s\" failed: %s: %s", endpoint->text,
                *channel->reason ? channel->reason : curl_easy_strerror(code), hint);
    return FALSE;
}

static gboolean socket_denied(CURL *curl, const struct dsbe_endpoint *endpoint)
{
    long os = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
    if (!endpoint->socket_path || os == ECONNREFUSED || os == ENOENT)
        return FALSE;
    return os == EACCES || os == EPERM || (access(endpoint->socket_path, W_OK) != 0 && errno == EACCES);
}

/*
 * errno of what this process is short of, or 0. libcurl does not tell why it could not look up a name or read a
 * certificate, so that is looked for: what is short just then is the likely reason.
 */
static int shortage_of(const struct channel *channel, CURLcode code)
{
    int fds[SPARE_FDS], n = 0, problem = channel->shortage;
    if (code == CURLE_OUT_OF_MEMORY)
        return ENOMEM;
    if (problem != 0 || (code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_SSL_CACERT_BADFILE &&
                         code != CURLE_SSL_CERTPROBLEM && code != CURLE_FAILED_INIT))
        return problem;
    while (n < SPARE_FDS && (fds[n] = open("/", O_PATH | O_CLOEXEC)) >= 0)
        n++;
    problem = n < SPARE_FDS && dsb_errno_is_shortage(errno) ? errno : 0;
    while (n > 0)
        close(fds[--n]);
    return problem;
}

static gboolean set_curl_error(const struct channel *channel, CURLcode code, const struct dsbe_endpoint *endpoint,
                               GError **error)
{
    const char *reason = *channel->reason ? channel->reason : curl_easy_strerror(code);
    int shortage = shortage_of(channel, code);
    if (shortage != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the engine at \"%s\" cannot be asked: %s", endpoint->text,
                    dsb_errno_text(shortage));
        return FALSE;
    }
    switch ((int) code) {
    case CURLE_OPERATION_TIMEDOUT:
        g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT,
                    "the engine at \"%s\" did not answer in time (engine_timeout_ms gives it more)", endpoint->text);
        return FALSE;
    case CURLE_COULDNT_CONNECT:
        if (socket_denied(channel->easy, endpoint)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "permission denied on \"%s\"", endpoint->text);
            return FALSE;
        }
        G_GNUC_FALLTHROUGH;
    case CURLE_COULDNT_RESOLVE_HOST:
        g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no %s engine answers at \"%s\"", endpoint->engine,
                    endpoint->text);
        return FALSE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return set_tls_error(channel, code, endpoint, error);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the engine at \"%s\" ended the connection: %s%s",
                    endpoint->text, reason, tcp_hint(endpoint));
        return FALSE;
    default:
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "talking to the engine at \"%s\" failed: %s%s",
                    endpoint->text, reason, tcp_hint(endpoint));
        return FALSE;
    }
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
    transfer->head_done = size > 0 && (data[0] == '\r' || data[0] == '\n');
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
        gboolean fine =
            transfer->line->len == 0 || transfer->request->line(transfer->request->line_data, transfer->line->str,
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
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L); /* it cannot be sent again, should an old one be dead */
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

/* FALSE: cancelled. */
static gboolean perform(struct channel *channel, const struct dsbe_http *http, struct transfer *transfer,
                        CURLcode *code)
{
    CURL *curl = channel->easy;
    const struct dsbe_request *request = transfer->request;
    g_autofree char *url = g_strconcat(http->endpoint->base_url, request->path, NULL);
    g_autofree char *type = g_strconcat("Content-Type: ", request->content_type ? request->content_type : "", NULL);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    headers = curl_slist_append(headers, type);

    set_common(channel, http->endpoint, request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    set_body(curl, transfer, &headers);
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "POST") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard);
    gboolean ended = run(channel, request->always ? -1 : http->cancel_fd, request->settle_ms, code);
    curl_multi_remove_handle(channel->multi, curl);
    dsbe_sigpipe_restore(&guard);
    curl_slist_free_all(headers);
    return ended;
}

gboolean dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request, struct dsbe_response *response,
                        GError **error)
{
    struct channel *channel = take_channel(http, error);
    if (!channel)
        return FALSE;
    dsbe_response_clear(response);
    response->body = g_string_new(NULL);
    struct transfer transfer = {
        .request = request, .response = response, .curl = channel->easy, .line = g_string_new(NULL)};
    CURLcode code = CURLE_OK;
    gboolean ended = perform(channel, http, &transfer, &code);
    if (ended && code == CURLE_OK && !transfer.error && transfer.line->len > 0)
        feed_lines(&transfer, "\n", 1);
    g_string_free(transfer.line, TRUE);
    if (code == CURLE_OK && !transfer.head_done)
        code = CURLE_GOT_NOTHING;
    curl_easy_getinfo(channel->easy, CURLINFO_RESPONSE_CODE, &response->status);

    gboolean good = ended && code == CURLE_OK && !transfer.error;
    if (!ended)
        dsbe_set_cancelled(error);
    else if (transfer.error)
        g_propagate_error(error, g_steal_pointer(&transfer.error));
    else if (!good)
        set_curl_error(channel, code, http->endpoint, error);
    g_clear_error(&transfer.error);
    return_channel(http, channel, good);
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

void dsbe_line_close(struct dsbe_line *line)
{
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard);
    curl_multi_remove_handle(line->multi, line->easy);
    curl_easy_cleanup(line->easy);
    curl_multi_cleanup(line->multi);
    dsbe_sigpipe_restore(&guard);
}

gboolean dsbe_http_connect(struct dsbe_http *http, guint timeout_ms, struct dsbe_line *line, GError **error)
{
    struct channel *channel = channel_new(error);
    if (!channel)
        return FALSE;
    set_common(channel, http->endpoint, timeout_ms);
    curl_easy_setopt(channel->easy, CURLOPT_URL, http->endpoint->base_url);
    curl_easy_setopt(channel->easy, CURLOPT_CONNECT_ONLY, 1L);
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard);
    CURLcode code = CURLE_OK;
    curl_socket_t socket = CURL_SOCKET_BAD;
    gboolean ended = run(channel, http->cancel_fd, 0, &code);
    dsbe_sigpipe_restore(&guard);
    if (ended && code == CURLE_OK)
        code = curl_easy_getinfo(channel->easy, CURLINFO_ACTIVESOCKET, &socket);
    struct dsbe_line made = {channel->easy, channel->multi, socket, http->cancel_fd,
                             http->endpoint->scheme == DSBE_HTTPS};
    gboolean good = ended && code == CURLE_OK && socket != CURL_SOCKET_BAD;
    if (!ended)
        dsbe_set_cancelled(error);
    else if (!good)
        set_curl_error(channel, code == CURLE_OK ? CURLE_COULDNT_CONNECT : code, http->endpoint, error);
    curl_easy_setopt(channel->easy, CURLOPT_ERRORBUFFER, NULL);
    g_free(channel);
    if (good)
        *line = made;
    else
        dsbe_line_close(&made);
    return good;
}
