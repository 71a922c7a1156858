/* SPDX-License-Identifier: MIT */
/* One execution on a wire: sent, watched, ended, and what came of it. */
#include "run/execution.h"

#include "plugin/choice.h"
#include "run/command.h"
#include "run/pid1.h"
#include "run/user_report.h"

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

/* The first frame that comes has to be of this type. `late`: what it means when none does. */
static gboolean await_frame(struct dsb_wire *wire, enum dsb_frame_type type, int cancel_fd, gint64 deadline_us,
                            const char *late, struct dsb_frame *got, GError **error)
{
    for (;;) {
        struct dsb_frame frame;
        g_autoptr(GError) local = NULL;
        if (!dsb_wire_flush(wire, error) || !dsb_wire_fill(wire, error))
            return FALSE;
        if (dsb_wire_next(wire, &frame, &local)) {
            if (frame.type == DSB_FRAME_FAILURE)
                return dsb_pid1_failure(&frame, error);
            if (frame.type != type)
                return dsb_pid1_broken(type == DSB_FRAME_HELLO ? "another frame before hello" : "another frame before ready",
                                       error);
            *got = frame;
            return TRUE;
        }
        if (local != NULL) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (wire->eof)
            return lost(wire, type == DSB_FRAME_HELLO ? "before its first word" : "before its interpreter was ready", error);
        if (now() >= deadline_us) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_TIMEOUT, late);
            return FALSE;
        }
        struct pollfd fds[] = {{wire->stream->read_fd, POLLIN, 0},
                               {cancel_fd, POLLIN, 0},
                               {dsb_wire_pending(wire) > 0 ? wire->stream->write_fd : -1, POLLOUT, 0}};
        if (!wire->more && poll(fds, G_N_ELEMENTS(fds), until(deadline_us)) > 0 && fds[1].revents != 0) {
            if (fds[1].revents & POLLIN)
                return cancelled(error);
            cancel_fd = DSB_FD_NONE; /* nobody can cancel any more */
        }
    }
}

gboolean dsb_exec_hello(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, char **text, GError **error)
{
    static const char late[] = "the container did not say hello within the start timeout; raise start_timeout in the "
                               "policy if the machine is slow";
    struct dsb_frame frame;
    if (!await_frame(wire, DSB_FRAME_HELLO, cancel_fd, deadline_us, late, &frame, error))
        return FALSE;
    *text = g_strndup((const char *) frame.payload, frame.size);
    return TRUE;
}

gboolean dsb_exec_ready(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, GError **error)
{
    static const char late[] = "the modules of preload were not imported within the start timeout; raise start_timeout "
                               "in the policy, or name fewer";
    struct dsb_frame frame;
    return await_frame(wire, DSB_FRAME_READY, cancel_fd, deadline_us, late, &frame, error);
}

/* FALSE: it is too large. */
static gboolean queue_command(struct dsb_wire *wire, enum dsb_frame_type type, uint32_t execution,
                              const GByteArray *command)
{
    return dsb_wire_queue(wire, type, execution, command->data, command->len);
}

static void add_environment(GByteArray *command, const struct dsb_spec *spec)
{
    for (gsize i = 0; i < spec->n_env; i++)
        dsb_command_add_variable(command, spec->env[i]->name, strlen(spec->env[i]->name), spec->env[i]->value);
}

/* The code or the program, with the whole environment; in a session, with what this execution has besides. */
static GByteArray *exec_command(const struct dsb_exec *exec, const struct dsb_request *request)
{
    const struct dsb_resolved *limits = exec->limits;
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {exec->timeout_ms, limits->grace_ms, limits->output_limit,
                                                  (guint64) request->rows << 16 | request->columns};
    gboolean program = request->command != NULL, terminal = request->rows > 0;
    const char *name = program ? request->cwd : request->filename != NULL ? request->filename : "<sandbox>";
    /* Over the limit a terminal would show nothing any more, and take what is typed: it is at its end then. */
    guint32 flags = (limits->output_kill || terminal ? DSB_EXEC_OUTPUT_KILL : 0) |
                    (limits->output_keep && !terminal ? DSB_EXEC_OUTPUT_KEEP : 0) | (program ? DSB_EXEC_PROGRAM : 0) |
                    (terminal ? DSB_EXEC_TERMINAL : 0) |
                    (request->tools != NULL && request->calls_stop_clock ? DSB_EXEC_CALLS_STOP_CLOCK : 0);
    GByteArray *command = dsb_command_new(flags, numbers, request->code, request->code_size, name);
    for (const char *const *arg = program ? request->command : request->argv; arg != NULL && *arg != NULL; arg++)
        dsb_command_add_argument(command, *arg);
    if (!exec->session)
        add_environment(command, &limits->spec);
    for (const char *const *pair = request->env; pair != NULL && *pair != NULL; pair++) {
        gsize size = strcspn(*pair, "=");
        dsb_command_add_variable(command, *pair, size, *pair + size + ((*pair)[size] != '\0'));
    }
    return command;
}

