/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_ANSWER_H
#define DSB_BROKER_ANSWER_H

#include "broker/request.h"
#include "shared/text.h"

G_BEGIN_DECLS

/**
 * Answers with a text of JSON, which gets another owner: as the last event, `result`, or as the whole answer. A large one
 * goes piece by piece, as fast as the client reads: the service has one piece of it in memory.
 */
void answer_event(struct request *request, struct text *text);
void answer_whole(struct request *request, struct text *text);

G_END_DECLS
#endif
