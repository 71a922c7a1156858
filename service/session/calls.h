/* SPDX-License-Identifier: MIT */
#ifndef DSB_SESSION_CALLS_H
#define DSB_SESSION_CALLS_H

#include "session/session_process.h"

G_BEGIN_DECLS

/** For the library: code calls a tool. The service is told; `data` is the task. */
void calls_take(void *data, dsb_call *call);
/** The answer from the service. FALSE: that is none. */
gboolean calls_return(struct session_process *process, const struct frame *frame);
/** The execution is over, or there is no service any more that could answer: those that wait are told so. */
void calls_end(struct session_process *process, const char *why);

G_END_DECLS
#endif
