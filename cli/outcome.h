/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_OUTCOME_H
#define DSB_CLI_OUTCOME_H

#include "cli.h"
#include "common/json.h"

#include <json-c/json.h>

/** What the program says about a result: its exit status, and in text mode some lines on standard error. */
struct outcome {
    enum dsb_status status;
    int exit_status;
    const char *failure;          /**< NULL: the code itself ran */
    const char *limit;            /**< what passed the disk limit */
    const char *timeout, *memory; /**< the limits in force */
    const char *state, *reason;   /**< kept, rolled_back, lost; NULL: no session */
    const char *point;            /**< can a crash be rolled back to here? */
    struct json_object *restored; /**< after a loss: what came back of saved variables; NULL: nothing was saved */
    const char *workdir, *kept[2]; /**< where the session's files are, and which of them have stdout and stderr; NULL: none */
    const char *leftover;         /**< what could not be removed; NULL: nothing that is known of */
    struct json_object *background; /**< what earlier executions wrote since the last result; NULL: nothing */
    struct json_object *omitted;    /**< results that are missing, and why; NULL: not known here */
    guint64 left_out;             /**< bytes of output beyond the limit, of both streams */
    gint64 to;                    /**< rolled_back: to the end of this execution */
};

/** From a result object (dsandbox.result/1), which owns the strings. `timeout` NULL: the one of its policy. */
struct outcome outcome_of(struct json_object *result, const char *timeout);
/** Say on standard error what is not plain from the code's own output. */
void outcome_explain(const struct outcome *outcome, gboolean verbose);
/** Say on standard error that `count` results are missing for `reason`, which is the code's own text. */
void outcome_say_missing(uint64_t count, const char *reason);
/** The exit status, after our own signals and write errors. */
int outcome_exit(const struct outcome *outcome);

/** One line on standard output. */
void json_print(struct json_object *object);
/** The same of an object that is text. */
void json_print_text(const char *text);

#endif