static guint32 session_flags(enum dsb_checkpoint checkpoint)
{
    switch (checkpoint) {
    case DSB_CHECKPOINT_IDLE:
        return DSB_CONFIG_SESSION | DSB_CONFIG_CHECKPOINT | DSB_CONFIG_CHECKPOINT_IDLE;
    case DSB_CHECKPOINT_ALWAYS:
        return DSB_CONFIG_SESSION | DSB_CONFIG_CHECKPOINT;
    case DSB_CHECKPOINT_OFF:
        break;
    }
    return DSB_CONFIG_SESSION;
}

gboolean dsb_exec_preloads(const struct dsb_resolved *limits)
{
    return limits->preload != NULL && limits->preload[0] != NULL;
}

static GByteArray *config_command(const struct dsb_resolved *limits, guint32 flags)
{
    uint64_t memory = limits->spec.memory_bytes;
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {limits->idle_ms, limits->life_ms, limits->results_limit,
                                                  memory != DSB_UNLIMITED ? memory : 0};
    return dsb_command_new(flags, numbers, NULL, 0, NULL);
}

void dsb_exec_configure_program(struct dsb_wire *wire, const struct dsb_resolved *limits)
{
    g_autoptr(GByteArray) command = config_command(limits, DSB_CONFIG_PROGRAM);
    queue_command(wire, DSB_FRAME_CONFIG, 0, command);
}

void dsb_exec_configure(struct dsb_wire *wire, const struct dsb_resolved *limits, gboolean session,
                        enum dsb_checkpoint checkpoint, gboolean waits)
{
    guint32 flags = (session ? session_flags(checkpoint) : 0) | (waits ? DSB_CONFIG_WAITS : 0);
    g_autoptr(GByteArray) command = config_command(limits, flags);
    for (char **name = limits->preload; name != NULL && *name != NULL; name++)
        dsb_command_add_argument(command, *name);
    if (session || dsb_exec_preloads(limits))
        add_environment(command, &limits->spec);
    queue_command(wire, DSB_FRAME_CONFIG, 0, command);
}

void dsb_exec_claim(struct dsb_wire *wire) { dsb_wire_queue(wire, DSB_FRAME_CLAIM, 0, NULL, 0); }

static void keep(struct dsb_exec *exec, struct dsb_output *output, int stream, const struct dsb_frame *frame)
{
    gsize room = exec->limits->output_limit > output->bytes->len
                     ? (gsize) (exec->limits->output_limit - output->bytes->len)
                     : 0;
    gsize size = MIN(frame->size, room);
    output->total += frame->size;
    if (size < frame->size)
        output->truncated = TRUE;
    if (size == 0)
        return;
    g_byte_array_append(output->bytes, frame->payload, (guint) size);
    if (exec->options->output != NULL)
        exec->options->output(exec->options->data, stream, frame->payload, size);
}

static gboolean take_frame(struct dsb_exec *exec, const struct dsb_frame *frame, GError **error)
{
    struct dsb_result *result = exec->result;
    gboolean session = exec->session;
    if (frame->type == DSB_FRAME_FAILURE)
        return dsb_pid1_failure(frame, error);
    if (session && (frame->type == DSB_FRAME_READY || frame->type == DSB_FRAME_ANSWER))
        return TRUE; /* the interpreter is up; or an answer that nobody waited for any longer */
    if (frame->execution != exec->number)
        return dsb_pid1_broken("a frame of another execution", error);
    switch (frame->type) {
    case DSB_FRAME_STDOUT:
        keep(exec, &result->out, 1, frame);
        return TRUE;
    case DSB_FRAME_STDERR:
        keep(exec, &result->err, 2, frame);
        return TRUE;
    case DSB_FRAME_TAIL:
        return dsb_pid1_tail(frame, exec->limits, result, error);
    case DSB_FRAME_REPORT:
        /* The user's process wrote it: a broken one is its own loss. */
        if (result->report == NULL)
            result->report = dsb_user_report_parse((const char *) frame->payload, frame->size);
        return TRUE;
    case DSB_FRAME_BACKGROUND:
        return session ? dsb_pid1_background(frame, result, error)
                       : dsb_pid1_broken("a frame that does not belong here", error);
    case DSB_FRAME_DRAWING:
        exec->deadline += exec->draws ? 0 : DSB_DRAWING_MS * INT64_C(1000);
        exec->draws = TRUE;
        return TRUE;
    case DSB_FRAME_CALL:
        return dsb_calls_take(exec->calls, frame, exec->options, error);
    case DSB_FRAME_RETURNED:
        return dsb_calls_returned(exec->calls, frame, error);
    case DSB_FRAME_DONE:
        exec->done = dsb_pid1_done(frame, session, result, error);
        return exec->done;
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
    case DSB_FRAME_CLAIM:
    case DSB_FRAME_WINDOW:
    case DSB_FRAME_TOOLS:
    case DSB_FRAME_RETURN:
    default:
        return dsb_pid1_broken("a frame that does not belong here", error);
    }
}

