/* SPDX-License-Identifier: MIT */
/*
 * An attached connection: request written by hand on a CONNECT_ONLY handle, then the engine's framing
 * is removed on the way in and bytes go out as they are. One thread at a time may use a stream.
 */
#include "engine/engine.h"

#include <curl/curl.h>
#include <poll.h>
#include <string.h>

#define HEAD_MAX (16 * 1024)
#define ERROR_BODY_MAX (16 * 1024)
#define RAW_SIZE (64 * 1024)

struct hijack {
    struct dsbe_line line;
    gsize raw_start, raw_end; /* unread part of raw */
    gboolean ended;
    struct dsbe_demux demux;
    guint8 raw[RAW_SIZE];
};

static void hijack_close(void *state)
{
    struct hijack *hijack = state;
    dsbe_line_close(&hijack->line); /* closes the descriptor */
    g_free(hijack);
}

typedef struct hijack hijack_state;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hijack_state, hijack_close)

static gboolean wait_for(const struct hijack *hijack, short events, gint64 deadline, GError **error)
{
    switch (dsbe_wait(hijack->line.fd, events, deadline, hijack->line.cancel_fd)) {
    case DSBE_WAIT_READY:
        return TRUE;
    case DSBE_WAIT_CANCELLED:
        return dsbe_set_cancelled(error);
    case DSBE_WAIT_TIMEOUT:
    default:
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "the engine did not answer the attach in time");
        return FALSE;
    }
}

/* Over TLS the bytes go out by write(), which can raise SIGPIPE. */
static CURLcode send_some(struct hijack *hijack, const void *data, gsize size, size_t *done)
{
    if (!hijack->line.tls)
        return curl_easy_send(hijack->line.easy, data, size, done);
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard);
    CURLcode code = curl_easy_send(hijack->line.easy, data, size, done);
    dsbe_sigpipe_restore(&guard);
    return code;
}

static CURLcode receive(struct hijack *hijack, void *data, gsize size, size_t *done)
{
    if (!hijack->line.tls)
        return curl_easy_recv(hijack->line.easy, data, size, done);
    struct dsbe_sigpipe guard; /* a renegotiation writes */
    dsbe_sigpipe_block(&guard);
    CURLcode code = curl_easy_recv(hijack->line.easy, data, size, done);
    dsbe_sigpipe_restore(&guard);
    return code;
}

static gboolean send_all(struct hijack *hijack, const char *data, gsize size, gint64 deadline, GError **error)
{
    while (size > 0) {
        size_t done = 0;
        CURLcode code = send_some(hijack, data, size, &done);
        if (code == CURLE_AGAIN) {
            if (!wait_for(hijack, POLLOUT, deadline, error))
                return FALSE;
            continue;
        }
        if (code != CURLE_OK) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "sending to the engine failed: %s",
                        curl_easy_strerror(code));
            return FALSE;
        }
        data += done;
        size -= done;
    }
    return TRUE;
}

/* More bytes behind what is there; *ended when there will be none. */
static gboolean receive_some(struct hijack *hijack, gsize limit, gint64 deadline, gboolean *ended, GError **error)
{
    if (hijack->raw_end >= limit) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LIMIT, "the engine's answer is too large");
        return FALSE;
    }
    for (;;) {
        size_t done = 0;
        CURLcode code = receive(hijack, hijack->raw + hijack->raw_end, limit - hijack->raw_end, &done);
        if (code == CURLE_AGAIN) {
            if (!wait_for(hijack, POLLIN, deadline, error))
                return FALSE;
            continue;
        }
        if (code != CURLE_OK) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "receiving from the engine failed: %s",
                        curl_easy_strerror(code));
            return FALSE;
        }
        hijack->raw_end += done;
        *ended = done == 0;
        return TRUE;
    }
}

static gboolean read_head(struct hijack *hijack, struct dsbe_head *head, gint64 deadline, GError **error)
{
    gboolean ended = FALSE;
    for (;;) {
        int verdict = dsbe_head_parse((const char *) hijack->raw, hijack->raw_end, head);
        if (verdict > 0)
            return TRUE;
        if (verdict < 0 || ended) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL,
                                verdict < 0 ? "the engine's answer to attach is not HTTP"
                                            : "the engine closed the connection without an answer to attach");
            return FALSE;
        }
        if (!receive_some(hijack, HEAD_MAX, deadline, &ended, error))
            return FALSE;
    }
}

