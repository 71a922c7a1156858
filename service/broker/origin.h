/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_ORIGIN_H
#define DSB_BROKER_ORIGIN_H

#include <glib.h>

G_BEGIN_DECLS

/** Where a connection comes from. */
enum reach {
    REACH_UNIX,     /**< our socket: no browser gets there */
    REACH_LOOPBACK, /**< TCP to this machine's own address */
    REACH_NETWORK,
};

/**
 * No web page sends this request: neither one of another origin, nor one whose name was made to lead to this machine.
 * `host` and `origin` are the fields of that name, NULL where they are not there.
 */
gboolean origin_is_good(enum reach reach, const char *host, const char *origin);

G_END_DECLS
#endif
