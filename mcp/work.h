/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_WORK_H
#define DSB_MCP_WORK_H

#include "client/client.h"
#include "mcp/codec.h"
#include "mcp/setup.h"

G_BEGIN_DECLS

/*
 * One call of a tool, done by a thread of its own that talks to the service. All of it is that thread's until it is
 * over, but for what has the lock.
 */

/** Something whole of which a result has a part only; resources/read gives it. */
struct mcp_kept {
    char *uri;
    GBytes *bytes; /**< text */
};

struct mcp_work {
    const struct mcp_setup *setup;
    struct json_object *arguments; /**< checked against the tool's schema; may be NULL */
    char *session;                 /**< the service's id */
    const char *shown;             /**< and what the client calls it */
    const char *path;              /**< of a resource */
    gboolean is_default;
    gboolean links;     /**< the client knows links to resources */
    int cancel_fd;      /**< readable: the client does not want it any more */
    dsb_client *client; /**< of this thread; NULL: work_connect() makes one */
    gboolean known;     /**< this server has used the session before, so that it need not say how to make one */
    gboolean broken;    /**< the client is not to be used for another call */

    GMutex lock;
    GString *fresh; /**< what the code printed and no progress message has had yet; NULL: nobody listens */
    gsize skipped;  /**< bytes before it that are not kept */

    struct json_object *content; /**< what it comes to: an array of content */
    struct json_object *structured;
    gboolean is_error;
    GPtrArray *kept; /**< of struct mcp_kept */

    enum mcp_code code; /**< of resources/read: not 0, an error instead of a result */
    char *problem;
};

void mcp_work_clear(struct mcp_work *work);

/** The service is there, and if need be started. FALSE: that is the result. */
gboolean work_connect(struct mcp_work *work);
/** The session is there. `make`: a named one is made where it is missing, as the default one always is. FALSE: that is
 * the result. */
gboolean work_session(struct mcp_work *work, gboolean make);
/** One call to the service, about the session: "/vars". NULL: why not is the result. */
struct json_object *work_call(struct mcp_work *work, const char *method, const char *tail);
/** It did not work, and why. */
void work_fail(struct mcp_work *work, const GError *error);
void work_fail_text(struct mcp_work *work, const char *text);
/** The structured content, new, with the session's id. */
struct json_object *work_structured(struct mcp_work *work);
/** Content: takes no text. Empty texts are left out. */
void work_text(struct mcp_work *work, const char *text);
void work_image(struct mcp_work *work, const char *base64, const char *type);
/** A link to a resource, or for clients that know none its name. `size` < 0: not known. */
void work_link(struct mcp_work *work, const char *uri, const char *name, const char *type, gint64 size);
/** A link to a file of the session, by its path below /sandbox. */
void work_link_file(struct mcp_work *work, const char *path, gint64 size);
/** An argument; NULL or `otherwise` where it was left out. */
const char *work_argument(const struct mcp_work *work, const char *name);
double work_number(const struct mcp_work *work, const char *name, double otherwise);

/** The tools. */
void tool_execute_python(struct mcp_work *work);
void tool_run_command(struct mcp_work *work);
void tool_list_files(struct mcp_work *work);
void tool_read_file(struct mcp_work *work);
void tool_write_file(struct mcp_work *work);
void tool_get_variables(struct mcp_work *work);
void tool_reset_session(struct mcp_work *work);
void tool_close_session(struct mcp_work *work);

/** resources/read of a file. */
void work_read_resource(struct mcp_work *work);

G_END_DECLS
#endif
