/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_RESULT_H
#define DSANDBOX_RESULT_H

#include <dsandbox/error.h>
#include <stdint.h>

G_BEGIN_DECLS

/** How an execution ended. Names in JSON are the lower-case words. */
enum dsb_status {
    DSB_STATUS_OK,
    DSB_STATUS_ERROR, /**< non-zero exit or uncaught exception; also our own failures, with `failure` set */
    DSB_STATUS_TIMEOUT,
    DSB_STATUS_OOM,
    DSB_STATUS_SIGNAL,
    DSB_STATUS_OUTPUT_LIMIT,
    DSB_STATUS_DISK_LIMIT,
    DSB_STATUS_CANCELLED,
    DSB_STATUS_LOST,
    DSB_STATUS_REFUSED,
};
const char *dsb_status_name(enum dsb_status status);

/**
 * The one result object of an execution: it does not change any more. What its functions return belongs to it and lives
 * until dsb_result_free, where nothing else is said; where there is no such thing they return what is said for it, and
 * so they do for a result that is NULL. Any thread may have it, one at a time: reading a value may make its text.
 *
 * What comes from inside the sandbox (output, error, values, names) is the code's word, and may be anything.
 */
typedef struct dsb_result dsb_result;
/** NULL is allowed. */
void dsb_result_free(dsb_result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_result, dsb_result_free)

/** A result that says only why nothing ran, for callers that fail before dsb_run (dsb_result_free). Copies the error. */
dsb_result *dsb_result_from_error(const GError *error);

/** DSB_STATUS_ERROR for NULL. */
enum dsb_status dsb_result_status(const dsb_result *result);
/**
 * The exit status that the program `dsandbox` uses for this result: 0, the code's own, 124 timeout, 125 ours or lost, 126
 * refused, 130 cancelled, 137 out of memory or over a limit, 128 + the signal.
 */
int dsb_result_exit_status(const dsb_result *result);
/** Our or the engine's failure, or the refusal, as an error; NULL when the code itself ran. Owned by the result. */
const GError *dsb_result_failure(const dsb_result *result);
/** The failure's code as a word: "refused", "unavailable", …, as in the JSON object; NULL: the code itself ran. */
const char *dsb_result_failure_code(const dsb_result *result);
/** What a status that does not explain itself means here, for people: which limit on disk it was. NULL: nothing to add.
 */
const char *dsb_result_reason(const dsb_result *result);
/** How the code ended: its exit code, 0 to 255, or -1; the signal that killed it, or 0. */
int dsb_result_exit_code(const dsb_result *result);
int dsb_result_signal(const dsb_result *result);

/* --- output --- */

/**
 * What the code wrote to standard output (`stream` 1) or standard error (2), as bytes; *size (may be NULL) of them, no
 * NUL behind. Never NULL; at most the policy's output_limit.
 */
const void *dsb_result_output(const dsb_result *result, int stream, gsize *size);
/** Bytes that it wrote, kept or not, and whether some were not kept. */
uint64_t dsb_result_output_total(const dsb_result *result, int stream);
gboolean dsb_result_output_truncated(const dsb_result *result, int stream);
/**
 * Where the policy has output_overflow "keep" and the stream is over the limit: its last bytes, up to 64 KiB, none of which
 * dsb_result_output has, *size (may be NULL) of them; else none. Never NULL.
 */
const void *dsb_result_output_tail(const dsb_result *result, int stream, gsize *size);
/**
 * The same for the file that has all of the stream: its path below the session directory, and *bytes (may be NULL) that were
 * written to it: fewer than dsb_result_output_total where a limit was in the way. The code can change the file. NULL: there
 * is none, because nothing was over the limit, the file could not be made, or the directory did not outlive the run.
 */
const char *dsb_result_output_file(const dsb_result *result, int stream, uint64_t *bytes);
/**
 * What processes that earlier executions left behind wrote to `stream` since then, as UTF-8; NULL: nothing was looked
 * for, or there was nothing. *truncated (may be NULL): some is missing.
 */