/* Read a little of the caller's input and queue it; an empty frame is the end. */
static void feed(struct dsb_exec *exec)
{
    uint8_t buffer[32 << 10];
    ssize_t n = read(exec->stdin_fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0)
        dsb_say(exec->options, "the code's standard input ends, since it cannot be read: %s", g_strerror(errno));
    dsb_wire_queue(exec->wire, DSB_FRAME_STDIN, exec->number, buffer, n > 0 ? (gsize) n : 0);
    if (n <= 0)
        exec->stdin_fd = -1;
}

/* A new size of the terminal's window; what is none ends them. */
static void resize(struct dsb_exec *exec)
{
    uint16_t size[2];
    ssize_t n = read(exec->window_fd, size, sizeof size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n != sizeof size || size[0] == 0 || size[1] == 0) {
        exec->window_fd = -1;
        return;
    }
    size[0] = GUINT16_TO_LE(size[0]);
    size[1] = GUINT16_TO_LE(size[1]);
    dsb_wire_queue(exec->wire, DSB_FRAME_WINDOW, exec->number, size, sizeof size);
}

static gboolean drain(struct dsb_exec *exec, GError **error)
{
    struct dsb_frame frame;
    g_autoptr(GError) local = NULL;
    if (!dsb_wire_fill(exec->wire, error))
        return FALSE;
    while (!exec->done && dsb_wire_next(exec->wire, &frame, &local))
        if (!take_frame(exec, &frame, error))
            return FALSE;
    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (exec->wire->eof && !exec->done)
        return lost(exec->wire, "before its answer (killed from outside, or the engine stopped)", error);
    return TRUE;
}

/* "" interrupts and kills after the grace, "kill" kills. */
static void stop(struct dsb_exec *exec, const char *how)
{
    dsb_wire_queue(exec->wire, DSB_FRAME_CANCEL, exec->number, how, strlen(how));
    exec->cancelling = TRUE;
}

/* Then there is no point in waiting. */
static gint64 last_moment(const struct dsb_exec *exec) { return dsb_calls_deadline(exec->calls, exec->deadline); }

int dsb_exec_waits(const struct dsb_exec *exec, struct pollfd fds[DSB_EXEC_FDS])
{
    gsize pending = dsb_wire_pending(exec->wire);
    fds[0] = (struct pollfd){exec->wire->stream->read_fd, POLLIN, 0};
    fds[1] = (struct pollfd){pending > 0 ? exec->wire->stream->write_fd : -1, POLLOUT, 0};
    fds[2] = (struct pollfd){exec->cancelling ? -1 : exec->cancel_fd, POLLIN, 0};
    fds[3] = (struct pollfd){pending < STDIN_QUEUE ? exec->stdin_fd : -1, POLLIN, 0};
    fds[4] = (struct pollfd){pending < STDIN_QUEUE ? exec->window_fd : -1, POLLIN, 0};
    fds[5] = (struct pollfd){dsb_calls_fd(exec->calls), POLLIN, 0};
    gint64 next = MIN(last_moment(exec), dsb_calls_next(exec->calls));
    return exec->wire->more ? 0 : until(exec->over_disk ? next : MIN(next, exec->watch.next_us));
}

static gboolean relay(struct dsb_exec *exec, gboolean wait, GError **error)
{
    struct pollfd fds[DSB_EXEC_FDS];
    int wait_ms = dsb_exec_waits(exec, fds);
    if (poll(fds, DSB_EXEC_FDS, wait ? wait_ms : 0) < 0 && errno != EINTR) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "poll: %s", g_strerror(errno));
        return FALSE;
    }
    if (fds[2].revents & POLLIN)
        stop(exec, "");
    else if (fds[2].revents != 0)
        exec->cancel_fd = -1; /* nobody can cancel any more */
    if (fds[3].revents != 0)
        feed(exec);
    if (fds[4].revents != 0)
        resize(exec);
    dsb_calls_answer(exec->calls, exec->wire, exec->number);
    if (!dsb_wire_flush(exec->wire, error)) {
        /* The container may have said why before it went. */
        g_autoptr(GError) ignored = NULL;
        if (drain(exec, &ignored) && exec->done) {
            g_clear_error(error);
            return TRUE;
        }
        return FALSE;
    }
    return drain(exec, error);
}

