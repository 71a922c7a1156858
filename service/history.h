/* SPDX-License-Identifier: MIT */
#ifndef DSB_HISTORY_H
#define DSB_HISTORY_H

#include "job.h"

G_BEGIN_DECLS

/** The last executions of a session: at most 1 000, 64 KiB of code each, 8 MiB together. */
struct history;

struct history *history_new(void);
void history_free(struct history *history);
/** An execution that ran, or was refused; `n` is its number in the session. */
void history_add(struct history *history, guint64 n, const struct job *job);
/** The object of the API. */
struct json_object *history_json(const struct history *history);

G_END_DECLS
#endif
