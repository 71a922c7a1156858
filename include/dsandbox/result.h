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

/** The one result object of an execution. */
typedef struct dsb_result dsb_result;
void dsb_result_free(dsb_result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_result, dsb_result_free)

/** A result that says only why nothing ran, for callers that fail before dsb_run. Copies the error. */
dsb_result *dsb_result_from_error(const GError *error);

enum dsb_status dsb_result_status(const dsb_result *result);
/** The exit status that the program `dsandbox` uses for this result (design: 124, 125, 126, 137, 128+n). */
int dsb_result_exit_status(const dsb_result *result);
/** Our or the engine's failure, or the refusal, as an error; NULL when the code itself ran. Owned by the result. */
const GError *dsb_result_failure(const dsb_result *result);
/** What a status that does not explain itself means here, for people: which limit on disk it was. NULL: nothing to add.
 */
const char *dsb_result_reason(const dsb_result *result);
/** The object of schema dsandbox.result/1 as JSON text (g_free). */
char *dsb_result_json(const dsb_result *result, gboolean pretty);

G_END_DECLS
#endif