/* The error body, as much of it as matters, without waiting for the connection's end when its size is known. */
static gboolean refuse(struct hijack *hijack, const struct dsbe_head *head, gint64 deadline, long *status,
                       GError **error)
{
    gsize want = ERROR_BODY_MAX;
    if (head->content_length >= 0)
        want = MIN(want, (gsize) head->content_length);
    gboolean ended = FALSE;
    while (!ended && hijack->raw_end < head->size + want) {
        if (head->chunked &&
            g_strstr_len((const char *) hijack->raw + head->size, (gssize) (hijack->raw_end - head->size), "\r\n0\r\n"))
            break;
        if (!receive_some(hijack, head->size + want, deadline, &ended, error))
            return FALSE;
    }
    const char *body = (const char *) hijack->raw + head->size;
    gsize size = hijack->raw_end - head->size;
    const char *brace = head->chunked ? memchr(body, '{', size) : NULL; /* skip the chunk's size */
    const char *tail = brace ? g_strrstr_len(brace, (gssize) (size - (gsize) (brace - body)), "}") : NULL;
    g_autofree char *message =
        tail ? dsbe_http_message(brace, (gsize) (tail - brace) + 1) : dsbe_http_message(body, size);
    *status = head->status;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_FAILED, message);
    return FALSE;
}

static gssize hijack_read(void *state, void *buffer, gsize size, GError **error)
{
    struct hijack *hijack = state;
    for (;;) {
        gsize consumed = 0, produced = 0;
        if (!dsbe_demux_run(&hijack->demux, hijack->raw + hijack->raw_start, hijack->raw_end - hijack->raw_start,
                            &consumed, buffer, size, &produced, error))
            return -1;
        hijack->raw_start += consumed;
        if (produced > 0)
            return (gssize) produced;
        if (hijack->ended)
            return 0;
        size_t done = 0;
        CURLcode code = receive(hijack, hijack->raw, RAW_SIZE, &done);
        if (code == CURLE_AGAIN) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "nothing to read now");
            return -1;
        }
        /* A reset is how an engine that dies, or a removed container, ends the stream. */
        hijack->ended = code != CURLE_OK || done == 0;
        hijack->raw_start = 0;
        hijack->raw_end = hijack->ended ? 0 : done;
    }
}

static gssize hijack_write(void *state, const void *buffer, gsize size, GError **error)
{
    struct hijack *hijack = state;
    size_t done = 0;
    CURLcode code = send_some(hijack, buffer, size, &done);
    if (code == CURLE_OK && done > 0)
        return (gssize) done;
    if (code == CURLE_AGAIN || code == CURLE_OK)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "cannot write now");
    else
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LOST, "the stream to the container is closed");
    return -1;
}

static const char *hijack_diagnostic(void *state)
{
    struct hijack *hijack = state;
    return dsbe_demux_diagnostic(&hijack->demux);
}

gboolean dsbe_hijack(struct dsbe_http *http, const char *path, guint timeout_ms, struct dsb_byte_stream *stream,
                     long *status, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    const char *base = dsbe_http_endpoint(http)->base_url;
    const char *host = strstr(base, "://") + 3;
    const char *base_path = strchr(host, '/');
    g_autofree char *host_only = base_path ? g_strndup(host, (gsize) (base_path - host)) : g_strdup(host);
    g_autofree char *request =
        g_strdup_printf("POST %s%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                        "Content-Length: 0\r\n\r\n",
                        base_path ? base_path : "", path, host_only);
    struct dsbe_line line;
    if (!dsbe_http_connect(http, timeout_ms, &line, error))
        return FALSE;
    g_autoptr(hijack_state) hijack = g_new0(struct hijack, 1);
    hijack->line = line;
    struct dsbe_head head = {0};
    if (!send_all(hijack, request, strlen(request), deadline, error) || !read_head(hijack, &head, deadline, error))
        return FALSE;
    if (head.status != 101 && head.status != 200)
        return refuse(hijack, &head, deadline, status, error);
    hijack->raw_start = head.size;
    stream->read_fd = stream->write_fd = line.fd;
    stream->read = hijack_read;
    stream->write = hijack_write;
    stream->diagnostic = hijack_diagnostic;
    stream->close = hijack_close;
    stream->state = g_steal_pointer(&hijack);
    return TRUE;
}
