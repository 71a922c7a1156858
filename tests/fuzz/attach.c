/* SPDX-License-Identifier: MIT */
/*
 * Attaching: what an engine answers to the request (a refusal with its body, chunked or not), then its frames. The
 * connection is the input, in pieces of any size; libcurl is left out (meson.build wraps it).
 */
#include "engine/engine.h"
#include "fuzz.h"

#include <curl/curl.h>
#include <fcntl.h>

static struct fuzz_input wire;
static gsize step;
static gboolean blocked;
static int always_ready = -1;

gboolean __wrap_dsbe_http_connect(struct dsbe_http *http, guint timeout_ms, struct dsbe_line *line, GError **error);
void __wrap_dsbe_line_close(struct dsbe_line *line);
CURLcode __wrap_curl_easy_send(CURL *curl, const void *buffer, size_t size, size_t *done);
CURLcode __wrap_curl_easy_recv(CURL *curl, void *buffer, size_t size, size_t *done);

gboolean __wrap_dsbe_http_connect(struct dsbe_http *http, guint timeout_ms, struct dsbe_line *line, GError **error)
{
    (void) timeout_ms;
    (void) error;
    *line = (struct dsbe_line){.easy = http, .fd = always_ready, .cancel_fd = -1};
    return TRUE;
}

void __wrap_dsbe_line_close(struct dsbe_line *line) { PROMISE(line->fd == always_ready); }

CURLcode __wrap_curl_easy_send(CURL *curl, const void *buffer, size_t size, size_t *done)
{
    (void) curl;
    (void) buffer;
    *done = size;
    return CURLE_OK;
}

CURLcode __wrap_curl_easy_recv(CURL *curl, void *buffer, size_t size, size_t *done)
{
    (void) curl;
    PROMISE(size > 0);
    blocked = !blocked;
    if (blocked)
        return CURLE_AGAIN;
    *done = MIN(MIN(step, size), wire.size);
    for (gsize i = 0; i < *done; i++)
        ((uint8_t *) buffer)[i] = fuzz_byte(&wire);
    return CURLE_OK;
}

static void read_all(struct dsb_byte_stream *stream, gsize room)
{
    g_autofree uint8_t *buffer = g_malloc(room);
    for (;;) {
        g_autoptr(GError) error = NULL;
        gssize n = stream->read(stream->state, buffer, room, &error);
        PROMISE_ERROR(n >= 0, error);
        PROMISE(n <= (gssize) room);
        if (n == 0 || (n < 0 && !g_error_matches(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK)))
            break;
    }
    PROMISE(stream->diagnostic(stream->state) != NULL);
    stream->close(stream->state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dsbe_http *http;
    if (http == NULL) {
        http = dsbe_http_new(dsbe_endpoint_parse("unix:///run/engine.sock", FALSE, NULL), -1);
        always_ready = open("/dev/zero", O_RDWR | O_CLOEXEC);
    }
    wire = (struct fuzz_input){data, size};
    step = 1 + (gsize) fuzz_byte(&wire) * 16;
    gsize room = 1 + (gsize) fuzz_byte(&wire) * 64;
    struct dsb_byte_stream stream = {0};
    long status = 0;
    g_autoptr(GError) error = NULL;
    gboolean ok = dsbe_hijack(http, "/containers/x/attach", 10000, &stream, &status, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(status >= 0 && status <= 999);
    if (ok)
        read_all(&stream, room);
    return 0;
}
