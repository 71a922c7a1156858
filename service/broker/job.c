/* SPDX-License-Identifier: MIT */
#include "broker/job.h"

#include "broker/dispatch.h"
#include "broker/idempotency.h"
#include "broker/session.h"
#include "common/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define INPUT_QUEUE_MAX (64u << 20)

/* A part of standard input, and who is told when it is through. */
struct input_piece {
    struct request *request;
    GBytes *bytes;
    gsize done;
    gboolean end;
};

struct job *job_new(struct service *service, enum job_kind kind, struct session *session, struct request *request)
{
    struct job *job = g_new0(struct job, 1);
    *job = (struct job){.kind = kind,
                        .service = service,
                        .session = session,
                        .request = request,
                        .cancel_fd = -1,
                        .input_fd = -1,
                        .input_read_fd = -1,
                        .window_fd = -1,
                        .window_read_fd = -1,
                        .created = g_get_real_time()};
    g_queue_init(&job->input);
    if (kind != JOB_CLOSE && kind != JOB_GC && (job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        job->short_of = errno;
    job->user = request != NULL ? request->user : "service";
    if (request != NULL)
        request->job = job;
    if (kind == JOB_EXECUTE || kind == JOB_RUN) {
        job->id = dsb_random_id("x-");
        g_hash_table_insert(service->jobs, job->id, job);
    }
    return job;
}

void job_rename(struct job *job, const char *id)
{
    g_hash_table_remove(job->service->jobs, job->id);
    g_free(job->id);
    job->id = g_strdup(id);
    g_hash_table_insert(job->service->jobs, job->id, job);
}

static void piece_end(struct input_piece *piece, gboolean taken)
{
    if (piece->request != NULL && taken) {
        struct json_object *object = json_object_new_object();
        json_add_int(object, "taken", (gint64) g_bytes_get_size(piece->bytes));
        request_answer(piece->request, 200, object);
    } else if (piece->request != NULL) {
        request_fail(piece->request,
                     g_error_new(DSB_ERROR, DSB_ERROR_CONFLICT, "the code reads no more standard input"));
    }
    g_bytes_unref(piece->bytes);
    g_free(piece);
}

void job_close_input(struct job *job)
{
    struct input_piece *piece;
    event_source_clear(&job->input_watch);
    if (job->input_fd >= 0)
        close(job->input_fd);
    job->input_fd = -1;
    while ((piece = g_queue_pop_head(&job->input)) != NULL)
        piece_end(piece, FALSE);
}

void job_free(struct job *job)
{
    job_close_input(job);
    idempotency_drop(job->kept);
    if (job->id != NULL)
        g_hash_table_remove(job->service->jobs, job->id);
    if (job->request != NULL)
        job->request->job = NULL;
    if (job->cancel_fd >= 0)
        close(job->cancel_fd);
    if (job->input_read_fd >= 0)
        close(job->input_read_fd);
    if (job->window_fd >= 0)
        close(job->window_fd);
    if (job->window_read_fd >= 0)
        close(job->window_read_fd);
    for (int i = 0; i < 2; i++)
        g_clear_pointer(&job->tails[i], g_byte_array_unref);
    g_clear_pointer(&job->calls, g_hash_table_unref);
    settings_free(job->settings);
    execution_clear(&job->execution);
    outcome_clear(&job->outcome);
    g_free(job->id);
    g_free(job->op);
    g_free(job->lost);
    g_free(job);
}

gboolean job_is_whole(const struct job *job, GError **error)
{
    if (job->short_of == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "nothing was run: %s",
                dsb_errno_text(job->short_of));
    return FALSE;
}

static void tell(struct job *job, uint64_t value)
{
    if (job->cancel_fd >= 0 && write(job->cancel_fd, &value, sizeof value) < 0)
        service_log("eventfd: %s", g_strerror(errno));
}

void job_cancel(struct job *job)
{
    if (job->cancelled)
        return;
    job->cancelled = TRUE;
    tell(job, 1);
    dispatch_hurry(job);
}

void job_session_ends(struct job *job)
{
    tell(job, CANCEL_SESSION_ENDS);
    job_cancel(job);
}

static gboolean cannot(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s: %s", what, dsb_errno_text(errno));
    return FALSE;
}

/* All of it is known: a file in memory, so that no slow reader can hold anybody up. */
static gboolean fixed_input(struct job *job, GError **error)
{
    gsize size = 0, done = 0;
    const char *bytes = g_bytes_get_data(job->execution.input, &size);
    job->input_read_fd = memfd_create("dsandbox-stdin", MFD_CLOEXEC);
    if (job->input_read_fd < 0)
        return cannot("standard input", error);
    while (done < size) {
        ssize_t n = write(job->input_read_fd, bytes + done, size - done);
        if (n < 0 && errno != EINTR)
            return cannot("standard input", error);
        done += n > 0 ? (gsize) n : 0;
    }
    return lseek(job->input_read_fd, 0, SEEK_SET) == 0 || cannot("standard input", error);
}

static gboolean on_input_room(gint fd, GIOCondition condition, gpointer data);

static void wait_for_room(struct job *job)
{
    if (!event_source_is_set(&job->input_watch))
        event_source_set(&job->input_watch, g_unix_fd_source_new(job->input_fd, G_IO_OUT),
                         G_SOURCE_FUNC(on_input_room), job);
}

static gboolean prepare_window(struct job *job, GError **error)
{
    int fds[2];
    if (job->execution.rows == 0)
        return TRUE;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return cannot("the terminal's window", error);
    job->window_read_fd = fds[0];
    job->window_fd = fds[1];
    return TRUE;
}

static gboolean resize(struct job *job, struct json_object *body, GError **error)
{
    guint16 size[2];
    if (!window_read(body, &size[0], &size[1], error))
        return FALSE;
    /* A full pipe: nobody has looked for so many of them that one less is no loss. */
    if (job->window_fd >= 0 && (write(job->window_fd, size, sizeof size) == sizeof size || errno == EAGAIN))
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_CONFLICT, "the execution has no terminal, or has ended");
    return FALSE;
}

void job_resize(struct job *job, struct request *request)
{
    GError *error = NULL;
    struct json_object *body = request_json(request, &error), *answer;
    if (body == NULL || !resize(job, body, &error)) {
        request_fail(request, error);
    } else {
        answer = json_object_new_object();
        json_add_bool(answer, "resized", TRUE);
        request_answer(request, 200, answer);
    }
    json_object_put(body);
}

gboolean job_prepare_input(struct job *job, GError **error)
{
    int fds[2];
    if (job->execution.tools != NULL && !job->events) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "'tools' are called by events: ask for them, with /events or the field Accept");
        return FALSE;
    }
    if (!prepare_window(job, error))
        return FALSE;
    if (!job->execution.stdin_open)
        return job->execution.input == NULL || fixed_input(job, error);
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return cannot("standard input", error);
    job->input_read_fd = fds[0];
    job->input_fd = fds[1];
    if (job->execution.input == NULL)
        return TRUE;
    struct input_piece *piece = g_new0(struct input_piece, 1);
    piece->bytes = g_bytes_ref(job->execution.input);
    g_queue_push_tail(&job->input, piece);
    wait_for_room(job);
    return TRUE;
}

