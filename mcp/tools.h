/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_TOOLS_H
#define DSB_MCP_TOOLS_H

#include "mcp/work.h"

G_BEGIN_DECLS

struct mcp_tool;

/** NULL: there is none of that name. */
const struct mcp_tool *mcp_tool_find(const char *name);
void (*mcp_tool_work(const struct mcp_tool *tool))(struct mcp_work *work);
/** What is wrong with the arguments, for a model to mend (g_free); NULL: nothing. `arguments` may be NULL. */
char *mcp_tool_check(const struct mcp_tool *tool, const struct mcp_setup *setup, struct json_object *arguments);
/** The result of tools/list: descriptions that say what the policy lets code do. */
struct json_object *mcp_tools_list(const struct mcp_setup *setup);
/** What the server is for, in a few sentences (g_free). */
char *mcp_instructions(const struct mcp_setup *setup);

G_END_DECLS
#endif
