/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_REPLACED_H
#define DSB_BROKER_REPLACED_H

#include "broker/request.h"

G_BEGIN_DECLS

/**
 * Whether a request that would load plugins or the guest's files finds those that the service is of. Where they were
 * replaced, the service leaves its sessions to the next one, where nobody notices, and refuses where somebody would; the
 * request is answered then, FALSE.
 */
gboolean files_are_current(struct request *request);

G_END_DECLS
#endif
