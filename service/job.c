/* SPDX-License-Identifier: MIT */
#include "job.h"

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

/* Output on its way from a worker to the main thread. */
struct chunk {
    struct job *job;
    int stream;
    gsize size;
    guint8 bytes[];
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
                        .fd = -1,
                        .created = g_get_real_time()};
    g_queue_init(&job->input);
    job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    job->user = request != NULL ? request->user : "service";
    if (request != NULL)
        request->job = job;
    if (kind == JOB_EXECUTE || kind == JOB_RUN) {
        job->id = random_id("x-");
        g_hash_table_insert(service->jobs, job->id, job);
    }
    return job;
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
    if (job->input_watch != 0)
        g_source_remove(job->input_watch);
    job->input_watch = 0;
    if (job->input_fd >= 0)
        close(job->input_fd);
    job->input_fd = -1;
    while ((piece = g_queue_pop_head(&job->input)) != NULL)
        piece_end(piece, FALSE);
}

void job_free(struct job *job)
{
    job_close_input(job);
    if (job->id != NULL)
        g_hash_table_remove(job->service->jobs, job->id);
    if (job->request != NULL)
        job->request->job = NULL;
    if (job->cancel_fd >= 0)
        close(job->cancel_fd);
    if (job->input_read_fd >= 0)
        close(job->input_read_fd);
    for (int i = 0; i < 2; i++)
        g_clear_pointer(&job->tails[i], g_byte_array_unref);
    settings_free(job->settings);
    execution_clear(&job->execution);
    g_clear_error(&job->error);
    json_object_put(job->summary);
    g_free(job->id);
    g_free(job->op);
    g_free(job->lost);
    g_free(job->text);
    g_free(job->status);
    g_free(job->info);
    g_free(job->ended);
    g_free(job);
}

void job_cancel(struct job *job)
{
    const uint64_t one = 1;
    if (job->cancelled)
        return;
    job->cancelled = TRUE;
    if (write(job->cancel_fd, &one, sizeof one) < 0)
        service_log("eventfd: %s", g_strerror(errno));
}

static gboolean cannot(const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s: %s", what, g_strerror(errno));
    return FALSE;
}

/* All of it is known: a file in memory, so that no slow reader can hold anybody up. */
static gboolean fixed_input(struct job *job, GError **error)
{
    gsize size = 0, done = 0;
    const char *bytes = g_bytes_get_data(job->execution.input, &size);
    job->input_read_fd = memfd_create("dsandbox-stdin", MFD_CLOEXEC);
    if (job->input_read_fd < 0)
        return cannot("memfd_create", error);
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
    if (job->input_watch == 0)
        job->input_watch = g_unix_fd_add(job->input_fd, G_IO_OUT, on_input_room, job);
}

gboolean job_prepare_input(struct job *job, GError **error)
{
    int fds[2];
    if (!job->execution.stdin_open)
        return job->execution.input == NULL || fixed_input(job, error);
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return cannot("pipe", error);
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
            return job->input_watch != 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
        gboolean end = piece->end;
        piece_end(g_queue_pop_head(&job->input), TRUE);
        if (end) {
            job->input_watch = 0;
            job_close_input(job);
            return G_SOURCE_REMOVE;
        }
    }
    job->input_watch = 0;
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

static void send_output(struct job *job, int stream, const guint8 *bytes, gsize size)
{
    GByteArray *tail = job->tails[stream - 1];
    if (job->request->pending > EVENTS_PENDING_MAX) {
        job->dropped[stream - 1] += size;
        return;
    }
    if (job->dropped[stream - 1] > 0) {
        struct json_object *gap = json_object_new_object();
        json_add(gap, "stream", stream_name(stream));
        json_add_int(gap, "bytes", (gint64) job->dropped[stream - 1]);
        request_event(job->request, "dropped", gap);
        job->dropped[stream - 1] = 0;
    }
    if (tail == NULL)
        tail = job->tails[stream - 1] = g_byte_array_new();
    g_byte_array_append(tail, bytes, (guint) size);
    gsize rest = incomplete(tail->data, tail->len);
    if (tail->len > rest) {
        request_event(job->request, stream_name(stream), chunk_json(tail->data, tail->len - rest));
        g_byte_array_remove_range(tail, 0, (guint) (tail->len - rest));
    }
}

static gboolean on_chunk(gpointer data)
{
    struct chunk *chunk = data;
    if (chunk->job->request != NULL && chunk->size > 0)
        send_output(chunk->job, chunk->stream, chunk->bytes, chunk->size);
    return G_SOURCE_REMOVE;
}

void job_output(struct job *job, int stream, const void *bytes, gsize size)
{
    struct chunk *chunk = g_malloc(sizeof *chunk + size);
    chunk->job = job;
    chunk->stream = stream == 2 ? 2 : 1;
    chunk->size = size;
    memcpy(chunk->bytes, bytes, size);
    /* The job's end comes by the same way, and after it. */
    g_idle_add_full(G_PRIORITY_DEFAULT, on_chunk, chunk, g_free);
}

void job_flush_output(struct job *job)
{
    for (int i = 0; i < 2 && job->request != NULL; i++) {
        GByteArray *tail = job->tails[i];
        if (tail != NULL && tail->len > 0)
            request_event(job->request, stream_name(i + 1), chunk_json(tail->data, tail->len));
        if (tail != NULL)
            g_byte_array_set_size(tail, 0);
    }
}

struct json_object *job_accepted(const struct job *job)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "id", job->id);
    return object;
}
