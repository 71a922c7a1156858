/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_ANSWER_H
#define DSB_MCP_ANSWER_H

#include "mcp/work.h"

G_BEGIN_DECLS

/**
 * From a result object (dsandbox.result/1) to content and structured content. What comes from inside the sandbox has
 * its bounds here. `python`: of code, not of a command.
 */
void answer_result(struct mcp_work *work, struct json_object *result, gboolean python);

G_END_DECLS
#endif
