/* SPDX-License-Identifier: MIT */
/*
 * What an engine without root rights needs of this machine. When one thing is missing, engines report whatever failed
 * last; this says what it was.
 */
#ifndef DSB_RUN_ROOTLESS_H
#define DSB_RUN_ROOTLESS_H

#include "plugin/choice.h"

/** Whether this user's run would use a rootless engine of his own. `engine`: the one in use, or NULL. */
gboolean dsb_rootless_wanted(const struct dsb_engine *engine, const struct dsb_run_options *options);
/**
 * Appends a finding for each need, causes before consequences. A remedy is words, or "as root: COMMAND", which may go
 * on with "; then as USER: COMMAND", and end in a remark in parentheses.
 */
void dsb_rootless_look(GPtrArray *to, const struct dsb_engine *engine, const struct dsb_run_options *options);
/** Puts what is missing, and what to do, before an error of such an engine. `engine`: NULL when none is usable. */
void dsb_rootless_explain(const struct dsb_engine *engine, const struct dsb_run_options *options, GError **error);

#endif
