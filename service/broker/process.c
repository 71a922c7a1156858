/* SPDX-License-Identifier: MIT */
#include "broker/process.h"

#include "broker/service.h"
#include "broker/upgrade.h"
#include "client/client.h"
#include "client/session_socket.h"
#include "client/socket_path.h"
#include "common/child.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000
#define RELEASE_MS 10000 /* to end by itself */
#define CLOSED_MS 1000   /* its end comes just before that of the process */
#define FRAMES_AT_ONCE 16
#define PREPARE_AGAIN_MS 1000
#define FORGET_AGAIN_MS 1000

struct process {
    struct service *service;
    const struct process_user *user; /* NULL: it is ready, or was released */
    gpointer owner;
    pid_t pid;
    int fd, pidfd;
    enum phase phase;
    gboolean adopted; /* it is not our child */
    gboolean other;   /* it loads other files than our own processes */
    gboolean passed;  /* it has said what it has, and is somebody's */
    gboolean closed; /* by the other end, which should not be alive any more */
    char *killed; /* why it was */
    char *said;   /* why it ends, in its own words */
    gint64 deadline;
    struct event_source socket, death, late;
};

/* --- its end ------------------------------------------------------------------ */

static void process_free(struct process *process)
{
    event_source_clear(&process->socket);
    event_source_clear(&process->death);
    event_source_clear(&process->late);
    if (process->service->spare == process)
        process->service->spare = NULL;
    g_queue_remove(&process->service->processes, process);
    if (process->fd >= 0)
        close(process->fd);
    close(process->pidfd);
    g_free(process->killed);
    g_free(process->said);
    g_free(process);
}

static void kill_it(struct process *process, char *why)
{
    if (process->killed != NULL || syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0) < 0)
        g_free(why); /* `death` has the reason */
    else
        process->killed = why;
}

/* A signal is its own, also when we killed it meanwhile: the kernel keeps the first. */
static char *reason_of(const struct process *process, const siginfo_t *info)
{
    const char *phase = phase_name(process->phase);
    gboolean by_itself = !process->adopted && info->si_code == CLD_EXITED;
    if (process->said != NULL && (process->killed == NULL || by_itself))
        return g_strdup_printf("the session's process ended in %s: %s", phase, process->said);
    if (process->adopted && process->killed != NULL)
        return g_strdup(process->killed);
    if (process->adopted)
        return g_strdup_printf("the session's process ended in %s", phase);
    gboolean signalled = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
    if (signalled && process->killed != NULL && info->si_status == SIGKILL)
        return g_strdup(process->killed);
    if (signalled)
        return g_strdup_printf("the session's process crashed in %s: signal %d (%s)", phase, info->si_status,
                               strsignal(info->si_status));
    return g_strdup_printf("the session's process ended in %s with exit status %d", phase, info->si_status);
}

/* Of one that was told to end, too; SIGKILL may be ours. */
static gboolean ended_badly(const struct process *process, const siginfo_t *info)
{
    return !process->adopted && info->si_status != (info->si_code == CLD_EXITED ? 0 : SIGKILL);
}

static void read_frames(struct process *process, guint max);
static void read_last_words(struct process *process);
static gboolean on_prepare(gpointer data);

/* Not at once: what ended the last one may be there still. */
static void prepare_later(struct service *service)
{
    if (!service->stopping)
        event_source_timeout(&service->prepare, PREPARE_AGAIN_MS, on_prepare, service);
}

static gboolean forget_dead(gpointer data)
{
    struct service *service = data;
    for (guint n = service->dead.length; n > 0; n--) {
        gpointer pid = g_queue_pop_head(&service->dead);
        if (!session_socket_forget(service->options.socket, GPOINTER_TO_INT(pid)))
            g_queue_push_tail(&service->dead, pid);
    }
    if (service->dead.length > 0)
        event_source_timeout(&service->forget, FORGET_AGAIN_MS, forget_dead, service);
    return G_SOURCE_REMOVE;
}

static void forget(struct service *service, pid_t pid)
{
    g_queue_push_tail(&service->dead, GINT_TO_POINTER(pid));
    forget_dead(service);
}

