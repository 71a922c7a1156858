/* SPDX-License-Identifier: MIT */
#ifndef DSB_CORE_RESULT_H
#define DSB_CORE_RESULT_H

#include "verify.h"

#include <dsandbox/plugin.h>
#include <dsandbox/result.h>
#include <json-c/json.h>

struct dsb_output {
    GByteArray *bytes; /**< what was kept */
    uint64_t total;    /**< what the program wrote */
    gboolean truncated;
};

/** What became of a session's variables. */
enum dsb_outcome {
    DSB_OUTCOME_NONE, /**< there is no session */
    DSB_OUTCOME_KEPT,
    DSB_OUTCOME_ROLLED_BACK,
    DSB_OUTCOME_LOST,
};
struct dsb_state {
    enum dsb_outcome outcome;
    char *reason;
    uint32_t execution; /**< its number in the sandbox */
    int64_t to;         /**< rolled back to the end of this execution; -1: not */
    char *point;        /**< can a crash after this execution be rolled back; NULL: not known */
};

struct dsb_result {
    enum dsb_status status;
    int exit_code;   /**< -1: none */
    int signal;      /**< 0: none */
    char *reason;    /**< of a status that does not explain itself: which limit of the disk; NULL: none */
    GError *failure; /**< ours or the engine's */
    struct dsb_output out, err;
    struct dsb_state state;
    struct json_object *report;              /**< from the user's process, untrusted; NULL: none */
    GPtrArray *created, *modified, *deleted; /**< struct dsb_changed_file * */
    gboolean files_truncated;
    gboolean ran;     /**< user code was started */
    gboolean leaving; /**< pid 1 has our acknowledgement and ends by itself */
    struct dsb_usage usage;
    int64_t wall_ms, pids_peak;
    char *policy_sha256;
    struct dsb_report *controls; /**< NULL: the policy was never resolved */
    char *backend;
    struct dsb_engine_info engine;
    char *image, *image_id;
    char *id, *session, *workdir;
    struct json_object *timing;
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
/** The code was, or should have been, stopped by the limit on disk. Takes the reason. */
void dsb_result_over_disk(struct dsb_result *result, char *reason);
void dsb_result_add_file(GPtrArray *to, const char *path, uint64_t size);
const char *dsb_error_code_name(int code);
/** {sha256, controls} as a JSON object (caller puts). */
struct json_object *dsb_result_policy_json(const struct dsb_result *result);
/** The facts of an engine as a JSON object (caller puts). */
struct json_object *dsb_engine_json(const struct dsb_engine_info *engine);

#endif
