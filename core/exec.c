/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define EXECUTION 1
/* Queue no more standard input than this: the code reads when it likes. */
#define STDIN_QUEUE (256u << 10)
/* What pid 1 may take on top of the time limit and the grace before we stop believing in it. */
#define SLACK_MS 5000
#define CONTROL_DEPTH 32

static gint64 now(void)
{
    return g_get_monotonic_time();
}

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

static struct json_object *parse(const struct dsb_frame *frame)
{
    g_autoptr(GBytes) text = g_bytes_new(frame->payload, frame->size);
    struct json_tokener *tokener = json_tokener_new_ex(CONTROL_DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8); /* a report is printed as it came */
    gsize size = 0;
    const char *data = g_bytes_get_data(text, &size);
    struct json_object *object = json_tokener_parse_ex(tokener, data, (int) size);
    if (json_tokener_get_error(tokener) != json_tokener_success)
        g_clear_pointer(&object, json_object_put);
    json_tokener_free(tokener);
    if (object != NULL && !json_object_is_type(object, json_type_object))
        g_clear_pointer(&object, json_object_put);
    return object;
}

static gboolean protocol(GError **error, const char *what)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "pid 1 sent %s", what);
    return FALSE;
}

static gboolean failure_frame(const struct dsb_frame *frame, GError **error)
{
    struct json_object *object = parse(frame), *message = NULL;
    if (object != NULL)
        json_object_object_get_ex(object, "message", &message);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "inside the container: %s",
                message != NULL ? json_object_get_string(message) : "pid 1 failed without a reason");
    json_object_put(object);
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
                return failure_frame(&frame, error);
            if (frame.type != DSB_FRAME_HELLO)
                return protocol(error, "another frame before hello");
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
        struct pollfd fds[2] = { { wire->stream->read_fd, POLLIN, 0 }, { cancel_fd, POLLIN, 0 } };
        if (!wire->more && poll(fds, 2, until(deadline_us)) > 0 && (fds[1].revents & POLLIN))
            return cancelled(error);
    }
}

static void queue_json(struct dsb_wire *wire, enum dsb_frame_type type, uint32_t execution, struct json_object *object)
{
    size_t size = 0;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    dsb_wire_queue(wire, type, execution, text, size);
    json_object_put(object);
}

static void add_int(struct json_object *to, const char *key, uint64_t value)
{
    json_object_object_add(to, key, json_object_new_int64((int64_t) value));
}

static struct json_object *exec_json(const struct dsb_resolved *limits, const struct dsb_request *request)
{
    struct json_object *object = json_object_new_object();
    struct json_object *argv = json_object_new_array();
    struct json_object *env = json_object_new_object();
    for (const char *const *arg = request->argv; arg != NULL && *arg != NULL; arg++)
        json_object_array_add(argv, json_object_new_string(*arg));
    for (gsize i = 0; i < limits->spec.n_env; i++)
        json_object_object_add(env, limits->spec.env[i].name, json_object_new_string(limits->spec.env[i].value));
    for (const char *const *pair = request->env; pair != NULL && *pair != NULL; pair++) {
        const char *equals = strchr(*pair, '=');
        g_autofree char *name = g_strndup(*pair, equals != NULL ? (gsize) (equals - *pair) : strlen(*pair));
        json_object_object_add(env, name, json_object_new_string(equals != NULL ? equals + 1 : ""));
    }
    json_object_object_add(object, "code", json_object_new_string_len(request->code, (int) request->code_size));
    json_object_object_add(object, "filename",
                           json_object_new_string(request->filename != NULL ? request->filename : "<sandbox>"));
    json_object_object_add(object, "argv", argv);
    json_object_object_add(object, "env", env);
    add_int(object, "timeout_ms", limits->timeout_ms);
    add_int(object, "grace_ms", limits->grace_ms);
    add_int(object, "output_limit", limits->output_limit);
    json_object_object_add(object, "output_kill", json_object_new_boolean(limits->output_kill));
    return object;
}

