/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_GATE_CHECKS_H
#define DSB_PLUGIN_GATE_CHECKS_H

#include "common/plugin_types.h"

/* The checks of the call gate, free of any call. */

/** Replaces *error by PLUGIN "plugin NAME broke the contract of OP: ...". */
void dsb_check_breach(GError **error, const char *plugin, const char *op, const char *format, ...) G_GNUC_PRINTF(4, 5);

/**
 * What an operation returned (`ok`) against the error that it filled (`plain`): one and only one of them, with a text
 * and a code that exists. *local becomes that error, or the breach. Returns whether it succeeded.
 */
gboolean dsb_check_outcome(const char *plugin, const char *op, gboolean ok, gboolean of_stream,
                           const struct dsb_plugin_error *plain, GError **local);

/** Container ids and names: what engines use, nothing that could be an option or a path. */
gboolean dsb_check_id(const char *id);

/** Image references and ids: no option, no white space or control character. */
gboolean dsb_check_image(const char *image);

gboolean dsb_check_terminated(const char *text, gsize size);
/** Makes a plugin's text fit for a terminal and for JSON, in place: what is not UTF-8, and controls, become '?'. */
void dsb_check_printable(char *text);
#define TERMINATED(array) dsb_check_terminated((array), sizeof(array))
/** It does not fill its array: else it may have been cut. */
#define WHOLE(array) dsb_check_terminated((array), sizeof(array) - 1)

/** What is wrong, or NULL. */
const char *dsb_check_spec(const struct dsb_spec *spec);
const char *dsb_check_observed(const struct dsb_observed *observed);

/** What is wrong with the n-th that `list` gave, or NULL. */
const char *dsb_check_listed(const struct dsb_leftover *one, guint n);

#endif
