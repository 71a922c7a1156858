/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLIENT_ALIVE_H
#define DSB_CLIENT_ALIVE_H

#include "client/http.h"

G_BEGIN_DECLS

/*
 * Whether the service is still there, while an answer takes its time: how long that is says nothing, but the service
 * itself never waits. When nothing came for a while it is asked on a second connection; no answer to that is an end
 * of the wait.
 */
struct watch {
    struct http probe;
    gint64 heard; /**< monotonic: the last sign of life */
    gint64 asked; /**< 0: it is not being asked */
    gint64 patience_us;
};

void watch_begin(struct watch *watch, const char *socket_path);
/** The service said something. */
void watch_heard(struct watch *watch);
/** Ask now, and wait for so long only. */
void watch_hurry(struct watch *watch, guint ms);
/** To be polled for POLLIN, for that many milliseconds at most. */
int watch_fd(const struct watch *watch);
int watch_ms(const struct watch *watch);
/** After the poll. FALSE: BUSY, it does not answer. */
gboolean watch_turn(struct watch *watch, gboolean readable, GError **error);
void watch_end(struct watch *watch);

/** BUSY: which process has the socket and does not answer, and what to do. Always FALSE. */
gboolean service_is_silent(const char *socket_path, GError **error);

G_END_DECLS
#endif
