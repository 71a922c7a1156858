/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_GATE_CHECKS_H
#define DSB_PLUGIN_GATE_CHECKS_H

#include <dsandbox/plugin.h>

/* The checks of the call gate, free of any call. */

/** Replaces *error by PLUGIN "plugin NAME broke the contract of OP: ...". */
void dsb_check_breach(GError **error, const char *plugin, const char *op, const char *format, ...) G_GNUC_PRINTF(4, 5);

/**
 * What an operation returned (`ok`) against the error that it set (*local): one and only one of them, in
 * DSB_ERROR, with a code that exists. Else *local becomes the breach. Returns whether it succeeded.
 */
gboolean dsb_check_outcome(const char *plugin, const char *op, gboolean ok, gboolean of_stream, GError **local);

/** Container ids and names: what engines use, nothing that could be an option or a path. */
gboolean dsb_check_id(const char *id);

/** Image references and ids: no option, no white space or control character. */
gboolean dsb_check_image(const char *image);

gboolean dsb_check_terminated(const char *text, gsize size);
/** Makes a plugin's text fit for a terminal and for JSON, in place: what is not UTF-8, and controls, become '?'. */
void dsb_check_printable(char *text);
#define TERMINATED(array) dsb_check_terminated((array), sizeof(array))

/** What is wrong, or NULL. */
const char *dsb_check_spec(const struct dsb_spec *spec);
const char *dsb_check_observed(const struct dsb_observed *observed);

/** Whether the elements of `list` are valid (struct dsb_leftover). */
gboolean dsb_check_leftovers(const GPtrArray *array);

#endif
