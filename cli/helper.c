/* SPDX-License-Identifier: MIT */
/* Verbs that are programs of their own, with options of their own: they are started in our place. */
#include "command_line.h"

#include "client/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *verb, *built_in, *program;
} helpers[] = {
    {"serve", "service", "dsandbox-serve"},
    {"conformance", "conformance", "dsandbox-conformance"},
};

gboolean cli_helper(char **argv)
{
    int at = command_line_operand(argv, 1);
    for (gsize i = 0; at > 0 && i < G_N_ELEMENTS(helpers); i++) {
        if (strcmp(argv[at], helpers[i].verb) != 0)
            continue;
        g_autofree char *path = dsb_client_helper(helpers[i].built_in, helpers[i].program);
        argv[0] = argv[at];
        for (int j = at; argv[j] != NULL; j++)
            argv[j] = argv[j + 1];
        execv(path, argv);
        g_printerr("dsandbox: cannot start %s: %s\n", path, g_strerror(errno));
        return TRUE;
    }
    return FALSE;
}
