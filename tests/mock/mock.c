/* SPDX-License-Identifier: MIT */
#include "mock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX (256 * 1024)
#define CHUNK 700 /* so that an answer has several */
#define WAIT_MS 5000

struct mock {
    GPtrArray *exchanges; /* struct mock_exchange */
    int listener, stop[2];
    char *path;
    GThread *thread;
    GMutex lock; /* of what follows */
    char *target;
    enum mock_kind kind;
    gsize size;
    GBytes *answer;
    guint plans;        /* how many there were */
    GArray *held;       /* int */
    GPtrArray *streams; /* GThread: attached connections, which others come beside */
    guint unknown;
    GHashTable *counts;
};

/* ---- recordings ---- */

static void exchange_free(void *data)
{
    struct mock_exchange *exchange = data;
    g_free(exchange->name);
    g_free(exchange->method);
    g_free(exchange->path);
    g_free(exchange->status);
    g_free(exchange->framing);
    g_ptr_array_unref(exchange->headers);
    g_bytes_unref(exchange->body);
    json_object_put(exchange->json);
    g_free(exchange);
}

static char *text_of(json_object *root, const char *key)
{
    json_object *value = NULL;
    return json_object_object_get_ex(root, key, &value) ? g_strdup(json_object_get_string(value)) : NULL;
}

static struct mock_exchange *parse_exchange(json_object *root)
{
    struct mock_exchange *exchange = g_new0(struct mock_exchange, 1);
    exchange->name = text_of(root, "name");
    exchange->method = text_of(root, "method");
    exchange->path = text_of(root, "path");
    exchange->status = text_of(root, "status");
    exchange->framing = text_of(root, "framing");
    exchange->headers = g_ptr_array_new_with_free_func(g_free);
    json_object *headers = NULL, *json = NULL;
    json_object_object_get_ex(root, "headers", &headers);
    for (gsize i = 0; i < json_object_array_length(headers); i++)
        g_ptr_array_add(exchange->headers, g_strdup(json_object_get_string(json_object_array_get_idx(headers, i))));
    g_autofree char *text = text_of(root, "text");
    g_autofree char *base64 = text_of(root, "base64");
    if (json_object_object_get_ex(root, "json", &json)) {
        exchange->json = json_object_get(json);
        text = g_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    }
    gsize size = text ? strlen(text) : 0;
    if (base64)
        text = (char *) g_base64_decode(base64, &size);
    exchange->body = g_bytes_new(text ? text : "", size);
    return exchange;
}

static GPtrArray *load(const char *fixture)
{
    GPtrArray *exchanges = g_ptr_array_new_with_free_func(exchange_free);
    json_object *root = json_object_from_file(fixture), *list = NULL;
    if (!root || !json_object_object_get_ex(root, "exchanges", &list))
        g_error("cannot read %s: %s", fixture, json_util_get_last_err());
    for (gsize i = 0; i < json_object_array_length(list); i++)
        g_ptr_array_add(exchanges, parse_exchange(json_object_array_get_idx(list, i)));
    json_object_put(root);
    return exchanges;
}

const struct mock_exchange *mock_exchange(const struct mock *mock, const char *name)
{
    for (guint i = 0; i < mock->exchanges->len; i++) {
        const struct mock_exchange *exchange = mock->exchanges->pdata[i];
        if (strcmp(exchange->name, name) == 0)
            return exchange;
    }
    g_error("no exchange %s", name);
}

GBytes *mock_answer(const struct mock_exchange *exchange, const char *status, const char *body, gssize body_size)
{
    GString *out = g_string_new(status ? status : exchange->status);
    gsize size = 0;
    const char *recorded = g_bytes_get_data(exchange->body, &size);
    if (body)
        size = body_size < 0 ? strlen(body) : (gsize) body_size;
    else
        body = recorded;
    g_string_append(out, "\r\n");
    for (guint i = 0; i < exchange->headers->len; i++)
        g_string_append_printf(out, "%s\r\n", (const char *) exchange->headers->pdata[i]);
    gboolean chunked = strcmp(exchange->framing, "chunked") == 0;
    if (chunked)
        g_string_append(out, "Transfer-Encoding: chunked\r\n");
    if (strcmp(exchange->framing, "length") == 0)
        g_string_append_printf(out, "Content-Length: %" G_GSIZE_FORMAT "\r\n", size);
    g_string_append(out, "\r\n");
    for (gsize at = 0; chunked && at < size; at += CHUNK) {
        gsize take = MIN(CHUNK, size - at);
        g_string_append_printf(out, "%" G_GSIZE_MODIFIER "x\r\n", take);
        g_string_append_len(out, body + at, (gssize) take);
        g_string_append(out, "\r\n");
    }
    if (chunked)
        g_string_append(out, "0\r\n\r\n");
    else if (size > 0)
        g_string_append_len(out, body, (gssize) size);
    return g_string_free_to_bytes(out);
}

