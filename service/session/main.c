/* SPDX-License-Identifier: MIT */
/* dsandbox-session: what it hears from the service, and what it says. */
#include "common/owner.h"
#include "session/calls.h"
#include "session/outcome.h"
#include "shared/thread_order.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <json-c/json.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERVICE_FD 3
#define LOOK_MS 1000
#define BODY_TEXT_MAX (32u << 20)
#define LARGE_BLOCK (256 << 10)

static int last_words_fd = SERVICE_FD; /* -1: nobody is there */

void last_words_to(int fd) { last_words_fd = fd; }

/* Any thread, at any time: a packet goes out as a whole. */
static void tell_why(const char *why, const char *what)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    g_autofree char *text = g_strconcat(why, what != NULL ? ": " : NULL, what, NULL);
    if (strlen(text) > LEAVING_MAX)
        text[LEAVING_MAX] = '\0';
    pack_text(pack, text);
    if (last_words_fd >= 0)
        frame_send(last_words_fd, FRAME_LEAVING, pack, NULL, 0);
}

void leave(const char *why, const char *what)
{
    tell_why(why, what);
    fprintf(stderr, "dsandbox-session[%d]: %s%s%s\n", (int) getpid(), why, what != NULL ? ": " : "",
            what != NULL ? what : "");
    fflush(stderr);
    _exit(1);
}

/* GLib ends a process that is short of what it cannot do without. */
static GLogWriterOutput on_glib_log(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
    for (gsize i = 0; (level & G_LOG_LEVEL_ERROR) != 0 && i < n; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0)
            leave("it cannot go on", fields[i].value);
    return g_log_writer_default(level, fields, n, data);
}

/* --- to the service ----------------------------------------------------------- */

/* FALSE: errno. The main thread sees the end of the service by itself. */
static gboolean try_tell_locked(struct session_process *process, enum frame_type type, const GByteArray *pack,
                                const int *fds, guint n_fds)
{
    return process->fd < 0 || frame_send(process->fd, type, pack, fds, n_fds) || errno == EPIPE || errno == ECONNRESET;
}

void tell_service_locked(struct session_process *process, enum frame_type type, const GByteArray *pack, const int *fds,
                         guint n_fds)
{
    if (!try_tell_locked(process, type, pack, fds, n_fds))
        leave("cannot answer the service", dsb_errno_text(errno));
}

void tell_service(struct session_process *process, enum frame_type type, const GByteArray *pack)
{
    pthread_mutex_lock(&process->sending);
    tell_service_locked(process, type, pack, NULL, 0);
    pthread_mutex_unlock(&process->sending);
}

void task_free(struct task *task)
{
    if (task == NULL)
        return;
    frame_clear(&task->frame);
    order_clear(&task->order);
    outcome_clear(&task->outcome);
    g_free(task);
}

void tell_outcome_locked(struct task *task)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    int file = -1;
    task->told_to = task->process->connection;
    if (!task->check) {
        gboolean told = outcome_pack(&task->outcome, pack, &file) &&
                        try_tell_locked(task->process, FRAME_OUTCOME, pack, &file, file >= 0 ? 1 : 0);
        int number = errno;
        if (file >= 0)
            close(file);
        if (told)
            return;
        /* A large one takes more than we can have now. What became of the session is little, and goes all the same. */
        g_autoptr(GByteArray) without = g_byte_array_new();
        outcome_replace(&task->outcome, task->order.id, number);
        outcome_pack(&task->outcome, without, &file);
        tell_service_locked(task->process, FRAME_OUTCOME, without, NULL, 0);
    } else if (task->outcome.ended != NULL) {
        pack_text(pack, task->outcome.ended);
        tell_service_locked(task->process, FRAME_ENDED, pack, NULL, 0);
    }
}

void tell_ready_locked(struct session_process *process)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_number(pack, FRAMES_VERSION);
    pack_text(pack, dsb_version());
    pack_text(pack, process->work.mark);
    tell_service_locked(process, FRAME_READY, pack, NULL, 0);
}

/* --- the other thread --------------------------------------------------------- */

static gboolean on_done(gpointer data);

static struct task no_more; /* the last one in the inbox */

static gpointer do_tasks(gpointer data)
{
    struct session_process *process = data;
    struct task *task;
    while ((task = g_async_queue_pop(process->inbox)) != &no_more) {
        thread_acquire(task);
        work_do(&process->work, task);
        pthread_mutex_lock(&process->sending);
        tell_outcome_locked(task);
        pthread_mutex_unlock(&process->sending);
        thread_release(task);
        g_idle_add_full(G_PRIORITY_DEFAULT, on_done, task, NULL);
    }
    return NULL;
}

