/* SPDX-License-Identifier: MIT */
#include "broker/adopt.h"

#include "broker/dispatch.h"
#include "broker/gc.h"
#include "broker/process.h"
#include "broker/record.h"
#include "broker/snapshot.h"
#include "client/session_socket.h"
#include "common/owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 3000 /* for all of them */
#define NAMES_MAX 10000

/* A process that may be taken. */
struct adoption {
    struct service *service;
    struct process *process;
    char *id; /* as the name of its socket says */
};

static void adoption_free(struct adoption *adoption)
{
    g_queue_remove(&adoption->service->adoptions, adoption);
    g_free(adoption->id);
    g_free(adoption);
}

/* Numbers of processes are used again: it is the one that says so, and lives. */
static gboolean is_it(const struct process *process, const char *owner)
{
    int pid = 0;
    enum dsb_owner_state state = dsb_owner_state(owner);
    return sscanf(owner, "%*u.%d.", &pid) == 1 && pid == (int) process_pid(process) &&
           (state == DSB_OWNER_ALIVE || state == DSB_OWNER_UNKNOWN);
}

static void on_frame(gpointer data, struct frame *frame)
{
    struct adoption *adoption = data;
    struct process *process = adoption->process;
    g_autoptr(GError) error = NULL;
    struct held held = {0};
    if (frame->type != FRAME_HELD) {
        process_fail(process, "it does not say what it has");
        return;
    }
    g_autofree char *owner = snapshot_owner(frame);
    if (owner == NULL || !is_it(process, owner)) {
        process_fail(process, "it is not the process that it says");
        return;
    }
    if (!snapshot_unpack(adoption->service, frame, &held, &error)) {
        process_fail(process, error->message);
        return;
    }
    service_log("session %s goes on, process %d%s", held.session->id, (int) process_pid(process),
                held.job != NULL ? ", which is busy" : "");
    adoption_free(adoption);
    dispatch_resume(held.session, process, held.job);
    session_resume(held.session, held.job);
}

/* What a session is told that comes back under its id. */
static void on_gone(gpointer data, const char *why)
{
    struct adoption *adoption = data;
    struct record *past = g_hash_table_lookup(adoption->service->past, adoption->id);
    service_log("session %s is lost", adoption->id);
    if (past != NULL) {
        g_free(past->reason);
        past->reason = g_strdup(why);
        gc_after(adoption->service, past->create);
    }
    adoption_free(adoption);
}

static void adopt(struct service *service, int dir, const char *name)
{
    static const struct process_user user = {on_frame, on_gone};
    g_autoptr(GError) error = NULL;
    pid_t pid = 0;
    g_autofree char *id = session_socket_parse(name, &pid);
    if (id == NULL)
        return;
    int fd = session_socket_connect(dir, name);
    if (fd < 0 && errno == ECONNREFUSED) {
        unlinkat(dir, name, 0);
        return;
    }
    if (fd < 0) {
        service_log("session %s, process %d, cannot be reached: %s", id, (int) pid, g_strerror(errno));
        return;
    }
    struct adoption *adoption = g_new0(struct adoption, 1);
    *adoption = (struct adoption){.service = service, .id = g_steal_pointer(&id)};
    g_queue_push_tail(&service->adoptions, adoption);
    adoption->process = process_adopt(service, fd, &user, adoption, &error);
    if (adoption->process != NULL)
        return;
    service_log("session %s, process %d: %s", adoption->id, (int) pid, error->message);
    adoption_free(adoption);
}

/* Each in turn: they answer at the same time. */
static void await(struct service *service)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_MS * INT64_C(1000);
    for (GList *item = service->adoptions.head, *next; item != NULL; item = next) {
        const struct adoption *adoption = item->data;
        next = item->next;
        /* It is gone from the queue when it is taken. */
        while (g_queue_find(&service->adoptions, adoption) != NULL && process_is_open(adoption->process)) {
            gint64 left = MAX(0, deadline - g_get_monotonic_time()) / 1000;
            process_await(adoption->process, (guint) left);
            if (left == 0)
                break;
        }
    }
    if (service->adoptions.length > 0)
        service_log("%u of the former service's sessions do not answer yet", service->adoptions.length);
}

void adopt_all(struct service *service)
{
    const char *name;
    int dir = session_socket_open(service->options.socket);
    if (dir < 0 && errno != ENOENT)
        service_log("sessions of the former service cannot be looked for: %s", g_strerror(errno));
    if (dir < 0)
        return;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", dir);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) names = g_dir_open(path, 0, &error);
    if (names == NULL)
        service_log("sessions of the former service cannot be looked for: %s", error->message);
    for (guint i = 0; names != NULL && i < NAMES_MAX && (name = g_dir_read_name(names)) != NULL; i++)
        adopt(service, dir, name);
    close(dir);
    await(service);
}

void adopt_end(struct service *service)
{
    struct adoption *adoption;
    while ((adoption = g_queue_peek_head(&service->adoptions)) != NULL) {
        process_forget(adoption->process);
        adoption_free(adoption);
    }
}
