/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_REVIVE_H
#define DSB_BROKER_REVIVE_H

#include "shared/settings.h"

G_BEGIN_DECLS

/**
 * The settings of a session that comes back: what it had (the body that made it), but for what is named now (a body, or
 * NULL). *changes gets an array of texts that say what is other than it was; json_object_put. NULL: *error.
 */
struct settings *settings_revive(struct json_object *had, struct json_object *named, const char *id,
                                 struct json_object **changes, GError **error);
/** The body of another session with the same settings, but for what is named: `like` in `named` says whose they are. */
struct json_object *settings_like(struct json_object *had, struct json_object *named);

G_END_DECLS
#endif