/* --- the main thread ---------------------------------------------------------- */

void task_start(struct session_process *process, struct task *task)
{
    event_source_clear(&process->look);
    event_source_clear(&process->news);
    task->process = process;
    task->settings = process->settings;
    process->tasks++;
    thread_release(task);
    g_async_queue_push(process->inbox, task);
}

static void look(struct session_process *process)
{
    struct task *task = g_new0(struct task, 1);
    task->check = TRUE;
    task->frame = (struct frame){.fds = FRAME_NO_FDS};
    task_start(process, task);
}

static gboolean on_news(gint fd, GIOCondition condition, gpointer data)
{
    (void) fd;
    (void) condition;
    look(data);
    return G_SOURCE_REMOVE;
}

static gboolean on_look_time(gpointer data)
{
    look(data);
    return G_SOURCE_REMOVE;
}

/* Something may come from the idle sandbox, and processes that an execution left behind may fill the disk. */
static void rest(struct session_process *process)
{
    keep_rest(process);
    const struct work *work = &process->work;
    if (work->session == NULL && work->warm == NULL)
        return;
    int fd = work->warm != NULL ? dsb_warm_fd(work->warm) : dsb_session_fd(work->session);
    if (work->warm == NULL) /* no code has been in it that could fill the disk */
        event_source_timeout(&process->look, LOOK_MS, on_look_time, process);
    if (fd >= 0)
        event_source_set(&process->news, g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR),
                         G_SOURCE_FUNC(on_news), process);
}

static void part_with(struct session_process *process, struct task *task)
{
    keep_result(&process->kept, task);
    task_free(task);
}

/* The service that it was said to may have been another one. */
static void keep_outcome(struct session_process *process, struct task *task)
{
    pthread_mutex_lock(&process->sending);
    if (task->told_to != process->connection)
        tell_outcome_locked(task);
    pthread_mutex_unlock(&process->sending);
    task->done = TRUE;
    if (task->outcome.alive || !task->check)
        g_clear_pointer(&process->kept.ended, g_free);
    else if (task->outcome.ended != NULL && process->tasks == 1) /* else an order is behind it */
        process->kept.ended = g_strdup(task->outcome.ended);
    if (!task->check)
        process->kept.used = g_get_monotonic_time();
    if (task != process->order)
        part_with(process, task);
}

static gboolean on_done(gpointer data)
{
    struct task *task = data;
    thread_acquire(task);
    struct session_process *process = task->process;
    gboolean last = !task->check && (task->order.kind == JOB_CLOSE || task->order.kind == JOB_RUN ||
                                     task->order.kind == JOB_GC);
    keep_outcome(process, task);
    if (--process->tasks > 0)
        return G_SOURCE_REMOVE;
    if (last)
        g_main_loop_quit(process->loop);
    else
        rest(process);
    return G_SOURCE_REMOVE;
}

static void take_settings(struct session_process *process, const struct frame *frame)
{
    g_autoptr(GError) error = NULL;
    struct unpack unpack = unpack_frame(frame);
    g_autofree char *id = unpack_text(&unpack, BODY_TEXT_MAX);
    g_autofree char *text = unpack_text(&unpack, BODY_TEXT_MAX);
    if (unpack.bad || text == NULL || (process->settings != NULL && !process->waits) ||
        !keep_settings(&process->kept, &unpack))
        leave("these are no settings", NULL);
    process->former = process->settings;
    struct json_object *body = json_tokener_parse(text);
    process->settings = settings_read(body, id, &error);
    json_object_put(body);
    if (process->settings == NULL)
        leave("these are no settings", error->message);
}

/* That may be known before on_done has run, which does the rest then. */
static void outcome_arrived(struct session_process *process)
{
    struct task *task = g_steal_pointer(&process->order);
    if (task != NULL && task->done)
        part_with(process, task);
}

static void take_order(struct session_process *process, struct frame *frame)
{
    struct task *task = g_new0(struct task, 1);
    if (process->settings == NULL || !order_unpack(frame, &task->order) ||
        (task->order.has_input ? 1 : 0) + (task->order.rows > 0 ? 1 : 0) != (frame->fds[1] >= 0) + (frame->fds[2] >= 0))
        leave("this is no order", NULL);
    outcome_arrived(process);
    process->order = task;
    process->waits = task->order.kind == JOB_WARM;
    task->frame = *frame;
    *frame = (struct frame){.fds = FRAME_NO_FDS};
    keep_order(process, &task->order);
    task_start(process, task);
}

