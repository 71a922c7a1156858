/* SPDX-License-Identifier: MIT */
#include "broker/front.h"

#include "broker/connection.h"
#include "broker/origin.h"
#include "broker/process.h"
#include "common/strictjson.h"
#include "shared/ask.h"
#include "shared/settings.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (64u << 10)
#define SMALL_MAX (64u << 10)   /* of an answer that is an error */
#define BUFFER (1u << 20)       /* of requests that the process has not read yet */
#define SETTINGS_MAX (1u << 20)
#define JSON_DEPTH 32
#define JSON "application/json"

struct front_process {
    struct service *service;
    pid_t pid;
    int fd, pidfd;
    struct event_source death;
};

/* An answer on its way. */
struct front_answer {
    struct request *request;
    int fd;
    struct event_source reading;
    struct ask_head head;
    gsize had;       /* bytes of the head */
    gboolean begun;
    guint64 left;    /* of the body */
    GByteArray *small;
};

/* --- the process ----------------------------------------------------------------------- */

static void process_free(struct front_process *process)
{
    event_source_clear(&process->death);
    if (process->service->front == process)
        process->service->front = NULL;
    if (process->fd >= 0)
        close(process->fd);
    close(process->pidfd);
    g_free(process);
}

static gboolean on_death(gint fd, GIOCondition condition, gpointer data)
{
    struct front_process *process = data;
    struct service *service = process->service;
    siginfo_t info = {0};
    (void) fd;
    (void) condition;
    if (waitid(P_PID, (id_t) process->pid, &info, WEXITED) == 0 && (info.si_code != CLD_EXITED || info.si_status != 0))
        service_log("the process for /mcp ended: %s %d", info.si_code == CLD_EXITED ? "exit status" : "signal",
                    info.si_status);
    process_free(process);
    service_check_stop(service);
    return G_SOURCE_REMOVE;
}

static gboolean tell_settings(const struct service *service, int fd)
{
    const int room = BUFFER;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    pack_number(pack, FRAMES_VERSION);
    pack_text(pack, service->options.socket);
    pack_text(pack, service->options.mcp_settings);
    return g_unix_set_fd_nonblocking(fd, TRUE, NULL) && frame_send(fd, FRAME_SETTINGS, pack, NULL, 0);
}

/* 0, or an errno. */
static int process_new(struct service *service)
{
    int fds[2], pidfd = -1, code = 0;
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return errno;
    code = process_start("dsandbox-mcp", fds[1], &pid);
    close(fds[1]);
    if (code == 0 && ((pidfd = (int) syscall(SYS_pidfd_open, pid, 0)) < 0 || !tell_settings(service, fds[0]))) {
        code = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (code != 0) {
        close(fds[0]);
        if (pidfd >= 0)
            close(pidfd);
        return code;
    }
    struct front_process *process = g_new0(struct front_process, 1);
    *process = (struct front_process){.service = service, .pid = pid, .fd = fds[0], .pidfd = pidfd};
    event_source_set(&process->death, g_unix_fd_source_new(pidfd, G_IO_IN), G_SOURCE_FUNC(on_death), process);
    service->front = process;
    return 0;
}

void front_stop(struct service *service)
{
    struct front_process *process = service->front;
    if (process == NULL || process->fd < 0)
        return;
    close(process->fd);
    process->fd = -1;
}

void front_clear(struct service *service)
{
    if (service->front == NULL)
        return;
    kill(service->front->pid, SIGKILL);
    waitpid(service->front->pid, NULL, 0);
    process_free(service->front);
}

/* --- answers ----------------------------------------------------------------------------- */

static void answer_free(struct front_answer *answer)
{
    answer->request->front = NULL;
    answer->request->gone = NULL;
    event_source_clear(&answer->reading);
    close(answer->fd);
    g_byte_array_unref(answer->small);
    g_free(answer);
}

/* The process finds its socket closed. */
static void on_gone(struct request *request)
{
    request->drained = NULL;
    answer_free(request->front);
}

static void give_up(struct front_answer *answer, const char *why)
{
    struct request *request = answer->request;
    answer_free(answer);
    if (request->answered)
        request_cut(request);
    else
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_LOST, "the process for /mcp %s", why));
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data);

static void read_on(struct front_answer *answer)
{
    event_source_set(&answer->reading, g_unix_fd_source_new(answer->fd, G_IO_IN | G_IO_HUP | G_IO_ERR),
                     G_SOURCE_FUNC(on_readable), answer);
}

/* The client has taken all that there was. */
static void on_drained(struct request *request)
{
    struct front_answer *answer = request->front;
    if (answer->head.kind == ASK_EVENTS || answer->left > 0)
        read_on(answer);
}

static void set_session(struct request *request, const char *session)
{
    if (session[0] != '\0')
        soup_message_headers_replace(soup_server_message_get_response_headers(request->message), "Mcp-Session-Id",
                                     session);
}

/* The answer may be complete then, and gone. */
static void begin(struct front_answer *answer)
{
    struct request *request = answer->request;
    answer->begun = TRUE;
    answer->left = answer->head.size;
    set_session(request, answer->head.session);
    if (answer->head.kind == ASK_EVENTS) {
        request_stream_open(request, on_drained);
    } else if (answer->head.kind == ASK_EMPTY) {
        guint status = answer->head.status;
        answer_free(answer);
        request_answer_empty(request, status);
    } else if (answer->head.status == 200) {
        request_begin_bytes(request, JSON, answer->head.size, on_drained, on_gone);
    }
}

