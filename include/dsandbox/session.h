/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_SESSION_H
#define DSANDBOX_SESSION_H

#include <dsandbox/policy.h>
#include <dsandbox/result.h>

G_BEGIN_DECLS

/** The image that is used where none is named. */
#define DSB_DEFAULT_IMAGE "dsandbox-sandbox:latest"

/**
 * No descriptor. It is not -1, so that what open() returned for a failure is not taken for "none": every other
 * negative number, and one that is not open, is INVALID, and the message names the member.
 */
#define DSB_FD_NONE (-2)

/** What DSB_RUN_OPTIONS_INIT and DSB_REQUEST_INIT put into `init`: a structure of zeros is INVALID, and does nothing. */
#define DSB_INIT 0x64736221u

/** When a session's interpreter is copied, so that a crash of the code goes back to that copy with all its variables. */
enum dsb_checkpoint {
    DSB_CHECKPOINT_IDLE,   /**< when the session has been quiet for a moment: many executions in a row cost one copy */
    DSB_CHECKPOINT_ALWAYS, /**< after each execution */
    DSB_CHECKPOINT_OFF,    /**< never: less memory; a crash loses the variables */
};
/** "idle", "always", "off"; NULL for others. Static. */
const char *dsb_checkpoint_name(enum dsb_checkpoint checkpoint);
/** The one of that name. INVALID names the three. */
gboolean dsb_checkpoint_parse(const char *name, enum dsb_checkpoint *checkpoint, GError **error);

/**
 * Where and how to run. It begins as DSB_RUN_OPTIONS_INIT. All strings may be NULL (default); they belong to the caller
 * for the call.
 */
struct dsb_run_options {
    uint32_t struct_size;       /**< sizeof the structure, and with it its version */
    uint32_t init;              /**< DSB_INIT */
    const char *backend;        /**< plugin name, "auto" */
    const char *plugin_path;    /**< absolute path of a plugin file instead of a name */
    const char *endpoint;       /**< engine address */
    const char *base_dir;       /**< absolute; NULL: dsb_default_base_dir() */
    const char *session;        /**< session id; NULL: a fresh directory, removed afterwards */
    const char *image;          /**< NULL: DSB_DEFAULT_IMAGE */
    uint64_t allow_unenforced;  /**< control bits that may be missing; the result lists them */
    uint32_t engine_timeout_ms; /**< deadline of one engine call; 0: the backend's default, 60 000 for ours */
    /**
     * Readable: stop, remove the container, status cancelled; DSB_FD_NONE: nothing stops it. It must stay readable: an
     * eventfd, or a pipe into which a byte is written. A pipe whose other end is closed without one cannot stop anything
     * any more. Engine calls end too; an engine that does not answer any more is not waited for, what it keeps is for
     * dsb_gc().
     */
    int cancel_fd;
    /** Diagnostics, one line. May be NULL. */
    void (*log)(void *data, const char *line);
    /** Output as it comes; stream is 1 or 2. Also kept in the result. May be NULL. */
    void (*output)(void *data, int stream, const void *bytes, gsize size);
    void *data;
    /* sessions; dsb_run does not look at them */
    enum dsb_checkpoint checkpoint; /**< dsb_session_open */
    const char *lost_reason; /**< dsb_session_open: why the session's former interpreter is gone. The first execution's
                                  state is then `lost` with this reason; NULL: there was none */
};

#define DSB_RUN_OPTIONS_INIT                                                                                           \
    {                                                                                                                  \
        sizeof(struct dsb_run_options), DSB_INIT, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, DSB_FD_NONE, NULL, NULL,   \
            NULL, DSB_CHECKPOINT_IDLE, NULL                                                                            \
    }

/** What to run. It begins as DSB_REQUEST_INIT; code has to be set. */
struct dsb_request {
    uint32_t struct_size; /**< sizeof the structure, and with it its version */
    uint32_t init;        /**< DSB_INIT */
    const char *code;     /**< Python source, UTF-8 */
    gsize code_size;
    const char *filename;    /**< shown in tracebacks; NULL: "<sandbox>" */
    const char *const *argv; /**< arguments after the file name, NULL-terminated, or NULL */
    const char *const *env;  /**< "K=V", NULL-terminated, or NULL */
    /** Standard input of the code: open for reading, no directory. It stays the caller's. DSB_FD_NONE: empty. */
    int stdin_fd;
    uint64_t timeout_ms; /**< wall time of this execution; 0: the policy's; never more than a locked policy's */
};
#define DSB_REQUEST_INIT                                                                                               \
    {                                                                                                                  \
        sizeof(struct dsb_request), DSB_INIT, NULL, 0, NULL, NULL, NULL, DSB_FD_NONE, 0                                \
    }

