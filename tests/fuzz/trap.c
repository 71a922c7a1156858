/* SPDX-License-Identifier: MIT */
/* GLib ends the program with SIGTRAP, which libFuzzer does not know: its input would not be kept. */
#include <signal.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void on_trap(int number)
{
    (void) number;
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    signal(SIGTRAP, on_trap);
    return 0;
}
