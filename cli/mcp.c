/* SPDX-License-Identifier: MIT */
/* `mcp`: the options become what the MCP server needs to know. */
#include "cli.h"

#include "common/ids.h"
#include "mcp/setup.h"
#include "remote.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static gboolean check(const struct cli *cli, GError **error)
{
    if (cli->json)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "mcp speaks with clients: --json is for other verbs");
    else
        return cli->session == NULL || remote_check_id(cli->session, error);
    return FALSE;
}

static gboolean set_policy(const struct cli *cli, struct mcp_setup *setup, GError **error)
{
    g_autoptr(dsb_policy) policy = cli_policy(cli, error);
    if (policy != NULL)
        mcp_setup_policy(setup, policy, cli->image, cli->allow);
    return policy != NULL;
}

static void set_session(const struct cli *cli, struct mcp_setup *setup)
{
    setup->temporary = cli->session == NULL;
    setup->session = setup->temporary ? dsb_random_id(MCP_SESSION_PREFIX) : g_strdup(cli->session);
    setup->shown = g_strdup(setup->session + (setup->temporary ? strlen(MCP_SESSION_PREFIX) : 0));
}

int cli_mcp(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    static struct mcp_setup setup; /* a thread may still read it when we return */
    struct json_object *settings = check(cli, &error) ? remote_settings(cli, TRUE, &error) : NULL;
    gboolean ok = settings != NULL && set_policy(cli, &setup, &error) && cli_catch_signals(&error);
    if (ok) {
        setup.settings = g_strdup(json_text(settings));
        set_session(cli, &setup);
        ok = mcp_serve(&setup, STDIN_FILENO, STDOUT_FILENO, cli_cancel_fd(), &error);
    }
    json_object_put(settings);
    return ok ? 0 : cli_fail(cli, error);
}
