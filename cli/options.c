/* SPDX-License-Identifier: MIT */
/* From options to what the library wants. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static void say(void *data, const char *line)
{
    (void) data;
    g_printerr("dsandbox: %s\n", line);
}

gboolean cli_options(const struct cli *cli, struct dsb_run_options *options, GError **error)
{
    *options = (struct dsb_run_options){
        .struct_size = sizeof *options,
        .init = DSB_INIT,
        .backend = cli->backend,
        .plugin_path = cli->plugin,
        .endpoint = cli->host,
        .base_dir = cli->base_dir,
        .session = cli->session,
        .image = cli->image,
        .cancel_fd = DSB_FD_NONE,
        .log = cli->verbose ? say : NULL,
    };
    gint64 seconds = 0;
    if (cli->engine_timeout != NULL && !g_ascii_string_to_signed(cli->engine_timeout, 10, 1, 3600, &seconds, NULL)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--engine-timeout %s: from 1 to 3600 seconds",
                    cli->engine_timeout);
        return FALSE;
    }
    options->engine_timeout_ms = (uint32_t) seconds * 1000;
    if (cli->checkpoint != NULL && !dsb_checkpoint_parse(cli->checkpoint, &options->checkpoint, error)) {
        g_prefix_error(error, "--checkpoint: ");
        return FALSE;
    }
    if (cli->backend != NULL && cli->plugin != NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--backend and --plugin exclude each other");
        return FALSE;
    }
    if (cli->allow == NULL || dsb_controls_parse(cli->allow, &options->allow_unenforced, error))
        return TRUE;
    g_prefix_error(error, "--allow-unenforced: ");
    return FALSE;
}

dsb_policy *cli_policy(const struct cli *cli, GError **error)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    if (cli->policy_file != NULL && !dsb_policy_load_file(policy, cli->policy_file, error))
        return NULL;
    for (char **set = cli->set; set != NULL && *set != NULL; set += 3)
        if (!dsb_policy_set(policy, set[0], set[1], set[2], error))
            return NULL;
    return g_steal_pointer(&policy);
}

gboolean cli_is_set(const struct cli *cli, const char *key)
{
    for (char **set = cli->set; set != NULL && *set != NULL; set += 3)
        if (strcmp(set[0], key) == 0)
            return TRUE;
    return FALSE;
}
