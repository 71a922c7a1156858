/* SPDX-License-Identifier: MIT */
/*
 * Backend that drives the `docker` program (or Podman's, where `docker` is its stand-in) as a child
 * process: no shell, argument arrays only, a short list of environment variables.
 */
#ifndef DSBC_CLI_H
#define DSBC_CLI_H

#include "engine/engine.h"
#include "engine/program.h"

G_BEGIN_DECLS

/** What the program and the engine behind it are. */
struct dsbc_facts {
    gboolean podman;  /**< the program is Podman's */
    gboolean selinux; /**< binds need a label */
    char runtime[64]; /**< to use where the default of Podman cannot run; "" otherwise */
    uint64_t nproc;   /**< hard RLIMIT_NPROC that Podman's program can give, DSB_UNLIMITED for none */
    struct dsb_engine_info info;
};

struct dsbc_cli {
    char *program;      /**< absolute path */
    char *host;         /**< for --host, NULL: the program's own choice */
    char *endpoint;     /**< what that choice is, for people and for the cache's key */
    char *state_dir;    /**< private; the cache and the program's configuration directory are in it */
    gboolean own_state; /**< remove it at the end */
    GStrv env;          /**< of every call but those that need the user's configuration */
    GStrv user_env;     /**< build: the user's credentials and plugins */
    guint timeout_ms;
    gboolean timeout_given; /**< by the user */
    int cancel_fd;          /**< readable: calls end with CANCELLED; -1 */
    void (*log)(void *log_data, const char *line);
    void *log_data;
    GMutex lock; /**< of the members below */
    gboolean identified;
    struct dsbc_facts facts;
};

/* --- program.c: which program, which endpoint, which environment -------------------------------- */

/** Fills a zeroed `cli`. NOT_FOUND and UNAVAILABLE with advice. */
gboolean dsbc_setup(struct dsbc_cli *cli, const struct dsb_open_params *params, GError **error);
void dsbc_teardown(struct dsbc_cli *cli);
void dsbc_log(const struct dsbc_cli *cli, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* --- call.c: one call of the program ------------------------------------------------------------ */

/** PROGRAM [--host=...]; the caller appends. Elements are owned. */
GPtrArray *dsbc_argv(const struct dsbc_cli *cli);
void dsbc_add(GPtrArray *argv, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** Runs it; a status other than 0 becomes an error that starts with `what`. Takes argv. */
gboolean dsbc_call(const struct dsbc_cli *cli, GPtrArray *argv, const char *what, struct dsbe_output *output,
                   GError **error);
/** Code and advice ("" for none) for what the program wrote to stderr. Pure. */
enum dsb_error_code dsbc_classify(const char *text, const char **advice);
void dsbc_set_error(const struct dsbc_cli *cli, const char *what, const char *text, GError **error);

/** The started program as a stream: its stdin and stdout carry pid 1's bytes. Takes argv. */
gboolean dsbc_stream_open(const struct dsbc_cli *cli, GPtrArray *argv, struct dsb_byte_stream *stream, GError **error);

/* --- argv.c: translation, pure ------------------------------------------------------------------ */

/** Bits of the controls that dsbc_create_argv translates, one by one, so that a new one is refused until it is. */
#define DSBC_ENFORCES                                                                                                  \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) |            \
     DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) | DSB_BIT(DSB_CONTROL_FSIZE) |                             \
     DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | DSB_BIT(DSB_CONTROL_ROOTFS) |                           \
     DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) | DSB_BIT(DSB_CONTROL_SECCOMP) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

/** `create` and what follows, for the program after its own options. Elements are owned, NULL-terminated. */
GPtrArray *dsbc_create_argv(const struct dsb_spec *spec, const struct dsbc_facts *facts);
/** Why the spec cannot be built by this engine, NULL when it can. */
const char *dsbc_spec_refusal(const struct dsb_spec *spec, const struct dsbc_facts *facts);
/** JSON without white space between tokens, as the docker program sends a profile. */
char *dsbc_compact_json(const char *text);

/* --- identify.c --------------------------------------------------------------------------------- */

/** The facts, from memory, from the cache, or from the program. */
gboolean dsbc_identify(struct dsbc_cli *cli, struct dsbc_facts *facts, GError **error);
/** Facts from `info` and `version` (NULL for Podman) output. Pure. */
gboolean dsbc_parse_facts(const char *info_json, const char *version_json, struct dsbc_facts *facts, GError **error);

/* --- docker_cli.c ------------------------------------------------------------------------------- */

/** `backend` is a struct dsbc_cli. */
extern const struct dsbe_operations dsbc_operations;

G_END_DECLS
#endif