const char *dsb_result_background(const dsb_result *result, int stream, gboolean *truncated);

/* --- what the interpreter says of it --- */

/** The uncaught exception: its class, text, and traceback, UTF-8. NULL: there was none (of a traceback: or it was cut). */
const char *dsb_result_error_name(const dsb_result *result);
const char *dsb_result_error_value(const dsb_result *result);
const char *dsb_result_error_traceback(const dsb_result *result);

/** What the code displayed, and last the value of its last expression, if it had one: how many. */
gsize dsb_result_n_values(const dsb_result *result);
/** MIME types in which value `index` is there, "text/plain" most often, the `which`-th; NULL beyond the last. */
const char *dsb_result_value_type(const dsb_result *result, gsize index, gsize which);
/**
 * Value `index` in this type, NUL-terminated UTF-8, *size (may be NULL) without the NUL; NULL: there is none in it. Of
 * application/json and +json it is JSON text, of image types (but image/svg+xml) base64, of others the text itself.
 */
const char *dsb_result_value(const dsb_result *result, gsize index, const char *type, gsize *size);
/** How many values were left out for the `which`-th reason, 0 beyond the last; *reason (may be NULL). */
uint64_t dsb_result_values_omitted(const dsb_result *result, gsize which, const char **reason);

/* --- the tools that it called --- */

enum dsb_call_status {
    DSB_CALL_OK,
    DSB_CALL_ERROR,     /**< the tool raised */
    DSB_CALL_REFUSED,   /**< nothing was called: it was not given, or a limit was in the way */
    DSB_CALL_TIMEOUT,   /**< the tool did not answer in time */
    DSB_CALL_ABANDONED, /**< the code did not wait for the answer, or came to its end before */
};
/** "ok", "error", "refused", "timeout", "abandoned"; static. */
const char *dsb_call_status_name(enum dsb_call_status status);
/** One call. The name is the code's word. */
struct dsb_call_report {
    char *tool;
    enum dsb_call_status status;
    double ms;                                /**< until the answer was there */
    uint64_t arguments_bytes, answer_bytes; /**< of JSON */
};
/** How many calls were made; -1: there were no tools. */
int64_t dsb_result_n_calls(const dsb_result *result);
/** One of the first 1000; NULL beyond the last. */
const struct dsb_call_report *dsb_result_call(const dsb_result *result, gsize index);

/* --- files --- */

enum dsb_change { DSB_CHANGE_CREATED, DSB_CHANGE_MODIFIED, DSB_CHANGE_DELETED, DSB_N_CHANGES };
/** "created", "modified", "deleted"; static. */
const char *dsb_change_name(enum dsb_change change);
/** Files that the execution created, modified or deleted: how many. */
gsize dsb_result_n_files(const dsb_result *result, enum dsb_change change);
/**
 * The path of one of them, relative to the session directory, as bytes (it may not be UTF-8); *size (may be NULL) its
 * apparent size in bytes, of a deleted one the former. NULL beyond the last.
 */
const char *dsb_result_file(const dsb_result *result, enum dsb_change change, gsize index, uint64_t *size);
/** There were more than DSB_FILES_BUDGET has room for, or they could not all be looked at. */
gboolean dsb_result_files_truncated(const dsb_result *result);

/* --- usage --- */

/** Of the execution; -1: not known. Milliseconds, bytes, processes and threads at once, processes that were killed. */
int64_t dsb_result_wall_ms(const dsb_result *result);
int64_t dsb_result_cpu_ms(const dsb_result *result);
int64_t dsb_result_memory_peak(const dsb_result *result);
int64_t dsb_result_pids_peak(const dsb_result *result);
int64_t dsb_result_oom_kills(const dsb_result *result);

/* --- what became of a session's variables --- */

