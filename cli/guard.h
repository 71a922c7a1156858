/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_GUARD_H
#define DSB_CLI_GUARD_H

#include "cli.h"

#include <json-c/json.h>

/**
 * Do what loads plugins in a process of its own, which ends with this one, and watch over it: one that crashes, ends or
 * does not come back from a plugin's operation, in its time or soon after the first signal, is the verb's failure (LOST,
 * with the plugin's and the operation's name), said as every other. `work` gives the answer itself, and returns the exit
 * status. Returns that of the verb. `made_with` not NULL: the options of a sandbox, whose remains are removed then.
 */
int cli_guard(const struct cli *cli, int (*work)(const struct cli *cli, void *data), void *data,
              const struct dsb_run_options *made_with);

/**
 * The same for a removal with all backends of `options`: when it is lost in one of them, each of the others has its turn in a
 * process of its own.
 */
int cli_guard_gc(const struct cli *cli, int (*work)(const struct cli *cli, void *data), struct dsb_run_options *options);

/**
 * The same for a part of an answer: JSON text (g_free) that `ask` makes in a process of its own. NULL: that failed, the
 * error says why.
 */
struct json_object *cli_guard_ask(const struct cli *cli, char *(*ask)(void *data), void *data, GError **error);

/** The answer is on its way to standard output from now on: whatever happens, no second one follows. */
void cli_guard_answers(void);

#endif
