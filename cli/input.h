/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_INPUT_H
#define DSB_CLI_INPUT_H

#include "cli.h"

/** Waits until `fd` is ready; FALSE when a signal came first. */
gboolean cli_ready(int fd, short events);

/** Writes to our own stdout or stderr; an output callback. A signal ends a write that nobody reads. */
void cli_write_output(void *data, int stream, const void *bytes, gsize size);
/** errno of the first write that failed, or 0. EPIPE has also "cancelled" the run, as SIGPIPE would. */
int cli_output_error(void);

/** Some of a descriptor: 0 at its end, -1: *error, also when a signal came. */
gssize cli_read_piece(int fd, const char *name, void *into, gsize size, GError **error);
/** All of a descriptor, of at most `max` bytes; `hint` says what to do about more. */
gboolean cli_read_all(int fd, const char *name, gsize max, const char *hint, GByteArray *into, GError **error);
/** Open a regular file, or a descriptor of ours by its name in /dev/fd, for reading. -1: error. */
int cli_open_input(const char *path, GError **error);
/** A source file or standard input with a coding line becomes UTF-8; what cannot is left as it is. */
void cli_decode(GByteArray *code);
/** The program to run: -c, a file, or standard input (operand NULL or "-"). *name is for tracebacks. */
gboolean cli_read_code(const struct cli *cli, const char *operand, GByteArray *code, const char **name, GError **error);
/** Its standard input is to be ours: -i, or --stdin says so. */
gboolean cli_reads_our_input(const struct cli *cli);
/** Standard input of the code (--stdin, -i), to be closed; -1: none, or an error. */
int cli_open_stdin(const struct cli *cli, GError **error);

#endif