static struct json_object *config_json(const struct dsb_resolved *limits)
{
    struct json_object *object = json_object_new_object();
    add_int(object, "idle_ms", limits->idle_ms);
    add_int(object, "life_ms", limits->life_ms);
    json_object_object_add(object, "preload", json_object_new_array());
    return object;
}

struct loop {
    struct dsb_wire *wire;
    const struct dsb_resolved *limits;
    const struct dsb_run_options *options;
    struct dsb_result *result;
    int stdin_fd; /* -1: ended */
    gboolean done, cancelling;
};

static void keep(struct loop *loop, struct dsb_output *output, int stream, const struct dsb_frame *frame)
{
    gsize room = loop->limits->output_limit > output->bytes->len
                     ? (gsize) (loop->limits->output_limit - output->bytes->len) : 0;
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

static int64_t number(struct json_object *object, const char *key, int64_t otherwise)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int))
        return otherwise;
    int64_t n = json_object_get_int64(value);
    return n < 0 ? otherwise : n;
}

static gboolean truth(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

static uint64_t count_or_unknown(struct json_object *object, const char *key)
{
    int64_t n = number(object, key, -1);
    return n < 0 ? DSB_UNLIMITED : (uint64_t) n;
}

static gboolean take_done(struct dsb_result *result, struct json_object *done, GError **error)
{
    static const struct {
        const char *name;
        enum dsb_status status;
    } statuses[] = { { "exited", DSB_STATUS_OK },   { "signal", DSB_STATUS_SIGNAL },
                     { "timeout", DSB_STATUS_TIMEOUT }, { "oom", DSB_STATUS_OOM },
                     { "output_limit", DSB_STATUS_OUTPUT_LIMIT }, { "cancelled", DSB_STATUS_CANCELLED },
                     { "lost", DSB_STATUS_LOST } };
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(done, "status", &value) || !json_object_is_type(value, json_type_string))
        return protocol(error, "a done frame without a status");
    gsize i = 0;
    while (i < G_N_ELEMENTS(statuses) && strcmp(statuses[i].name, json_object_get_string(value)) != 0)
        i++;
    if (i == G_N_ELEMENTS(statuses))
        return protocol(error, "a done frame with an unknown status");
    result->status = statuses[i].status;
    result->exit_code = (int) number(done, "exit_code", -1);
    result->signal = (int) number(done, "signal", 0);
    if (result->status == DSB_STATUS_OK && result->exit_code != 0)
        result->status = DSB_STATUS_ERROR;
    if (result->status == DSB_STATUS_SIGNAL && (result->signal <= 0 || result->signal > 64))
        return protocol(error, "a done frame with a bad signal");
    if (result->status == DSB_STATUS_ERROR && (result->exit_code < 0 || result->exit_code > 255))
        return protocol(error, "a done frame with a bad exit code");
    result->wall_ms = number(done, "wall_ms", -1);
    result->pids_peak = number(done, "pids_peak", -1);
    result->usage.memory_peak_bytes = count_or_unknown(done, "memory_peak_bytes");
    result->usage.oom_kills = count_or_unknown(done, "oom_kills");
    int64_t cpu_ms = number(done, "cpu_ms", -1);
    result->usage.cpu_us = cpu_ms < 0 ? DSB_UNLIMITED : (uint64_t) cpu_ms * 1000;
    result->out.total = MAX(result->out.total, (uint64_t) number(done, "stdout_bytes", 0));
    result->err.total = MAX(result->err.total, (uint64_t) number(done, "stderr_bytes", 0));
    result->out.truncated |= truth(done, "stdout_truncated");
    result->err.truncated |= truth(done, "stderr_truncated");
    return TRUE;
}

static gboolean take_frame(struct loop *loop, const struct dsb_frame *frame, GError **error)
{
    struct dsb_result *result = loop->result;
    if (frame->type == DSB_FRAME_FAILURE)
        return failure_frame(frame, error);
    if (frame->execution != EXECUTION)
        return protocol(error, "a frame of another execution");
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
            result->report = parse(frame);
        return TRUE;
    case DSB_FRAME_DONE: {
        struct json_object *done = parse(frame);
        if (done == NULL)
            return protocol(error, "a done frame that is not JSON");
        gboolean ok = take_done(result, done, error);
        json_object_put(done);
        loop->done = ok;
        return ok;
    }
    case DSB_FRAME_HELLO:
    case DSB_FRAME_CONFIG:
    case DSB_FRAME_EXEC:
    case DSB_FRAME_STDIN:
    case DSB_FRAME_ACK:
    case DSB_FRAME_CANCEL:
    case DSB_FRAME_FAILURE:
    default:
        return protocol(error, "a frame that only the host may send");
    }
}

