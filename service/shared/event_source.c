/* SPDX-License-Identifier: MIT */
#include "shared/event_source.h"

void event_source_set(struct event_source *own, GSource *source, GSourceFunc function, gpointer owner)
{
    event_source_clear(own);
    g_source_set_callback(source, function, owner, NULL);
    g_source_attach(source, NULL);
    own->source = source;
}

void event_source_timeout(struct event_source *own, guint ms, GSourceFunc function, gpointer owner)
{
    event_source_set(own, g_timeout_source_new(ms), function, owner);
}

gboolean event_source_is_set(const struct event_source *own)
{
    return own->source != NULL && !g_source_is_destroyed(own->source);
}

void event_source_clear(struct event_source *own)
{
    if (own->source == NULL)
        return;
    g_source_destroy(own->source);
    g_clear_pointer(&own->source, g_source_unref);
}
