/* SPDX-License-Identifier: MIT */
/* Verbs that are programs of their own, with options of their own: they are started in our place. */
#include "cli.h"

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

/* The verb's place: options before it may have a value as the next argument. 0: not there. */
static int verb_at(char **argv)
{
    static const char *const flags[] = {"--json", "--verbose", "--no-service", NULL};
    for (int i = 1; argv[i] != NULL && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] != '-')
            return i;
        gboolean is_long = argv[i][1] == '-';
        gboolean alone = is_long ? strchr(argv[i], '=') != NULL || g_strv_contains(flags, argv[i])
                                 : strlen(argv[i]) > 2 || strcmp(argv[i], "-v") == 0;
        if (!alone && argv[++i] == NULL)
            return 0;
    }
    return 0;
}

gboolean cli_helper(char **argv)
{
    int at = verb_at(argv);
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
