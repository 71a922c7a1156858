/* SPDX-License-Identifier: MIT */
#include "client/http.h"

#include "client/alive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_MAX (64u << 10)
#define PIECE (64u << 10)
#define SEND_SECONDS 20 /* without taking a byte */

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, TO_EOF, DONE };

static gboolean gone(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "the service went away before its answer%s%s",
                what != NULL ? ": " : "", what != NULL ? what : "");
    return FALSE;
}

/* A request that was not read to its end is not done: only then is a connection reset. */
static gboolean not_taken(const struct http *http, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                "no service answers at %s: it ended before it took the request", http->path);
    return FALSE;
}

static gboolean not_http(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the service's answer is not HTTP as it should be: %s", what);
    return FALSE;
}

void http_close(struct http *http)
{
    if (http->fd >= 0)
        close(http->fd);
    http->fd = -1;
    g_clear_pointer(&http->answer.head, g_byte_array_unref);
}

static gboolean is_cancelled(const struct http *http, GError **error)
{
    struct pollfd fd = {http->cancel_fd, POLLIN, 0};
    if (poll(&fd, 1, 0) <= 0)
        return FALSE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled");
    return TRUE;
}

/* Only a queue that is full keeps us waiting: of a service that takes no connections. */
static gboolean connect_to(struct http *http, const struct sockaddr_un *address, GError **error)
{
    const struct timeval limit = {.tv_sec = SEND_SECONDS};
    setsockopt(http->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    while (connect(http->fd, (const struct sockaddr *) address, sizeof *address) < 0) {
        if (errno == EAGAIN)
            return service_is_silent(http->path, error);
        if (errno != EINTR) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "no service answers at %s: %s", http->path,
                        g_strerror(errno));
            return FALSE;
        }
        if (is_cancelled(http, error))
            return FALSE;
    }
    return TRUE;
}

/* Connect, or see that the connection of the last call is still there. */
static gboolean http_connect(struct http *http, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pollfd fd = {http->fd, POLLIN, 0};
    /* Nothing may come between answers: what does is the end of the connection. */
    if (http->fd >= 0 && poll(&fd, 1, 0) == 0)
        return TRUE;
    http_close(http);
    if (strlen(http->path) >= sizeof address.sun_path) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the socket's path %s is too long", http->path);
        return FALSE;
    }
    strcpy(address.sun_path, http->path);
    http->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (http->fd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot make a socket: %s", g_strerror(errno));
        return FALSE;
    }
    if (connect_to(http, &address, error))
        return TRUE;
    http_close(http);
    return FALSE;
}

static gboolean wait_for_room(struct http *http, GError **error)
{
    struct pollfd fds[] = {{http->fd, POLLOUT, 0}, {http->cancel_fd, POLLIN, 0}};
    if (poll(fds, G_N_ELEMENTS(fds), SEND_SECONDS * 1000) == 0)
        return service_is_silent(http->path, error);
    return !is_cancelled(http, error);
}

static gboolean send_all(struct http *http, const void *bytes, gsize size, GError **error)
{
    const guint8 *from = bytes;
    while (size > 0) {
        ssize_t n = send(http->fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN && !wait_for_room(http, error))
            return FALSE;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return not_taken(http, error);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return gone(g_strerror(errno), error);
        http->sent |= n > 0;
        from += n > 0 ? n : 0;
        size -= n > 0 ? (gsize) n : 0;
    }
    return TRUE;
}

/* The answer's members are set anew. */
static gboolean begin(struct http *http, GError **error)
{
    struct http_answer *answer = &http->answer;
    http->sent = FALSE;
    if (!http_connect(http, error))
        return FALSE;
    if (answer->head == NULL)
        answer->head = g_byte_array_new();
    g_byte_array_set_size(answer->head, 0);
    answer->status = 0;
    answer->length = 0;
    answer->events = answer->done = FALSE;
    answer->keep = TRUE;
    answer->state = HEAD;
    return TRUE;
}

/* A service that refuses early may close before it has read all: its answer counts then, not our failure. */
static gboolean refused_early(struct http *http, GError **error, GError *local)
{
    struct pollfd fd = {http->fd, POLLIN, 0};
    if (poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN)) {
        g_error_free(local);
        return TRUE;
    }
    http_close(http);
    g_propagate_error(error, local);
    return FALSE;
}

