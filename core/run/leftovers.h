/* SPDX-License-Identifier: MIT */
/* Containers of ours that nobody wants any more, and their removal. */
#ifndef DSB_RUN_LEFTOVERS_H
#define DSB_RUN_LEFTOVERS_H

#include "plugin/choice.h"

/** A container that nobody wants: of a dead owner of ours, or of ours and past its deadline. */
gboolean dsb_is_left(const struct dsb_leftover *left, gint64 now);

/**
 * Remove from one engine what is left, and see that it is gone; `session` NULL: of all. `seen` (may be NULL) has the ids
 * that other backends of the same engine have removed. *removed grows. Goes on after a failure, and returns FALSE with the first.
 */
gboolean dsb_leftovers_remove(const struct dsb_engine *engine, const struct dsb_run_options *options,
                              const char *session, gboolean dry_run, GHashTable *seen, unsigned *removed, GError **error);

/**
 * Remove from one engine what is left there of runs of this base directory that were killed before their container had
 * started. The engine is asked only if there were any. Failures go to the log, and the next one tries again.
 */
void dsb_leftovers_remove_unfinished(const struct dsb_engine *engine, const struct dsb_run_options *options, int base_fd);

/** How containers of an engine are told from those of another, in one word that lasts (g_free). */
char *dsb_leftovers_engine_key(const struct dsb_engine *engine);

/* Once over the engines. */
struct dsb_leftovers_round {
    const struct dsb_run_options *options;
    gboolean dry_run;
    int base_fd;      /* -1: there is none */
    GHashTable *seen; /* as dsb_leftovers_remove has it */
    unsigned removed;
    gboolean pending; /* something may come yet */
};

/** Remove what is left on one engine, and what belongs to runs of the base directory that were killed early. */
gboolean dsb_leftovers_collect(struct dsb_leftovers_round *round, const struct dsb_engine *engine, GError **error);

#endif
