/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_COMMAND_LINE_H
#define DSB_CLI_COMMAND_LINE_H

#include "cli.h"

/** What stands in a verb's list of options for all options that are keys of the policy. */
#define OPTIONS_KEYS "KEYS"

/** An option of the program, whichever verb takes it. */
struct option {
    const char *name; /**< "base-dir" */
    char letter;      /**< 'b', or 0 */
    enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_TEXTS, OPTION_CODE, OPTION_KEY } kind;
    void *value;          /**< in struct cli: gboolean, char *, char ** by its kind; NULL for a key */
    const char *argument; /**< what its value is called, "DIR"; NULL: a flag */
    const char *help;     /**< one line */
    gboolean every_verb;  /**< whatever the verb's list says */
    const char *instead;  /**< what to do where a verb does not take it; NULL: nothing to say */
};

/** All of them, the policy's keys last, in an array that this file has. */
const struct option *command_line_options(gsize *n);
/** The one of this name ("base-dir"), or of this letter ("b"); NULL: none. */
const struct option *command_line_option(const char *name);
/** It is on the command line that was parsed. */
gboolean command_line_has(const struct option *option);

/** The arguments into *cli (the texts are kept until the program ends). FALSE: a bad option, which is said. */
gboolean command_line_parse(struct cli *cli, char **argv, GError **error);
/** The place of the first operand at `from` or behind it, in arguments that nobody parsed yet. 0: none before "--". */
int command_line_operand(char **argv, int from);
/** The option at this argument whose value is the argument behind it; NULL: none, or it has its value itself. */
const struct option *command_line_wants(const char *argument);
/** The arguments ask for JSON: said without parsing them, for the case that they cannot be. */
gboolean command_line_asks_for_json(char **argv);

#endif