/* An error, which is answered when all of it is there. */
static void take_small(struct front_answer *answer, const guint8 *piece, gsize size)
{
    struct request *request = answer->request;
    g_byte_array_append(answer->small, piece, (guint) size);
    if (answer->left > 0)
        return;
    g_autoptr(GByteArray) bytes = g_byte_array_ref(answer->small);
    guint status = answer->head.status;
    answer_free(answer);
    request_answer_text(request, status, JSON, (const char *) bytes->data, bytes->len);
}

static void take_piece(struct front_answer *answer, const guint8 *piece, gsize size)
{
    struct request *request = answer->request;
    if (answer->head.kind == ASK_EVENTS) {
        event_source_clear(&answer->reading); /* until it is drained */
        request_stream_add(request, (const char *) piece, size);
        return;
    }
    if (size > answer->left || (answer->head.status != 200 && answer->head.size > SMALL_MAX)) {
        give_up(answer, "gave another answer than it said");
        return;
    }
    answer->left -= size;
    if (answer->head.status != 200) {
        take_small(answer, piece, size);
        return;
    }
    event_source_clear(&answer->reading);
    g_autoptr(GBytes) bytes = g_bytes_new(piece, size);
    request_add_bytes(request, bytes);
}

static void on_end(struct front_answer *answer)
{
    struct request *request = answer->request;
    if (!answer->begun || answer->head.kind != ASK_EVENTS) {
        give_up(answer, "ended before its answer");
        return;
    }
    request->drained = NULL;
    answer_free(answer);
    request_event_end(request);
}

static void take_head(struct front_answer *answer)
{
    char *to = (char *) &answer->head + answer->had;
    ssize_t n = read(answer->fd, to, sizeof answer->head - answer->had);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    answer->had += n > 0 ? (gsize) n : 0;
    if (n <= 0)
        on_end(answer);
    else if (answer->had == sizeof answer->head && !ask_head_is_good(&answer->head))
        give_up(answer, "gave no proper answer");
    else if (answer->had == sizeof answer->head)
        begin(answer);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    struct front_answer *answer = data;
    guint8 piece[PIECE];
    (void) condition;
    if (!answer->begun) {
        take_head(answer);
        return G_SOURCE_CONTINUE;
    }
    ssize_t n = read(fd, piece, sizeof piece);
    if (n > 0)
        take_piece(answer, piece, (gsize) n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        on_end(answer);
    return G_SOURCE_CONTINUE;
}

/* --- requests ------------------------------------------------------------------------------ */

static gboolean ask_process(struct request *request, int fd)
{
    const struct httprequest *http = request->http;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    struct ask ask = {.method = http->method,
                      .type = http->type,
                      .version = http->mcp_version,
                      .mcp_method = http->mcp_method,
                      .mcp_name = http->mcp_name,
                      .session = http->mcp_session,
                      .json = httprequest_quality(http->accept, JSON) > 0,
                      .events = httprequest_quality(http->accept, "text/event-stream") > 0};
    ask.body = g_bytes_get_data(request->body, &ask.size);
    if (ask.body == NULL)
        ask.body = "";
    ask_pack(pack, &ask);
    return frame_send(request->service->front->fd, FRAME_ASK, pack, &fd, 1);
}

static void pass_on(struct request *request)
{
    int fds[2] = {-1, -1};
    int code = request->service->front == NULL ? process_new(request->service) : 0;
    if (code == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        code = errno;
    else if (code == 0 && !ask_process(request, fds[1]))
        code = errno;
    if (fds[1] >= 0)
        close(fds[1]);
    if (code != 0) {
        if (fds[0] >= 0)
            close(fds[0]);
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                                          "nothing was done: the process for /mcp cannot be reached: %s; try again",
                                          g_strerror(code)));
        return;
    }
    struct front_answer *answer = g_new0(struct front_answer, 1);
    *answer = (struct front_answer){.request = request, .fd = fds[0], .small = g_byte_array_new()};
    request->front = answer;
    request_hold(request, on_gone);
    read_on(answer);
}

void front_request(struct request *request)
{
    const struct httprequest *http = request->http;
    if (origin_is_good(connection_reach(request->message), http->host, http->origin))
        pass_on(request);
    else
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_DENIED,
                                          "this is not for web pages: Host or Origin is not that of this service"));
}

/* --- settings -------------------------------------------------------------------------------- */

static gboolean check_settings(const char *text, gsize size, GError **error)
{
    struct json_object *body =
        dsb_json_parse_request(text, size, JSON_DEPTH, "the file", DSB_ERROR_INVALID, error);
    struct settings *settings = body != NULL ? settings_read(body, NULL, error) : NULL;
    gboolean good = settings != NULL && settings->id == NULL && !settings->exist_ok;
    if (settings != NULL && !good)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "'id' and 'exist_ok' are each session's own");
    settings_free(settings);
    json_object_put(body);
    return good;
}

char *front_read_settings(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) local = NULL;
    gsize size = 0;
    if (path == NULL)
        return g_strdup("{}");
    if (!g_file_get_contents(path, &text, &size, &local)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--mcp: %s", local->message);
        return NULL;
    }
    if (size <= SETTINGS_MAX && check_settings(text, size, error))
        return g_steal_pointer(&text);
    if (size > SETTINGS_MAX)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "it has more than %u bytes", SETTINGS_MAX);
    g_prefix_error(error, "--mcp: %s: ", path);
    return NULL;
}
