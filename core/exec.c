/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include "answer.h"
#include "userreport.h"
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Queue no more standard input than this: the code reads when it likes. */
#define STDIN_QUEUE (256u << 10)
/* What pid 1 may take on top of the time limit and the grace before we stop believing in it. */
#define SLACK_MS 5000

static gint64 now(void) { return g_get_monotonic_time(); }

static int until(gint64 deadline_us)
{
    gint64 left = (deadline_us - now() + 999) / 1000;
    return left <= 0 ? 0 : (int) MIN(left, G_MAXINT);
}

static gboolean lost(struct dsb_wire *wire, const char *when, GError **error)
{
    const char *said = wire->stream->diagnostic != NULL ? wire->stream->diagnostic(wire->stream->state) : NULL;
    g_set_error(error, DSB_ERROR, DSB_ERROR_LOST, "the container ended %s%s%s", when,
                said != NULL && said[0] != '\0' ? "; the engine said: " : "", said != NULL ? said : "");
    return FALSE;
}

static gboolean cancelled(GError **error)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CANCELLED, "cancelled by the caller");
    return FALSE;
}

gboolean dsb_exec_hello(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, char **text, GError **error)
{
    for (;;) {
        struct dsb_frame frame;
        g_autoptr(GError) local = NULL;
        if (!dsb_wire_fill(wire, error))
            return FALSE;
        if (dsb_wire_next(wire, &frame, &local)) {
            if (frame.type == DSB_FRAME_FAILURE)
                return dsb_answer_failure(&frame, error);
            if (frame.type != DSB_FRAME_HELLO)
                return dsb_answer_broken("another frame before hello", error);
            *text = g_strndup((const char *) frame.payload, frame.size);
            return TRUE;
        }
        if (local != NULL) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (wire->eof)
            return lost(wire, "before its first word", error);
        if (now() >= deadline_us) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT,
                                "the container did not say hello within the start timeout; raise start_timeout in the "
                                "policy if the machine is slow");
            return FALSE;
        }
        struct pollfd fds[2] = {{wire->stream->read_fd, POLLIN, 0}, {cancel_fd, POLLIN, 0}};
        if (!wire->more && poll(fds, 2, until(deadline_us)) > 0 && (fds[1].revents & POLLIN))
            return cancelled(error);
    }
}

static gboolean queue_json(struct dsb_wire *wire, enum dsb_frame_type type, uint32_t execution,
                           struct json_object *object)
{
    size_t size = 0;
    const char *text =
        json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    gboolean queued = text != NULL && dsb_wire_queue(wire, type, execution, text, size);
    json_object_put(object);
    return queued;
}

static void add_int(struct json_object *to, const char *key, uint64_t value)
{
    json_object_object_add(to, key, json_object_new_int64((int64_t) value));
}

/* The whole environment of the code. */
static struct json_object *env_json(const struct dsb_resolved *limits, const char *const *more)
{
    struct json_object *env = json_object_new_object();
    for (gsize i = 0; i < limits->spec.n_env; i++)
        json_object_object_add(env, limits->spec.env[i].name, json_object_new_string(limits->spec.env[i].value));
    for (const char *const *pair = more; pair != NULL && *pair != NULL; pair++) {
        const char *equals = strchr(*pair, '=');
        g_autofree char *name = g_strndup(*pair, equals != NULL ? (gsize) (equals - *pair) : strlen(*pair));
        json_object_object_add(env, name, json_object_new_string(equals != NULL ? equals + 1 : ""));
    }
    return env;
}

