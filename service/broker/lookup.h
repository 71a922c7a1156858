/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_LOOKUP_H
#define DSB_BROKER_LOOKUP_H

#include "broker/request.h"

G_BEGIN_DECLS

/** What an editor asks of a session, {code, cursor, detail} in the body, as a control operation (g_free). NULL: answered. */
char *lookup_operation(struct request *request, const char *op);

G_END_DECLS
#endif
