/* SPDX-License-Identifier: MIT */
#ifndef DSB_DOCKER_API_ENDPOINT_H
#define DSB_DOCKER_API_ENDPOINT_H

#include "engine.h"

/** Which Docker engine: `given`, DOCKER_HOST, the context, then the default socket. */
struct dsbe_endpoint *dsbe_docker_endpoint(const char *given, GError **error);

#endif
