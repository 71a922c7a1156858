/* SPDX-License-Identifier: MIT */
/* What a plugin gives in the plain types of its interface, as ours. */
#ifndef DSB_COMMON_PLUGIN_TYPES_H
#define DSB_COMMON_PLUGIN_TYPES_H

#include <dsandbox/error.h>
#include <dsandbox/plugin.h>

/** Empty, for one call. */
void dsb_plugin_error_init(struct dsb_plugin_error *plain);
/** Whether a plugin has filled it. */
gboolean dsb_plugin_error_is_set(const struct dsb_plugin_error *plain);
/** The same as GError in DSB_ERROR (new); NULL: it is empty. The code may be none that exists, the text no UTF-8. */
GError *dsb_plugin_error_take(const struct dsb_plugin_error *plain);

/** A text that fills its array, or does not end in it, ends with an ellipsis afterwards. */
void dsb_text_mark_cut(char *text, gsize size);

/** A container of ours on an engine. */
struct dsb_leftover {
    char *id, *owner, *session;
    gint64 deadline; /**< seconds since the epoch, 0 unknown */
    gboolean running;
};

/** All that `list` gave of an item (new); NULL: it is not complete. */
struct dsb_leftover *dsb_leftover_new(const struct dsb_listed *item);
/** GDestroyNotify; may be NULL. */
void dsb_leftover_free(void *leftover);

#endif
