/* SPDX-License-Identifier: MIT */
#ifndef DSB_PODMAN_ENDPOINT_H
#define DSB_PODMAN_ENDPOINT_H

#include "engine.h"

/** Where Podman listens: `given`, CONTAINER_HOST, or the usual socket of this user; *chosen: the user named it. */
struct dsbe_endpoint *dsb_podman_endpoint(const char *given, gboolean *chosen, GError **error);

/** A `podman system service` of our own on a socket in RUNTIME_DIR, which ends by itself when idle. */
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

/** Hard RLIMIT_NPROC of the process that listens on the socket; our own when that cannot be read. */
uint64_t dsb_podman_nproc(const char *socket_path);

#endif
