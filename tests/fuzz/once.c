/* SPDX-License-Identifier: MIT */
/* Runs the files of a corpus once, where there is no fuzzer: fuzz-NAME DIRECTORY... */
#include "fuzz.h"

#include <string.h>

static void run_file(const char *path)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, NULL)) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    /* An allocation of just this size: a sanitizer sees every byte that is read behind it. */
    uint8_t *data = malloc(size);
    if (size > 0)
        memcpy(data, text, size);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        g_autoptr(GDir) dir = g_dir_open(argv[i], 0, NULL);
        for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL; count++) {
            g_autofree char *path = g_build_filename(argv[i], name, NULL);
            run_file(path);
        }
    }
    if (count == 0)
        fprintf(stderr, "no corpus\n");
    return count == 0;
}
