/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_TERMINAL_H
#define DSB_CLI_TERMINAL_H

#include "cli.h"

/*
 * Our terminal as that of a command: keys go to it one by one, and what it prints is ours to act upon. Each way out of
 * the program gives it back as it was.
 */

/** -t can be done here. INVALID says why not. */
gboolean terminal_check(const struct cli *cli, GError **error);
/** It is the command's from now on, where -i gives that the keys. */
gboolean terminal_begin(const struct cli *cli, GError **error);
/** The command prints: until now Ctrl-C was for us. */
void terminal_shows(void);
/** It is ours again. Also where it always was, and from a signal handler. */
void terminal_end(void);

/** Between the two: its size, 0: there is no terminal, and where new ones come (window_fd of dsb_request). */
guint16 terminal_rows(void);
guint16 terminal_columns(void);
int terminal_window_fd(void);

#endif
