/* SPDX-License-Identifier: MIT */
#ifndef DSB_MAPPED_H
#define DSB_MAPPED_H

#include "tree.h"

/**
 * Run `work` in a child process that is the superuser of a user namespace with all ids of the invoker mapped: his own,
 * and the subordinate ones that rootless containers may leave files with. `work` gets no threads and may use neither
 * heap nor GLib. Returns what it returned, or ENOTSUP when the system gives us no such namespace; ETIMEDOUT.
 */
int dsb_mapped_run(int (*work)(void *data), void *data, unsigned ms);

/** dsb_tree_clear, with a second try as dsb_mapped_run where directories belong to subordinate ids. */
int dsb_mapped_clear(int fd, const struct dsb_tree_limits *limits);

#endif