gboolean http_send(struct http *http, const char *method, const char *path, const char *type, gboolean events,
                   const void *body, gsize size, GError **error)
{
    GError *local = NULL;
    if (!begin(http, error))
        return FALSE;
    g_autofree char *head =
        g_strdup_printf("%s %s HTTP/1.1\r\nHost: dsandbox\r\n%s%s%s%sContent-Length: %zu\r\n\r\n", method, path,
                        type != NULL ? "Content-Type: " : "", type != NULL ? type : "", type != NULL ? "\r\n" : "",
                        events ? "Accept: text/event-stream\r\n" : "", size);
    return (send_all(http, head, strlen(head), &local) && send_all(http, body, size, &local)) ||
           refused_early(http, error, local);
}

static gboolean send_chunk(struct http *http, const void *bytes, gsize size, GError **error)
{
    char line[32];
    int length = snprintf(line, sizeof line, "%zx\r\n", size);
    return send_all(http, line, (gsize) length, error) && send_all(http, bytes, size, error) &&
           send_all(http, "\r\n", 2, error);
}

gboolean http_send_pieces(struct http *http, const char *method, const char *path, const char *type,
                          gssize (*read)(void *data, void *into, gsize size, GError **error), void *data, GError **error)
{
    GError *local = NULL;
    gssize n = 1;
    if (!begin(http, error))
        return FALSE;
    g_autofree char *head =
        g_strdup_printf("%s %s HTTP/1.1\r\nHost: dsandbox\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
                        method, path, type);
    g_autofree guint8 *piece = g_malloc(PIECE);
    gboolean ok = send_all(http, head, strlen(head), &local);
    while (ok && n > 0) {
        n = read(data, piece, PIECE, error);
        if (n < 0) {
            http_close(http);
            return FALSE;
        }
        ok = send_chunk(http, piece, (gsize) n, &local); /* the last has no content */
    }
    return ok || refused_early(http, error, local);
}

/* The value of a header line, NULL when it is another one. */
static const char *value_of(const char *line, const char *name)
{
    gsize size = strlen(name);
    if (g_ascii_strncasecmp(line, name, size) != 0 || line[size] != ':')
        return NULL;
    return line + size + 1 + strspn(line + size + 1, " \t");
}

static gboolean take_header(struct http_answer *answer, const char *line, gboolean *chunked, gint64 *length,
                            GError **error)
{
    const char *value;
    if ((value = value_of(line, "Content-Length")) != NULL) {
        guint64 number = 0;
        if (!g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &number, NULL))
            return not_http("Content-Length", error);
        *length = (gint64) number;
    } else if ((value = value_of(line, "Transfer-Encoding")) != NULL) {
        *chunked = g_ascii_strcasecmp(value, "chunked") == 0;
        if (!*chunked)
            return not_http("Transfer-Encoding", error);
    } else if ((value = value_of(line, "Connection")) != NULL) {
        answer->keep = g_ascii_strcasecmp(value, "close") != 0;
    } else if ((value = value_of(line, "Content-Type")) != NULL) {
        answer->events = g_str_has_prefix(value, "text/event-stream");
    }
    return TRUE;
}

static gboolean take_head(struct http_answer *answer, GError **error)
{
    gboolean chunked = FALSE;
    gint64 length = -1;
    g_byte_array_append(answer->head, (const guint8 *) "", 1);
    g_auto(GStrv) lines = g_strsplit((const char *) answer->head->data, "\r\n", -1);
    g_byte_array_set_size(answer->head, 0);
    if (lines[0] == NULL || !g_str_has_prefix(lines[0], "HTTP/1.") || strlen(lines[0]) < 12)
        return not_http("its first line", error);
    int status = (int) g_ascii_strtoll(lines[0] + 9, NULL, 10);
    if (status < 100 || status > 599)
        return not_http("its status", error);
    if (status < 200)
        return TRUE; /* an interim one: the next head is the answer's */
    for (char **line = lines + 1; *line != NULL; line++)
        if (!take_header(answer, *line, &chunked, &length, error))
            return FALSE;
    answer->status = status;
    answer->left = answer->length = length > 0 ? (guint64) length : 0;
    if (status == 204 || status == 304)
        answer->state = DONE;
    else if (chunked)
        answer->state = CHUNK_SIZE;
    else if (length >= 0)
        answer->state = length > 0 ? BODY : DONE;
    else
        answer->state = TO_EOF;
    return TRUE;
}

