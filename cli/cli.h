/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_H
#define DSB_CLI_H

#include "common/names.h"

#include <dsandbox/dsandbox.h>
#include <signal.h>

/** All options of all verbs, as parsed. */
struct cli {
    char *backend, *plugin, *host, *session, *base_dir, *image, *policy_file, *code, *cwd, *stdin_file, *allow, *checkpoint,
        *engine_timeout;
    char **set; /**< policy keys given as options: "key", "text", "origin" triples, NULL-terminated */
    char **env;
    char **in, *out, *figures; /**< files of a run */
    char **labels;
    char *tag, *file; /**< image build */
    char *format;     /**< -o */
    gboolean json, verbose, from_packages, dry_run, no_service, interactive, tty, no_wait, help, version;
    gboolean all, files, exist_ok, recursive;
    gboolean must_exist; /**< exec: none is made */
    char **args;         /**< what is left: verb and operands */
    char **program_args; /**< after "--", of verbs that run code */
};

/** Options for the library from the command line. FALSE: a bad value. */
gboolean cli_options(const struct cli *cli, struct dsb_run_options *options, GError **error);
/** Policy from defaults, --policy and options; NULL on error. */
dsb_policy *cli_policy(const struct cli *cli, GError **error);
/** A policy key was given as an option. */
gboolean cli_is_set(const struct cli *cli, const char *key);
/** Print an error the way every verb does and return DSB_EXIT_OURS, or DSB_EXIT_REFUSED. */
int cli_fail(const struct cli *cli, const GError *error);
/** Too many or too few operands. */
gboolean cli_operands(const struct cli *cli, guint from, guint to, GError **error);

/**
 * SIGINT, SIGTERM and SIGHUP make cli_cancel_fd() readable from now on, and so does cli_cancel(). The third signal
 * kills, for the case that ours does not end.
 */
gboolean cli_catch_signals(GError **error);
int cli_cancel_fd(void);
/** The first of these signals, 0: none yet. */
int cli_cancel_signal(void);
void cli_cancel(int number);
/** Forget those that came: for a prompt, which goes on. */
void cli_cancel_clear(void);
/** The exit status of a verb that was cancelled. */
int cli_cancel_status(void);
/** The first signal is there from now on, in memory that two processes share, as they do the pipe. */
void cli_cancel_share(volatile sig_atomic_t *where);
/** Another process counts the signals of both. */
void cli_cancel_watched(void);

/** What was printed has arrived, or the program fails. Returns the exit status. */
int cli_end_output(int status);

int cli_run(const struct cli *cli);
int cli_exec(const struct cli *cli);
int cli_repl(const struct cli *cli);
int cli_cp(const struct cli *cli);
int cli_backend(const struct cli *cli);
int cli_policy_verb(const struct cli *cli);
int cli_image(const struct cli *cli);
int cli_doctor(const struct cli *cli);
int cli_gc(const struct cli *cli);
int cli_pool(const struct cli *cli);
int cli_mcp(const struct cli *cli);
int cli_version(const struct cli *cli);
/** Becomes the program of the verb, where it has one of its own. TRUE: that failed, and was said. */
gboolean cli_helper(char **argv);
/** Prints what the last word of a command line may become, where the arguments ask for that. FALSE: they do not. */
gboolean cli_complete(char **argv);

#endif
