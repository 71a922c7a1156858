/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_BIND_SOURCES_H
#define DSB_ATTEST_BIND_SOURCES_H

#include "attest/hello.h"

/**
 * Look at the sources of the extra binds as they are on this host now: each is opened without following any
 * link, must be a directory or a regular file that the caller may read, and none of the places that are not given
 * away, however it is named or mounted. A directory with a socket at its top is refused. Notes the identity of each in
 * `host`, which the hello is compared with. A source that is not on this host cannot be checked and is refused too.
 */
gboolean dsb_bind_sources_check(const struct dsb_spec *spec, struct dsb_host_facts *host, GError **error);

#endif