static gboolean on_death(gint fd, GIOCondition condition, gpointer data)
{
    struct process *process = data;
    siginfo_t info = {0};
    (void) fd;
    (void) condition;
    gboolean spare = process->service->spare == process;
    if ((process->user != NULL || spare) && process->killed == NULL)
        read_frames(process, G_MAXUINT); /* what it has done to the end */
    read_last_words(process);
    if (!process->adopted && waitid(P_PID, (id_t) process->pid, &info, WEXITED) < 0)
        service_log("waitid: %s", g_strerror(errno));
    const struct process_user *user = process->user;
    gpointer owner = process->owner;
    g_autofree char *why = reason_of(process, &info);
    gboolean worth_a_line = user != NULL || spare || ended_badly(process, &info);
    struct service *service = process->service;
    if (!spare)
        forget(service, process->pid); /* it may have been as short of something as we are */
    process_free(process);
    if (worth_a_line)
        service_log("%s", why);
    if (spare)
        prepare_later(service);
    if (user != NULL)
        user->gone(owner, why);
    service_check_stop(service);
    return G_SOURCE_REMOVE;
}

static gboolean on_late(gpointer data)
{
    struct process *process = data;
    const char *what = process->closed ? "closed its connection" : "did not answer in time";
    kill_it(process, g_strdup_printf("the session's process %s in %s, and was killed", what,
                                     phase_name(process->phase)));
    return G_SOURCE_REMOVE;
}

/* One that was to be adopted ends by itself, or is nothing of ours: it is none of our business. */
static gboolean on_left(gpointer data)
{
    struct process *process = data;
    const struct process_user *user = process->user;
    gpointer owner = process->owner;
    process_free(process);
    user->gone(owner, "the session ended without a service, just before one came");
    return G_SOURCE_REMOVE;
}

void process_fail(struct process *process, const char *what)
{
    event_source_clear(&process->socket);
    kill_it(process, g_strdup_printf("the session's process failed in %s: %s", phase_name(process->phase), what));
}

void process_release(struct process *process) { process_release_within(process, RELEASE_MS); }

void process_release_within(struct process *process, guint ms)
{
    process->user = NULL;
    process->owner = NULL;
    event_source_clear(&process->socket);
    close(process->fd);
    process->fd = -1;
    event_source_timeout(&process->late, ms, on_late, process);
}

void process_discard(struct process *process)
{
    forget(process->service, process->pid);
    process_release(process);
    kill_it(process, NULL); /* without a service it would wait for the next */
}

/* --- frames ------------------------------------------------------------------- */

static void on_ready(struct process *process, const struct frame *frame)
{
    struct unpack unpack = unpack_frame(frame);
    gboolean ours = unpack_number(&unpack, G_MAXUINT64) == FRAMES_VERSION;
    g_autofree char *version = unpack_text(&unpack, 256);
    g_autofree char *mark = unpack_text(&unpack, 256);
    g_autofree char *older = g_strdup_printf("it is of dsandbox %s, with which %s cannot speak", version, dsb_version());
    if (process->adopted && (unpack.bad || !ours))
        process_fail(process, older);
    else if (!process->adopted && (unpack.bad || !ours || g_strcmp0(version, dsb_version()) != 0))
        process_fail(process, "dsandbox was replaced by another version while this service runs; end the service");
    process->other = g_strcmp0(mark, upgrade_mark()) != 0;
    if (!process->adopted && process->other)
        process_fail(process, SERVICE_REPLACED "; end the service");
}

static void on_leaving(struct process *process, const struct frame *frame)
{
    struct unpack unpack = unpack_frame(frame);
    g_autofree char *text = unpack_text(&unpack, LEAVING_MAX);
    if (text == NULL || unpack.bad)
        process_fail(process, "its last word makes no sense");
    else if (process->said == NULL)
        process->said = g_utf8_make_valid(text, -1);
}

static int receive(struct process *process, struct frame *frame)
{
    int got = frame_receive(process->fd, frame);
    if (got < 0 && errno == ECONNRESET) /* it did not read all: said once, and before what it sent itself */
        got = frame_receive(process->fd, frame);
    return got;
}

