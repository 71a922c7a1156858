/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_BACKENDS_H
#define DSB_CLI_BACKENDS_H

#include "cli.h"

#include <json-c/json.h>

/**
 * An array (json_object_put) with an object for each installed backend, or that of --plugin, and whether its engine
 * answers. Each is asked in a process of its own: one that crashes or hangs has that as its problem.
 */
struct json_object *backends_ask(const struct cli *cli, const struct dsb_run_options *options);

/** One line for each. */
void backends_print(struct json_object *backends);

#endif
