/* SPDX-License-Identifier: MIT */
#include "client/alive.h"

#include "client/service_lock.h"

#define QUIET_US (10 * G_USEC_PER_SEC)
#define PATIENCE_US (10 * G_USEC_PER_SEC)

gboolean service_is_silent(const char *socket_path, GError **error)
{
    struct lock_holder holder;
    gboolean known = lock_holder(socket_path, &holder, NULL) && holder.pid > 0;
    g_autofree char *name = known ? g_strdup_printf("%" G_GINT64_FORMAT, holder.pid) : g_strdup("PID");
    g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY,
                "the service, process %s, has the socket %s and does not answer%s. If it is stopped, let it go on: "
                "kill -CONT %s. To end it: kill -KILL %s; its sessions go on with the next one",
                known ? name : "(unknown; see ps)", socket_path, known && holder.ending ? ", and should end" : "", name,
                name);
    return FALSE;
}

static gboolean drop_body(void *data, const guint8 *bytes, gsize size)
{
    (void) data;
    (void) bytes;
    (void) size;
    return TRUE;
}

void watch_begin(struct watch *watch, const char *socket_path)
{
    *watch = (struct watch){.probe = {.path = socket_path, .fd = -1, .cancel_fd = -1, .answer = {.body = drop_body}},
                            .patience_us = PATIENCE_US};
    watch_heard(watch);
}

void watch_heard(struct watch *watch)
{
    watch->heard = g_get_monotonic_time();
    watch->asked = 0;
    http_close(&watch->probe);
}

/*
 * That it cannot be asked is no answer: its socket may be gone for a moment, and the connection that we wait for may not.
 */
static void ask(struct watch *watch)
{
    g_autoptr(GError) error = NULL;
    if (http_send(&watch->probe, "GET", "/v1/version", NULL, FALSE, "", 0, &error))
        watch->asked = g_get_monotonic_time();
    else
        watch_heard(watch);
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY))
        watch->asked = g_get_monotonic_time() - watch->patience_us;
}

void watch_hurry(struct watch *watch, guint ms)
{
    watch->patience_us = (gint64) ms * 1000;
    ask(watch);
}

int watch_fd(const struct watch *watch) { return watch->probe.fd; }

int watch_ms(const struct watch *watch)
{
    gint64 until = watch->asked != 0 ? watch->asked + watch->patience_us : watch->heard + QUIET_US;
    return (int) (MAX(0, until - g_get_monotonic_time()) / 1000 + 1);
}

gboolean watch_turn(struct watch *watch, gboolean readable, GError **error)
{
    gint64 now = g_get_monotonic_time();
    if (readable && (!http_read(&watch->probe, NULL) || watch->probe.answer.done))
        watch_heard(watch);
    if (watch->asked == 0 && now >= watch->heard + QUIET_US)
        ask(watch);
    if (watch->asked == 0 || readable || now < watch->asked + watch->patience_us)
        return TRUE;
    return service_is_silent(watch->probe.path, error);
}

void watch_end(struct watch *watch) { http_close(&watch->probe); }
