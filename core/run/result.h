/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_RESULT_H
#define DSB_RUN_RESULT_H

#include "attest/verify.h"

#include <dsandbox/plugin.h>
#include <dsandbox/result.h>
#include <json-c/json.h>

struct dsb_output {
    GByteArray *bytes; /**< what was kept */
    uint64_t total;    /**< what the program wrote */
    gboolean truncated;
    GByteArray *tail;    /**< the last of what was not kept; NULL: none, or not asked for */
    char *file;          /**< where all of it is, below the session directory; NULL: nowhere */
    uint64_t file_bytes; /**< of it there */
};

/** What became of a session's variables. */
struct dsb_state {
    enum dsb_outcome outcome;
    char *reason;
    uint32_t execution; /**< its number in the sandbox */
    int64_t to;         /**< rolled back to the end of this execution; -1: not */
    char *point;        /**< can a crash after this execution be rolled back; NULL: not known */
};

/** What pid 1 measured of one execution. What is not known is DSB_UNLIMITED. */
struct dsb_measured {
    uint64_t memory_peak_bytes;
    uint64_t cpu_us;
    uint64_t oom_kills;
};

/** When a step of a run was done. */
struct dsb_step {
    const char *name; /**< static */
    double ms;        /**< since the run began */
};

struct dsb_result {
    enum dsb_status status;
    int exit_code;   /**< -1: none */
    int signal;      /**< 0: none */
    char *leftover;  /**< what of the sandbox could not be removed, and why; NULL: it all was, or the failure says so */
    char *reason;    /**< of a status that does not explain itself: which limit of the disk; NULL: none */
    GError *failure; /**< ours or the engine's */
    struct dsb_output out, err;
    struct dsb_state state;
    struct json_object *background;          /**< {stdout, stderr, truncated}: output between executions; NULL: none */
    struct json_object *report;              /**< from the user's process, untrusted; NULL: none */
    GArray *calls;                           /**< struct dsb_call_report, the first ones; NULL: there are no tools */
    uint64_t n_calls;
    GPtrArray *files[DSB_N_CHANGES];         /**< struct dsb_changed_file * */
    gsize files_cost;                        /**< of what is in them, see dsb_result_add_file */
    gboolean files_truncated;
    gboolean warm;    /**< the sandbox had waited in a pool */
    gboolean ran;     /**< user code was started */
    gboolean leaving; /**< pid 1 has our acknowledgement and ends by itself */
    struct dsb_measured usage;
    int64_t wall_ms, pids_peak;
    char *policy_sha256;
    struct dsb_report *controls; /**< NULL: the policy was never resolved */
    char *backend, *plugin_path, *plugin_version;
    struct dsb_engine_info engine;
    char *image, *image_id;
    char *id, *session, *workdir;
    GArray *timing; /**< struct dsb_step */
};

struct dsb_changed_file {
    char *path;
    uint64_t size;
};

struct dsb_result *dsb_result_new(void);
void dsb_result_fail(struct dsb_result *result, GError *error); /**< takes the error */
/** The name "kept", "rolled_back" or "lost"; NONE for others and NULL. */
enum dsb_outcome dsb_outcome_parse(const char *name);
void dsb_result_set_state(struct dsb_result *result, enum dsb_outcome outcome, const char *reason);
/**
 * The code was, or should have been, stopped by the limit on disk, which a `shortage` of ours kept from being looked
 * at: that is our failure. Takes the reason.
 */
void dsb_result_over_disk(struct dsb_result *result, char *reason, gboolean shortage);
/** Beyond the budget for file names: the result says that they are truncated. */
void dsb_result_add_file(struct dsb_result *result, enum dsb_change change, const char *path, uint64_t size);
/** There are tools, and no calls yet. */
void dsb_result_begin_calls(struct dsb_result *result);
/** One has begun, of which this gives the number. */
guint dsb_result_add_call(struct dsb_result *result, const char *tool, gsize arguments);
void dsb_result_end_call(struct dsb_result *result, guint number, enum dsb_call_status status, gint64 us, gsize answer);
/** The calls as a JSON array (caller puts). */
struct json_object *dsb_result_calls_json(const struct dsb_result *result);
/** Once for each step. `name` is static. */
void dsb_result_add_step(struct dsb_result *result, const char *name, double ms);
/** The steps as a JSON object (caller puts). */
struct json_object *dsb_result_timing_json(const struct dsb_result *result);
/** {sha256, controls} as a JSON object (caller puts). */
struct json_object *dsb_result_policy_json(const struct dsb_result *result);
/** The facts of an engine as a JSON object (caller puts). */
struct json_object *dsb_engine_json(const struct dsb_engine_info *engine);

#endif
