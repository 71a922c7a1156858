/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_TEXT_H
#define DSB_MCP_TEXT_H

#include <glib.h>

G_BEGIN_DECLS

/* Text for a model, which has room for so much: head and tail of what is long. */

/** Bytes of text in one result. */
#define MCP_TEXT_MAX 20000

/** How much each of `n` texts may keep so that all together keep `budget`: what short ones leave is the long ones'. */
gsize mcp_share(const gsize *sizes, gsize n, gsize budget);
/** Head and tail of a text in UTF-8, about `most` bytes and a line between them that says how much is missing (g_free).
 */
char *mcp_cut(const char *text, gsize size, gsize most);

/** image/png and the like by the first bytes of its content; NULL: it is none that clients show. */
const char *mcp_image_type(const void *bytes, gsize size);
/** The media type of a file by its name. Never NULL. */
const char *mcp_file_type(const char *path);

G_END_DECLS
#endif
