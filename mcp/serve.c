/* SPDX-License-Identifier: MIT */
/* The transport over standard streams: one message a line, and a thread for each call that takes time. */
#include "mcp/calls.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PIECE (64u << 10)
#define WRITE_PIECE 4096       /* a pipe that can be written takes so much without blocking */
#define OUTPUT_MAX (64u << 20) /* that the client has not read: nothing more of it is taken until it does */
#define OUTPUT_BUSY (1u << 20) /* then progress is not worth a message */
#define TICK_MS 150
#define END_MS 1000   /* for calls to end when the client has gone */
#define CLOSE_MS 1500

struct serve {
    struct mcp_server server;
    struct mcp_peer peer;
    struct mcp_calls calls;
    int in_fd, out_fd, cancel_fd;
    GByteArray *input;
    guint scanned;
    gboolean skipping, ended; /* the rest of a message that is too long; nobody is there any more */
    GString *output;
    gsize written;
};

/* --- lines ------------------------------------------------------------------------- */

static void on_begin(void *data, struct mcp_call *call) { mcp_calls_begin(&((struct serve *) data)->calls, call); }

static void on_send(void *data, void *origin, enum mcp_sent what, char *line)
{
    struct serve *serve = data;
    (void) origin;
    if (what == MCP_SENT_NOTHING)
        return;
    g_string_append(serve->output, line);
    g_string_append_c(serve->output, '\n');
    g_free(line);
}

static gboolean is_blank(const char *line, gsize size) { return strspn(line, " \t\r") >= size; }

static void take_line(struct serve *serve, const char *line, gsize size)
{
    if (serve->skipping)
        serve->skipping = FALSE;
    else if (!is_blank(line, size))
        mcp_server_take(&serve->server, &serve->peer, NULL, mcp_read(line, size));
}

static void take_lines(struct serve *serve)
{
    GByteArray *input = serve->input;
    const guint8 *newline;
    guint begin = 0;
    while ((newline = memchr(input->data + serve->scanned, '\n', input->len - serve->scanned)) != NULL) {
        guint end = (guint) (newline - input->data);
        input->data[end] = '\0';
        take_line(serve, (const char *) input->data + begin, end - begin);
        begin = serve->scanned = end + 1;
    }
    g_byte_array_remove_range(input, 0, begin);
    if (input->len > MCP_MESSAGE_MAX) {
        if (!serve->skipping)
            mcp_server_take(&serve->server, &serve->peer, NULL, mcp_too_long());
        serve->skipping = TRUE;
        g_byte_array_set_size(input, 0);
    }
    serve->scanned = input->len;
}

static gboolean read_input(struct serve *serve, GError **error)
{
    guint before = serve->input->len;
    g_byte_array_set_size(serve->input, before + PIECE);
    ssize_t n = read(serve->in_fd, serve->input->data + before, PIECE);
    int number = errno;
    g_byte_array_set_size(serve->input, before + (n > 0 ? (guint) n : 0));
    serve->ended = n == 0;
    if (n > 0)
        take_lines(serve);
    if (n >= 0 || number == EINTR || number == EAGAIN)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot read the client's messages: %s", g_strerror(number));
    return FALSE;
}

static gboolean write_output(struct serve *serve, GError **error)
{
    gsize left = serve->output->len - serve->written;
    ssize_t n = write(serve->out_fd, serve->output->str + serve->written, MIN(left, WRITE_PIECE));
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        /* Nobody reads any more: that is an end as any other. */
        serve->ended = errno == EPIPE;
        g_string_truncate(serve->output, 0);
        serve->written = 0;
        if (!serve->ended)
            g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write to the client: %s", g_strerror(errno));
        return serve->ended;
    }
    serve->written += n > 0 ? (gsize) n : 0;
    if (serve->written == serve->output->len) {
        g_string_truncate(serve->output, 0);
        serve->written = 0;
    }
    return TRUE;
}

/* --- the loop ------------------------------------------------------------------------ */

static gsize waiting(const struct serve *serve) { return serve->output->len - serve->written; }

