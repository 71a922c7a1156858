/* SPDX-License-Identifier: MIT */
#ifndef DSB_MCP_SETUP_H
#define DSB_MCP_SETUP_H

#include <dsandbox/dsandbox.h>
#include <glib.h>

G_BEGIN_DECLS

/** What the server is started with; it does not change, every thread may read it, and it is there until the process
 * ends. */
struct mcp_setup {
    char *settings;     /**< a JSON object: what the service makes a session with */
    char *socket;       /**< of the service; NULL: where it always is, and it is started where there is none */
    char *session;      /**< the id of the session that is meant where none is named; NULL: each time a new one */
    char *shown;        /**< and what clients call it */
    gboolean temporary; /**< that session is ours alone: it ends with us, and its files go */
    /** The effective policy, in its own words: "30s", "512MiB", "1", "1GiB", "none". */
    char *timeout, *memory, *cpus, *disk, *network, *preload, *binds, *idle;
    double timeout_seconds;
    char *image;
    char *unenforced; /**< controls that may be missing, "memory,swap"; NULL: none */
};

/** Its members that a policy and what is beside it decide; the texts may be NULL. */
void mcp_setup_policy(struct mcp_setup *setup, const dsb_policy *policy, const char *image, const char *unenforced);

/** Sessions that clients name have this before the name: they cannot get at others of the user. */
#define MCP_SESSION_PREFIX "mcp-"

/**
 * Serve one client on two descriptors until the first one ends or `cancel_fd` is readable. FALSE: *error, the client's
 * end could not be read or written. Nothing is started before the first call of a tool.
 */
gboolean mcp_serve(const struct mcp_setup *setup, int in_fd, int out_fd, int cancel_fd, GError **error);

G_END_DECLS
#endif
