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

struct dsb_result {
    enum dsb_status status;
    int exit_code;  /**< -1: none */
    int signal;     /**< 0: none */
    GError *failure; /**< ours or the engine's */
    struct dsb_output out, err;
    struct json_object *report; /**< from the user's process, untrusted; NULL: none */
    GPtrArray *created, *modified, *deleted; /**< struct dsb_changed_file * */
    gboolean files_truncated;
    gboolean ran; /**< user code was started */
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
void dsb_result_add_file(GPtrArray *to, const char *path, uint64_t size);
const char *dsb_error_code_name(int code);
/** The facts of an engine as a JSON object (caller puts). */
struct json_object *dsb_engine_json(const struct dsb_engine_info *engine);

#endif
