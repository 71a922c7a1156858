/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "client.h"

#include <errno.h>
#include <unistd.h>

/* The service is a program of its own; its options are its own too. */
int cli_serve(char **argv)
{
    g_autofree char *program = dsb_client_service_program();
    execv(program, argv);
    g_printerr("dsandbox: cannot start %s: %s\n", program, g_strerror(errno));
    return EXIT_OURS;
}