/* Also of one that we wanted to kill since it could not be reached: it was gone already. */
static void read_last_words(struct process *process)
{
    struct frame frame;
    while (process->fd >= 0 && process->said == NULL && receive(process, &frame) > 0) {
        if (frame.type == FRAME_LEAVING)
            on_leaving(process, &frame);
        frame_clear(&frame);
    }
}

static void read_frames(struct process *process, guint max)
{
    struct frame frame;
    int got = 1;
    for (guint i = 0; i < max && got > 0 && process->fd >= 0 && process->killed == NULL; i++) {
        got = receive(process, &frame);
        if (got <= 0)
            break;
        if (frame.type == FRAME_READY)
            on_ready(process, &frame);
        else if (frame.type == FRAME_LEAVING)
            on_leaving(process, &frame);
        else if (process->user != NULL)
            process->user->frame(process->owner, &frame);
        else
            process_fail(process, "it speaks without being asked");
        frame_clear(&frame);
    }
    if (got < 0 && errno != EAGAIN && errno != ECONNRESET)
        process_fail(process, dsb_errno_text(errno));
    else if (got == 0 || (got < 0 && errno == ECONNRESET)) {
        process->closed = TRUE;
        event_source_clear(&process->socket);
        event_source_timeout(&process->late, CLOSED_MS, process->adopted && !process->passed ? on_left : on_late,
                             process);
    }
}

static gboolean on_socket(gint fd, GIOCondition condition, gpointer data)
{
    (void) fd;
    (void) condition;
    read_frames(data, FRAMES_AT_ONCE);
    return G_SOURCE_CONTINUE;
}

/* One that ended has said its last before: that is read first, and then its end is seen. */
static void unreachable(struct process *process, int number)
{
    if ((number == EPIPE || number == ECONNRESET) && !process->closed)
        return;
    kill_it(process, g_strdup_printf("the session's process cannot be reached in %s: %s", phase_name(process->phase),
                                     dsb_errno_text(number)));
}

void process_send(struct process *process, enum frame_type type, const GByteArray *pack, const int *fds, guint n_fds)
{
    if (process->killed == NULL && !frame_send(process->fd, type, pack, fds, n_fds))
        unreachable(process, errno);
}

gboolean process_try_send(struct process *process, enum frame_type type, const GByteArray *pack, const int *fds,
                          guint n_fds, GError **error)
{
    if (process->killed != NULL || frame_send(process->fd, type, pack, fds, n_fds))
        return TRUE;
    if (dsb_errno_code(errno, DSB_ERROR_LOST) != DSB_ERROR_FAILED) {
        unreachable(process, errno);
        return TRUE;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "nothing was run: the order could not be given: %s",
                dsb_errno_text(errno));
    return FALSE;
}

/* --- deadlines ---------------------------------------------------------------- */

static void set_late(struct process *process, guint64 ms)
{
    process->deadline = g_get_monotonic_time() + (gint64) MIN(ms, G_MAXUINT32 / 2) * 1000;
    event_source_timeout(&process->late, (guint) MIN(ms, G_MAXUINT32 / 2), on_late, process);
}

void process_expect(struct process *process, enum phase phase, guint64 ms)
{
    process->phase = phase;
    if (ms > 0)
        set_late(process, ms);
    else
        event_source_clear(&process->late);
}

void process_hurry(struct process *process, guint64 ms)
{
    if (event_source_is_set(&process->late) && process->deadline > g_get_monotonic_time() + (gint64) ms * 1000)
        set_late(process, ms);
}

/* --- its start ---------------------------------------------------------------- */

int process_start(const char *name, int their_end, pid_t *pid)
{
    g_autofree char *program = dsb_client_helper("service", name);
    char *const argv[] = {program, NULL};
    const struct child child = {.program = program,
                                .argv = argv,
                                .in = -1,
                                .out = STDERR_FILENO,
                                .err = STDERR_FILENO,
                                .link = their_end,
                                .session = TRUE};
    return child_start(&child, pid);
}