static struct json_object *exec_json(const struct dsb_exec *exec, const struct dsb_request *request)
{
    const struct dsb_resolved *limits = exec->limits;
    struct json_object *object = json_object_new_object();
    struct json_object *argv = json_object_new_array();
    for (const char *const *arg = request->argv; arg != NULL && *arg != NULL; arg++)
        json_object_array_add(argv, json_object_new_string(*arg));
    json_object_object_add(object, "code", json_object_new_string_len(request->code, (int) request->code_size));
    json_object_object_add(object, "filename",
                           json_object_new_string(request->filename != NULL ? request->filename : "<sandbox>"));
    json_object_object_add(object, "argv", argv);
    if (!exec->session || request->env != NULL) /* a session has it from the configuration, and keeps it */
        json_object_object_add(object, "env", env_json(limits, request->env));
    add_int(object, "timeout_ms", exec->timeout_ms);
    add_int(object, "grace_ms", limits->grace_ms);
    add_int(object, "output_limit", limits->output_limit);
    json_object_object_add(object, "output_kill", json_object_new_boolean(limits->output_kill));
    return object;
}

void dsb_exec_configure(struct dsb_wire *wire, const struct dsb_resolved *limits, gboolean session, gboolean checkpoint)
{
    struct json_object *object = json_object_new_object();
    add_int(object, "idle_ms", limits->idle_ms);
    add_int(object, "life_ms", limits->life_ms);
    json_object_object_add(object, "preload", json_object_new_array());
    if (session) {
        json_object_object_add(object, "session", json_object_new_boolean(TRUE));
        json_object_object_add(object, "checkpoint", json_object_new_boolean(checkpoint));
        json_object_object_add(object, "env", env_json(limits, NULL));
        add_int(object, "memory", limits->spec.memory_bytes);
    }
    queue_json(wire, DSB_FRAME_CONFIG, 0, object);
}

struct loop {
    struct dsb_exec *exec;
    struct dsb_wire *wire;
    const struct dsb_run_options *options;
    struct dsb_result *result;
    int stdin_fd; /* -1: ended */
    gboolean done, cancelling, over_disk;
    struct dsb_watch watch;
};

static void keep(struct loop *loop, struct dsb_output *output, int stream, const struct dsb_frame *frame)
{
    gsize room = loop->exec->limits->output_limit > output->bytes->len
                     ? (gsize) (loop->exec->limits->output_limit - output->bytes->len)
                     : 0;
    gsize size = MIN(frame->size, room);
    output->total += frame->size;
    if (size < frame->size)
        output->truncated = TRUE;
    if (size == 0)
        return;
    g_byte_array_append(output->bytes, frame->payload, (guint) size);
    if (loop->options->output != NULL)
        loop->options->output(loop->options->data, stream, frame->payload, size);
}

static gboolean take_frame(struct loop *loop, const struct dsb_frame *frame, GError **error)
{
    struct dsb_result *result = loop->result;
    gboolean session = loop->exec->session;
    if (frame->type == DSB_FRAME_FAILURE)
        return dsb_answer_failure(frame, error);
    if (session && (frame->type == DSB_FRAME_READY || frame->type == DSB_FRAME_ANSWER))
        return TRUE; /* the interpreter is up; or an answer that nobody waited for any longer */
    if (frame->execution != loop->exec->number)
        return dsb_answer_broken("a frame of another execution", error);
    switch (frame->type) {
    case DSB_FRAME_STDOUT:
        keep(loop, &result->out, 1, frame);
        return TRUE;
    case DSB_FRAME_STDERR:
        keep(loop, &result->err, 2, frame);
        return TRUE;
    case DSB_FRAME_REPORT:
        /* The user's process wrote it: a broken one is its own loss. */
        if (result->report == NULL)
            result->report = dsb_user_report_parse((const char *) frame->payload, frame->size);
        return TRUE;
    case DSB_FRAME_DONE:
        loop->done = dsb_answer_done(frame, session, result, error);
        return loop->done;
    case DSB_FRAME_HELLO:
    case DSB_FRAME_CONFIG:
    case DSB_FRAME_EXEC:
    case DSB_FRAME_STDIN:
    case DSB_FRAME_ACK:
    case DSB_FRAME_CANCEL:
    case DSB_FRAME_FAILURE:
    case DSB_FRAME_READY:
    case DSB_FRAME_CONTROL:
    case DSB_FRAME_ANSWER:
    default:
        return dsb_answer_broken("a frame that does not belong here", error);
    }
}

