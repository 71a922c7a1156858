/* SPDX-License-Identifier: MIT */
/*
 * The program's file. The interpreter puts it into /sandbox before the code starts (program.py), beside the data that the
 * code finds by its own name; it is removed here when the execution is over, however it ended.
 */
#include "init/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM_MODE 0444 /* as program.py makes it; what the code has made itself can be written to */
#define DIRECTORY "/sandbox/"

static char path[sizeof DIRECTORY + 256];

void program_begin(const struct part *name)
{
    struct stat st;
    const unsigned char *last = memrchr(name->at, '/', name->n);
    const unsigned char *at = last ? last + 1 : name->at;
    size_t n = name->n - (size_t) (at - name->at);

    path[0] = '\0';
    /* Not the name of a file. */
    if (n == 0 || n > 255 || at[0] == '<')
        return;
    snprintf(path, sizeof path, DIRECTORY "%.*s", (int) n, (const char *) at);
    if (lstat(path, &st) == 0 || errno != ENOENT)
        path[0] = '\0'; /* it is somebody's already */
}

void program_end(void)
{
    struct stat st;

    if (path[0] && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == PROGRAM_MODE)
        unlink(path);
    path[0] = '\0';
}