/**
 * All that can be said about code, arguments, environment, descriptors and the image's name before an engine is asked;
 * either may be NULL. INVALID says what to change. dsb_run() and dsb_session_execute() check the same, and put it into their
 * result.
 */
gboolean dsb_input_check(const struct dsb_run_options *options, const struct dsb_request *request, GError **error);

/**
 * Run once in a fresh sandbox: policy resolved, container created, verified, started, measured, code run, container
 * removed. `policy` NULL: the default one. Never NULL: every failure is in the result.
 */
dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request);

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
 * A control operation on the idle session, a JSON object of texts {"op":"vars"|"reset"|"save"|"restore"|…};
 * guest/PROTOCOL.md has them. `timeout_ms` 0: 30 000; at most 600 000. Returns the JSON answer of at most 16 MiB
 * (g_free), which comes from the sandbox and is not to be trusted. NULL: INVALID no such object; NOT_FOUND and CONFLICT what the operation
 * needs in /sandbox is not there, or not as it needs it; FAILED its own error, or its time was over; TIMEOUT the
 * sandbox does not answer; LOST; PROTOCOL.
 */
char *dsb_session_control(dsb_session *session, const char *op_json, guint timeout_ms, GError **error);
/** The same with the answer as an object (json_object_put). */
struct json_object *dsb_session_control_object(dsb_session *session, const char *op_json, guint timeout_ms,
                                               GError **error);

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
/** The same as an object (json_object_put). */
struct json_object *dsb_session_info_object(const dsb_session *session);

/** One installed backend, for listings. Strings are g_free'd with the array. */
struct dsb_backend_row {
    char *name, *path, *version, *description;
    uint64_t enforces;
    char *problem;     /**< why it cannot be loaded, or NULL */
    gboolean usable;   /**< an engine answers */
    char *engine;      /**< "docker 20.10.24 at unix:///…", or the reason */
    char *engine_json; /**< all engine facts, or NULL */
};
/**
 * All installed backends, or the one that the options name (plugin_path, or backend other than "auto"); each tried when
 * `probe`. NULL: INVALID, the options.
 */
GPtrArray *dsb_backends(const struct dsb_run_options *options, gboolean probe, GError **error);
/** Names of the installed backends (char *, g_free'd with the array); none is loaded. */
GPtrArray *dsb_backend_names(void);

/**
 * Remove what dead runs left: containers of the caller that are past their deadline or without a living owner, on each
 * engine that answers (one, when the options name it), and their directories and locks in the base directory, these
 * also when no engine answers (UNAVAILABLE then). *removed (may be NULL) counts what went, or would go when `dry_run`, which changes
 * nothing.
 */
gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error);

/** One thing that a machine needs, or not quite. */
struct dsb_finding {
    const char *name; /**< "base directory"; static */
    gboolean good;
    gboolean needed;    /**< without it nothing runs; others are for rootless engines only */
    char *found;        /**< g_free'd with the array */
    const char *remedy; /**< what to do; NULL when it is good */
};
/** Check this machine for a run with these options. Changes nothing. NULL: INVALID, the options. */
GPtrArray *dsb_doctor(const struct dsb_run_options *options, GError **error);

/** Make the sandbox image: from a root tarball or a Dockerfile (one of them not NULL). */
gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error);

/**
 * A backend's plugin is code in the caller's process: one that crashes, calls exit() or does not come back takes the
 * caller with it, and no library can stop it. Who needs more than a good plugin runs the calls above in a process of its
 * own and watches over that, as the program `dsandbox` does, or leaves it to the service (`dsandbox serve`).
 *
 * Such a process tells with this what it is doing: in the thread that calls, `operation` of `plugin` begins and should
 * take `at_most_ms` (0: no limit), or with `operation` NULL it has ended. Strings live until it ends.
 */
typedef void (*dsb_call_hook)(void *data, const char *plugin, const char *operation, guint64 at_most_ms);
/** For all calls of this process from now on; NULL: none. Not while another thread is in the library. */
void dsb_set_call_hook(dsb_call_hook hook, void *data);

G_END_DECLS
#endif
