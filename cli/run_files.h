/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_RUN_FILES_H
#define DSB_CLI_RUN_FILES_H

#include "cli.h"

#include <json-c/json.h>

/** Files into a run and out of it: --in, --out and --figures. */
struct run_files {
    const struct cli *cli;
    int out, figures; /**< the directories of ours; -1: not asked for */
    gboolean failed;  /**< something did not come out, and that was said */
};

/** What can be said before anything runs: is all of --in there, and can the directories be written? */
gboolean run_files_begin(struct run_files *files, const struct cli *cli, GError **error);
/** Only dsb_run() can do it: the service knows the files of sessions. */
gboolean run_files_are_asked(const struct cli *cli);
/** Sets the callbacks, and `data`, which is `files` then. */
void run_files_hook(struct run_files *files, struct dsb_run_options *options);
/** The pictures of a result, or of the service's. */
void run_files_figures(struct run_files *files, const dsb_result *result);
void run_files_figures_of(struct run_files *files, struct json_object *result);
/** The exit status, when `status` is the result's. */
int run_files_status(const struct run_files *files, int status);
void run_files_clear(struct run_files *files);

#endif
