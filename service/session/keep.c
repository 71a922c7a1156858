/* SPDX-License-Identifier: MIT */
/*
 * A session without a service goes on: what runs, and the variables. The next service connects to our socket and gets
 * what the former one gave us to keep. Until then the session's own times hold, and nothing that runs may take longer
 * than a service would wait for it.
 */
#include "client/session_socket.h"
#include "common/owner.h"
#include "session/session_process.h"
#include "shared/deadlines.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 2000  /* whether our socket is still there */
#define ALONE_MS 1000 /* between two looks at the clock */

static GBytes *take_part(struct unpack *unpack)
{
    gsize size = 0;
    const char *bytes = unpack_bytes(unpack, &size, FRAME_MAX);
    return bytes != NULL ? g_bytes_new(bytes, size) : NULL;
}

static void replace(GBytes **to, GBytes *with)
{
    g_clear_pointer(to, g_bytes_unref);
    *to = with;
}

static void add(GQueue *queue, gsize *bytes, GBytes *entry, guint most, gsize most_bytes)
{
    *bytes += g_bytes_get_size(entry);
    g_queue_push_tail(queue, entry);
    while (queue->length > most || (*bytes > most_bytes && queue->length > 1)) {
        GBytes *oldest = g_queue_pop_head(queue);
        *bytes -= g_bytes_get_size(oldest);
        g_bytes_unref(oldest);
    }
}

static void add_past(struct kept *kept, GBytes *entry)
{
    add(&kept->past, &kept->past_size, entry, HISTORY_ENTRIES, HISTORY_BYTES);
}

static void drop_old(struct kept *kept)
{
    GBytes *oldest;
    while ((oldest = g_queue_peek_head(&kept->results)) != NULL) {
        guint64 ended = 0;
        memcpy(&ended, g_bytes_get_data(oldest, NULL), sizeof ended);
        if (g_get_real_time() - (gint64) ended < RESULTS_SECONDS * G_USEC_PER_SEC)
            return;
        kept->results_size -= g_bytes_get_size(oldest);
        g_bytes_unref(g_queue_pop_head(&kept->results));
    }
}

void keep_result(struct kept *kept, const struct task *task)
{
    const struct order *order = &task->order;
    if (order->key == NULL || task->outcome.text == NULL)
        return;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_number(pack, (guint64) g_get_real_time()); /* first: drop_old reads it */
    pack_text(pack, order->key);
    pack_text(pack, order->sum);
    pack_text(pack, order->id);
    pack_text(pack, text_memory(task->outcome.text));
    GBytes *result = g_bytes_new(pack->data, pack->len);
    add(&kept->results, &kept->results_size, result, RESULTS_MAX, RESULTS_BYTES);
}

gboolean keep_session(struct kept *kept, struct unpack *unpack)
{
    GBytes *session = take_part(unpack);
    if (session != NULL)
        replace(&kept->session, session);
    return session != NULL && !unpack->bad;
}

static gboolean keep_state(struct kept *kept, struct unpack *unpack)
{
    GBytes *state = take_part(unpack);
    if (state != NULL)
        replace(&kept->state, state);
    return state != NULL && !unpack->bad;
}

gboolean keep_settings(struct kept *kept, struct unpack *unpack)
{
    kept->socket = unpack_text(unpack, 4096);
    kept->used = g_get_monotonic_time();
    if (kept->socket == NULL)
        return !unpack->bad;
    kept->life_end = (gint64) unpack_number(unpack, G_MAXINT64);
    if (!keep_session(kept, unpack) || !keep_state(kept, unpack))
        return FALSE;
    guint64 n = unpack_number(unpack, HISTORY_ENTRIES);
    for (guint64 i = 0; i < n && !unpack->bad; i++) {
        GBytes *entry = take_part(unpack);
        unpack->bad |= entry == NULL;
        if (entry != NULL)
            add_past(kept, entry);
    }
    return !unpack->bad && unpack->left == 0;
}

gboolean keep_taken(struct kept *kept, struct unpack *unpack, gboolean *arrived)
{
    *arrived = unpack_number(unpack, 1) != 0;
    kept->life_end = (gint64) unpack_number(unpack, G_MAXINT64);
    if (!keep_state(kept, unpack))
        return FALSE;
    GBytes *entry = take_part(unpack);
    if (entry != NULL)
        add_past(kept, entry);
    return !unpack->bad && unpack->left == 0;
}

/* --- the socket ---------------------------------------------------------------- */

static void accept_services(struct session_process *process);

static void repair(struct session_process *process)
{
    gboolean again = FALSE;
    if (session_socket_repair(process->kept.listening, &again) && again && event_source_is_set(&process->kept.accept))
        accept_services(process);
}

static gboolean on_look(gpointer data)
{
    struct session_process *process = data;
    event_source_timeout(&process->kept.look, LOOK_MS, on_look, process);
    drop_old(&process->kept);
    repair(process);
    return G_SOURCE_REMOVE;
}

void keep_rest(struct session_process *process)
{
    if (process->kept.listening != NULL && !event_source_is_set(&process->kept.look))
        event_source_timeout(&process->kept.look, LOOK_MS, on_look, process);
}

static void stop_listening(struct kept *kept)
{
    event_source_clear(&kept->look);
    event_source_clear(&kept->accept);
    g_clear_pointer(&kept->listening, session_socket_free);
}

void keep_order(struct session_process *process, const struct order *order)
{
    struct kept *kept = &process->kept;
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&kept->ended, g_free);
    event_source_clear(&kept->look);
    if (order->kind == JOB_CLOSE || order->kind == JOB_WARM) {
        stop_listening(kept);
        return;
    }
    if (kept->listening != NULL || kept->socket == NULL)
        return;
    kept->listening = session_socket_new(kept->socket, process->settings->id, &error);
    if (kept->listening == NULL)
        fprintf(stderr, "dsandbox-session[%d]: the session will end with its service: %s\n", (int) getpid(),
                error->message);
}

