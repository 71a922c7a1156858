/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_HISTORY_H
#define DSB_BROKER_HISTORY_H

#include "broker/job.h"
#include "shared/frames.h"

G_BEGIN_DECLS

/** The last executions of a session: at most 1 000, 64 KiB of code each, 8 MiB together. */
struct history;

struct history *history_new(void);
void history_free(struct history *history);
/** An execution that ran, or was refused; `n` is its number in the session. */
void history_add(struct history *history, guint64 n, const struct job *job);
guint history_length(const struct history *history);
/** The last one added, for history_unpack. */
void history_pack_last(const struct history *history, GByteArray *pack);
/** Each of them, in their order. */
void history_pack_each(const struct history *history, void (*each)(gpointer data, const GByteArray *pack), gpointer data);
/** Add one that was packed. FALSE: it is none. */
gboolean history_unpack(struct history *history, struct unpack *unpack);
/** The object of the API. */
struct json_object *history_json(const struct history *history);

G_END_DECLS
#endif