/* FALSE: the pipe is full. */
static gboolean write_piece(struct job *job, struct input_piece *piece)
{
    gsize size = 0;
    const char *bytes = g_bytes_get_data(piece->bytes, &size);
    while (piece->done < size) {
        ssize_t n = write(job->input_fd, bytes + piece->done, size - piece->done);
        if (n < 0 && errno == EAGAIN)
            return FALSE;
        if (n < 0 && errno != EINTR) {
            job_close_input(job);
            return FALSE;
        }
        piece->done += n > 0 ? (gsize) n : 0;
    }
    return TRUE;
}

static gboolean on_input_room(gint fd, GIOCondition condition, gpointer data)
{
    struct job *job = data;
    (void) fd;
    (void) condition;
    while (!g_queue_is_empty(&job->input)) {
        struct input_piece *piece = g_queue_peek_head(&job->input);
        if (!write_piece(job, piece))
            return event_source_is_set(&job->input_watch) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
        gboolean end = piece->end;
        piece_end(g_queue_pop_head(&job->input), TRUE);
        if (end) {
            job_close_input(job);
            return G_SOURCE_REMOVE;
        }
    }
    return G_SOURCE_REMOVE;
}

static void input_gone(struct request *request)
{
    struct job *job = request->job;
    for (GList *item = job->input.head; item != NULL; item = item->next) {
        struct input_piece *piece = item->data;
        if (piece->request == request)
            piece->request = NULL;
    }
}