/* ---- the server ---- */

/* Bytes of the whole request, 0 when there is more to come. */
static gsize request_size(const char *data, gsize size)
{
    const char *end = g_strstr_len(data, (gssize) size, "\r\n\r\n");
    if (!end)
        return 0;
    gsize head = (gsize) (end - data) + 4;
    g_autofree char *text = g_ascii_strdown(data, (gssize) head);
    const char *length = strstr(text, "\r\ncontent-length:");
    if (length) {
        gsize all = head + (gsize) g_ascii_strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
        return size >= all ? all : 0;
    }
    if (!strstr(text, "\r\ntransfer-encoding: chunked"))
        return head;
    return size >= head + 5 && memcmp(data + size - 5, "0\r\n\r\n", 5) == 0 ? size : 0;
}

/* The request, which stays in the socket. */
static char *peek_request(int fd, char *buffer, gsize *size)
{
    for (int i = 0; i < WAIT_MS * 10; i++) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&entry, 1, WAIT_MS) > 0 ? recv(fd, buffer, REQUEST_MAX, MSG_PEEK) : 0;
        if (n <= 0)
            return NULL;
        *size = request_size(buffer, (gsize) n);
        if (*size > 0)
            return buffer;
        g_usleep(100);
    }
    return NULL;
}

static const struct mock_exchange *find(const struct mock *mock, const char *request)
{
    for (guint i = 0; i < mock->exchanges->len; i++) {
        const struct mock_exchange *exchange = mock->exchanges->pdata[i];
        g_autofree char *start = g_strdup_printf("%s %s", exchange->method, exchange->path);
        gsize length = strlen(start);
        if (strncmp(request, start, length) == 0 && (request[length] == '?' || request[length] == ' '))
            return exchange;
    }
    return NULL;
}

