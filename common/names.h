/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_NAMES_H
#define DSB_COMMON_NAMES_H

#include <dsandbox/error.h>
#include <dsandbox/result.h>

G_BEGIN_DECLS

/* What codes and outcomes are called, or count as, wherever they leave a program: in JSON, over HTTP, as exit status. */

/** The name of a code of DSB_ERROR, in results and in answers of the service; "failed" for one that is none. */
const char *dsb_error_code_name(int code);
/** The code of such a name; DSB_ERROR_FAILED for one that is none. */
enum dsb_error_code dsb_error_code_of(const char *name);

/** Exit statuses of `dsandbox` that are not the code's own. */
enum dsb_exit {
    DSB_EXIT_TIMEOUT = 124,
    DSB_EXIT_OURS = 125,    /**< our own failure: a bad option, no engine. The code's own may be the same */
    DSB_EXIT_REFUSED = 126, /**< by the policy */
    DSB_EXIT_SIGNAL = 128,  /**< and the number of the signal */
    DSB_EXIT_CANCELLED = 130,
    DSB_EXIT_KILLED = 137, /**< for a limit: memory, output, disk */
};
/**
 * The exit status for a result. `failed`: dsandbox or the engine did. `exit_code`: the code's, negative where it has
 * none; `signal` likewise.
 */
int dsb_exit_of(enum dsb_status status, gboolean failed, int exit_code, int signal);

G_END_DECLS
#endif