static void watch(struct process *process)
{
    g_queue_push_tail(&process->service->processes, process);
    event_source_set(&process->socket, g_unix_fd_source_new(process->fd, G_IO_IN | G_IO_HUP | G_IO_ERR),
                     G_SOURCE_FUNC(on_socket), process);
    event_source_set(&process->death, g_unix_fd_source_new(process->pidfd, G_IO_IN), G_SOURCE_FUNC(on_death), process);
}

static struct process *process_new(struct service *service, GError **error)
{
    int fds[2] = {-1, -1}, code = 0;
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        code = errno;
    else
        code = process_start("dsandbox-session", fds[1], &pid);
    if (fds[1] >= 0)
        close(fds[1]);
    int pidfd = code == 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : -1;
    if (code == 0 && pidfd < 0) {
        code = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (code == 0 && g_unix_set_fd_nonblocking(fds[0], TRUE, NULL)) {
        struct process *process = g_new0(struct process, 1);
        *process = (struct process){.service = service, .pid = pid, .fd = fds[0], .pidfd = pidfd};
        watch(process);
        return process;
    }
    if (fds[0] >= 0)
        close(fds[0]);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the process of the session cannot be started: %s",
                dsb_errno_text(code));
    return NULL;
}

/* One that cannot be had now is nobody's loss yet. */
static gboolean on_prepare(gpointer data)
{
    struct service *service = data;
    g_autoptr(GError) error = NULL;
    if (service->spare == NULL && !service->stopping)
        service->spare = process_new(service, &error);
    if (error == NULL)
        return G_SOURCE_REMOVE;
    service_log("none waits ready: %s", error->message);
    prepare_later(service);
    return G_SOURCE_REMOVE;
}

void processes_prepare(struct service *service)
{
    if (service->spare == NULL && !service->stopping && !event_source_is_set(&service->prepare))
        event_source_set(&service->prepare, g_idle_source_new(), on_prepare, service);
}

struct process *process_take(struct service *service, const struct process_user *user, gpointer owner, GError **error)
{
    struct process *process = service->spare != NULL ? service->spare : process_new(service, error);
    service->spare = NULL;
    processes_prepare(service);
    if (process == NULL)
        return NULL;
    process->user = user;
    process->owner = owner;
    return process;
}

/* --- one that was there --------------------------------------------------------- */

struct process *process_adopt(struct service *service, int fd, const struct process_user *user, gpointer owner,
                              GError **error)
{
    pid_t pid = session_socket_peer(fd);
    int pidfd = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "its process is not known: %s",
                    pid > 0 ? g_strerror(errno) : "it is not yours");
        close(fd);
        return NULL;
    }
    struct process *process = g_new0(struct process, 1);
    *process = (struct process){.service = service, .user = user, .owner = owner, .pid = pid, .fd = fd,
                                .pidfd = pidfd, .adopted = TRUE};
    watch(process);
    return process;
}

gboolean process_is_other(const struct process *process) { return process->other; }

gboolean process_lives(const struct process *process)
{
    struct pollfd fd = {process->pidfd, POLLIN, 0};
    return process_is_open(process) && poll(&fd, 1, 0) == 0;
}

gboolean process_is_open(const struct process *process)
{
    return process->fd >= 0 && process->killed == NULL && !process->closed;
}

void process_await(struct process *process, guint ms)
{
    struct pollfd fd = {process->fd, POLLIN, 0};
    if (process_is_open(process) && poll(&fd, 1, (int) ms) > 0)
        read_frames(process, FRAMES_AT_ONCE);
}

void process_pass(struct process *process, const struct process_user *user, gpointer owner)
{
    process->passed = TRUE;
    process->user = user;
    process->owner = owner;
}

pid_t process_pid(const struct process *process) { return process->pid; }

void process_forget(struct process *process) { process_free(process); }

void processes_stop(struct service *service)
{
    event_source_clear(&service->prepare);
    if (service->spare != NULL)
        process_release(g_steal_pointer(&service->spare));
}

void processes_clear(struct service *service)
{
    struct process *process;
    while ((process = g_queue_peek_head(&service->processes)) != NULL) {
        kill_it(process, NULL);
        process_free(process);
    }
}
