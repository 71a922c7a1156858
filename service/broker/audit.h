/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_AUDIT_H
#define DSB_BROKER_AUDIT_H

#include "broker/job.h"

G_BEGIN_DECLS

/** STATE_DIR/audit.jsonl: one JSON line for each execution; at 10 MiB it becomes audit.jsonl.1, up to .4. */
struct audit *audit_open(const char *state_dir);
void audit_free(struct audit *audit);
/** `session` NULL: a one-shot run. A line is whole or not there; the service's log has why and how many are missing. */
void audit_write(struct audit *audit, const char *session, const struct job *job);
/** How many lines are missing since the service started. */
guint64 audit_unrecorded(const struct audit *audit);

G_END_DECLS
#endif
