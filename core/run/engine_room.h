/* SPDX-License-Identifier: MIT */
/* Whether the engine has room for what it keeps. */
#ifndef DSB_RUN_ENGINE_ROOM_H
#define DSB_RUN_ENGINE_ROOM_H

#include "plugin/choice.h"

/** Add what was found about the room at the engine's data to `to`; `engine` NULL: at a rootless one's, which does not answer. */
void dsb_engine_room_look(GPtrArray *to, gboolean needed, const struct dsb_engine *engine);

/** Where *error (may be NULL) is an engine's that has no room, say whose, and what to do. */
void dsb_engine_room_explain(const struct dsb_engine *engine, GError **error);

/** Where engines without root rights keep images and containers, unless told otherwise (g_free). */
char *dsb_engine_room_rootless(void);

#endif