static void look_at_disk(struct dsb_exec *exec)
{
    if (exec->over_disk || now() < exec->watch.next_us || dsb_watch_look(&exec->watch))
        return;
    exec->over_disk = TRUE;
    exec->deadline = MIN(exec->deadline, now() + SLACK_MS * 1000);
    stop(exec, "kill"); /* pid 1 kills the interpreter and tells its usage; a rollback point lives on */
}

gboolean dsb_exec_begin(struct dsb_exec *exec, const struct dsb_request *request, GError **error)
{
    exec->stdin_fd = request->stdin_fd;
    exec->window_fd = request->rows > 0 ? request->window_fd : -1;
    exec->cancel_fd = exec->options->cancel_fd;
    /* In a session the interpreter may have been lost, and imports again. */
    uint64_t import_ms = exec->session && dsb_exec_preloads(exec->limits) ? exec->limits->start_timeout_ms : 0;
    exec->deadline = now() + (gint64) (exec->timeout_ms + exec->limits->grace_ms + SLACK_MS + import_ms) * 1000;
    if (request->tools != NULL && request->tools[0] != NULL) {
        exec->calls = dsb_calls_new(request, exec->result, error);
        if (exec->calls == NULL)
            return FALSE;
        dsb_calls_give(exec->calls, exec->wire, exec->number);
    }
    g_autoptr(GByteArray) command = exec_command(exec, request);
    if (!queue_command(exec->wire, DSB_FRAME_EXEC, exec->number, command)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the code is too large");
        g_clear_pointer(&exec->calls, dsb_calls_end);
        return FALSE;
    }
    if (exec->stdin_fd < 0)
        dsb_wire_queue(exec->wire, DSB_FRAME_STDIN, exec->number, NULL, 0);
    dsb_watch_init(&exec->watch, exec->dir_fd, exec->disk_bytes, exec->disk_inodes);
    exec->result->ran = TRUE;
    return TRUE;
}

static void acknowledge(struct dsb_exec *exec)
{
    dsb_wire_queue(exec->wire, DSB_FRAME_ACK, exec->number, NULL, 0);
    /* pid 1 does without it too; the answer is already here */
    gboolean sent = dsb_wire_flush(exec->wire, NULL) && dsb_wire_pending(exec->wire) == 0;
    exec->result->leaving = sent && !exec->session;
}

/* After `done`, or where there is no point in waiting for it. */
static void end(struct dsb_exec *exec, gboolean ok)
{
    exec->over = TRUE;
    exec->broken = !ok || !exec->done;
    g_clear_pointer(&exec->calls, dsb_calls_end);
    if (!exec->broken)
        acknowledge(exec);
    if (ok && exec->over_disk)
        dsb_result_over_disk(exec->result, g_steal_pointer(&exec->watch.reason), exec->watch.scan.shortage != 0);
    else if (ok && exec->broken)
        exec->result->status = DSB_STATUS_TIMEOUT;
    dsb_watch_clear(&exec->watch);
}

gboolean dsb_exec_turn(struct dsb_exec *exec, gboolean wait, GError **error)
{
    gboolean ok = relay(exec, wait, error);
    if (ok && !exec->done)
        look_at_disk(exec);
    if (!ok || exec->done || now() >= last_moment(exec))
        end(exec, ok);
    return ok;
}

/* One frame between executions. */
static gboolean take_idle(const struct dsb_frame *frame, GError **error)
{
    if (frame->type == DSB_FRAME_FAILURE)
        return dsb_pid1_failure(frame, error);
    if (frame->type == DSB_FRAME_READY || frame->type == DSB_FRAME_ANSWER)
        return TRUE;
    return dsb_pid1_broken("a frame while nothing ran", error);
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
static gboolean find_answer(struct dsb_wire *wire, uint32_t number, struct json_object **answer, gboolean *found,
                            GError **error)
{
    struct dsb_frame frame;
    g_autoptr(GError) local = NULL;
    if (!dsb_wire_flush(wire, error) || !dsb_wire_fill(wire, error))
        return FALSE;
    while (dsb_wire_next(wire, &frame, &local)) {
        if (frame.type == DSB_FRAME_ANSWER && frame.execution == number) {
            *found = TRUE;
            *answer = dsb_pid1_control(&frame, error);
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

struct json_object *dsb_exec_control(struct dsb_wire *wire, uint32_t number, const GByteArray *command,
                                     gint64 deadline_us, GError **error)
{
    struct json_object *answer = NULL;
    gboolean found = FALSE;
    queue_command(wire, DSB_FRAME_CONTROL, number, command);
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
