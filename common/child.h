/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_CHILD_H
#define DSB_COMMON_CHILD_H

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/** A program that one of ours, or a backend, starts as its child. */
struct child {
    const char *program, *directory;        /**< directory NULL: ours */
    char *const *argv, *const *environment; /**< environment NULL: ours */
    int in, out, err; /**< -1: /dev/null */
    int link;         /**< its descriptor 3; -1: none */
    gboolean session; /**< of its own: a terminal's signals do not reach it. Else a process group of its own */
    gboolean usual_umask; /**< 022 in place of ours: what it makes is used by others */
};

/** Start it, with no other descriptor and no signal blocked or ignored. 0, or an errno. */
int child_start(const struct child *child, pid_t *pid);

G_END_DECLS
#endif
