/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_SESSION_H
#define DSB_CLI_SESSION_H

#include "remote.h"

/** "/v1/sessions?label=…" with the selectors of --label (g_free). */
char *session_query(const struct cli *cli);

/** Lists of `session`: print an answer of the service as a table. */
void show_sessions(struct json_object *answer);
void show_session(struct json_object *answer);
void show_vars(struct json_object *answer);
void show_files(struct json_object *answer);
void show_history(struct json_object *answer);
/** `what` is "saved" or "restored". */
void show_names(struct json_object *answer, const char *what);

/** The history as a Python program with cells, or as a notebook. */
void print_program(const char *session, struct json_object *history);
void print_notebook(struct json_object *history);

int session_new(const struct cli *cli);
int session_ls(const struct cli *cli);
/** The verbs that are one call about one session: show, vars, files, history, interrupt, reset, save, restore. */
int session_call(const struct cli *cli);
int session_rm(const struct cli *cli);
int session_export(const struct cli *cli);
int session_import(const struct cli *cli);
int session_branch(const struct cli *cli);

#endif