void job_feed(struct job *job, struct request *request, gboolean end)
{
    gsize waiting = 0;
    for (GList *item = job->input.head; item != NULL; item = item->next)
        waiting += g_bytes_get_size(((struct input_piece *) item->data)->bytes);
    if (waiting > INPUT_QUEUE_MAX) {
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_LIMIT, "the code does not read its standard input"));
        return;
    }
    struct input_piece *piece = g_new0(struct input_piece, 1);
    piece->request = request;
    piece->bytes = g_bytes_ref(request->body);
    piece->end = end;
    g_queue_push_tail(&job->input, piece);
    request->job = job;
    request_hold(request, input_gone);
    wait_for_room(job);
}

static struct json_object *chunk_json(const guint8 *bytes, gsize size)
{
    struct json_object *object = json_object_new_object();
    if (g_utf8_validate_len((const char *) bytes, size, NULL)) {
        json_object_object_add(object, "text", json_object_new_string_len((const char *) bytes, (int) size));
        return object;
    }
    g_autofree char *base64 = g_base64_encode(bytes, size);
    json_add(object, "base64", base64);
    return object;
}

static const char *stream_name(int stream) { return stream == 1 ? "stdout" : "stderr"; }

/* How many bytes at the end are the beginning of a character. */
static gsize incomplete(const guint8 *bytes, gsize size)
{
    for (gsize n = 1; n <= 3 && n <= size; n++) {
        const char *from = (const char *) bytes + size - n;
        if (((guint8) *from & 0xc0) != 0x80)
            return (guint8) *from >= 0xc0 && g_utf8_get_char_validated(from, (gssize) n) == (gunichar) -2 ? n : 0;
    }
    return 0;
}

/* What came of a character that is not complete, then how much was left out after it. */
static void flush_stream(struct job *job, int stream)
{
    GByteArray *tail = job->tails[stream - 1];
    if (tail != NULL && tail->len > 0) {
        request_event(job->request, stream_name(stream), chunk_json(tail->data, tail->len));
        g_byte_array_set_size(tail, 0);
    }
    if (job->dropped[stream - 1] == 0)
        return;
    struct json_object *gap = json_object_new_object();
    json_add(gap, "stream", stream_name(stream));
    json_add_int(gap, "bytes", (gint64) job->dropped[stream - 1]);
    request_event(job->request, "dropped", gap);
    job->dropped[stream - 1] = 0;
}

static void send_output(struct job *job, int stream, const guint8 *bytes, gsize size)
{
    GByteArray *tail;
    if (job->request->pending > EVENTS_PENDING_MAX) {
        job->dropped[stream - 1] += size;
        return;
    }
    if (job->dropped[stream - 1] > 0)
        flush_stream(job, stream);
    if (job->tails[stream - 1] == NULL)
        job->tails[stream - 1] = g_byte_array_new();
    tail = job->tails[stream - 1];
    g_byte_array_append(tail, bytes, (guint) size);
    gsize rest = incomplete(tail->data, tail->len);
    if (tail->len > rest) {
        request_event(job->request, stream_name(stream), chunk_json(tail->data, tail->len - rest));
        g_byte_array_remove_range(tail, 0, (guint) (tail->len - rest));
    }
}

void job_output(struct job *job, int stream, const void *bytes, gsize size)
{
    if (job->request != NULL && size > 0)
        send_output(job, stream, bytes, size);
}

void job_flush_output(struct job *job)
{
    for (int stream = 1; stream <= 2 && job->request != NULL; stream++)
        flush_stream(job, stream);
}

struct json_object *job_accepted(const struct job *job)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "id", job->id);
    /* To the first ones, until there is a sandbox. */
    if (job->session != NULL && job->session->changes != NULL && !job->session->ever_open)
        json_object_object_add(object, "changed", json_object_get(job->session->changes));
    return object;
}

gboolean service_is_busy(const struct service *service, guint requests)
{
    return service->running > 0 || service->queued > 0 || service->threads > 0 || service->requests > requests ||
           g_hash_table_size(service->jobs) > 0;
}