static gboolean take_line(struct http_answer *answer, GError **error)
{
    guint64 size = 0;
    g_byte_array_append(answer->head, (const guint8 *) "", 1);
    char *line = g_strstrip((char *) answer->head->data);
    line[strcspn(line, ";")] = '\0';
    if (answer->state == CHUNK_END) {
        answer->state = CHUNK_SIZE;
    } else if (answer->state == TRAILER) {
        answer->state = line[0] == '\0' ? DONE : TRAILER;
    } else {
        if (!g_ascii_string_to_unsigned(line, 16, 0, G_MAXINT64, &size, NULL))
            return not_http("a chunk's size", error);
        answer->left = size;
        answer->state = size > 0 ? CHUNK : TRAILER;
    }
    g_byte_array_set_size(answer->head, 0);
    return TRUE;
}

/* Lines are few and short: byte by byte is good enough. */
static gboolean take_byte(struct http_answer *answer, guint8 byte, GError **error)
{
    GByteArray *head = answer->head;
    g_byte_array_append(head, &byte, 1);
    if (head->len > HEAD_MAX)
        return not_http("a head without an end", error);
    if (byte != '\n')
        return TRUE;
    if (answer->state != HEAD)
        return take_line(answer, error);
    return head->len < 4 || memcmp(head->data + head->len - 4, "\r\n\r\n", 4) != 0 || take_head(answer, error);
}

gboolean http_feed(struct http_answer *answer, const guint8 *bytes, gsize size, GError **error)
{
    while (size > 0 && answer->state != DONE) {
        gsize n = 1;
        if (answer->state == BODY || answer->state == CHUNK || answer->state == TO_EOF) {
            n = answer->state == TO_EOF ? size : (gsize) MIN(answer->left, (guint64) size);
            answer->left -= answer->state == TO_EOF ? 0 : n;
            if (!answer->body(answer->data, bytes, n)) {
                g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LIMIT, "the service's answer is too large");
                return FALSE;
            }
            if (answer->left == 0 && answer->state != TO_EOF)
                answer->state = answer->state == BODY ? DONE : CHUNK_END;
        } else if (!take_byte(answer, *bytes, error)) {
            return FALSE;
        }
        bytes += n;
        size -= n;
    }
    answer->done = answer->state == DONE;
    return TRUE;
}

gboolean http_read(struct http *http, GError **error)
{
    guint8 piece[PIECE];
    struct http_answer *answer = &http->answer;
    ssize_t n = recv(http->fd, piece, sizeof piece, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return TRUE;
    if (n > 0) {
        if (!http_feed(answer, piece, (gsize) n, error)) {
            http_close(http);
            return FALSE;
        }
    } else if (answer->state == TO_EOF) {
        answer->done = TRUE;
        answer->keep = FALSE;
    } else {
        if (n < 0 && errno == ECONNRESET && answer->status == 0 && answer->head->len == 0)
            not_taken(http, error);
        else
            gone(n < 0 ? g_strerror(errno) : NULL, error);
        http_close(http);
        return FALSE;
    }
    if (answer->done && !answer->keep)
        http_close(http);
    return TRUE;
}

static gboolean too_late(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "the service did not answer in time");
    return FALSE;
}

static gboolean finish(struct http *http, struct watch *watch, guint timeout_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    while (!http->answer.done) {
        struct pollfd fds[] = {{http->fd, POLLIN, 0}, {watch_fd(watch), POLLIN, 0}, {http->cancel_fd, POLLIN, 0}};
        gint64 left = (deadline - g_get_monotonic_time() + 999) / 1000;
        if (timeout_ms > 0 && left <= 0)
            return too_late(error);
        if (poll(fds, G_N_ELEMENTS(fds), timeout_ms > 0 ? (int) MIN(left, G_MAXINT) : watch_ms(watch)) < 0)
            continue;
        if (fds[0].revents != 0) {
            watch_heard(watch);
            if (!http_read(http, error))
                return FALSE;
            continue;
        }
        if (is_cancelled(http, error))
            return FALSE;
        if (timeout_ms == 0 && !watch_turn(watch, fds[1].revents != 0, error))
            return FALSE;
    }
    return TRUE;
}

gboolean http_finish(struct http *http, guint timeout_ms, GError **error)
{
    struct watch watch;
    watch_begin(&watch, http->path);
    gboolean ok = finish(http, &watch, timeout_ms, error);
    watch_end(&watch);
    if (!ok)
        http_close(http);
    return ok;
}
