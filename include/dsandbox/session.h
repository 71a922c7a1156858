/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_SESSION_H
#define DSANDBOX_SESSION_H

#include <dsandbox/run.h>

G_BEGIN_DECLS

/**
 * A live sandbox with one interpreter whose variables persist from one execution to the next. Each session is used
 * by one thread at a time; different sessions may be used by different threads at once. An execution is stopped
 * from elsewhere through options->cancel_fd.
 */
typedef struct dsb_session dsb_session;

/**
 * Open the session options->session (required): policy resolved, container created, verified, started, measured,
 * interpreter started (not waited for). Holds the lock of the session's directory until it is closed.
 * `options` and its strings are needed during the call only; cancel_fd and log too.
 * `policy` NULL: the default one. NULL: *failure (may be NULL) is a result that says why nothing runs (refused, busy,
 * unavailable, cancelled, …).
 */
dsb_session *dsb_session_open(const dsb_policy *policy, const struct dsb_run_options *options, dsb_result **failure);

/**
 * Remove the container and unlock; files stay. Takes no longer than the engine's timeout. NULL is allowed. The session is
 * gone in any case. FALSE: its container could not be removed (dsb_gc tries again), or, BUSY, that is not known: the
 * session is in use, and ends with that call.
 */
gboolean dsb_session_end(dsb_session *session, GError **error);
/** The same for whom it does not matter. */
void dsb_session_close(dsb_session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_session, dsb_session_close)

/**
 * Run code in the session. Never NULL. Of `options` (may be NULL) cancel_fd, output, data and log count.
 * A timeout or a cancel keeps the variables, a crash goes back to the newest rollback point; result `state` says to
 * which execution, and dsb_result_rollback_point() what a crash of the next one would do.
 * Status `lost` with failure LOST: the container is gone. Close the session then and open it again, with lost_reason.
 */
dsb_result *dsb_session_execute(dsb_session *session, const struct dsb_run_options *options,
                                const struct dsb_request *request);

/**
 * dsb_session_execute() for an event loop (<dsandbox/run.h>). The session is in use until it is over. Neither this nor
 * dsb_execution_step() waits for the code or for an engine; they look at the session's files before and after it, which
 * takes milliseconds, and some hundred where there are very many. Of the options and the request only the descriptors and
 * what `data` points to are needed after this call. Never NULL. A session that was told to end meanwhile is closed by a
 * thread of the library's, as is the container of one that is lost.
 */
dsb_execution *dsb_session_start(dsb_session *session, const struct dsb_run_options *options,
                                 const struct dsb_request *request);

/**
 * A control operation on the idle session: a JSON object of texts, {"op":"vars"}, "get", "reset", "save" or "restore";
 * dsandbox(3) has what each needs and answers. `timeout_ms` 0: 30 000; at most 600 000. Returns the JSON answer of at most
 * 16 MiB (g_free), which comes from the sandbox and is not to be trusted. NULL: INVALID no such object; NOT_FOUND and
 * CONFLICT what the operation needs in /sandbox is not there, or not as it needs it; FAILED its own error, or its time was
 * over; TIMEOUT the sandbox does not answer; LOST; PROTOCOL; BUSY.
 */
char *dsb_session_control(dsb_session *session, const char *op_json, guint timeout_ms, GError **error);

/**
 * FALSE when the container is gone (ended, killed, engine stopped, idle or life time over). Does not wait. Call it
 * about once a second while the session is idle: it looks at the disk, too, since processes that an execution left
 * behind may go on writing, and ends a sandbox that is far over its limit.
 */
gboolean dsb_session_alive(dsb_session *session);
/** Readable when something happened while idle; call dsb_session_alive then. -1 when the container is gone. */
int dsb_session_fd(const dsb_session *session);

/** The session's id, and its directory on the host (hostile content: use <dsandbox/files.h>). Owned by the session. */
const char *dsb_session_id(const dsb_session *session);
const char *dsb_session_workdir(const dsb_session *session);
/** JSON {id, container, backend, engine, image, policy{sha256,controls}, workdir, timing} (g_free). */
char *dsb_session_info(const dsb_session *session);

/**
 * A sandbox that waits, so that who comes need not: created, verified, started and measured as any other, its interpreter
 * up with what the policy preloads, in a fresh directory of its own. It becomes one session or makes one run, and is never
 * used again. What was measured was measured when it began to wait. Used by one thread at a time.
 */
typedef struct dsb_warm dsb_warm;
/**
 * Make one, for dsb_warm_run when `one_shot`, else for dsb_warm_session. options->session is NULL; cancel_fd and log are
 * needed during the call only. It waits for an hour at most, and the policy's times begin when it is taken.
 * NULL: *failure (may be NULL) says why. INVALID with a policy of same_path.
 */
dsb_warm *dsb_warm_open(const dsb_policy *policy, const struct dsb_run_options *options, gboolean one_shot,
                        dsb_result **failure);
/** FALSE, LOST or PROTOCOL: it is of no use any more. Does not wait. */
gboolean dsb_warm_alive(dsb_warm *warm, GError **error);
/** Readable when something happened to it; call dsb_warm_alive then. */
int dsb_warm_fd(const dsb_warm *warm);
/** As dsb_session_info, without an id (g_free). */
char *dsb_warm_info(const dsb_warm *warm);
/**
 * It becomes the session options->session, whose directory it brings; `warm` is gone then. The options name the image, and
 * the checkpoint, that it was made with. NULL, and `warm` is as it was: CONFLICT when the image's name means another one
 * now, or something of the session's is there already, BUSY, LOST, what an engine answers: end it, and open a session.
 */
dsb_session *dsb_warm_session(dsb_warm *warm, const struct dsb_run_options *options, GError **error);
/** It makes this run, and is gone then. NULL: the same, nothing ran; end it, and use dsb_run. */
dsb_result *dsb_warm_run(dsb_warm *warm, const struct dsb_run_options *options, const struct dsb_request *request,
                         GError **error);
/** Remove it. As dsb_session_end. */
gboolean dsb_warm_end(dsb_warm *warm, GError **error);

G_END_DECLS
#endif