/* Read a little of the caller's input and queue it; an empty frame is the end. */
static void feed(struct loop *loop)
{
    uint8_t buffer[32 << 10];
    ssize_t n = read(loop->stdin_fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    dsb_wire_queue(loop->wire, DSB_FRAME_STDIN, EXECUTION, buffer, n > 0 ? (gsize) n : 0);
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

static gboolean over_disk(const struct dsb_resolved *limits, const struct dsb_workdir *dir)
{
    struct dsb_scan scan;
    dsb_workdir_scan(dir, FALSE, &scan);
    gboolean over = scan.bytes > limits->disk_bytes || scan.inodes > limits->disk_inodes;
    dsb_scan_clear(&scan);
    return over;
}

static gboolean turn(struct loop *loop, int wait_ms, GError **error)
{
    gboolean hungry = loop->stdin_fd >= 0 && dsb_wire_pending(loop->wire) < STDIN_QUEUE;
    gboolean writing = dsb_wire_pending(loop->wire) > 0;
    struct pollfd fds[] = {
        { loop->wire->stream->read_fd, POLLIN, 0 },
        { writing ? loop->wire->stream->write_fd : -1, POLLOUT, 0 },
        { loop->cancelling ? -1 : loop->options->cancel_fd, POLLIN, 0 },
        { hungry ? loop->stdin_fd : -1, POLLIN, 0 },
    };
    if (poll(fds, G_N_ELEMENTS(fds), loop->wire->more ? 0 : wait_ms) < 0 && errno != EINTR) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "poll: %s", g_strerror(errno));
        return FALSE;
    }
    if (fds[2].revents & POLLIN) {
        dsb_wire_queue(loop->wire, DSB_FRAME_CANCEL, EXECUTION, NULL, 0);
        loop->cancelling = TRUE;
    }
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

gboolean dsb_exec_run(struct dsb_wire *wire, const struct dsb_resolved *limits, const struct dsb_workdir *dir,
                      const struct dsb_run_options *options, const struct dsb_request *request,
                      struct dsb_result *result, GError **error)
{
    struct loop loop = { .wire = wire, .limits = limits, .options = options, .result = result,
                         .stdin_fd = request->stdin_fd };
    queue_json(wire, DSB_FRAME_CONFIG, 0, config_json(limits));
    queue_json(wire, DSB_FRAME_EXEC, EXECUTION, exec_json(limits, request));
    if (loop.stdin_fd < 0)
        dsb_wire_queue(wire, DSB_FRAME_STDIN, EXECUTION, NULL, 0);
    result->ran = TRUE;

    gint64 deadline = now() + (gint64) (limits->timeout_ms + limits->grace_ms + SLACK_MS) * 1000;
    gint64 step = 100 * 1000;
    gint64 look = now() + step;
    while (!loop.done) {
        if (!turn(&loop, until(MIN(deadline, look)), error))
            return FALSE;
        if (!loop.done && now() >= look) {
            gint64 begin = now();
            if (over_disk(limits, dir)) {
                result->status = DSB_STATUS_DISK_LIMIT;
                return TRUE;
            }
            /* A large tree is looked at less often: at most a tenth of our time goes into it. */
            look = now() + MAX(step, (now() - begin) * 10);
        }
        if (!loop.done && now() >= deadline) {
            result->status = DSB_STATUS_TIMEOUT;
            return TRUE;
        }
    }
    dsb_wire_queue(wire, DSB_FRAME_ACK, EXECUTION, NULL, 0);
    /* pid 1 ends without it too; the answer is already here */
    result->leaving = dsb_wire_flush(wire, NULL) && dsb_wire_pending(wire) == 0;
    return TRUE;
}