/* Read a little of the caller's input and queue it; an empty frame is the end. */
static void feed(struct loop *loop)
{
    uint8_t buffer[32 << 10];
    ssize_t n = read(loop->stdin_fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    dsb_wire_queue(loop->wire, DSB_FRAME_STDIN, loop->exec->number, buffer, n > 0 ? (gsize) n : 0);
    if (n <= 0)
        loop->stdin_fd = -1;
}

static gboolean drain(struct loop *loop, GError **error)
{
    struct dsb_frame frame;
    g_autoptr(GError) local = NULL;
    if (!dsb_wire_fill(loop->wire, error))
        return FALSE;
    while (!loop->done && dsb_wire_next(loop->wire, &frame, &local))
        if (!take_frame(loop, &frame, error))
            return FALSE;
    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (loop->wire->eof && !loop->done)
        return lost(loop->wire, "before its answer (killed from outside, or the engine stopped)", error);
    return TRUE;
}

/* "" interrupts and kills after the grace, "kill" kills. */
static void stop(struct loop *loop, const char *how)
{
    dsb_wire_queue(loop->wire, DSB_FRAME_CANCEL, loop->exec->number, how, strlen(how));
    loop->cancelling = TRUE;
}

static gboolean turn(struct loop *loop, int wait_ms, GError **error)
{
    gboolean hungry = loop->stdin_fd >= 0 && dsb_wire_pending(loop->wire) < STDIN_QUEUE;
    gboolean writing = dsb_wire_pending(loop->wire) > 0;
    struct pollfd fds[] = {
        {loop->wire->stream->read_fd, POLLIN, 0},
        {writing ? loop->wire->stream->write_fd : -1, POLLOUT, 0},
        {loop->cancelling ? -1 : loop->options->cancel_fd, POLLIN, 0},
        {hungry ? loop->stdin_fd : -1, POLLIN, 0},
    };
    if (poll(fds, G_N_ELEMENTS(fds), loop->wire->more ? 0 : wait_ms) < 0 && errno != EINTR) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "poll: %s", g_strerror(errno));
        return FALSE;
    }
    if (fds[2].revents & POLLIN)
        stop(loop, "");
    if (fds[3].revents != 0)
        feed(loop);
    if (!dsb_wire_flush(loop->wire, error)) {
        /* The container may have said why before it went. */
        g_autoptr(GError) ignored = NULL;
        if (drain(loop, &ignored) && loop->done) {
            g_clear_error(error);
            return TRUE;
        }
        return FALSE;
    }
    return drain(loop, error);
}

static gboolean send_code(struct loop *loop, const struct dsb_request *request, GError **error)
{
    if (!queue_json(loop->wire, DSB_FRAME_EXEC, loop->exec->number, exec_json(loop->exec, request))) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the code is too large");
        return FALSE;
    }
    if (loop->stdin_fd < 0)
        dsb_wire_queue(loop->wire, DSB_FRAME_STDIN, loop->exec->number, NULL, 0);
    loop->result->ran = TRUE;
    return TRUE;
}

static void look_at_disk(struct loop *loop, gint64 *deadline)
{
    if (loop->over_disk || now() < loop->watch.next_us || dsb_watch_look(&loop->watch))
        return;
    loop->over_disk = TRUE;
    *deadline = MIN(*deadline, now() + SLACK_MS * 1000);
    if (loop->exec->session) /* pid 1 kills the interpreter, and its rollback point lives on */
        stop(loop, "kill");
}

/* Until `done`, or until there is no point in waiting: then FALSE without an error. */
static gboolean relay(struct loop *loop, gint64 deadline, GError **error)
{
    while (!loop->done) {
        gint64 next = loop->over_disk ? deadline : MIN(deadline, loop->watch.next_us);
        if (!turn(loop, until(next), error))
            return FALSE;
        if (!loop->done)
            look_at_disk(loop, &deadline);
        if (!loop->done && (now() >= deadline || (loop->over_disk && !loop->exec->session)))
            return FALSE;
    }
    return TRUE;
}

