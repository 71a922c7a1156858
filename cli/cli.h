/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_H
#define DSB_CLI_H

#include <dsandbox/dsandbox.h>

/** Our own failure: a bad option, no engine. The code's own exit status may be the same; --json tells them apart. */
#define EXIT_OURS 125

/** All options of all verbs, as parsed. */
struct cli {
    char *backend, *plugin, *host, *session, *base_dir, *image, *policy_file, *code, *stdin_file, *allow;
    char **set; /**< policy keys given as options: "key", "text", "origin" triples, NULL-terminated */
    char **env;
    char *tag, *file; /**< image build */
    int engine_timeout;
    gboolean json, verbose, from_packages, dry_run, no_service, help, version;
    char **args;         /**< what is left: verb and operands */
    char **program_args; /**< after "--" */
};

/** Options for the library from the command line. FALSE: a bad value. */
gboolean cli_options(const struct cli *cli, struct dsb_run_options *options, GError **error);
/** Policy from defaults, --policy and options; NULL on error. */
dsb_policy *cli_policy(const struct cli *cli, GError **error);
/** Print an error the way every verb does and return EXIT_OURS (or 126 for a refusal). */
int cli_fail(const struct cli *cli, const GError *error);
/** Too many or too few operands. */
gboolean cli_operands(const struct cli *cli, guint from, guint to, GError **error);

int cli_run(const struct cli *cli);
int cli_backend(const struct cli *cli);
int cli_policy_verb(const struct cli *cli);
int cli_image(const struct cli *cli);
int cli_doctor(const struct cli *cli);
int cli_gc(const struct cli *cli);
/** Becomes the service; argv[0] is the verb. */
int cli_serve(char **argv);

#endif
