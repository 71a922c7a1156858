/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_CALLS_H
#define DSB_BROKER_CALLS_H

#include "broker/job.h"

G_BEGIN_DECLS

/** Code of the job calls a tool: `event` goes to its client as it is. */
void calls_event(struct job *job, guint32 number, const char *event);
/** POST /v1/executions/ID/calls/NUMBER: the answer to that call. */
void calls_request(struct request *request);

G_END_DECLS
#endif
