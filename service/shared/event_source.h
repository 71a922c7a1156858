/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_EVENT_SOURCE_H
#define DSB_SHARED_EVENT_SOURCE_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * An event source that an object owns: a timer, or a watch. It ends when another is set in its place, when its function
 * says so, and at the latest when its owner clears it. Its function need not clear it, and may be
 * called by others: who owns a source can always end it. Main thread only; begin with zeroes.
 */
struct event_source {
    GSource *source;
};

/** Takes the source and attaches it, for whatever function is its kind's. */
void event_source_set(struct event_source *own, GSource *source, GSourceFunc function, gpointer owner);
void event_source_timeout(struct event_source *own, guint ms, GSourceFunc function, gpointer owner);
gboolean event_source_is_set(const struct event_source *own);
void event_source_clear(struct event_source *own);

G_END_DECLS
#endif
