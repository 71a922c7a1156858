/* SPDX-License-Identifier: MIT */
#ifndef DSB_PODMAN_ENDPOINT_H
#define DSB_PODMAN_ENDPOINT_H

#include "engine/engine.h"

/** Where Podman listens: `given`, CONTAINER_HOST, or the usual socket of this user; *chosen: the user named it. */
struct dsbe_endpoint *dsb_podman_endpoint(const char *given, gboolean *chosen, GError **error);

/** What Podman gets of our environment besides what all engines do, and nothing else. */
extern const char *const dsb_podman_passed[];

/**
 * What decides how Podman runs here and is another one for a service that is there: subordinate ids, its configuration,
 * the user's part of the control groups, and its environment, in which a build finds its proxy. A few characters (new),
 * others after each change.
 */
char *dsb_podman_state(void);

/** A `podman system service` of our own on a socket in RUNTIME_DIR, which ends by itself when idle. After a change of
    dsb_podman_state it is another one: what runs on the former goes on there. */
struct dsb_podman_service;
/** With an OCI runtime by name, or the default (NULL). UNAVAILABLE: no podman program; INVALID. */
struct dsb_podman_service *dsb_podman_service_new(const char *runtime_dir, const char *runtime, GError **error);
void dsb_podman_service_free(void *service);
const char *dsb_podman_service_socket(const struct dsb_podman_service *service);
/**
 * Answering when this returns, by the deadline (monotonic, us) and at most half a minute. Another one already there is
 * used. Any thread, any process. UNAVAILABLE, TIMEOUT, CANCELLED.
 */
gboolean dsb_podman_service_ensure(void *service, gint64 deadline, int cancel_fd, GError **error);

/** Resource limits of the process that listens on the socket; our own of nproc, and no others, if they cannot be read. */
void dsb_podman_limits(const char *socket_path, struct dsbe_facts *facts);

#endif
