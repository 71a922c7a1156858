/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_SESSION_H
#define DSB_RUN_SESSION_H

#include "hostdir/scan.h"
#include "run/sandbox.h"

#include <dsandbox/session.h>
#include <sys/types.h>

/* What a directory's inodes may be over their limit by (the watcher is late) before nothing runs. */
#define DSB_INODES_SLACK UINT64_C(1000)

/** Who is in a session. */
enum dsb_session_use { DSB_SESSION_IDLE, DSB_SESSION_AT_WORK, DSB_SESSION_TO_BE_CLOSED };

struct dsb_session {
    pid_t opener; /**< the process; children that it forks have no part in it */
    gint use;     /**< atomic: enum dsb_session_use */
    dsb_policy *policy;
    struct dsb_sandbox box;
    struct dsb_result *facts; /**< of the opening */
    uint32_t executions, controls;
    char *lost_reason; /**< until the first result has told it */
    gint64 next_look;  /**< at the disk, while idle */
    gboolean full;     /**< the directory held too much when the last execution ended */
    GError *dead;
};

/**
 * A session is for one call, or one execution, at a time: who else comes, from another thread or from a callback, is
 * told so. BUSY; INVALID in a child that was forked.
 */
gboolean dsb_session_claim(struct dsb_session *session, GError **error);
/** The end of that. One that was told to end meanwhile is closed, and gone. */
void dsb_session_unclaim(struct dsb_session *session);

/** FALSE: `dead` says why. Does not wait. */
gboolean dsb_session_is_alive(struct dsb_session *session);
/** It is dead from now on, if it was not yet. */
void dsb_session_bury(struct dsb_session *session, const GError *why);
/** The directory holds so much that nothing may run. */
gboolean dsb_session_too_full(const struct dsb_session *session, const struct dsb_scan *files);

#endif