gboolean dsb_exec_run(struct dsb_exec *exec, const struct dsb_run_options *options, const struct dsb_request *request,
                      struct dsb_result *result, GError **error)
{
    g_autoptr(GError) local = NULL;
    struct loop loop = {
        .exec = exec, .wire = exec->wire, .options = options, .result = result, .stdin_fd = request->stdin_fd};
    gint64 deadline = now() + (gint64) (exec->timeout_ms + exec->limits->grace_ms + SLACK_MS) * 1000;
    dsb_watch_init(&loop.watch, exec->dir_fd, exec->disk_bytes, exec->disk_inodes);
    if (!send_code(&loop, request, error))
        return FALSE;
    exec->broken = !relay(&loop, deadline, &local);
    if (!exec->broken) {
        dsb_wire_queue(exec->wire, DSB_FRAME_ACK, exec->number, NULL, 0);
        /* pid 1 does without it too; the answer is already here */
        gboolean sent = dsb_wire_flush(exec->wire, NULL) && dsb_wire_pending(exec->wire) == 0;
        result->leaving = sent && !exec->session;
    }
    if (loop.over_disk && local == NULL)
        dsb_result_over_disk(result, g_steal_pointer(&loop.watch.reason));
    dsb_watch_clear(&loop.watch);
    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (exec->broken && !loop.over_disk)
        result->status = DSB_STATUS_TIMEOUT;
    return TRUE;
}

/* One frame between executions. */
static gboolean take_idle(const struct dsb_frame *frame, GError **error)
{
    if (frame->type == DSB_FRAME_FAILURE)
        return dsb_answer_failure(frame, error);
    if (frame->type == DSB_FRAME_READY || frame->type == DSB_FRAME_ANSWER)
        return TRUE;
    return dsb_answer_broken("a frame while nothing ran", error);
}

gboolean dsb_exec_idle(struct dsb_wire *wire, GError **error)
{
    struct dsb_frame frame;
    g_autoptr(GError) local = NULL;
    if (!dsb_wire_flush(wire, error) || !dsb_wire_fill(wire, error))
        return FALSE;
    while (dsb_wire_next(wire, &frame, &local))
        if (!take_idle(&frame, error))
            return FALSE;
    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    return !wire->eof || lost(wire, "(its idle or life time was over, it was killed, or the engine stopped)", error);
}

/* TRUE: *answer is it, or there is none yet. */
static gboolean find_answer(struct dsb_wire *wire, uint32_t number, char **answer, gboolean *found, GError **error)
{
    struct dsb_frame frame;
    g_autoptr(GError) local = NULL;
    if (!dsb_wire_flush(wire, error) || !dsb_wire_fill(wire, error))
        return FALSE;
    while (dsb_wire_next(wire, &frame, &local)) {
        if (frame.type == DSB_FRAME_ANSWER && frame.execution == number) {
            *found = TRUE;
            *answer = dsb_answer_control(&frame, error);
            return *answer != NULL;
        }
        if (!take_idle(&frame, error))
            return FALSE;
    }
    if (local == NULL && wire->eof)
        return lost(wire, "before its answer", error);
    if (local != NULL)
        g_propagate_error(error, g_steal_pointer(&local));
    return local == NULL;
}

char *dsb_exec_control(struct dsb_wire *wire, uint32_t number, const char *op, gint64 deadline_us, GError **error)
{
    char *answer = NULL;
    gboolean found = FALSE;
    if (!dsb_wire_queue(wire, DSB_FRAME_CONTROL, number, op, strlen(op))) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the operation is too large");
        return NULL;
    }
    while (!found) {
        if (!find_answer(wire, number, &answer, &found, error))
            return NULL;
        if (!found && now() >= deadline_us) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "the session did not answer in time");
            return NULL;
        }
        struct pollfd fds[] = {{wire->stream->read_fd, POLLIN, 0},
                               {dsb_wire_pending(wire) > 0 ? wire->stream->write_fd : -1, POLLOUT, 0}};
        if (!found && !wire->more)
            poll(fds, G_N_ELEMENTS(fds), until(deadline_us));
    }
    return answer;
}