static void send_bytes(int fd, const char *data, gsize size, gsize step)
{
    while (size > 0) {
        ssize_t n = send(fd, data, MIN(size, step), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        data += n;
        size -= (gsize) n;
    }
}

/* Under the lock. Whether the connection is to be closed. */
static gboolean spoil(struct mock *mock, int fd, char *request, gsize request_bytes,
                      const struct mock_exchange *exchange)
{
    gboolean is_target = !mock->target || strcmp(mock->target, exchange->name) == 0;
    enum mock_kind kind = is_target ? mock->kind : MOCK_PLAIN;
    GBytes *answer = is_target && mock->answer ? g_bytes_ref(mock->answer) : mock_answer(exchange, NULL, NULL, 0);
    gsize size = 0;
    const char *data = g_bytes_get_data(answer, &size);
    if (kind == MOCK_CUT || kind == MOCK_RESET || kind == MOCK_STALL)
        size = MIN(size, mock->size);
    /* Closing a unix socket with something unread resets it, after what was sent has arrived. */
    if (recv(fd, request, kind == MOCK_RESET ? request_bytes - 1 : request_bytes, MSG_WAITALL) < 0)
        g_warning("mock: recv: %s", g_strerror(errno));
    guint plan = mock->plans;
    g_mutex_unlock(&mock->lock);
    send_bytes(fd, data, size, kind == MOCK_TRICKLE ? 1 : G_MAXSSIZE);
    g_mutex_lock(&mock->lock);
    g_bytes_unref(answer);
    if (kind != MOCK_STALL || mock->plans != plan) /* another plan came meanwhile, and let go of what was held */
        return TRUE;
    g_array_append_val(mock->held, fd);
    return FALSE;
}

static void serve(struct mock *mock, int fd)
{
    g_autofree char *buffer = g_malloc(REQUEST_MAX + 1);
    gsize size = 0;
    char *request = peek_request(fd, buffer, &size);
    if (!request) {
        close(fd);
        return;
    }
    static const char nothing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 23\r\n\r\n{\"message\":\"not known\"}\n";
    const struct mock_exchange *exchange = find(mock, request);
    g_mutex_lock(&mock->lock);
    gboolean ended = TRUE;
    if (exchange) {
        guint count = GPOINTER_TO_UINT(g_hash_table_lookup(mock->counts, exchange->name));
        g_hash_table_insert(mock->counts, exchange->name, GUINT_TO_POINTER(count + 1));
        ended = spoil(mock, fd, request, size, exchange);
    } else {
        mock->unknown++;
        request[MIN(size, strcspn(request, "\r"))] = '\0';
        g_printerr("mock: not recorded: %s\n", request);
        send_bytes(fd, nothing, sizeof nothing - 1, G_MAXSSIZE);
    }
    g_mutex_unlock(&mock->lock);
    if (ended)
        close(fd);
}

struct visit {
    struct mock *mock;
    int fd;
};

static gpointer serve_thread(gpointer data)
{
    struct visit *visit = data;
    serve(visit->mock, visit->fd);
    g_free(visit);
    return NULL;
}

/* An attached connection must not keep the next request waiting. */
static void take(struct mock *mock, int fd)
{
    char start[256] = "";
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    if (poll(&entry, 1, WAIT_MS) <= 0 || recv(fd, start, sizeof start - 1, MSG_PEEK) <= 0 ||
        !strstr(start, "/attach?")) {
        serve(mock, fd);
        return;
    }
    struct visit *visit = g_new(struct visit, 1);
    *visit = (struct visit){mock, fd};
    g_mutex_lock(&mock->lock);
    g_ptr_array_add(mock->streams, g_thread_new("stream", serve_thread, visit));
    g_mutex_unlock(&mock->lock);
}

static gpointer run(gpointer data)
{
    struct mock *mock = data;
    for (;;) {
        struct pollfd fds[] = {{.fd = mock->listener, .events = POLLIN}, {.fd = mock->stop[0], .events = POLLIN}};
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        int fd = accept4(mock->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            take(mock, fd);
    }
}

static void let_go(struct mock *mock)
{
    for (guint i = 0; i < mock->held->len; i++)
        close(g_array_index(mock->held, int, i));
    g_array_set_size(mock->held, 0);
}

static void join_streams(struct mock *mock)
{
    g_mutex_lock(&mock->lock);
    g_autoptr(GPtrArray) ended = g_steal_pointer(&mock->streams);
    mock->streams = g_ptr_array_new();
    g_mutex_unlock(&mock->lock);
    for (guint i = 0; i < ended->len; i++)
        g_thread_join(ended->pdata[i]);
}

void mock_plan(struct mock *mock, const char *target, enum mock_kind kind, gsize size, GBytes *answer)
{
    join_streams(mock);
    g_mutex_lock(&mock->lock);
    let_go(mock);
    mock->plans++;
    g_free(mock->target);
    mock->target = g_strdup(target);
    mock->kind = kind;
    mock->size = size;
    g_clear_pointer(&mock->answer, g_bytes_unref);
    mock->answer = answer ? g_bytes_ref(answer) : NULL;
    g_mutex_unlock(&mock->lock);
}

guint mock_unknown(struct mock *mock)
{
    g_mutex_lock(&mock->lock);
    guint unknown = mock->unknown;
    g_mutex_unlock(&mock->lock);
    return unknown;
}

guint mock_count(struct mock *mock, const char *name)
{
    g_mutex_lock(&mock->lock);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(mock->counts, name));
    g_mutex_unlock(&mock->lock);
    return count;
}

struct mock *mock_new(const char *fixture, const char *socket_path)
{
    struct mock *mock = g_new0(struct mock, 1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mock->exchanges = load(fixture);
    mock->held = g_array_new(FALSE, FALSE, sizeof(int));
    mock->streams = g_ptr_array_new();
    mock->counts = g_hash_table_new(g_str_hash, g_str_equal);
    mock->path = g_strdup(socket_path);
    g_mutex_init(&mock->lock);
    g_strlcpy(address.sun_path, socket_path, sizeof address.sun_path);
    mock->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (pipe2(mock->stop, O_CLOEXEC) < 0 || bind(mock->listener, (struct sockaddr *) &address, sizeof address) < 0 ||
        listen(mock->listener, 64) < 0)
        g_error("mock: %s: %s", socket_path, g_strerror(errno));
    mock->thread = g_thread_new("mock", run, mock);
    return mock;
}

void mock_free(struct mock *mock)
{
    if (write(mock->stop[1], "", 1) < 0)
        g_error("mock: %s", g_strerror(errno));
    g_thread_join(mock->thread);
    join_streams(mock);
    g_ptr_array_unref(mock->streams);
    let_go(mock);
    close(mock->listener);
    close(mock->stop[0]);
    close(mock->stop[1]);
    unlink(mock->path);
    g_ptr_array_unref(mock->exchanges);
    g_array_unref(mock->held);
    g_hash_table_unref(mock->counts);
    g_clear_pointer(&mock->answer, g_bytes_unref);
    g_mutex_clear(&mock->lock);
    g_free(mock->target);
    g_free(mock->path);
    g_free(mock);
}
