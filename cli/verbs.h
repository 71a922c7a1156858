/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_VERBS_H
#define DSB_CLI_VERBS_H

#include "command_line.h"

/** A verb: what it takes, and what does it. */
struct verb {
    const char *name;     /**< "run", "session rm" */
    const char *operands; /**< as the usage has them, "[ID] [FILE]"; "": none. FILE, ID, NAME say what completes them */
    const char *help;     /**< one line */
    const char *options;  /**< those that not every verb takes, with spaces between; OPTIONS_KEYS: the policy's keys */
    int (*run)(const struct cli *cli); /**< NULL: a program of its own does it, with options of its own */
    guint least, most;    /**< operands; what runs code looks at its own */
};

/** All of them, in the order in which people read them. */
const struct verb *verbs(gsize *n);
/**
 * The verb of these operands (NULL or empty: `run`). NULL: there is none, and the error says which one may be meant.
 */
const struct verb *verb_of(char **args, GError **error);
gboolean verb_takes(const struct verb *verb, const struct option *option);
/** The verb takes what is on the command line: its options, and as many operands. */
gboolean verb_check(const struct verb *verb, const struct cli *cli, GError **error);
/** Its first word is this: "session rm" is in "session", and "run" in "run". */
gboolean verb_is_in(const struct verb *verb, const char *word);
/** What --help prints for these operands: all verbs, those of a group ("session"), or one verb with its options (g_free). */
char *verb_help(char **args, GError **error);

#endif