static void take_taken(struct session_process *process, const struct frame *frame)
{
    struct unpack unpack = unpack_frame(frame);
    gboolean arrived = FALSE;
    if (!keep_taken(&process->kept, &unpack, &arrived))
        leave("this is nothing to keep", NULL);
    if (arrived)
        outcome_arrived(process);
}

static void take_session(struct session_process *process, const struct frame *frame)
{
    struct unpack unpack = unpack_frame(frame);
    if (!keep_session(&process->kept, &unpack))
        leave("this is nothing to keep", NULL);
}

static gboolean service_gone(struct session_process *process)
{
    pthread_mutex_lock(&process->sending);
    close(process->fd);
    process->fd = -1;
    last_words_to(-1);
    pthread_mutex_unlock(&process->sending);
    calls_end(process, "there is no service any more that could call it");
    if (process->waits)
        keep_nothing(process); /* nobody will come for it */
    else if (!keep_alone(process))
        _exit(0); /* its end is ours; the container ends with our end of the stream */
    return G_SOURCE_REMOVE;
}

static gboolean on_service(gint fd, GIOCondition condition, gpointer data)
{
    struct session_process *process = data;
    struct frame frame;
    (void) condition;
    int got = frame_receive(fd, &frame);
    if (got == 0)
        return service_gone(process);
    if (got < 0 && errno == ECONNRESET)
        return G_SOURCE_CONTINUE; /* it did not read all; what it said before comes still */
    if (got < 0)
        leave("cannot read what the service says", dsb_errno_text(errno));
    if (frame.type == FRAME_SETTINGS)
        take_settings(process, &frame);
    else if (frame.type == FRAME_ORDER)
        take_order(process, &frame);
    else if (frame.type == FRAME_SESSION)
        take_session(process, &frame);
    else if (frame.type == FRAME_TAKEN)
        take_taken(process, &frame);
    else if (frame.type != FRAME_RETURN || !calls_return(process, &frame))
        leave("the service says something unknown", NULL);
    frame_clear(&frame);
    return G_SOURCE_CONTINUE;
}

void listen_to_service(struct session_process *process)
{
    event_source_set(&process->service, g_unix_fd_source_new(process->fd, G_IO_IN | G_IO_HUP | G_IO_ERR),
                     G_SOURCE_FUNC(on_service), process);
}

int main(void)
{
    struct session_process process = {.fd = SERVICE_FD, .sending = PTHREAD_MUTEX_INITIALIZER,
                                      .calling = PTHREAD_MUTEX_INITIALIZER};
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond `ulimit -f` is an error to report */
    /* There are many of this process, and each is to be small. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BLOCK);
    if (fcntl(SERVICE_FD, F_SETFD, FD_CLOEXEC) < 0)
        leave("this is a part of dsandbox-serve, which starts it", NULL);
    g_log_set_writer_func(on_glib_log, NULL, NULL);
    process.work.mark = dsb_installation_mark();
    if (process.work.mark == NULL)
        leave("the files of this installation cannot be looked at", dsb_errno_text(errno));
    process.owner = dsb_owner_label();
    if (process.owner == NULL)
        leave("it cannot tell itself from others", dsb_errno_text(errno));
    process.loop = g_main_loop_new(NULL, FALSE);
    process.inbox = g_async_queue_new();
    GThread *thread = g_thread_try_new("work", do_tasks, &process, &error);
    if (thread == NULL)
        leave("no thread", error->message);
    listen_to_service(&process);
    pthread_mutex_lock(&process.sending);
    tell_ready_locked(&process);
    pthread_mutex_unlock(&process.sending);
    g_main_loop_run(process.loop);
    event_source_clear(&process.service);
    event_source_clear(&process.look);
    event_source_clear(&process.news);
    keep_clear(&process.kept);
    task_free(process.order);
    g_async_queue_push(process.inbox, &no_more);
    g_thread_join(thread);
    g_async_queue_unref(process.inbox);
    g_main_loop_unref(process.loop);
    settings_free(process.settings);
    settings_free(process.former);
    g_free(process.work.ended);
    g_clear_error(&process.work.left);
    g_free(process.work.mark);
    g_free(process.owner);
    return 0;
}
