/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_GC_H
#define DSB_BROKER_GC_H

#include "broker/job.h"

G_BEGIN_DECLS

/* What was left behind is removed by a process, since an engine has its say in it. */

/** POST /v1/gc. */
void gc_request(struct request *request);
/** Remove what dead services left, at the engines of their records and at the default one. */
void gc_at_start(struct service *service);
/** Remove what a process of a session made with `body` left behind when it failed; nobody waits for it. */
void gc_after(struct service *service, struct json_object *body);
/** Called by dispatch.c; takes the job. */
void gc_done(struct job *job);

G_END_DECLS
#endif
