/* SPDX-License-Identifier: MIT */
/* Programs that a backend drives as child processes: no shell, argument arrays only, bounds on what they say. */
#ifndef DSBE_PROGRAM_H
#define DSBE_PROGRAM_H

#include "common/fd.h"
#include "engine/engine.h"

#include <sys/types.h>

G_BEGIN_DECLS

/* --- program.c -------------------------------------------------------------------------------- */

/** A child in a process group of its own. */
struct dsbe_child {
    pid_t pid;
    int pidfd;
    char name[16]; /**< of its file, for messages; the rest is cut off */
};

/** `link` (-1: none) becomes its descriptor 3. */
gboolean dsbe_spawn(char *const *argv, char *const *env, int in, int out, int err, int link, struct dsbe_child *child,
                    GError **error);
/** SIGKILL to its process group, and reap. */
void dsbe_child_end(struct dsbe_child *child);

/**
 * Waits for its end by itself. TIMEOUT at the deadline (monotonic, us), CANCELLED settle_ms after cancel_fd (-1: none)
 * is readable; it is still there then, and dsbe_child_end() is to be called.
 */
gboolean dsbe_child_wait(struct dsbe_child *child, gint64 deadline, int cancel_fd, guint settle_ms, int *status,
                         GError **error);

struct dsbe_output {
    GString *text;   /**< stdout */
    GString *errors; /**< the end of stderr */
    int status;
    guint timeout_ms; /**< a deadline other than the usual one; 0: the usual one */
    gboolean always;  /**< goes on when the caller cancelled */
    guint settle_ms;  /**< goes on for so long when the caller cancelled */
    /** Gets stdout and stderr line by line; stdout is not collected then. */
    void (*line)(void *line_data, const char *line);
    void *line_data;
};

void dsbe_output_clear(struct dsbe_output *output);
typedef struct dsbe_output dsbe_output;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsbe_output, dsbe_output_clear)

/**
 * Runs to the end with an empty stdin; any status is success. TIMEOUT (0: none), CANCELLED when cancel_fd (-1: none)
 * is readable, LIMIT, FAILED.
 */
gboolean dsbe_capture(char *const *argv, char *const *env, guint timeout_ms, int cancel_fd, struct dsbe_output *output,
                      GError **error);

/* --- pipes.c ---------------------------------------------------------------------------------- */

/** Pipes to a program's stdin and from its stdout and stderr, as a stream: what it says on stderr is diagnostics. */
struct dsbe_pipes;

/** `theirs` gets the program's ends of its descriptors 0 to 2, for the caller to hand on and close. */
struct dsbe_pipes *dsbe_pipes_new(dsb_fd theirs[3], GError **error);
/** The child ends with the stream; taken. */
void dsbe_pipes_take(struct dsbe_pipes *pipes, const struct dsbe_child *child);
/** What the program has said on stderr, on one line; until the next call. */
const char *dsbe_pipes_diagnostic(struct dsbe_pipes *pipes);
/** As a stream, which takes them. */
void dsbe_pipes_give(struct dsbe_pipes *pipes, struct dsb_byte_stream *stream);
/** May be NULL. */
void dsbe_pipes_free(struct dsbe_pipes *pipes);

G_END_DECLS
#endif