/* --- the next service ------------------------------------------------------------ */

static void pack_part(gpointer bytes, gpointer pack)
{
    gsize size = 0;
    const void *data = g_bytes_get_data(bytes, &size);
    pack_bytes(pack, data, size);
}

static void say_held_locked(struct session_process *process)
{
    const struct kept *kept = &process->kept;
    const struct task *order = process->order;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_text(pack, process->owner);
    pack_part(kept->session, pack);
    pack_part(kept->state, pack);
    pack_number(pack, kept->past.length);
    g_queue_foreach((GQueue *) &kept->past, pack_part, pack);
    if (order != NULL)
        pack_bytes(pack, order->frame.bytes, order->frame.size);
    else
        pack_text(pack, NULL);
    pack_number(pack, kept->results.length);
    g_queue_foreach((GQueue *) &kept->results, pack_part, pack);
    tell_service_locked(process, FRAME_HELD, pack, order != NULL ? order->frame.fds : NULL,
                        order != NULL && order->frame.fds[0] >= 0 ? 1 : 0);
}

static void take_service(struct session_process *process, int fd)
{
    struct kept *kept = &process->kept;
    event_source_clear(&kept->accept);
    event_source_clear(&kept->alone);
    pthread_mutex_lock(&process->sending);
    process->fd = fd;
    last_words_to(fd);
    process->connection++;
    tell_ready_locked(process);
    say_held_locked(process);
    if (kept->ended != NULL) {
        g_autoptr(GByteArray) pack = g_byte_array_new();
        pack_text(pack, kept->ended);
        tell_service_locked(process, FRAME_ENDED, pack, NULL, 0);
    }
    if (process->order != NULL && process->order->done)
        tell_outcome_locked(process->order);
    pthread_mutex_unlock(&process->sending);
    listen_to_service(process);
}

static gboolean on_service(gint fd, GIOCondition condition, gpointer data)
{
    struct session_process *process = data;
    (void) condition;
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (accepted < 0)
        return G_SOURCE_REMOVE; /* short of something: on_alone tries again */
    if (session_socket_peer(accepted) < 0) {
        close(accepted);
        return G_SOURCE_CONTINUE;
    }
    take_service(process, accepted);
    return G_SOURCE_REMOVE;
}

static void accept_services(struct session_process *process)
{
    event_source_set(&process->kept.accept, g_unix_fd_source_new(session_socket_fd(process->kept.listening), G_IO_IN),
                     G_SOURCE_FUNC(on_service), process);
}

/* --- without one ----------------------------------------------------------------- */

static void end_it(struct session_process *process)
{
    struct task *task = g_new0(struct task, 1);
    task->frame = (struct frame){.fds = FRAME_NO_FDS};
    task->order.kind = JOB_CLOSE;
    stop_listening(&process->kept);
    process->kept.give_up = g_get_monotonic_time() + (gint64) deadline_close(process->settings) * 1000;
    task_start(process, task);
}

static void cancel_it(struct session_process *process, gint64 now)
{
    const guint64 one = 1;
    if (write(process->order->frame.fds[0], &one, sizeof one) < 0)
        g_debug("eventfd: %s", g_strerror(errno));
    gint64 until = now + (gint64) deadline_cancelled(process->settings) * 1000;
    process->kept.give_up = MIN(process->kept.give_up, until);
}

static gboolean on_alone(gpointer data)
{
    struct session_process *process = data;
    struct kept *kept = &process->kept;
    gint64 now = g_get_monotonic_time();
    gboolean over = kept->life_end > 0 && g_get_real_time() >= kept->life_end;
    gboolean busy = process->order != NULL && !process->order->done;
    event_source_timeout(&kept->alone, ALONE_MS, on_alone, process);
    if ((busy || kept->listening == NULL) && now >= kept->give_up)
        leave("what it does without a service takes too long", NULL); /* the container ends with our end of the stream */
    if (kept->listening == NULL)
        return G_SOURCE_REMOVE;
    repair(process);
    if (!event_source_is_set(&kept->accept))
        accept_services(process);
    if (busy && over)
        cancel_it(process, now);
    else if (!busy && (over || now >= kept->used + (gint64) process->settings->idle_ms * 1000))
        end_it(process);
    return G_SOURCE_REMOVE;
}

static gboolean on_late(gpointer data)
{
    (void) data;
    leave("the end of a sandbox that waited takes too long", NULL);
}

void keep_nothing(struct session_process *process)
{
    event_source_timeout(&process->kept.alone, (guint) (deadline_create(process->settings) + deadline_close(process->settings)),
                         on_late, process);
    end_it(process);
}

gboolean keep_alone(struct session_process *process)
{
    struct kept *kept = &process->kept;
    if (kept->listening == NULL)
        return FALSE;
    guint64 timeout_ms = process->order != NULL ? process->order->order.timeout_ms : 0;
    kept->give_up = g_get_monotonic_time() + (gint64) deadline_run(process->settings, timeout_ms) * 1000;
    accept_services(process);
    event_source_timeout(&kept->alone, ALONE_MS, on_alone, process);
    return TRUE;
}

void keep_clear(struct kept *kept)
{
    stop_listening(kept);
    event_source_clear(&kept->alone);
    replace(&kept->session, NULL);
    replace(&kept->state, NULL);
    g_queue_clear_full(&kept->past, (GDestroyNotify) g_bytes_unref);
    g_queue_clear_full(&kept->results, (GDestroyNotify) g_bytes_unref);
    g_free(kept->socket);
    g_free(kept->ended);
}
