/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_USERNS_H
#define DSB_HOSTDIR_USERNS_H

#include "hostdir/remove_tree.h"

/**
 * Run `work` in a child process that is the superuser of a user namespace with all ids of the invoker mapped: his own,
 * and the subordinate ones that rootless containers may leave files with. `work` gets no threads and may use neither
 * heap nor GLib. Returns what it returned, or ENOTSUP when the system gives us no such namespace; ETIMEDOUT.
 */
int dsb_userns_run(int (*work)(void *data), void *data, unsigned ms);

/** dsb_remove_content, with a second try as dsb_userns_run where directories belong to subordinate ids. */
int dsb_userns_remove_content(int fd, const struct dsb_remove_limits *limits);

#endif
