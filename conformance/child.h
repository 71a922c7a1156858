/* SPDX-License-Identifier: MIT */
#ifndef DSB_CONFORMANCE_CHILD_H
#define DSB_CONFORMANCE_CHILD_H

#include "common/watch.h"

/**
 * A process of the suite that has a plugin in it: in a group of its own, without our standard input and output. What it
 * writes is shown on standard error, line by line, harmless and bounded.
 */
struct child {
    struct watch watch;
    int (*work)(void *data);
    void *data;
    /* private */
    int out, to;
    unsigned shown;
    GString *line;
};

/** As watch_start(); what the library calls is watched as well. FALSE: *error. */
gboolean child_fork(struct child *child, struct watch_page *page, int (*work)(void *data), void *data, GError **error);
/** As watch_step(). TRUE: it ended, and all that it wrote was shown. */
gboolean child_step(struct child *child, gint64 total_ms);
void child_over(struct child *child, gint64 total_ms);

/** From now on SIGINT, SIGTERM and SIGHUP ask for the end; the third one ends everything at once. */
gboolean child_catch_signals(GError **error);
/** The first signal that asked for the end, 0: none. */
int child_signal(void);
/** Can be read once there was one. */
int child_signal_fd(void);

#endif