enum dsb_outcome {
    DSB_OUTCOME_NONE, /**< there is no session */
    DSB_OUTCOME_KEPT,
    DSB_OUTCOME_ROLLED_BACK,
    DSB_OUTCOME_LOST,
};
/** "kept", "rolled_back", "lost"; "" for NONE. Static. */
const char *dsb_outcome_name(enum dsb_outcome outcome);
enum dsb_outcome dsb_result_state(const dsb_result *result);
/** Why they were rolled back or lost; NULL: not known, or they were not. */
const char *dsb_result_state_reason(const dsb_result *result);
/** The number of the execution in its sandbox, from 1; 0: none. */
uint32_t dsb_result_execution(const dsb_result *result);
/** Rolled back to the end of this execution, 0: the beginning; -1: not rolled back. */
int64_t dsb_result_rolled_back_to(const dsb_result *result);
/**
 * Whether a crash of a later execution can be rolled back to here: "taken"; "pending: …", when the session is quiet, and
 * what a crash before that does; or why not. NULL: not known.
 */
const char *dsb_result_rollback_point(const dsb_result *result);
/** Names of variables that the execution created, changed (MODIFIED) or deleted; *type (may be NULL) or NULL. */
gsize dsb_result_n_variables(const dsb_result *result, enum dsb_change change);
const char *dsb_result_variable(const dsb_result *result, enum dsb_change change, gsize index, const char **type);
/** There were more than are listed: 1000 of each change at most. */
gboolean dsb_result_variables_truncated(const dsb_result *result);

/* --- what held it --- */

/** SHA-256 of the policy, 64 hex digits; NULL: it did not come so far. */
const char *dsb_result_policy_sha256(const dsb_result *result);

enum dsb_verdict {
    DSB_VERDICT_ENFORCED,   /**< it was measured, and holds */
    DSB_VERDICT_UNENFORCED, /**< it does not hold, and was allowed not to (allow_unenforced) */
    DSB_VERDICT_REFUSED,    /**< it does not hold, and nothing ran */
};
/** "enforced", "unenforced", "refused"; static. */
const char *dsb_verdict_name(enum dsb_verdict verdict);
/** What was asked of one control and what is known about it. */
struct dsb_control_report {
    const char *name;   /**< as dsb_control_name */
    char *asked;        /**< for people */
    char *measured;     /**< "unknown" when nobody told */
    const char *source; /**< of `measured`: "plugin", "engine", "inside", "core" */
    enum dsb_verdict verdict;
};
/** How many controls there are; 0: the policy was never resolved. */
gsize dsb_result_n_controls(const dsb_result *result);
/** One of them; NULL beyond the last. */
const struct dsb_control_report *dsb_result_control(const dsb_result *result, gsize index);

/* --- where it ran --- */

/**
 * The execution's id, the session's, its directory on the host; the plugin's name, its file, and what it says its
 * version is; the image's name and id. Or NULL.
 */
const char *dsb_result_id(const dsb_result *result);
const char *dsb_result_session(const dsb_result *result);
const char *dsb_result_workdir(const dsb_result *result);
const char *dsb_result_backend(const dsb_result *result);
const char *dsb_result_plugin_path(const dsb_result *result);
const char *dsb_result_plugin_version(const dsb_result *result);
const char *dsb_result_image(const dsb_result *result);
const char *dsb_result_image_id(const dsb_result *result);
/**
 * What of a one-shot run could not be removed, and why, for people: `gc` tries again. NULL: nothing that is known of, or
 * the failure says it.
 */
const char *dsb_result_leftover(const dsb_result *result);
/** The `index`-th step that was done and, in *ms (may be NULL), when, from the beginning. NULL beyond the last. */
const char *dsb_result_step(const dsb_result *result, gsize index, double *ms);

/* --- all of it --- */

/** The object of schema dsandbox.result/1 as JSON text (g_free). NULL for NULL. */
char *dsb_result_json(const dsb_result *result, gboolean pretty);

G_END_DECLS
#endif
