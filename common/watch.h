/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_WATCH_H
#define DSB_COMMON_WATCH_H

#include <glib.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

G_BEGIN_DECLS

/*
 * Work in a child process that may crash, end or hang in a plugin's operation, and who watches over it. What the two say
 * to each other is in memory that both have; a plugin can write there, too, so it is trusted with no more than a message.
 */

struct watch_page {
    atomic_uint calls; /**< begun and ended ones; odd: one is under way */
    _Atomic guint64 at_most_ms;
    char plugin[256], operation[32];
    atomic_int answers; /**< an answer is on its way: no second one may follow */
    atomic_int done, status;
    volatile sig_atomic_t signal; /**< the first that asked for the end, or 0; by whoever watches */
};

/** Zeroed memory of `size` bytes that children share (munmap). NULL: errno. */
void *watch_share(gsize size);

/** A dsb_call_hook (dsandbox/session.h) of the process that works; `page` is its struct watch_page. */
void watch_tell(void *page, const char *plugin, const char *operation, guint64 at_most_ms);

enum watch_flags {
    WATCH_PLAIN = 0,
    WATCH_GROUP = 1, /**< a process group of its own, which goes with it when it is killed or crashes */
};

/** One child. */
struct watch {
    struct watch_page *page;
    enum watch_flags flags;
    pid_t pid;
    gboolean killed;  /**< by watch_kill() */
    siginfo_t info;   /**< how it ended */
    /* private */
    int pidfd;
    unsigned calls;
    gint64 looked_us, total_us, call_us, cancelled_us;
};

/**
 * Begin: `work` runs in a child that does not outlive us, and its value becomes the exit status. What it says by
 * watch_tell() is watched. FALSE: errno. The caller has to end it (watch_over, or watch_step until it ends).
 */
gboolean watch_start(struct watch *watch, struct watch_page *page, enum watch_flags flags, int (*work)(void *data), void *data);

/**
 * Wait a moment for its end, or until `fd` (-1: none) can be read. It is killed when an operation takes longer than it
 * said, or does not end soon after the signal, or all of it takes longer than `total_ms` (0: it may). Time in which we
 * were stopped does not count. TRUE: it ended.
 */
gboolean watch_step(struct watch *watch, gint64 total_ms, int fd);

/** Wait for its end. */
void watch_over(struct watch *watch, gint64 total_ms);

/** End it now; its end is still to be waited for. */
void watch_kill(struct watch *watch);

/** It came to the end of its work and ended by itself. */
gboolean watch_is_done(const struct watch *watch);

/** It ended without an answer: "the backend NAME crashed in create: signal 11 (…)" (g_free). */
char *watch_reason(const struct watch *watch);

/** The plugin whose operation it was in last, as it said itself; harmless text (g_free). */
char *watch_plugin(const struct watch *watch);

G_END_DECLS
#endif
