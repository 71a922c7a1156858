/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_PROMPT_H
#define DSB_CLI_PROMPT_H

#include <glib.h>

/** Lines from the terminal, with editing and history where libedit is there. */
struct prompt;

enum prompt_end {
    PROMPT_LINE,
    PROMPT_INTERRUPT, /**< Ctrl-C: this input is given up */
    PROMPT_END,       /**< Ctrl-D on an empty line, or the terminal is gone, or a signal ends us */
};

/** `history` is the file's path. Signals must have been caught (cli_catch_signals). */
struct prompt *prompt_new(const char *history);
/** Saves the history. */
void prompt_free(struct prompt *prompt);
/** One line without its newline into *line (g_free). */
enum prompt_end prompt_read(struct prompt *prompt, const char *text, char **line);
/** A line for the history. */
void prompt_remember(struct prompt *prompt, const char *line);

/** Python source that is typed line by line: is there more to come? An empty line ends a block. */
gboolean source_wants_more(const char *source);
/** Nothing but space and comments. */
gboolean source_is_empty(const char *source);

#endif
