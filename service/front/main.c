/* SPDX-License-Identifier: MIT */
/* The process that answers /mcp: from its start to its end, which is that of the service's end of its descriptor. */
#include "front/front.h"

#include "common/json.h"
#include "common/names.h"
#include "shared/settings.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CONTROL 3
#define ASKS_AT_ONCE 16
#define CALLS_MAX 128
#define TICK_MS 150
#define END_MS 1000 /* for calls to end when the service has gone */
#define PATH_MAX_BYTES 4096
#define SETTINGS_MAX (1u << 20)

/* --- calls ----------------------------------------------------------------------------- */

static gboolean on_tick(void *data)
{
    struct front *front = data;
    mcp_server_progress(&front->server, g_get_monotonic_time());
    return mcp_server_has_listeners(&front->server) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void on_begin(void *data, struct mcp_call *call)
{
    struct front *front = data;
    mcp_calls_begin(&front->calls, call);
    if (!event_source_is_set(&front->tick) && mcp_server_has_listeners(&front->server))
        event_source_timeout(&front->tick, TICK_MS, on_tick, front);
}

static void check_end(struct front *front)
{
    if (front->ending && g_hash_table_size(front->server.calls) == 0)
        g_main_loop_quit(front->loop);
}

static gboolean on_done(int fd, GIOCondition condition, void *data)
{
    struct front *front = data;
    (void) fd;
    (void) condition;
    mcp_calls_take(&front->calls, &front->server);
    check_end(front);
    return G_SOURCE_CONTINUE;
}

/* --- requests -------------------------------------------------------------------------- */

static gboolean on_late(void *data)
{
    g_main_loop_quit(((struct front *) data)->loop);
    return G_SOURCE_REMOVE;
}

static void begin_end(struct front *front)
{
    front->ending = TRUE;
    event_source_clear(&front->asks);
    mcp_server_cancel_all(&front->server);
    event_source_timeout(&front->late, END_MS, on_late, front);
    check_end(front);
}

static void take_ask(struct front *front, struct frame *frame)
{
    struct ask ask = {0};
    int fd = frame->fds[0];
    if (frame->type == FRAME_ASK && fd >= 0 && ask_unpack(frame, &ask) && g_unix_set_fd_nonblocking(fd, TRUE, NULL)) {
        frame->fds[0] = -1;
        exchange_begin(front, &ask, fd);
    }
    ask_clear(&ask);
}

static gboolean on_asks(int fd, GIOCondition condition, void *data)
{
    struct front *front = data;
    struct frame frame;
    int got = 1;
    (void) condition;
    for (guint i = 0; i < ASKS_AT_ONCE && got > 0; i++) {
        got = frame_receive(fd, &frame);
        if (got > 0) {
            take_ask(front, &frame);
            frame_clear(&frame);
        }
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EMFILE && errno != ENOMEM))
        begin_end(front);
    return G_SOURCE_CONTINUE;
}

/* --- its start --------------------------------------------------------------------------- */

/* What sessions are made with; the service has read it before. */
static gboolean set_up(struct mcp_setup *setup, const char *text, GError **error)
{
    struct json_object *body = json_tokener_parse(text);
    struct settings *settings = settings_read(body, NULL, error);
    json_object_put(body);
    if (settings == NULL)
        return FALSE;
    g_autofree char *allowed = settings->allow != NULL ? g_strjoinv(",", settings->allow) : NULL;
    mcp_setup_policy(setup, settings->policy, settings->image, allowed);
    setup->settings = g_strdup(text);
    settings_free(settings);
    return TRUE;
}

/* The first frame: what we are told before any request. */
static gboolean read_setup(struct mcp_setup *setup, GError **error)
{
    struct frame frame;
    if (frame_receive(CONTROL, &frame) <= 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "this program is started by dsandbox serve alone");
        return FALSE;
    }
    struct unpack unpack = unpack_frame(&frame);
    gboolean ours = frame.type == FRAME_SETTINGS && unpack_number(&unpack, G_MAXUINT64) == FRAMES_VERSION;
    setup->socket = unpack_text(&unpack, PATH_MAX_BYTES);
    g_autofree char *text = unpack_text(&unpack, SETTINGS_MAX);
    gboolean good = ours && !unpack.bad && setup->socket != NULL && text != NULL;
    if (!good)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the service is of another version");
    frame_clear(&frame);
    return good && set_up(setup, text, error);
}

static void begin(struct front *front, struct mcp_setup *setup)
{
    front->setup = setup;
    front->loop = g_main_loop_new(NULL, FALSE);
    front->visitors = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, visitor_free);
    g_queue_init(&front->open);
    mcp_server_init(&front->server, setup);
    front->server.calls_max = CALLS_MAX;
    front->server.send = exchange_send;
    front->server.begin = on_begin;
    front->server.data = front;
    event_source_set(&front->asks, g_unix_fd_source_new(CONTROL, G_IO_IN | G_IO_HUP), G_SOURCE_FUNC(on_asks), front);
    event_source_set(&front->done, g_unix_fd_source_new(front->calls.wake_fd, G_IO_IN), G_SOURCE_FUNC(on_done), front);
}

static void clear(struct front *front)
{
    struct exchange *exchange;
    while ((exchange = g_queue_peek_head(&front->open)) != NULL)
        exchange_free(exchange);
    event_source_clear(&front->done);
    event_source_clear(&front->tick);
    event_source_clear(&front->late);
    mcp_server_clear(&front->server);
    mcp_calls_clear(&front->calls);
    g_hash_table_unref(front->visitors);
    g_main_loop_unref(front->loop);
}

int main(void)
{
    static struct mcp_setup setup; /* a thread may still read it at the end */
    static struct front front;
    g_autoptr(GError) error = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (!read_setup(&setup, &error) || !mcp_calls_init(&front.calls, &error) ||
        !g_unix_set_fd_nonblocking(CONTROL, TRUE, &error)) {
        g_printerr("dsandbox-mcp: %s\n", error->message);
        return DSB_EXIT_OURS;
    }
    begin(&front, &setup);
    g_main_loop_run(front.loop);
    /* A thread that has not ended yet has all of it. */
    if (g_hash_table_size(front.server.calls) > 0)
        _exit(0);
    clear(&front);
    return 0;
}