static gboolean turn(struct serve *serve, GError **error)
{
    struct pollfd fds[] = {
        {waiting(serve) < OUTPUT_MAX ? serve->in_fd : -1, POLLIN, 0},
        {waiting(serve) > 0 ? serve->out_fd : -1, POLLOUT, 0},
        {serve->calls.wake_fd, POLLIN, 0},
        {serve->cancel_fd, POLLIN, 0},
    };
    if (poll(fds, G_N_ELEMENTS(fds), mcp_server_has_listeners(&serve->server) ? TICK_MS : -1) < 0)
        return TRUE;
    if (fds[3].revents != 0) {
        serve->ended = TRUE;
        return TRUE;
    }
    if (fds[2].revents != 0)
        mcp_calls_take(&serve->calls, &serve->server);
    if (fds[1].revents != 0 && !write_output(serve, error))
        return FALSE;
    if (fds[0].revents != 0 && !serve->ended && !read_input(serve, error))
        return FALSE;
    if (waiting(serve) < OUTPUT_BUSY)
        mcp_server_progress(&serve->server, g_get_monotonic_time());
    return TRUE;
}

/* Calls end, and what was answered is written, as far as both are a matter of a moment. */
static void drain(struct serve *serve)
{
    gint64 end = g_get_monotonic_time() + END_MS * INT64_C(1000);
    while (waiting(serve) > 0 || g_hash_table_size(serve->server.calls) > 0) {
        gint64 left = (end - g_get_monotonic_time()) / 1000;
        struct pollfd fds[] = {{waiting(serve) > 0 ? serve->out_fd : -1, POLLOUT, 0}, {serve->calls.wake_fd, POLLIN, 0}};
        if (left <= 0 || poll(fds, G_N_ELEMENTS(fds), (int) left) == 0)
            return;
        if (fds[1].revents != 0)
            mcp_calls_take(&serve->calls, &serve->server);
        if (fds[0].revents != 0 && !write_output(serve, NULL))
            return;
    }
}

/* Our own session ends with us. Where there is no service there is none. */
static void close_session(const struct serve *serve)
{
    const struct mcp_setup *setup = serve->server.setup;
    g_autoptr(GError) error = NULL;
    if (!setup->temporary || !serve->server.used_default)
        return;
    g_autoptr(dsb_client) client = dsb_client_connect(DSB_CLIENT_TRY, -1, &error);
    g_autofree char *path = dsb_client_path("/v1/sessions/%s?files=1", setup->session);
    if (client != NULL)
        dsb_client_call(client, "DELETE", path, NULL, CLOSE_MS, NULL, &error);
    if (error != NULL)
        g_debug("the end of session %s: %s", setup->session, error->message);
}

gboolean mcp_serve(const struct mcp_setup *setup, int in_fd, int out_fd, int cancel_fd, GError **error)
{
    struct mcp_calls calls;
    gboolean ok = TRUE;
    if (!mcp_calls_init(&calls, error))
        return FALSE;
    struct serve *serve = g_new0(struct serve, 1);
    serve->calls = calls;
    mcp_server_init(&serve->server, setup);
    serve->server.send = on_send;
    serve->server.begin = on_begin;
    serve->server.data = serve;
    serve->in_fd = in_fd;
    serve->out_fd = out_fd;
    serve->cancel_fd = cancel_fd;
    serve->peer.name = "";
    serve->input = g_byte_array_new();
    serve->output = g_string_new(NULL);
    while (ok && !serve->ended)
        ok = turn(serve, error);
    mcp_server_cancel_all(&serve->server);
    drain(serve);
    close_session(serve);
    /* A thread that has not ended yet has all of it: the process ends now, and it with it. */
    if (g_hash_table_size(serve->server.calls) > 0)
        return ok;
    mcp_calls_clear(&serve->calls);
    mcp_server_clear(&serve->server);
    g_byte_array_unref(serve->input);
    g_string_free(serve->output, TRUE);
    g_free(serve);
    return ok;
}
